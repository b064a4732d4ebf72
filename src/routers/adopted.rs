//! What an adopted route remembers of the time before the Canary, and how it is given back.

use serde_json::{Value, json};

use crate::objects::controller_uid;
use crate::objects::metadata::{self, FLUX, LAST_APPLIED, ORIGINAL_CONFIGURATION};

/// Keeps the spec of the live route on the object that takes its place, where nothing keeps it yet.
/// Once only: a later edit would keep what is ours already, and the user's spec would be lost.
pub(super) fn remember(live: &Value, object: &mut Value) {
    let is_kept = [LAST_APPLIED, ORIGINAL_CONFIGURATION]
        .iter()
        .any(|key| live["metadata"]["annotations"].get(*key).is_some());
    if controller_uid(live).is_some() || is_kept {
        return;
    }
    let mut annotations = metadata::annotations(object);
    annotations.insert(
        ORIGINAL_CONFIGURATION.to_owned(),
        json!(live["spec"].to_string()),
    );
    metadata::set_annotations(object, annotations);
}

/// The route as its user had it, as far as an annotation tells, without our annotations.
pub(super) fn given_back(live: &Value) -> Value {
    let mut object = live.clone();
    if let (Some(spec), Some(fields)) = (original_spec(live), object.as_object_mut()) {
        fields.insert("spec".to_owned(), spec);
    }
    let applied = remembered(live, LAST_APPLIED).unwrap_or_default();
    remove_bookkeeping(&mut object, &applied);
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
