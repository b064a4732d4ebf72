//! Labels, annotations and owners: what is copied from a user's object to a generated one, and
//! what never is.

use serde_json::{Map, Value};

use crate::objects::{Key, Names, Problem, controller_uid, owner_reference};

/// The number and time of the step that last wrote an object.
pub const STEP: &str = "flagger.app/step";

/// The name by which the API server knows our writes.
pub const FIELD_MANAGER: &str = "davy";

/// The entries of `managedFields` that are about the object itself, and not about its status: who
/// wrote it, and when.
pub fn writers(object: &Value) -> impl Iterator<Item = &Value> {
    let entries = object["metadata"]["managedFields"].as_array();
    let entries = entries.into_iter().flatten();
    entries.filter(|entry| entry["subresource"].as_str().is_none_or(str::is_empty))
}

/// On a primary's pods: a new value at each promotion, so that they restart.
pub const FLAGGER_ID: &str = "flagger-id";

/// On a `ConfigMap` or Secret that is not to be tracked.
pub const CONFIG_TRACKING: &str = "flagger.app/config-tracking";

/// What kubectl last applied. On a copy it would be a lie, and have `kubectl apply --prune` take
/// the copy for one of the user's own objects.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What a user's Service or route was like before it was adopted, where kubectl does not keep it:
/// Flagger's name, so that either of the two can give back what the other one took.
pub const ORIGINAL_CONFIGURATION: &str = "flagger.kubernetes.io/original-configuration";

/// Keeps Flux from setting a Service or route back to what is in Git.
pub const FLUX: [(&str, &str); 2] = [
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
];

/// Labels and annotations as they are copied whole.
pub fn copied(entries: &Map<String, Value>) -> Map<String, Value> {
    kept(entries, |key| !belongs_to_one_object(key))
}

/// Labels and annotations through the prefix filter: `*` is all, an empty list is none.
pub fn included(entries: &Map<String, Value>, prefixes: &[String]) -> Map<String, Value> {
    let is_included = |key: &str| {
        prefixes
            .iter()
            .any(|prefix| prefix == "*" || (!prefix.is_empty() && key.starts_with(prefix)))
    };
    kept(entries, |key| {
        is_included(key) && !belongs_to_one_object(key)
    })
}

fn belongs_to_one_object(key: &str) -> bool {
    key == STEP
        || key == LAST_APPLIED
        || key.contains("toolkit.fluxcd.io")
        || is_of_controllers(key)
}

/// Annotations in which an API server or a controller counts the templates of a workload.
pub(super) fn is_of_controllers(key: &str) -> bool {
    key.starts_with("deployment.kubernetes.io/")
        || key == "deprecated.daemonset.template.generation"
}

fn kept(entries: &Map<String, Value>, keep: impl Fn(&str) -> bool) -> Map<String, Value> {
    entries
        .iter()
        .filter(|(key, _)| keep(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// `metadata.labels` of an object or pod template; empty when there are none.
pub fn labels(object: &Value) -> Map<String, Value> {
    object["metadata"]["labels"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

/// `metadata.annotations` of an object or pod template; empty when there are none.
pub fn annotations(object: &Value) -> Map<String, Value> {
    object["metadata"]["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

/// Sets `metadata.labels` to exactly these.
pub fn set_labels(object: &mut Value, entries: Map<String, Value>) {
    set(object, "labels", entries);
}

/// Sets `metadata.annotations` to exactly these.
pub fn set_annotations(object: &mut Value, entries: Map<String, Value>) {
    set(object, "annotations", entries);
}

/// An API server drops an empty map, so an empty one is no difference.
fn set(object: &mut Value, field: &str, entries: Map<String, Value>) {
    if !entries.is_empty() {
        object["metadata"][field] = Value::Object(entries);
    } else if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove(field);
    }
}

/// Makes the Canary the object's controller. Who else owns it still does, as one of several.
pub fn take_ownership(object: &mut Value, names: &Names) {
    let own = owner_reference(names);
    let mut owners = object["metadata"]["ownerReferences"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut is_listed = false;
    for owner in &mut owners {
        if owner["uid"] == own["uid"] {
            owner.clone_from(&own);
            is_listed = true;
        } else if owner["controller"] == true {
            owner["controller"] = Value::Bool(false);
        }
    }
    if !is_listed {
        owners.push(own);
    }
    object["metadata"]["ownerReferences"] = Value::Array(owners);
}

/// Whose an object is, seen from a Canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    Ours,
    /// It has no controller; it may be adopted, if it is one that a user may have made.
    Nobodys,
    Anothers,
}

pub fn ownership(object: &Value, names: &Names) -> Ownership {
    match controller_uid(object) {
        None => Ownership::Nobodys,
        Some(uid) if uid == names.uid => Ownership::Ours,
        Some(_) => Ownership::Anothers,
    }
}

/// That an object which only Davy makes is this Canary's own.
pub fn must_be_ours(key: &Key, object: &Value, names: &Names) -> Result<(), Problem> {
    match ownership(object, names) {
        Ownership::Ours => Ok(()),
        Ownership::Nobodys => Err(Problem(format!(
            "{key} exists and does not belong to Canary {}",
            names.canary
        ))),
        Ownership::Anothers => Err(controlled_by_another(key, object)),
    }
}

/// The problem of an object that has another controller.
pub fn controlled_by_another(key: &Key, object: &Value) -> Problem {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controller = owners.and_then(|owners| owners.iter().find(|o| o["controller"] == true));
    let word = |field: &str| {
        controller
            .and_then(|owner| owner[field].as_str())
            .unwrap_or("?")
    };
    Problem(format!(
        "{key} is controlled by {} {}",
        word("kind"),
        word("name")
    ))
}
