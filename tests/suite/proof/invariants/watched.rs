//! A history as a watch of the API server shows it: the events of each kind, put together again
//! with what each object was before, and with the field manager that wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;

use davy::simulate::cluster::Key;
use jiff::Timestamp;
use serde_json::Value;

use super::{Committed, Verb, Write};

/// The objects of a watch as they were last seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    objects: BTreeMap<Key, Arc<Value>>,
}

/// An event of a watch with the object as it was before.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
    pub(crate) key: Key,
    pub(crate) at: Timestamp,
}

impl Watched {
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
        })
    }
}

impl Committed for Change {
    fn committed(&self) -> Write {
        Write {
            manager: writer(self.before.as_deref(), self.after.as_deref()).into(),
            verb: match (&self.before, &self.after) {
                (_, None) => Verb::Delete,
                (None, Some(_)) => Verb::Create,
                (Some(_), Some(_)) => Verb::Update,
            },
            key: self.key.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            at: self.at,
            pass: None,
        }
    }
}

/// The field manager whose entry is new or has changed. Times of entries are whole seconds; where
/// one manager writes twice in a second its entry may stay the same, and the latest is taken.
fn writer<'a>(before: Option<&'a Value>, after: Option<&'a Value>) -> &'a str {
    let entries = |object: Option<&'a Value>| {
        let entries = object.and_then(|object| object["metadata"]["managedFields"].as_array());
        entries.map_or(&[][..], Vec::as_slice)
    };
    let old = entries(before);
    let changed = entries(after).iter().filter(|entry| !old.contains(entry));
    let time = |entry: &&Value| entry["time"].as_str().unwrap_or_default().to_owned();
    let latest = changed
        .max_by_key(time)
        .or_else(|| entries(after).iter().max_by_key(time));
    latest
        .and_then(|entry| entry["manager"].as_str())
        .unwrap_or_default()
}
