//! What controllers share: whose an object is, hashes of templates, numbers that may be
//! percentages.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::cluster::object::{letters, list, text};
use super::super::cluster::{Cluster, Key};

/// The objects of a kind whose controller is `owner`, oldest first. They are found by their names,
/// which controllers begin with that of the owner: a look at all sets of a large cluster for each
/// Deployment would take too long.
pub(super) fn owned(cluster: &Cluster, owner: &Value, kind: &str) -> Vec<(Key, Arc<Value>)> {
    let uid = text(owner, "/metadata/uid");
    let prefix = format!("{}-", text(owner, "/metadata/name"));
    let first = Key::new("apps", kind, text(owner, "/metadata/namespace"), &prefix);
    let mut objects: Vec<_> = cluster
        .objects_beginning(&first)
        .filter(|(_, object)| controller(object) == uid)
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    objects.sort_by(|(_, one), (_, other)| {
        text(one, "/metadata/creationTimestamp").cmp(text(other, "/metadata/creationTimestamp"))
    });
    objects
}

fn controller(object: &Value) -> &str {
    list(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == true)
        .map_or("", |owner| text(owner, "/uid"))
}

/// The name of the workload that runs the pods of a set: of a `ReplicaSet`'s Deployment, or else the
/// set's own.
pub(super) fn workload(object: &Value) -> &str {
    list(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == true && owner["kind"] == "Deployment")
        .map_or_else(
            || text(object, "/metadata/name"),
            |owner| text(owner, "/name"),
        )
}

pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A short name for a template, in the letters that Kubernetes uses. Not the number that a real
/// controller computes: that one is nobody's to rely on.
pub(super) fn template_hash(template: &Value, collisions: i64) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in format!("{template}{collisions}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    letters(hash, 10)
}

/// A number of pods, or a percentage of `total`.
pub(super) fn share(value: &Value, total: i64, round_up: bool) -> i64 {
    let Some(percent) = value.as_str().and_then(|text| text.strip_suffix('%')) else {
        return value.as_i64().unwrap_or(0);
    };
    let parts = percent.parse::<i64>().unwrap_or(0) * total;
    if round_up {
        (parts + 99) / 100
    } else {
        parts / 100
    }
}
