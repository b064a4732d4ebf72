//! Deletion: at once, or a mark that waits for finalizers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::Cluster;
use super::super::answer::Refusal;
use super::super::history::Verb;
use super::super::kinds::{CRD_GROUP, CRD_KIND, Kind};
use super::super::object::{self, Key, child, list, number, text};
use super::super::request::Request;
use super::{Ask, commit};

/// How a deletion was asked for.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Deletion {
    propagation: String,
    uid: String,
    version: String,
}

impl Deletion {
    pub(super) fn read(request: &Request) -> Result<Self, Refusal> {
        let body = if request.body.is_empty() {
            json!({})
        } else {
            request.object("DeleteOptions")?
        };
        let propagation = match text(&body, "/propagationPolicy") {
            "" => request.parameter("propagationPolicy"),
            policy => policy,
        };
        Ok(Self {
            propagation: propagation.to_owned(),
            uid: text(&body, "/preconditions/uid").to_owned(),
            version: text(&body, "/preconditions/resourceVersion").to_owned(),
        })
    }

    fn check(&self, kind: &Kind, name: &str, stored: &Value) -> Result<(), Refusal> {
        let (uid, version) = (
            text(stored, "/metadata/uid"),
            text(stored, "/metadata/resourceVersion"),
        );
        if !self.uid.is_empty() && self.uid != uid {
            return Err(kind.precondition(
                name,
                &format!(
                    "the UID in the precondition ({}) does not match the UID in record ({uid}). The object might have been \
                     deleted and then recreated",
                    self.uid
                ),
            ));
        }
        if !self.version.is_empty() && self.version != version {
            return Err(kind.precondition(
                name,
                &format!(
                    "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record ({version}). \
                     The object might have been modified",
                    self.version
                ),
            ));
        }
        Ok(())
    }

    /// The finalizer by which the garbage collector is told.
    fn finalizer(&self) -> Option<&'static str> {
        match self.propagation.as_str() {
            "Foreground" => Some("foregroundDeletion"),
            "Orphan" => Some("orphan"),
            _ => None,
        }
    }
}

/// Deletes the object, or marks it. What depends on it is left to the garbage collector.
pub(in super::super) fn delete(
    cluster: &mut Cluster,
    kind: &Kind,
    key: &Key,
    deletion: &Deletion,
    ask: &Ask,
) -> Result<Arc<Value>, Refusal> {
    let stored = cluster
        .objects
        .get(key)
        .cloned()
        .ok_or_else(|| kind.not_found(&key.name))?;
    deletion.check(kind, &key.name, &stored)?;
    let mut finalizers = list(&stored, "/metadata/finalizers").to_vec();
    let told = deletion.finalizer().map(Value::from);
    finalizers.extend(told.filter(|told| !finalizers.contains(told)));
    let waits = !finalizers.is_empty() || !list(&stored, "/spec/finalizers").is_empty();
    if waits && stored["metadata"].get("deletionTimestamp").is_some() {
        return Ok(stored);
    }
    if waits {
        let marked = marked(kind, &stored, finalizers, ask);
        let marked = commit(cluster, ask, Verb::Update, key.clone(), Some(marked))?;
        return Ok(marked.unwrap_or_default());
    }
    if kind.is(CRD_GROUP, CRD_KIND) {
        delete_instances(cluster, &stored, ask)?;
    }
    commit(cluster, ask, Verb::Delete, key.clone(), None)?;
    let returns_object = kind.group.is_empty() && matches!(&*kind.kind, "Service" | "Pod");
    if returns_object {
        let mut last = stored.as_ref().clone();
        last["metadata"]["resourceVersion"] = json!(cluster.revision.to_string());
        return Ok(Arc::new(last));
    }
    let mut details = kind.details(&key.name, &kind.plural);
    details["uid"] = stored["metadata"]["uid"].clone();
    Ok(Arc::new(json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })))
}

fn marked(kind: &Kind, stored: &Value, finalizers: Vec<Value>, ask: &Ask) -> Value {
    let mut marked = stored.clone();
    let generation = number(stored, "/metadata/generation");
    let metadata = child(&mut marked, "metadata");
    metadata.insert("deletionTimestamp".into(), object::seconds(ask.now).into());
    if let Some(generation) = generation {
        metadata.insert("generation".into(), (generation + 1).into());
    }
    if !finalizers.is_empty() {
        metadata.insert("finalizers".into(), finalizers.into());
    }
    if kind.is("", "Namespace") {
        marked["status"]["phase"] = json!("Terminating");
    } else {
        metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
    }
    marked
}

/// With its CRD a custom resource goes, whatever finalizers it has: nobody could take them off any
/// more.
fn delete_instances(cluster: &mut Cluster, crd: &Value, ask: &Ask) -> Result<(), Refusal> {
    let (group, kind) = (text(crd, "/spec/group"), text(crd, "/spec/names/kind"));
    let keys: Vec<_> = cluster
        .objects
        .of(group, kind)
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        commit(cluster, ask, Verb::Delete, key, None)?;
    }
    Ok(())
}
