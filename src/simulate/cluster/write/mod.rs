//! Writes. Every one of them ends in [`commit`], which counts it, stores it and puts it into the
//! history; a write that changes nothing ends before.

use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cluster;
use super::answer::{Answer, Refusal};
use super::history::{Verb, Write};
use super::kinds::{CRD_GROUP, CRD_KIND, Part, Place};
use super::object::{Key, text};
use super::read;
use super::request::{Request, Unknown};

pub(in crate::simulate) use self::admission::Operation;
pub(super) use self::delete::{Deletion, delete};

mod admission;
mod create;
mod delete;
mod metadata;
mod patch;
mod shape;
mod update;

/// More than this, etcd does not take.
const OBJECT_MAX: usize = 1_572_864;

/// Who writes, when and how.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) manager: Arc<str>,
    pub(super) now: Timestamp,
    pub(super) unknown: Unknown,
    pub(super) dry_run: bool,
}

impl Ask {
    pub(super) fn by(manager: &str, now: Timestamp) -> Self {
        Self {
            manager: manager.into(),
            now,
            unknown: Unknown::Warn,
            dry_run: false,
        }
    }
}

/// What a write led to.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) object: Arc<Value>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn answer(
    cluster: &mut Cluster,
    place: &Place,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let ask = Ask {
        manager: request.manager().into(),
        now,
        unknown: request.unknown()?,
        dry_run: request.dry_run()?,
    };
    let named = !place.name.is_empty();
    let reachable = place.kind.namespaced != place.namespace.is_empty();
    match request.method {
        Method::POST if !named && reachable => {
            let object = request.object(&place.kind.kind)?;
            let written = create::create(cluster, place, object, &ask)?;
            let object = read::served(place, &written.object);
            let answer = Answer::json(StatusCode::CREATED, object.as_ref());
            Ok(answer.warning_of(written.warnings))
        }
        Method::PUT if named => {
            let object = request.object(&place.kind.kind)?;
            let written = update::put(cluster, place, object, &ask)?;
            updated(place, written)
        }
        Method::PATCH if named => {
            let written = patch::patch(cluster, place, request, &ask)?;
            updated(place, written)
        }
        Method::DELETE if named && place.part == Part::Main => {
            let deletion = Deletion::read(request)?;
            let kind = place.kind.clone();
            let deleted = delete(cluster, &kind, &place.key(), &deletion, &ask)?;
            Ok(Answer::ok(deleted_view(place, &deleted).as_ref()))
        }
        Method::DELETE if !named && reachable => {
            let deletion = Deletion::read(request)?;
            let chosen = read::selected(cluster, place, request, cluster.revision)?;
            for (key, _) in &chosen {
                delete(cluster, &place.kind, key, &deletion, &ask)?;
            }
            let mut metadata = json!({"resourceVersion": cluster.revision.to_string()});
            if place.kind.custom {
                metadata["continue"] = json!("");
            }
            Ok(read::listed(place, &chosen, metadata, false))
        }
        Method::POST if place.kind.custom && !reachable => Err(Refusal::no_page()),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn updated(place: &Place, written: Written) -> Result<Answer, Refusal> {
    let object = read::served(place, &written.object);
    let answer = match place.part {
        Part::Scale => Answer::ok(&read::scale(place, &object)?),
        Part::Main | Part::Status => Answer::ok(object.as_ref()),
    };
    Ok(answer.warning_of(written.warnings))
}

/// What a user does with `kubectl apply`, as far as a scenario needs it: the object is there
/// afterwards as given, its status too.
pub(super) fn apply(
    cluster: &mut Cluster,
    mut object: Value,
    ask: &Ask,
) -> Result<Arc<Value>, Refusal> {
    let mut place = cluster.kinds.place_of(&object)?;
    if place.kind.namespaced {
        object["metadata"]["namespace"] = json!(place.namespace);
        let namespace = Key::new("", "Namespace", "", &place.namespace);
        if cluster.objects.get(&namespace).is_none() {
            let namespace = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": place.namespace},
            });
            apply(cluster, namespace, ask)?;
        }
    }
    let status = object.get("status").cloned();
    let written = match cluster.objects.get(&place.key()) {
        None => {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            create::create(cluster, &place, object, ask)?
        }
        Some(stored) => {
            let metadata = stored["metadata"].clone();
            for field in ["resourceVersion", "uid", "deletionTimestamp"] {
                match metadata.get(field) {
                    Some(value) => object["metadata"][field] = value.clone(),
                    None => drop(
                        object["metadata"]
                            .as_object_mut()
                            .map(|map| map.remove(field)),
                    ),
                }
            }
            update::put(cluster, &place, object, ask)?
        }
    };
    text(&written.object, "/metadata/name").clone_into(&mut place.name);
    // An update that takes the last finalizer off an object that is being deleted leaves nothing to
    // go on with.
    let is_there = cluster.objects.get(&place.key()).is_some();
    let Some(status) = status.filter(|_| is_there && place.version().has_status) else {
        return Ok(written.object);
    };
    place.part = Part::Status;
    let mut object = read::served(&place, &written.object).as_ref().clone();
    object["status"] = status;
    Ok(update::put(cluster, &place, object, ask)?.object)
}

