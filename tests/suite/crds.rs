//! The CRDs: what users write is taken and kept whole, mistakes are named, and what Flagger's
//! definitions take is refused on purpose or not at all. On a real API server, and where no rule
//! decides on the one in memory.
#![expect(
    clippy::expect_used,
    reason = "a panic with a text is how a test reports"
)]

use std::{fs, path::Path};

use davy::api::{
    alert_provider::AlertProvider, canary::Canary, crd::crds, metric_template::MetricTemplate,
    status::CanaryStatus,
};
use davy::simulate::cluster::Cluster;
use jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, ValidationDirective},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::bed::{self, control_plane::ControlPlane};

/// Manifests that are taken: of our own making, recorded ones, and odd ones that Flagger takes.
const TAKEN: [&str; 3] = ["every-field.yaml", "recorded.yaml", "as-flagger.yaml"];

/// What a schema says that can refuse a value.
const KEYWORDS: [&str; 19] = [
    "allOf",
    "anyOf",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];

/// A refusal that is meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Narrower {
    at: Vec<String>,
    by: String,
    why: String,
}

#[test]
fn what_flagger_takes_is_refused_on_purpose_or_not_at_all() {
    let flagger: Vec<Value> = documents("flagger-1.44.yaml");
    let meant: Vec<Narrower> = documents::<Vec<Narrower>>("narrower.yaml").remove(0);
    let mut found = Vec::new();
    for crd in crds() {
        let theirs = flagger
            .iter()
            .find(|it| it["name"] == crd["metadata"]["name"]);
        let theirs = &theirs.expect("Flagger's definition")["spec"];
        for version in crd["spec"]["versions"].as_array().expect("versions") {
            let ours = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let kind = crd["spec"]["names"]["kind"].as_str().expect("a kind");
            narrower(theirs, ours, &format!("{kind}.spec"), &mut found);
        }
    }
    let is_meant = |narrower: &Narrower, (at, by): &(String, String)| {
        narrower.by == *by && narrower.at.iter().any(|pattern| matches(pattern, at))
    };
    let unmeant: Vec<_> = found
        .iter()
        .filter(|found| !meant.iter().any(|meant| is_meant(meant, found)))
        .collect();
    assert!(unmeant.is_empty(), "refused and not listed: {unmeant:#?}");
    for narrower in &meant {
        assert!(!narrower.why.is_empty(), "{}", narrower.by);
        for pattern in &narrower.at {
            let is_there = |(at, by): &(String, String)| narrower.by == *by && matches(pattern, at);
            assert!(
                found.iter().any(is_there),
                "{pattern} is not refused by {}",
                narrower.by
            );
        }
    }
}

/// Every field of Flagger's schema at which ours has a constraint that Flagger's has not.
fn narrower(theirs: &Value, ours: &Value, at: &str, found: &mut Vec<(String, String)>) {
    if ours.is_null() {
        found.push((at.to_owned(), "the field is not there".to_owned()));
        return;
    }
    for keyword in KEYWORDS {
        if !ours[keyword].is_null() && !is_as_wide(keyword, &theirs[keyword], &ours[keyword]) {
            found.push((at.to_owned(), keyword.to_owned()));
        }
    }
    let values = |schema: &Value| schema["enum"].as_array().cloned().unwrap_or_default();
    let known = values(ours);
    if !known.is_empty() && values(theirs).iter().any(|value| !known.contains(value)) {
        found.push((at.to_owned(), "enum".to_owned()));
    }
    for rule in ours["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        found.push((
            at.to_owned(),
            rule["message"].as_str().expect("a text").to_owned(),
        ));
    }
    let keeps_all = ours["x-kubernetes-preserve-unknown-fields"] == true;
    for (name, theirs) in theirs["properties"].as_object().into_iter().flatten() {
        let ours = &ours["properties"][name];
        if !(keeps_all && ours.is_null()) {
            narrower(theirs, ours, &format!("{at}.{name}"), found);
        }
    }
    if theirs["items"].is_object() {
        narrower(&theirs["items"], &ours["items"], &format!("{at}[]"), found);
    }
    if theirs["additionalProperties"].is_object() && !keeps_all {
        let (theirs, ours) = (
            &theirs["additionalProperties"],
            &ours["additionalProperties"],
        );
        narrower(theirs, ours, &format!("{at}.*"), found);
    }
}

