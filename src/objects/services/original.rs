//! What a user's Service was like before it was adopted: kubectl keeps the manifest that it applied in
//! an annotation, and what is not in that is kept in one of ours, as a manifest of the same form.

use serde_json::{Map, Value, json};

use crate::objects::metadata::{FLUX, LAST_APPLIED, ORIGINAL_CONFIGURATION};

/// The fields of the spec that adopting changes.
const FIELDS: [&str; 3] = ["selector", "ports", "trafficDistribution"];

/// Whether one of our annotations tells of the Service.
pub(super) fn is_remembered(live: &Value) -> bool {
    live["metadata"]["annotations"]
        .get(ORIGINAL_CONFIGURATION)
        .is_some()
}

/// Notes the Service as it is, before anything of it is changed, unless it is known already: a later
/// note would keep what is Davy's.
pub(super) fn remember(live: &Value, annotations: &mut Map<String, Value>) {
    let is_applied = applied(live).is_some_and(|applied| {
        !of_object(&applied, "selector").is_empty() && !of_list(&applied).is_empty()
    });
    if is_applied || is_remembered(live) {
        return;
    }
    let mut manifest = json!({ "spec": {} });
    for field in FIELDS {
        if let Some(value) = live["spec"].get(field) {
            manifest["spec"][field] = value.clone();
        }
    }
    for (key, _) in FLUX {
        if let Some(value) = live["metadata"]["annotations"].get(key) {
            manifest["metadata"]["annotations"][key] = value.clone();
        }
    }
    annotations.insert(
        ORIGINAL_CONFIGURATION.to_owned(),
        json!(manifest.to_string()),
    );
}

/// The selector that the user gave the Service; empty if it had none. `None` where nothing tells.
pub(super) fn selector(live: &Value) -> Option<Map<String, Value>> {
    let applied = applied(live).map(|applied| of_object(&applied, "selector"));
    applied
        .filter(|selector| !selector.is_empty())
        .or_else(|| Some(of_object(&remembered(live)?, "selector")))
}

/// The ports that the user gave the Service; empty where nothing tells.
pub(super) fn ports(live: &Value) -> Vec<Value> {
    let applied = applied(live).map(|applied| of_list(&applied));
    applied
        .filter(|ports| !ports.is_empty())
        .or_else(|| Some(of_list(&remembered(live)?)))
        .unwrap_or_default()
}

/// Whether anything tells what the Service was like.
pub(super) fn is_known(live: &Value) -> bool {
    applied(live).or_else(|| remembered(live)).is_some()
}

/// A field that the user gave the Service, by its pointer in the manifest.
pub(super) fn field(live: &Value, pointer: &str) -> Option<Value> {
    let manifests = [applied(live), remembered(live)];
    let mut manifests = manifests.iter().flatten();
    manifests.find_map(|manifest| manifest.pointer(pointer).cloned())
}

fn applied(live: &Value) -> Option<Value> {
    manifest(live, LAST_APPLIED)
}

fn remembered(live: &Value) -> Option<Value> {
    manifest(live, ORIGINAL_CONFIGURATION)
}

fn manifest(live: &Value, annotation: &str) -> Option<Value> {
    let text = live["metadata"]["annotations"][annotation].as_str()?;
    let manifest: Value = serde_json::from_str(text).ok()?;
    manifest["spec"].is_object().then_some(manifest)
}

fn of_object(manifest: &Value, field: &str) -> Map<String, Value> {
    manifest["spec"][field]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

fn of_list(manifest: &Value) -> Vec<Value> {
    manifest["spec"]["ports"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}
