//! From a live object and a wanted one to what is sent: a JSON patch of what differs, under the
//! resourceVersion that was read. No `test` operation, which a server answers with 422, not 409.

use jiff::Timestamp;
use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch, PatchOperation, ReplaceOperation};
use serde_json::Value;

use crate::objects::metadata::STEP;

/// What only the server writes, and what a list leaves out of its items.
const SERVERS_OWN: [(&str, &str); 9] = [
    ("", "apiVersion"),
    ("", "kind"),
    ("", "status"),
    ("/metadata", "creationTimestamp"),
    ("/metadata", "generation"),
    ("/metadata", "managedFields"),
    ("/metadata", "resourceVersion"),
    ("/metadata", "selfLink"),
    ("/metadata", "uid"),
];

/// What makes the live object the wanted one; empty when nothing does.
pub fn difference(live: &Value, wanted: &Value) -> Patch {
    let mut wanted = wanted.clone();
    for (parent, field) in SERVERS_OWN {
        let Some(fields) = wanted.pointer_mut(parent).and_then(Value::as_object_mut) else {
            continue;
        };
        match live.pointer(parent).and_then(|parent| parent.get(field)) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.remove(field),
        };
    }
    json_patch::diff(live, &wanted)
}

/// The patch, refused with 409 once the object has another resourceVersion.
pub fn with_resource_version(patch: Patch, resource_version: &str) -> Patch {
    let guard = PatchOperation::Replace(ReplaceOperation {
        path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        value: Value::from(resource_version),
    });
    Patch(std::iter::once(guard).chain(patch.0).collect())
}

/// Notes on an object which step wrote it, and when. It tells people, and it carries the time.
pub fn stamp(object: &mut Value, step: i64, time: Timestamp) {
    object["metadata"]["annotations"][STEP] = Value::from(format!("{step} {time}"));
}

/// When the object was last written by a step, as far as that can be read.
pub fn stamped_at(object: &Value) -> Option<Timestamp> {
    let (_, time) = object["metadata"]["annotations"][STEP]
        .as_str()?
        .split_once(' ')?;
    time.parse().ok()
}
