//! Names of objects, and short ways to look into their JSON.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Which object: the version is no part of it, as an object is the same in all of them. The
/// namespace of a cluster-wide object, and the group of the core kinds, are empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub group: Arc<str>,
    pub kind: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key that the object's own `apiVersion`, `kind` and metadata give.
    pub fn of(object: &Value) -> Self {
        let (group, _) = group_and_version(text(object, "/apiVersion"));
        Self::new(
            group,
            text(object, "/kind"),
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        )
    }

    /// The object of another kind beside this one.
    #[must_use]
    pub fn beside(&self, group: &str, kind: &str, name: &str) -> Self {
        Self {
            namespace: self.namespace.clone(),
            ..Self::new(group, kind, "", name)
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(formatter, "{} {}", self.kind, self.name)
        } else {
            write!(formatter, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// `apps/v1` is group `apps` and version `v1`; `v1` has an empty group.
pub(in crate::simulate) fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

pub(super) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// The value at a JSON pointer whose keys need no escapes. `Value::pointer` copies every key, and
/// this is where a rehearsal spends its time.
pub(in crate::simulate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut keys = pointer.split('/').skip(1);
    keys.try_fold(value, |value, key| match value {
        Value::Object(fields) => fields.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The text at a JSON pointer, or nothing.
pub(in crate::simulate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The whole number at a JSON pointer.
pub(in crate::simulate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    at(value, pointer).and_then(Value::as_i64)
}

pub(in crate::simulate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The map under `key`, made if it is not there. A value of another type gives way: the writer is
/// known to be right.
pub(in crate::simulate) fn child<'a>(
    value: &'a mut Value,
    key: &str,
) -> &'a mut Map<String, Value> {
    map(map(value).entry(key).or_insert_with(|| json!({})))
}

pub(in crate::simulate) fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Sets the field, or removes it if there is nothing to set.
pub(super) fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(key.to_owned(), value)),
        None => drop(map.remove(key)),
    }
}

/// Puts `value` there if nothing is.
pub(super) fn default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.to_owned(), value.into());
    }
}

/// UIDs are counted, not drawn: the same requests make the same cluster.
pub(super) fn uid(number: u64) -> String {
    format!(
        "{:08x}-0000-4000-8000-{:012x}",
        number >> 48,
        number & 0xffff_ffff_ffff
    )
}

/// The time as API objects have it, to the second.
pub(in crate::simulate) fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}

/// A number in the letters that Kubernetes uses for names it makes up: no vowels, so that they
/// spell nothing.
pub(in crate::simulate) fn letters(mut number: u64, count: usize) -> String {
    const LETTERS: [char; 27] = [
        'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w',
        'x', 'z', '2', '4', '5', '6', '7', '8', '9',
    ];
    let letters = std::iter::repeat_with(|| {
        let digit = usize::try_from(number % 27).unwrap_or(0);
        number /= 27;
        LETTERS[digit]
    });
    letters.take(count).collect()
}