pub(super) fn create(
    cluster: &mut Cluster,
    place: &Place,
    object: Value,
    ask: &Ask,
) -> Result<Arc<Value>, Refusal> {
    create::create(cluster, place, object, ask).map(|written| written.object)
}

pub(super) fn replace(
    cluster: &mut Cluster,
    place: &Place,
    object: Value,
    ask: &Ask,
) -> Result<Arc<Value>, Refusal> {
    update::put(cluster, place, object, ask).map(|written| written.object)
}

/// Stores what was decided. Everything that could be refused has been refused before, but for the
/// size.
fn commit(
    cluster: &mut Cluster,
    ask: &Ask,
    verb: Verb,
    key: Key,
    mut after: Option<Value>,
) -> Result<Option<Arc<Value>>, Refusal> {
    if ask.dry_run {
        return Ok(after.map(Arc::new));
    }
    if after
        .as_ref()
        .is_some_and(|object| size(object) > OBJECT_MAX)
    {
        return Err(Refusal::internal("etcdserver: request is too large"));
    }
    cluster.revision += 1;
    if let Some(object) = &mut after {
        object["metadata"]["resourceVersion"] = json!(cluster.revision.to_string());
        let part = (verb == Verb::UpdateStatus).then_some("status");
        metadata::note_manager(object, ask, part);
    }
    let after = after.map(Arc::new);
    let before = cluster.objects.get(&key).cloned();
    match &after {
        Some(object) => cluster.objects.insert(key.clone(), object.clone()),
        None => cluster.objects.remove(&key),
    }
    if key.group.as_ref() == CRD_GROUP && key.kind.as_ref() == CRD_KIND {
        register(cluster, before.as_deref(), after.as_deref());
    }
    cluster.history.push(Write {
        number: cluster.revision,
        at: ask.now,
        manager: ask.manager.clone(),
        verb,
        key,
        before,
        after: after.clone(),
    });
    Ok(after)
}

/// Serves what a CRD says from now on. Stored objects take the new schema at once: the real server
/// shows them through it at each read.
fn register(cluster: &mut Cluster, before: Option<&Value>, after: Option<&Value>) {
    let status_only = before
        .zip(after)
        .is_some_and(|(before, after)| before["spec"] == after["spec"]);
    if status_only {
        return;
    }
    let kinds = Arc::make_mut(&mut cluster.kinds);
    if let Some(before) = before {
        kinds.unregister(before);
    }
    let Some(after) = after else {
        return;
    };
    kinds.register(after);
    let Some(kind) = kinds.find(text(after, "/spec/group"), text(after, "/spec/names/kind")) else {
        return;
    };
    let Some(schema) = kind
        .version(&kind.storage)
        .and_then(|version| version.schema.as_ref())
    else {
        return;
    };
    let stored: Vec<_> = cluster
        .objects
        .of(&kind.group, &kind.kind)
        .map(|(key, object)| (key.clone(), object.as_ref().clone()))
        .collect();
    for (key, mut object) in stored {
        schema.fill(&mut object);
        schema.prune(&mut object);
        object["apiVersion"] = json!(kind.stored_version());
        cluster.objects.insert(key, Arc::new(object));
    }
}

/// The number of bytes that the object has as JSON.
fn size(object: &Value) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // A counter takes everything, and JSON values can always be written.
    drop(serde_json::to_writer(&mut counter, object));
    counter.0
}

/// What a deletion is answered with: the object in the version asked for, or a bare `Status`.
fn deleted_view(place: &Place, deleted: &Arc<Value>) -> Arc<Value> {
    if deleted["kind"] == "Status" {
        deleted.clone()
    } else {
        read::served(place, deleted)
    }
}
