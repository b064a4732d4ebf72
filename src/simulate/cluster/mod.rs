//! The cluster in memory: one request in, one answer out, no clock, no randomness, no I/O. It speaks the Kubernetes
//! REST API on plain JSON as a real kube-apiserver does; what it leaves out is listed at [`Cluster`].

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::answer::Answer;
pub use self::answer::Refusal;
use self::history::History;
pub use self::history::{Verb, Write};
use self::kinds::Kinds;
pub use self::object::Key;
use self::objects::Objects;
use self::request::Request;
use self::write::Ask;

mod answer;
mod builtin;
mod history;
mod kinds;
mod object;
mod objects;
mod read;
mod request;
mod schema;
mod write;

#[cfg(test)]
mod tests;

/// A cluster as a value. A clone shares everything with its original, so that a test can fork it at every call.
///
/// Differs from a real API server in this, on purpose:
/// - CEL rules (`x-kubernetes-validations`) are not evaluated, and there are no admission webhooks but those a layer
///   above plays.
/// - Built-in kinds have no schema: unknown fields stay, wrong types are not refused, `fieldValidation` looks at
///   custom resources only. Rules and defaults are those that a rollout can meet.
/// - No watch, no server-side apply and no strategic merge patch (both 415), no `managedFields`.
/// - A CRD is served as soon as it is stored. A new schema reshapes stored objects at once, not at each read.
/// - No users: every request is allowed; faults are layers on the wire.
#[derive(Clone, Debug)]
pub struct Cluster {
    kinds: Arc<Kinds>,
    objects: Objects,
    history: History,
    pods: Pods,
    /// The number of the last committed write, and its resourceVersion.
    revision: u64,
    /// Lists that began before this revision cannot be continued.
    compacted: u64,
}

/// When the pods of each `ReplicaSet` or `DaemonSet` were started. Kept beside the objects because nothing that Davy
/// does looks at single pods.
pub(in crate::simulate) type Pods = Arc<std::collections::BTreeMap<Key, Arc<[Timestamp]>>>;

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// A cluster with the namespaces that every cluster has, and an empty history.
    pub fn new() -> Self {
        let mut objects = Objects::default();
        for (index, name) in ["default", "kube-system"].into_iter().enumerate() {
            let namespace = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": name,
                    "uid": object::uid(index as u64),
                    "resourceVersion": "1",
                    "creationTimestamp": "1970-01-01T00:00:00Z",
                    "labels": {"kubernetes.io/metadata.name": name},
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            objects.insert(Key::new("", "Namespace", "", name), Arc::new(namespace));
        }
        Self {
            kinds: Arc::new(Kinds::builtin()),
            objects,
            history: History::default(),
            pods: Pods::default(),
            revision: 1,
            compacted: 0,
        }
    }

    /// Answers one request, as it would be answered at `now`. At most one object is written, `deletecollection` and
    /// the deletion of a CRD aside.
    pub fn handle(
        &mut self,
        request: &http::Request<Bytes>,
        now: Timestamp,
    ) -> http::Response<Bytes> {
        match Request::read(request).and_then(|request| self.answer(&request, now)) {
            Ok(answer) => answer.into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    /// Creates the object or replaces it, whatever its resourceVersion, and its status too if it has one. A namespace
    /// that is missing is created.
    ///
    /// # Errors
    /// What the API server would have answered.
    pub fn apply(
        &mut self,
        object: Value,
        manager: &str,
        now: Timestamp,
    ) -> Result<Arc<Value>, Refusal> {
        write::apply(self, object, &Ask::by(manager, now))
    }

    /// Changes an object the way a client does that reads, edits and writes it back: metadata, spec and status.
    ///
    /// # Errors
    /// What the API server would have answered.
    pub fn edit(
        &mut self,
        key: &Key,
        manager: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, Refusal> {
        let (kind, _) = self.kinds.of(key)?;
        let mut object = self
            .get(key)
            .ok_or_else(|| kind.not_found(&key.name))?
            .as_ref()
            .clone();
        change(&mut object);
        self.apply(object, manager, now)
    }

    /// Deletes the object, in the background as `kubectl delete` does. With finalizers it is only marked.
    ///
    /// # Errors
    /// What the API server would have answered.
    pub fn delete(&mut self, key: &Key, manager: &str, now: Timestamp) -> Result<(), Refusal> {
        let (kind, _) = self.kinds.of(key)?;
        write::delete(
            self,
            &kind,
            key,
            &write::Deletion::default(),
            &Ask::by(manager, now),
        )
        .map(drop)
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// All objects, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// The objects of one kind, by namespace and name.
    pub fn objects_of(&self, group: &str, kind: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.of(group, kind)
    }

    /// Every committed write, oldest first. A write that changed nothing is not in it.
    pub fn history(&self) -> impl Iterator<Item = &Write> {
        self.history.since(0)
    }

    /// The writes after the one with this number, oldest first.
    pub fn history_since(&self, number: u64) -> impl Iterator<Item = &Write> {
        self.history.since(number)
    }

    /// The number of the last write, which is its resourceVersion too.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Lets every continue token that was given out expire, as the API server's compaction does every few minutes.
    pub fn compact(&mut self) {
        self.compacted = self.revision + 1;
    }

    pub(in crate::simulate) fn pods(&self, key: &Key) -> Arc<[Timestamp]> {
        self.pods.get(key).cloned().unwrap_or_default()
    }

    pub(in crate::simulate) fn set_pods(&mut self, key: &Key, started: Vec<Timestamp>) {
        let pods = Arc::make_mut(&mut self.pods);
        if started.is_empty() {
            pods.remove(key);
        } else {
            pods.insert(key.clone(), started.into());
        }
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Result<Answer, Refusal> {
        if let Some(answer) = read::discovery::answer(self, request) {
            return Ok(answer);
        }
        let place = self.kinds.place(request)?;
        match request.method {
            http::Method::GET => read::answer(self, &place, request, now),
            _ => write::answer(self, &place, request, now),
        }
    }
}
