//! The cluster in memory: one request in, one answer out, no clock, no randomness, no I/O. It
//! speaks the Kubernetes REST API on plain JSON as a real kube-apiserver does; what it leaves out
//! is listed at [`Cluster`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::answer::Answer;
pub use self::answer::Refusal;
use self::history::History;
pub use self::history::{Verb, Write};
use self::kinds::{Kinds, Part};
pub use self::object::Key;
use self::objects::Objects;
use self::request::Request;
use self::write::Ask;
pub(in crate::simulate) use self::write::Operation;

mod answer;
mod builtin;
mod history;
mod kinds;
pub(super) mod object;
mod objects;
mod read;
mod request;
mod schema;
mod write;

#[cfg(test)]
mod tests;

/// A cluster as a value. A clone shares everything with its original, so that a test can fork it at
/// every call.
///
/// Differs from a real API server in this, on purpose:
/// - CEL rules (`x-kubernetes-validations`) are not evaluated, and there are no admission webhooks
///   but those that a layer above plays.
/// - Of the rules and defaults of built-in kinds there are those that a rollout can meet. Jobs and
///   `CronJob`s are stored, no more.
/// - No watch (405), no server-side apply and no strategic merge patch (both 415).
/// - `managedFields` tell who wrote and when, and not which fields.
/// - A CRD is served as soon as it is stored, and its new schema reshapes stored objects at once
///   instead of at each read. `fieldValidation=Strict` does not see fields that are given twice.
/// - Texts of syntax errors are our parser's; a refusal carries no warnings; of several causes the
///   real one repeats some.
/// - A scenario may hold kinds, and versions of kinds, that no API server serves without more: they
///   take any field, are not converted, and nothing acts on them.
/// - Events do not expire.
/// - No users: every request is allowed. Faults are layers on the wire.
#[derive(Clone, Debug)]
pub struct Cluster {
    kinds: Arc<Kinds>,
    objects: Objects,
    history: History,
    pods: Pods,
    /// Up to when the controllers have acted.
    settled: Option<Timestamp>,
    /// The number of the last committed write, and its resourceVersion.
    revision: u64,
    /// Lists that began before this revision cannot be continued.
    compacted: u64,
}

/// The pods of `ReplicaSet`s and `DaemonSet`s, by the UID of the set. Kept beside the objects
/// because nothing that Davy does looks at single pods.
type Pods = Arc<BTreeMap<String, Arc<[Pod]>>>;

/// A pod, as far as its set and the Services need to know it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::simulate) struct Pod {
    pub(in crate::simulate) started: Timestamp,
    /// What it was made from; its set may have another one since.
    pub(in crate::simulate) template: Arc<Value>,
}

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
            settled: None,
            revision: 1,
            compacted: 0,
        }
    }

    /// Answers one request, as it would be answered at `now`. At most one object is written,
    /// `deletecollection` and the deletion of a CRD aside.
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

    /// Creates the object or replaces it, whatever its resourceVersion, and its status too if it
    /// has one. A namespace that is missing is created.
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

    /// Changes an object the way a client does that reads, edits and writes it back: metadata, spec
    /// and status.
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

    /// Deletes the object, in the background as `kubectl delete` does. With finalizers it is only
    /// marked.
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

    /// The objects of one namespace whose names begin like that of the key.
    pub(in crate::simulate) fn objects_beginning(
        &self,
        first: &Key,
    ) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.beginning(first)
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

    /// Lets every continue token that was given out expire, as the API server's compaction does
    /// every few minutes.
    pub fn compact(&mut self) {
        self.compacted = self.revision + 1;
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

/// The door for controllers: typed where clients have to say everything in HTTP, and the same rules
/// behind it.
impl Cluster {
    pub(in crate::simulate) fn create(
        &mut self,
        object: Value,
        manager: &str,
        now: Timestamp,
    ) -> Result<Arc<Value>, Refusal> {
        let mut place = self.kinds.place_of(&object)?;
        place.name = String::new();
        write::create(self, &place, object, &Ask::by(manager, now))
    }

    /// Puts the object in the place of the one with its resourceVersion.
    pub(in crate::simulate) fn replace(
        &mut self,
        object: Value,
        manager: &str,
        now: Timestamp,
    ) -> Result<Arc<Value>, Refusal> {
        let place = self.kinds.place_of(&object)?;
        write::replace(self, &place, object, &Ask::by(manager, now))
    }

    /// The same through `/status`.
    pub(in crate::simulate) fn replace_status(
        &mut self,
        object: Value,
        manager: &str,
        now: Timestamp,
    ) -> Result<Arc<Value>, Refusal> {
        let mut place = self.kinds.place_of(&object)?;
        place.part = Part::Status;
        write::replace(self, &place, object, &Ask::by(manager, now))
    }

    /// Sets the number of replicas through `/scale`.
    pub(in crate::simulate) fn scale(
        &mut self,
        key: &Key,
        replicas: i64,
        manager: &str,
        now: Timestamp,
    ) -> Result<Arc<Value>, Refusal> {
        let (kind, mut place) = self.kinds.of(key)?;
        place.part = if place.version().scale.is_some() {
            Part::Scale
        } else {
            Part::Main
        };
        let stored = self.get(key).ok_or_else(|| kind.not_found(&key.name))?;
        let mut scale = read::scale(&place, &stored)?;
        scale["spec"]["replicas"] = json!(replicas);
        write::replace(self, &place, scale, &Ask::by(manager, now))
    }

    /// Serves the kind and version of an object, if nothing does, and says whether it is namespaced.
    ///
    /// # Errors
    /// Which versions of the kind are served, where its definition settles that.
    pub(in crate::simulate) fn serve(&mut self, object: &Value) -> Result<bool, String> {
        let api_version = object::text(object, "/apiVersion");
        let kind = object::text(object, "/kind");
        if !self.kinds.serves(api_version, kind) {
            Arc::make_mut(&mut self.kinds).serve(api_version, kind)?;
        }
        let (group, _) = object::group_and_version(api_version);
        let found = self.kinds.find(group, kind);
        Ok(found.is_none_or(|kind| kind.namespaced))
    }

    /// Whether the API server serves this kind in this version.
    pub(in crate::simulate) fn serves(&self, api_version: &str, kind: &str) -> bool {
        self.kinds.serves(api_version, kind)
    }

    /// The time from which the controllers have something to catch up with: they have acted on all
    /// that was before.
    pub(in crate::simulate) fn settled(&self) -> Option<Timestamp> {
        self.settled.max(self.history.last().map(|write| write.at))
    }

    pub(in crate::simulate) fn set_settled(&mut self, now: Timestamp) {
        self.settled = self.settled.max(Some(now));
    }

    pub(in crate::simulate) fn pods(&self, set: &Value) -> Arc<[Pod]> {
        self.pods
            .get(object::text(set, "/metadata/uid"))
            .cloned()
            .unwrap_or_default()
    }

    pub(in crate::simulate) fn set_pods(&mut self, set: &Value, pods: Vec<Pod>) {
        let uid = object::text(set, "/metadata/uid").to_owned();
        Arc::make_mut(&mut self.pods).insert(uid, pods.into());
    }

    /// Forgets the pods of sets that are gone.
    pub(in crate::simulate) fn forget_pods(&mut self, gone: impl Fn(&str) -> bool) {
        if self.pods.keys().any(|uid| gone(uid)) {
            Arc::make_mut(&mut self.pods).retain(|uid, _| !gone(uid));
        }
    }
}
