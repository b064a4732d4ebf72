//! The garbage collector: what depended on an object that is gone goes too. And namespaces that are
//! ending.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cluster::object::{list, text};
use super::super::cluster::{Cluster, Key};

const COLLECTOR: &str = "generic-garbage-collector";
const NAMESPACES: &str = "namespace-controller";
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

pub(super) fn collect(cluster: &mut Cluster, now: Timestamp) {
    end_namespaces(cluster, now);
    let objects: Vec<_> = cluster
        .objects()
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    let by_uid: BTreeMap<&str, &Key> = objects
        .iter()
        .map(|(key, object)| (text(object, "/metadata/uid"), key))
        .collect();
    for (key, object) in &objects {
        attend(cluster, key, object, &by_uid, now);
        finalize(cluster, key, object, &objects, now);
    }
    cluster.forget_pods(|uid| !by_uid.contains_key(uid));
}

/// Deletes the object if none of its owners is there, or lets go of those that are not.
fn attend(
    cluster: &mut Cluster,
    key: &Key,
    object: &Value,
    by_uid: &BTreeMap<&str, &Key>,
    now: Timestamp,
) {
    let owners = list(object, "/metadata/ownerReferences");
    let is_gone = |owner: &Value| {
        // An owner in a version that is not served cannot be looked up, so nothing is done about
        // it.
        cluster.serves(text(owner, "/apiVersion"), text(owner, "/kind"))
            && by_uid.get(text(owner, "/uid")).is_none_or(|found| {
                *found.kind != *text(owner, "/kind") || *found.name != *text(owner, "/name")
            })
    };
    let (gone, kept): (Vec<_>, Vec<_>) = owners.iter().cloned().partition(is_gone);
    if gone.is_empty() || object["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    if kept.is_empty() {
        drop(cluster.delete(key, COLLECTOR, now));
    } else {
        drop(cluster.edit(key, COLLECTOR, now, |object| {
            object["metadata"]["ownerReferences"] = json!(kept);
        }));
    }
}

/// Takes its own finalizers off an object that waits for its dependents to go, or to be let go.
fn finalize(
    cluster: &mut Cluster,
    key: &Key,
    object: &Value,
    objects: &[(Key, Arc<Value>)],
    now: Timestamp,
) {
    if object["metadata"].get("deletionTimestamp").is_none() {
        return;
    }
    let finalizers = list(object, "/metadata/finalizers");
    if !finalizers
        .iter()
        .any(|finalizer| finalizer == ORPHAN || finalizer == FOREGROUND)
    {
        return;
    }
    let uid = &object["metadata"]["uid"];
    let dependents: Vec<_> = objects
        .iter()
        .filter(|(_, other)| {
            list(other, "/metadata/ownerReferences")
                .iter()
                .any(|owner| owner["uid"] == *uid)
        })
        .collect();
    if finalizers.iter().any(|finalizer| finalizer == ORPHAN) {
        for (dependent, _) in &dependents {
            drop(cluster.edit(dependent, COLLECTOR, now, |object| {
                if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                    owners.retain(|owner| owner["uid"] != *uid);
                }
            }));
        }
        take_off(cluster, key, ORPHAN, now);
    } else {
        for (dependent, object) in &dependents {
            if object["metadata"].get("deletionTimestamp").is_none() {
                drop(cluster.delete(dependent, COLLECTOR, now));
            }
        }
        if dependents.is_empty() {
            take_off(cluster, key, FOREGROUND, now);
        }
    }
}

fn take_off(cluster: &mut Cluster, key: &Key, finalizer: &str, now: Timestamp) {
    drop(cluster.edit(key, COLLECTOR, now, |object| {
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|other| other != finalizer);
        }
    }));
}

/// Empties the namespaces that are being deleted, and lets them go when they are empty.
fn end_namespaces(cluster: &mut Cluster, now: Timestamp) {
    let ending: Vec<_> = cluster
        .objects_of("", "Namespace")
        .filter(|(_, namespace)| namespace["metadata"].get("deletionTimestamp").is_some())
        .map(|(key, _)| key.clone())
        .collect();
    for namespace in ending {
        let inside: Vec<_> = cluster
            .objects()
            .filter(|(key, _)| key.namespace == namespace.name)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &inside {
            drop(cluster.delete(key, NAMESPACES, now));
        }
        if inside.is_empty() {
            drop(cluster.edit(&namespace, NAMESPACES, now, |namespace| {
                namespace["spec"]["finalizers"] = json!([]);
            }));
        }
    }
}
