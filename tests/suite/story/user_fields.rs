//! What users put on the route besides the weights is theirs, through every step of a release.
use serde_json::{Value, json};

use crate::podinfo::{Podinfo, fixture};

#[tokio::test]
async fn fields_of_the_route_that_a_user_added_survive_every_step() {
    let Some(podinfo) = Podinfo::begin("user-fields").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    podinfo.passes_until_rest_in("Initialized").await;
    add_fields(&podinfo).await;
    let added = podinfo.route().await;
    let rested = podinfo.pass();
    assert_eq!(rested.outcome, "rested", "an edit is no drift: {rested:?}");
    assert_eq!(podinfo.route().await, added);

    podinfo.image("1.2.1").await;
    for weight in [10, 20] {
        podinfo.passes_until_weight(weight).await;
        assert_only_weights_differ(&added, &podinfo.route().await, weight);
    }
    // Set back, the release ends and the traffic returns: one more step with another reason.
    podinfo.image("1.2.0").await;
    podinfo.passes_until_rest_in("Succeeded").await;
    assert_only_weights_differ(&added, &podinfo.route().await, 0);
}

/// A rule before ours and settings of our own rule, by another field manager.
async fn add_fields(podinfo: &Podinfo) {
    let rule = json!({
        "match": [{"uri": {"prefix": "/static"}}],
        "route": [{"destination": {"host": "assets"}}],
    });
    let patch = json!([
        {"op": "add", "path": "/spec/http/0/headers", "value": {"request": {"set": {"x-lamp": "lit"}}}},
        {"op": "add", "path": "/spec/http/0/retries", "value": {"attempts": 3, "perTryTimeout": "2s"}},
        {"op": "add", "path": "/spec/http/0/timeout", "value": "7s"},
        {"op": "add", "path": "/spec/http/0/route/0/headers", "value": {"response": {"add": {"x-side": "primary"}}}},
        {"op": "add", "path": "/spec/http/-", "value": rule},
        {"op": "add", "path": "/metadata/labels", "value": {"team": "lamps"}},
        {"op": "add", "path": "/metadata/annotations/note", "value": "do not touch"},
    ]);
    let route = ("networking.istio.io/v1", "VirtualService");
    podinfo.edit(route.0, route.1, "podinfo", &patch).await;
}

/// The two weights, the step's annotation, and what the server itself counts.
fn assert_only_weights_differ(before: &Value, after: &Value, weight: u64) {
    let mut wanted = before.clone();
    wanted["spec"]["http"][0]["route"][0]["weight"] = json!(100 - weight);
    wanted["spec"]["http"][0]["route"][1]["weight"] = json!(weight);
    let mut after = after.clone();
    let step = after["metadata"]["annotations"]["flagger.app/step"].take();
    assert!(step.is_string(), "the step signs what it writes: {after:#}");
    for object in [&mut wanted, &mut after] {
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        for field in ["resourceVersion", "generation", "managedFields"] {
            metadata.remove(field);
        }
        let annotations = metadata["annotations"]
            .as_object_mut()
            .expect("annotations");
        annotations.remove("flagger.app/step");
    }
    assert_eq!(after, wanted, "{after:#}");
}
