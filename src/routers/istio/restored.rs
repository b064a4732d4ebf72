//! The `VirtualService` as it was before the Canary, for the user who keeps it when the Canary goes.

use serde_json::Value;

use crate::objects::View;
use crate::routers::istio::rules::{self, Side};
use crate::routers::istio::{FLUX_ANNOTATIONS, LAST_APPLIED, ORIGINAL_CONFIGURATION};

pub(super) fn virtual_service(view: &View<'_>, live: &Value) -> Value {
    let annotations = &live["metadata"]["annotations"];
    let kept = |key: &str| {
        let text = annotations[key].as_str()?;
        serde_json::from_str::<Value>(text).ok()
    };
    let applied = kept(LAST_APPLIED);
    let applied_spec = applied
        .as_ref()
        .map(|applied| &applied["spec"])
        .filter(|s| s.is_object());
    let original_spec = kept(ORIGINAL_CONFIGURATION).filter(Value::is_object);
    let spec = applied_spec
        .cloned()
        .or(original_spec)
        .unwrap_or_else(|| live["spec"].clone());

    let mut object = live.clone();
    rules::set(&mut object, "spec", to_apex(view, spec));
    let was_there = |key: &str| {
        applied
            .as_ref()
            .is_some_and(|applied| applied["metadata"]["annotations"].get(key).is_some())
    };
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(ORIGINAL_CONFIGURATION);
            annotations.retain(|key, _| !FLUX_ANNOTATIONS.contains(&&**key) || was_there(key));
        }
        if metadata
            .get("annotations")
            .is_some_and(|annotations| *annotations == serde_json::json!({}))
        {
            metadata.remove("annotations");
        }
    }
    object
}

/// The Services of primary and canary go with the Canary. A route that still leads to them, because
/// its user wrote it so, leads to the apex instead: it would lead nowhere otherwise.
fn to_apex(view: &View<'_>, mut spec: Value) -> Value {
    for list in ["http", "tcp"] {
        let rules = spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        for route in rules.filter_map(|rule| rule.get_mut("route").and_then(Value::as_array_mut)) {
            merge_into_apex(view, route);
        }
    }
    spec
}

fn merge_into_apex(view: &View<'_>, route: &mut Vec<Value>) {
    let is_ours = |entry: &Value| {
        matches!(
            rules::side_of(view.names, entry),
            Some(Side::Primary | Side::Canary)
        )
    };
    let weight: u64 = route
        .iter()
        .filter(|entry| is_ours(entry))
        .map(rules::weight_of)
        .sum();
    let mut is_first = true;
    route.retain_mut(|entry| {
        if !is_ours(entry) {
            return true;
        }
        if let Some(destination) = entry.get_mut("destination") {
            rules::set(destination, "host", serde_json::json!(view.names.apex));
        }
        if weight > 0 {
            rules::set(entry, "weight", serde_json::json!(weight));
        }
        std::mem::take(&mut is_first)
    });
}