fn is_as_wide(keyword: &str, theirs: &Value, ours: &Value) -> bool {
    match (keyword, theirs, ours) {
        ("required", Value::Array(theirs), Value::Array(ours)) => {
            ours.iter().all(|name| theirs.contains(name))
        }
        _ => theirs == ours,
    }
}

/// Whether a path fits a pattern, in which `*` stands for any text.
fn matches(pattern: &str, at: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or_default();
    let Some(mut rest) = at.strip_prefix(head) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

#[test]
fn api_server_in_memory_takes_what_a_real_one_takes() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut memory = Cluster::new();
    for crd in crds() {
        memory.apply(crd, "davy", now).expect("a definition");
    }
    for manifest in TAKEN.into_iter().flat_map(manifests) {
        let stored = memory.apply(manifest.clone(), "user", now);
        let stored = stored.unwrap_or_else(|error| panic!("{}: {error}", name(&manifest)));
        assert_kept(&manifest["spec"], &stored["spec"], name(&manifest));
        assert_eq!(stored["apiVersion"], "flagger.app/v1beta1");
    }
}

#[test]
fn types_keep_every_field_of_a_manifest() {
    for manifest in TAKEN.into_iter().flat_map(manifests) {
        let kept = match manifest["kind"].as_str() {
            Some("Canary") => through::<Canary>(&manifest),
            Some("MetricTemplate") => through::<MetricTemplate>(&manifest),
            Some("AlertProvider") => through::<AlertProvider>(&manifest),
            other => panic!("{other:?} is none of our kinds"),
        };
        assert_kept(&manifest["spec"], &kept["spec"], name(&manifest));
    }
}

#[test]
fn types_read_the_status_that_flagger_writes() {
    let status = json!({
        "phase": "", "canaryWeight": 0, "failedChecks": 0, "iterations": -1,
        "lastAppliedSpec": "85d557f47b", "lastPromotedSpec": "", "trackedConfigs": {},
        "lastTransitionTime": "2026-11-24T12:00:00Z",
        "conditions": [{
            "type": "Promoted", "status": "Unknown", "reason": "WaitingPromotion",
            "message": "Waiting for approval.",
            "lastUpdateTime": "2026-11-24T12:00:00Z", "lastTransitionTime": "2026-11-24T12:00:00Z",
        }],
    });
    let read: CanaryStatus = serde_json::from_value(status).expect("a status");
    assert_eq!(read.phase, None);
    assert_eq!(read.iterations, Some(-1));
    assert_eq!(read.tracked_configs, Some([].into()));
    assert_eq!(read.conditions.len(), 1);
}

#[tokio::test]
async fn api_server_keeps_every_field_of_a_manifest() {
    let Some((cluster, namespace)) = installed("manifests").await else {
        return;
    };
    for manifest in TAKEN.into_iter().flat_map(manifests) {
        let stored = apply(cluster, &namespace, &manifest).await;
        let stored = stored.unwrap_or_else(|error| panic!("{}: {error}", name(&manifest)));
        assert_kept(&manifest["spec"], &stored.data["spec"], name(&manifest));
    }
    // Whatever version it was written in, it is read in the stored one.
    let canaries: Api<Canary> = Api::namespaced(cluster.client(), &namespace);
    let first = canaries.get("first").await.expect("a v1alpha1 canary");
    let analysis = first.spec.canary_analysis.expect("its analysis");
    assert_eq!(analysis.metrics[0].threshold, Some(99.0));
}

