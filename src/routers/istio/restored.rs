//! The VirtualService as it was before the Canary, for the user who keeps it when the Canary goes.

use serde_json::{Value, json};

use crate::objects::View;
use crate::objects::metadata::{FLUX, LAST_APPLIED, ORIGINAL_CONFIGURATION};
use crate::routers::istio::rules::{self, LISTS, Side};

pub(super) fn virtual_service(view: &View<'_>, live: &Value) -> Value {
    let mut object = live.clone();
    let spec = original_spec(live).unwrap_or_else(|| live["spec"].clone());
    rules::set(&mut object, "spec", to_apex(view, spec));
    remove_bookkeeping(
        &mut object,
        &remembered(live, LAST_APPLIED).unwrap_or_default(),
    );
    object
}

/// The spec that the user gave the route, as far as an annotation tells.
pub(super) fn original_spec(live: &Value) -> Option<Value> {
    let applied = remembered(live, LAST_APPLIED).map(|applied| applied["spec"].clone());
    applied
        .filter(Value::is_object)
        .or_else(|| remembered(live, ORIGINAL_CONFIGURATION).filter(Value::is_object))
}

fn remembered(live: &Value, annotation: &str) -> Option<Value> {
    let text = live["metadata"]["annotations"][annotation].as_str()?;
    serde_json::from_str(text).ok()
}

/// The user keeps the annotations that were there before us, and `flagger.app/step`, which tells
/// when this was written.
fn remove_bookkeeping(object: &mut Value, applied: &Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let mut annotations = metadata.remove("annotations").unwrap_or_default();
    if let Some(annotations) = annotations.as_object_mut() {
        let was_there = |key: &str| applied["metadata"]["annotations"].get(key).is_some();
        annotations.remove(ORIGINAL_CONFIGURATION);
        let is_flux = |key: &str| FLUX.iter().any(|(flux, _)| *flux == key);
        annotations.retain(|key, _| !is_flux(key) || was_there(key));
        if !annotations.is_empty() {
            let annotations = Value::Object(std::mem::take(annotations));
            metadata.insert("annotations".to_owned(), annotations);
        }
    }
}

/// The Services of primary and canary go with the Canary. A route that still leads to them, because
/// its user wrote it so, leads to the apex instead: it would lead nowhere otherwise.
fn to_apex(view: &View<'_>, mut spec: Value) -> Value {
    for list in LISTS {
        let rules = spec.get_mut(list).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            if let Some(route) = rule.get_mut("route").and_then(Value::as_array_mut) {
                merge_into_apex(view, route);
            }
        }
    }
    spec
}

fn merge_into_apex(view: &View<'_>, route: &mut Vec<Value>) {
    let is_ours = |entry: &Value| {
        let side = rules::side_of(view.names, entry);
        matches!(side, Some(Side::Primary | Side::Canary))
    };
    let ours = route.iter().filter(|entry| is_ours(entry));
    let weight: u64 = ours.map(rules::weight_of).sum();
    let mut is_first = true;
    route.retain_mut(|entry| {
        if !is_ours(entry) {
            return true;
        }
        if let Some(destination) = entry.get_mut("destination") {
            rules::set(destination, "host", json!(view.names.apex));
        }
        if weight > 0 {
            rules::set(entry, "weight", json!(weight));
        }
        std::mem::take(&mut is_first)
    });
}
