//! A patch is an update of what is stored at the moment, so that it conflicts only if it says which
//! version it is for.

use serde_json::Value;

use super::super::Cluster;
use super::super::answer::Refusal;
use super::super::kinds::{Part, Place};
use super::super::read;
use super::super::request::Request;
use super::shape::{in_namespace, shape};
use super::update::{same_name, set_scale, update};
use super::{Ask, Written};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

pub(super) fn patch(
    cluster: &mut Cluster,
    place: &Place,
    request: &Request,
    ask: &Ask,
) -> Result<Written, Refusal> {
    let media_type = request.media_type();
    match media_type {
        JSON_PATCH | MERGE_PATCH => {}
        "application/strategic-merge-patch+json" | "application/apply-patch+yaml" => {
            return Err(Refusal::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH]));
        }
        _ => return Err(Refusal::unsupported_media_type(&[])),
    }
    let patch: Value = serde_json::from_slice(&request.body)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
    let stored = read::object(cluster, place)?;
    let mut object = match place.part {
        Part::Scale => read::scale(place, &stored)?,
        Part::Main | Part::Status => stored.as_ref().clone(),
    };
    if media_type == MERGE_PATCH && !patch.is_object() {
        return Err(Refusal::bad_request(
            "error decoding patch: json: cannot unmarshal the patch into a map",
        ));
    }
    if media_type == JSON_PATCH {
        operate(&mut object, &patch)?;
    } else {
        json_patch::merge(&mut object, &patch);
    }
    if !object.is_object() {
        return Err(Refusal::patch_unreadable(
            &object,
            "the result is no object",
        ));
    }
    if place.part == Part::Scale {
        return set_scale(cluster, place, &stored, &object, ask);
    }
    let patched = object.clone();
    let warnings =
        shape(place, &mut object, ask).map_err(|why| Refusal::patch_unreadable(&patched, &why))?;
    same_name(place, &object)?;
    in_namespace(place, &object)?;
    for field in ["apiVersion", "kind"] {
        if object[field] != stored[field] {
            return Err(Refusal::bad_request(format!(
                "the {field} in the data ({}) does not match the expected {field} ({})",
                object[field], stored[field]
            )));
        }
    }
    update(cluster, place, &stored, object, warnings, ask)
}

/// Carries out the operations of a JSON patch.
fn operate(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let operations = patch.as_array().ok_or_else(|| {
        Refusal::bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        )
    })?;
    for operation in operations {
        let mut operation = operation.clone();
        // The API server's library lets `replace` add a field that is missing from an object.
        if operation["op"] == "replace" && is_missing_field(object, &operation["path"]) {
            operation["op"] = "add".into();
        }
        let operation: json_patch::PatchOperation =
            serde_json::from_value(operation).map_err(|_| Refusal::patch_does_not_fit())?;
        json_patch::patch(object, &[operation]).map_err(|_| Refusal::patch_does_not_fit())?;
    }
    Ok(())
}

fn is_missing_field(object: &Value, path: &Value) -> bool {
    let path = path.as_str().unwrap_or_default();
    object.pointer(path).is_none()
        && path
            .rsplit_once('/')
            .and_then(|(parent, _)| object.pointer(parent))
            .is_some_and(Value::is_object)
}
