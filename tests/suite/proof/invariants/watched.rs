//! A history as a watch of the API server shows it: the events of each kind, put together again
//! with what each object was before, and with the field manager that wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;

use davy::simulate::cluster::Key;
use jiff::Timestamp;
use serde_json::Value;

use super::{Committed, Verb, Write};

/// The objects of a watch as they were last seen.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// The field manager whose writes tell their time.
    ours: &'static str,
    objects: BTreeMap<Key, Arc<Value>>,
}

/// An event of a watch with the object as it was before.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
    pub(crate) key: Key,
    pub(crate) at: Timestamp,
    ours: &'static str,
}

impl Watched {
    pub(crate) fn new(ours: &'static str) -> Self {
        Self {
            ours,
            objects: BTreeMap::new(),
        }
    }

    /// Takes an event of a watch, `ADDED`, `MODIFIED` or `DELETED`, that was seen at `at`. Other
    /// events, such as bookmarks, are no writes.
    pub(crate) fn event(&mut self, r#type: &str, object: Value, at: Timestamp) -> Option<Change> {
        let key = Key::of(&object);
        let object = Arc::new(object);
        let (before, after) = match r#type {
            "ADDED" | "MODIFIED" => (
                self.objects.insert(key.clone(), object.clone()),
                Some(object),
            ),
            "DELETED" => (self.objects.remove(&key), None),
            _ => return None,
        };
        Some(Change {
            before,
            after,
            key,
            at,
            ours: self.ours,
        })
    }
}

impl Committed for Change {
    fn committed(&self) -> Write {
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        let manager = writer(before, after);
        // Others copy what a step has left: the Deployment controller, to its ReplicaSets.
        let told = told(before, after, self.ours).filter(|_| manager == self.ours);
        Write {
            manager: manager.into(),
            verb: match (&self.before, &self.after) {
                (_, None) => Verb::Delete,
                (None, Some(_)) => Verb::Create,
                (Some(_), Some(_)) => Verb::Update,
            },
            key: self.key.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            at: told.unwrap_or(self.at),
            pass: None,
        }
    }
}

/// When a write of a step was made, by what the protocol counts from: the later of the time that it
/// bears and the one that the API server noted of its commit, or the time of a claim. The event of
/// the watch comes later, by a different time for each. Whole seconds, as the server has them: what
/// lies whole seconds apart still does when both ends are cut.
fn told(before: Option<&Value>, after: Option<&Value>, ours: &str) -> Option<Timestamp> {
    let stamp = |object: &Value| {
        let text = object["metadata"]["annotations"]["flagger.app/step"].as_str()?;
        Some(text.split_once(' ')?.1.to_owned())
    };
    let claim = |object: &Value| Some(object["status"]["step"]["time"].as_str()?.to_owned());
    let new = |of: &dyn Fn(&Value) -> Option<String>| {
        let time = after.and_then(of)?;
        let is_new = before.and_then(of).as_ref() != Some(&time);
        time.parse::<Timestamp>().ok().filter(|_| is_new)
    };
    let committed = || {
        let entries = after?["metadata"]["managedFields"].as_array()?;
        let own = entries.iter().filter(|entry| entry["manager"] == *ours);
        own.filter_map(|entry| entry["time"].as_str()?.parse().ok())
            .max()
    };
    let stamped = new(&stamp).map(|at| at.max(committed().unwrap_or(at)));
    let time = stamped.or_else(|| new(&claim))?;
    Timestamp::from_second(time.as_second()).ok()
}

/// The field manager that wrote: the one who owns what has changed, then the one whose entry is
/// new or has changed, then the latest. No one of these tells it alone: entries have whole seconds,
/// stay the same where a manager writes the same fields twice in one, and change as well where
/// another takes fields away.
fn writer<'a>(before: Option<&'a Value>, after: Option<&'a Value>) -> &'a str {
    let entries = |object: Option<&'a Value>| {
        let entries = object.and_then(|object| object["metadata"]["managedFields"].as_array());
        entries.map_or(&[][..], Vec::as_slice)
    };
    let changed = changed(before, after);
    let old = entries(before);
    let latest = entries(after).iter().max_by_key(|entry| {
        let owned = changed.iter().filter(|path| owns(entry, path)).count();
        let time = entry["time"].as_str().unwrap_or_default();
        (owned, !old.contains(entry), time)
    });
    latest
        .and_then(|entry| entry["manager"].as_str())
        .unwrap_or_default()
}

/// The paths at which an object has other values than before, aside from what the server keeps.
fn changed(before: Option<&Value>, after: Option<&Value>) -> Vec<Vec<String>> {
    let (Some(before), Some(after)) = (before, after) else {
        return Vec::new();
    };
    let paths = json_patch::diff(before, after).0.into_iter().map(|change| {
        let tokens = change.path().tokens();
        tokens.map(|token| token.decoded().into_owned()).collect()
    });
    let servers_own = ["managedFields", "resourceVersion", "generation"];
    paths
        .filter(|path: &Vec<String>| {
            path.first().is_none_or(|first| first != "metadata")
                || path
                    .get(1)
                    .is_none_or(|field| !servers_own.contains(&&**field))
        })
        .collect()
}

/// Whether an entry of `managedFields` owns the path. Items of lists go by keys there, not by
/// places: what owns something in the list is taken to own the item.
fn owns(entry: &Value, path: &[String]) -> bool {
    let mut fields = &entry["fieldsV1"];
    for name in path {
        let Some(inner) = fields.get(format!("f:{name}")) else {
            let is_place = name == "-" || name.parse::<usize>().is_ok();
            return is_place && fields.as_object().is_some_and(|fields| !fields.is_empty());
        };
        fields = inner;
        // An empty set of fields is the whole value, whatever is in it.
        if fields.as_object().is_some_and(serde_json::Map::is_empty) {
            return true;
        }
    }
    true
}

#[test]
fn the_writer_is_told_by_what_changed_where_entries_are_of_one_second() {
    let entry = |manager: &str, fields: Value| serde_json::json!({"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields});
    let object = serde_json::json!({
        "metadata": {
            "resourceVersion": "1",
            "annotations": {"flagger.app/step": "1 2026-01-01T00:00:00Z"},
            "managedFields": [
                entry("user", serde_json::json!({"f:spec": {"f:template": {"f:labels": {}}}})),
                entry("davy", serde_json::json!({
                    "f:metadata": {"f:annotations": {"f:flagger.app/step": {}}},
                    "f:spec": {"f:replicas": {}, "f:http": {}},
                })),
                entry("controller", serde_json::json!({"f:status": {
                    "f:replicas": {}, "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {}},
                }})),
            ],
        },
        "spec": {"replicas": 1, "http": [{"weight": 100}], "template": {"labels": {"a": "b"}}},
        "status": {"replicas": 0, "conditions": [{"type": "Available", "status": "False"}]},
    });
    for (path, value, wanted) in [
        ("/spec/replicas", "2", "davy"),
        ("/spec/http/0/weight", "50", "davy"),
        ("/metadata/annotations/flagger.app~1step", "2", "davy"),
        ("/status/replicas", "1", "controller"),
        ("/status/conditions/0/status", "True", "controller"),
        ("/spec/template/labels/a", "c", "user"),
    ] {
        let mut after = object.clone();
        *after.pointer_mut(path).expect("it is there") = value.into();
        after["metadata"]["resourceVersion"] = "2".into();
        assert_eq!(writer(Some(&object), Some(&after)), wanted, "{path}");
    }
}
