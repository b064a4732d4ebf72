//! The CRDs on a real API server: what users write is taken and kept whole, and mistakes are named.
#![expect(
    clippy::expect_used,
    reason = "a panic with a text is how a test reports"
)]

use std::{fs, path::Path};

use davy::api::{
    alert_provider::AlertProvider, canary::Canary, crd::crds, metric_template::MetricTemplate,
    status::CanaryStatus,
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, ValidationDirective},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::bed::{self, control_plane::ControlPlane};

/// Manifests that are taken: of our own making, and recorded ones.
const TAKEN: [&str; 2] = ["every-field.yaml", "recorded.yaml"];

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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests");
    let text = fs::read_to_string(path.join(file)).expect("a file of manifests");
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("a YAML document"))
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
