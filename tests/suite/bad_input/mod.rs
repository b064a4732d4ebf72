//! What users get wrong: each mistake is told with the object and the field, and the canaries beside
//! it never notice.
mod definitions;
mod servers;

use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    bed::{control_plane::ControlPlane, program::Ended},
    podinfo::{Podinfo, fixture},
};

#[tokio::test]
async fn target_that_does_not_exist_is_named_and_others_go_on() {
    let Some(podinfo) = Podinfo::begin("no-target").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    podinfo.apply(&canary("orphan", &[])).await;
    let ended = refused(&podinfo, &["orphan"]).await;
    let why = reason(&podinfo, &ended, "orphan");
    let target = format!("Deployment {}/orphan does not exist", podinfo.namespace);
    assert_eq!(why, format!("spec.targetRef: {target}"));
}

#[tokio::test]
async fn two_canaries_on_one_target_are_both_refused_and_others_go_on() {
    let Some(podinfo) = Podinfo::begin("contested").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    let application = fixture("story/quick.yaml").replace("podinfo", "other");
    podinfo.apply(&application).await;
    let target = ("/spec/targetRef/name", json!("other"));
    let service = ("/spec/service/name", json!("third"));
    podinfo.apply(&canary("third", &[target, service])).await;
    let ended = refused(&podinfo, &["other", "third"]).await;
    for (one, another) in [("other", "third"), ("third", "other")] {
        let why = reason(&podinfo, &ended, one);
        let namespace = &podinfo.namespace;
        let wanted = format!("Deployment other is also that of Canary {namespace}/{another}");
        assert_eq!(why, format!("spec.targetRef: {wanted}"));
    }
    // Not even the Services that do not collide were made.
    let made = podinfo.object("v1", "Service", "third").await;
    assert!(made.is_null(), "{made}");
}

/// One that exists and that Davy does not route on passes the definition, and is refused by the pass
/// with the reason.
#[tokio::test]
async fn provider_that_is_discontinued_is_refused_with_the_reason() {
    let Some(podinfo) = Podinfo::begin("provider").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    let app_mesh = ("/spec/provider", json!("appmesh"));
    podinfo.apply(&canary("other", &[app_mesh])).await;
    let ended = refused(&podinfo, &["other"]).await;
    let why = reason(&podinfo, &ended, "other");
    let wanted = davy::routers::router("appmesh").err().expect("no router");
    assert_eq!(why, wanted.to_string());
}

/// Where the definition can tell, the mistake does not even get into the cluster.
#[tokio::test]
async fn absurd_values_are_refused_by_the_api_server_with_their_field() {
    let Some(podinfo) = Podinfo::begin("absurd").await else {
        return;
    };
    for Case { path, value, field } in cases("bad_input/refused-at-apply.yaml") {
        let manifest = canary("other", &[(&path, value.clone())]);
        let error = attempt(podinfo.cluster, &podinfo.namespace, &manifest)
            .await
            .expect_err(&format!("{path} = {value}"));
        assert!(error.contains(&field), "{path} = {value}: {error}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    path: String,
    value: Value,
    field: String,
}

fn cases<T: DeserializeOwned>(file: &str) -> Vec<T> {
    serde_yaml::from_str(&fixture(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The Canary of `quick.yaml` under another name, with values of its own.
fn canary(name: &str, values: &[(&str, Value)]) -> String {
    let manifests = fixture("story/quick.yaml");
    let (_, canary) = manifests.rsplit_once("---\n").expect("two documents");
    let mut canary: Value = serde_yaml::from_str(canary).expect("a Canary");
    canary["metadata"]["name"] = json!(name);
    canary["spec"]["targetRef"]["name"] = json!(name);
    for (path, value) in values {
        let (parent, field) = path.rsplit_once('/').expect("a path");
        let parent = canary.pointer_mut(parent).expect("a parent");
        parent[field] = value.clone();
    }
    canary.to_string()
}

/// What the API server says to a manifest that it is not to keep.
async fn attempt(cluster: &ControlPlane, namespace: &str, manifest: &str) -> Result<(), String> {
    let object: DynamicObject = serde_json::from_str(manifest).expect("a manifest");
    let name = object.metadata.name.clone().expect("a name");
    let canaries = cluster.objects("flagger.app/v1beta1", "Canary", Some(namespace));
    let mut parameters = PatchParams::apply("user").dry_run();
    parameters.field_validation = Some(ValidationDirective::Strict);
    let answer = canaries
        .await
        .patch(&name, &parameters, &Patch::Apply(&object))
        .await;
    answer.map(drop).map_err(|error| error.to_string())
}

/// A pass that takes podinfo's first step and refuses these: nothing of theirs is written but what
/// their status says of it.
async fn refused(podinfo: &Podinfo, names: &[&str]) -> Ended {
    let before = canaries(podinfo, names).await;
    let ended = podinfo.davy(&["run", "-o", "json"]).run().with_code(1);
    let after = canaries(podinfo, names).await;
    let specs = |canaries: &[Value]| -> Vec<Value> {
        let parts = canaries
            .iter()
            .map(|canary| [&canary["spec"], &canary["metadata"]["generation"]]);
        parts.map(|parts| json!(parts)).collect()
    };
    assert_eq!(specs(&after), specs(&before));
    for (name, canary) in names.iter().zip(&after) {
        let said = ended.canary(&format!("{}/{name}", podinfo.namespace));
        assert_eq!(said["outcome"], "refused", "{ended}");
        let conditions = canary["status"]["conditions"]
            .as_array()
            .expect("conditions");
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .expect("Ready");
        assert_eq!(
            (&ready["status"], &ready["reason"], &ready["message"]),
            (&json!("False"), &json!("Invalid"), &said["reason"]),
            "{ended}"
        );
        // The log tells people what the summary tells programs.
        let why = said["reason"].as_str().expect("a reason");
        let logged = ended.errors.lines().map(serde_json::from_str::<Value>);
        let is_it = |line: Value| {
            line["level"] == "ERROR" && line["canary"] == said["canary"] && line["message"] == why
        };
        assert!(logged.flatten().any(is_it), "{ended}");
    }
    let beside = podinfo.seen(&ended);
    assert_eq!(
        (&*beside.outcome, &*beside.phase),
        ("stepped", "Initializing"),
        "{ended}"
    );
    ended
}

async fn canaries(podinfo: &Podinfo, names: &[&str]) -> Vec<Value> {
    let mut canaries = Vec::new();
    for name in names {
        canaries.push(podinfo.object("flagger.app/v1beta1", "Canary", name).await);
    }
    assert!(canaries.iter().all(Value::is_object), "{canaries:?}");
    canaries
}

fn reason(podinfo: &Podinfo, ended: &Ended, name: &str) -> String {
    let said = ended.canary(&format!("{}/{name}", podinfo.namespace));
    said["reason"].as_str().expect("a reason").to_owned()
}
