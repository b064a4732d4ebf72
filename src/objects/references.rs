//! Where a pod template refers to `ConfigMaps` and Secrets. Ephemeral containers, pull secrets
//! and other kinds of volumes are left out, as in Flagger.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::{CONFIG_MAP, Key, Kind, SECRET};

/// A `ConfigMap` or Secret that a pod template refers to, however often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub key: Key,
    /// Pods start without it. One reference that cannot do without it is enough.
    pub is_optional: bool,
}

/// The configs that the template refers to, each once.
pub fn of(template: &Value) -> Vec<Reference> {
    let mut found: BTreeMap<Key, bool> = BTreeMap::new();
    for place in places(template) {
        let is_optional = found.entry(place.key).or_insert(true);
        *is_optional &= place.is_optional;
    }
    found
        .into_iter()
        .map(|(key, is_optional)| Reference { key, is_optional })
        .collect()
}

/// The template with each name replaced for which there is a new one.
pub(super) fn renamed(template: &Value, new_name: impl Fn(&Key) -> Option<String>) -> Value {
    let mut renamed = template.clone();
    for place in places(template) {
        if let (Some(name), Some(value)) =
            (new_name(&place.key), renamed.pointer_mut(&place.pointer))
        {
            *value = Value::from(name);
        }
    }
    renamed
}

/// One reference.
struct Place {
    key: Key,
    is_optional: bool,
    /// Of the name, from the template.
    pointer: String,
}

/// Where in a list item a reference may be, what of, and which field holds the name.
type Shape = (&'static str, &'static Kind, &'static str);

static VOLUME: [Shape; 2] = [
    ("/configMap", &CONFIG_MAP, "name"),
    ("/secret", &SECRET, "secretName"),
];
static SOURCE: [Shape; 2] = [
    ("/configMap", &CONFIG_MAP, "name"),
    ("/secret", &SECRET, "name"),
];
static ENV: [Shape; 2] = [
    ("/valueFrom/configMapKeyRef", &CONFIG_MAP, "name"),
    ("/valueFrom/secretKeyRef", &SECRET, "name"),
];
static ENV_FROM: [Shape; 2] = [
    ("/configMapRef", &CONFIG_MAP, "name"),
    ("/secretRef", &SECRET, "name"),
];

fn places(template: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for volume in items(template, "/spec/volumes") {
        places.extend(in_item(template, &volume, &VOLUME));
        for source in items(template, &format!("{volume}/projected/sources")) {
            places.extend(in_item(template, &source, &SOURCE));
        }
    }
    for containers in ["/spec/initContainers", "/spec/containers"] {
        for container in items(template, containers) {
            for variable in items(template, &format!("{container}/env")) {
                places.extend(in_item(template, &variable, &ENV));
            }
            for source in items(template, &format!("{container}/envFrom")) {
                places.extend(in_item(template, &source, &ENV_FROM));
            }
        }
    }
    places
}

/// The pointers of the items of a list.
fn items(template: &Value, list: &str) -> Vec<String> {
    let length = template
        .pointer(list)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    (0..length).map(|index| format!("{list}/{index}")).collect()
}

fn in_item(template: &Value, item: &str, shapes: &'static [Shape]) -> impl Iterator<Item = Place> {
    shapes.iter().filter_map(move |(path, kind, field)| {
        let reference = template.pointer(&format!("{item}{path}"))?;
        let name = reference[*field].as_str().filter(|name| !name.is_empty())?;
        Some(Place {
            key: Key::new(kind, name),
            is_optional: reference["optional"] == true,
            pointer: format!("{item}{path}/{field}"),
        })
    })
}