#[tokio::test]
async fn api_server_names_every_mistake() {
    let Some((cluster, namespace)) = installed("mistakes").await else {
        return;
    };
    for manifest in manifests("refused.yaml") {
        let says = manifest["metadata"]["annotations"]["says"].as_str();
        let says = says.expect("what the server says");
        match apply(cluster, &namespace, &manifest).await {
            Ok(_) => panic!("{} was taken", name(&manifest)),
            Err(error) => assert!(error.contains(says), "{}: {error}", name(&manifest)),
        }
    }
}

#[tokio::test]
async fn api_server_keeps_every_field_of_the_status() {
    let Some((cluster, namespace)) = installed("status").await else {
        return;
    };
    let manifest = &manifests("every-field.yaml")[0];
    let applied = apply(cluster, &namespace, manifest).await;
    applied.unwrap_or_else(|error| panic!("{}: {error}", name(manifest)));
    let canaries: Api<Canary> = Api::namespaced(cluster.client(), &namespace);
    let status = manifests("status.yaml").remove(0);
    let parameters = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "status": status }));
    let stored = canaries
        .patch_status(name(manifest), &parameters, &patch)
        .await
        .expect("a status that is kept");
    let stored = serde_json::to_value(stored.status).expect("a status");
    assert_eq!(stored, status);
}

/// The control plane with our CRDs on it, and a namespace for the test.
async fn installed(test: &str) -> Option<(&'static ControlPlane, String)> {
    let cluster = bed::control_plane().await?;
    for crd in crds() {
        let text = serde_yaml::to_string(&crd).expect("a definition is plain YAML");
        cluster.install_crds(&text).await;
    }
    let namespace = cluster.namespace(test).await;
    Some((cluster, namespace))
}

/// What `kubectl apply --server-side --validate=strict` does, with what it would print.
async fn apply(
    cluster: &ControlPlane,
    namespace: &str,
    manifest: &Value,
) -> Result<DynamicObject, String> {
    let text = |field: &str| manifest[field].as_str().expect("a text");
    let objects = cluster
        .objects(text("apiVersion"), text("kind"), Some(namespace))
        .await;
    let parameters = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("crds")
    };
    objects
        .patch(name(manifest), &parameters, &Patch::Apply(manifest))
        .await
        .map_err(|error| error.to_string())
}

fn manifests(file: &str) -> Vec<Value> {
    documents(file)
}

fn documents<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests");
    let text = fs::read_to_string(path.join(file)).expect("a file of manifests");
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| T::deserialize(document).expect("a YAML document"))
        .collect()
}

fn name(manifest: &Value) -> &str {
    manifest["metadata"]["name"].as_str().expect("a name")
}

fn through<T: DeserializeOwned + Serialize>(manifest: &Value) -> Value {
    let read: T = serde_json::from_value(manifest.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", name(manifest)));
    serde_json::to_value(read).expect("what was read can be written")
}

/// Everything that was written is there; what the server has filled in is not looked at.
fn assert_kept(written: &Value, kept: &Value, at: &str) {
    match (written, kept) {
        (Value::Object(fields), Value::Object(_)) => {
            for (field, value) in fields {
                assert_kept(value, &kept[field], &format!("{at}.{field}"));
            }
        }
        (Value::Array(written), Value::Array(kept)) => {
            assert_eq!(written.len(), kept.len(), "{at}");
            for (number, (written, kept)) in written.iter().zip(kept).enumerate() {
                assert_kept(written, kept, &format!("{at}[{number}]"));
            }
        }
        // An integer may come back as a float of the same value.
        (Value::Number(written), Value::Number(kept)) => {
            assert_eq!(written.as_f64(), kept.as_f64(), "{at}");
        }
        // A choice that is left empty is read as the default.
        (Value::String(empty), Value::String(_)) if empty.is_empty() => {}
        (written, kept) => assert_eq!(written, kept, "{at}"),
    }
}
