//! From what a client sent to an object of its kind: known fields, defaults, nothing that only the
//! server may set.

use serde_json::{Map, Value};

use super::super::answer::Refusal;
use super::super::builtin;
use super::super::kinds::Place;
use super::super::object::{child, map, text};
use super::super::request::Unknown;
use super::Ask;

/// The fields that metadata may have and that are kept. `managedFields` and `selfLink` are dropped
/// in silence.
const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
];

/// Gives the object its shape.
///
/// # Errors
/// Why it cannot be read as an object of its kind.
pub(super) fn shape(place: &Place, object: &mut Value, ask: &Ask) -> Result<Vec<String>, String> {
    let mut unknown = shape_metadata(object)?;
    match &place.version().schema {
        Some(schema) => {
            schema.fill(object);
            unknown.extend(schema.prune(object));
        }
        None if place.kind.custom => {}
        None => unknown.extend(builtin::fill(&place.kind, object)?),
    }
    let mut unknown: Vec<_> = unknown
        .into_iter()
        .map(|field| format!("unknown field \"{field}\""))
        .collect();
    match ask.unknown {
        Unknown::Drop => unknown.clear(),
        Unknown::Warn => {}
        Unknown::Refuse if unknown.is_empty() => {}
        Unknown::Refuse => return Err(format!("strict decoding error: {}", unknown.join(", "))),
    }
    Ok(unknown)
}

/// The same for a whole object that came in a request body.
pub(super) fn shape_body(
    place: &Place,
    object: &mut Value,
    ask: &Ask,
) -> Result<Vec<String>, Refusal> {
    identify(place, object)?;
    let (kind, version) = (&place.kind.kind, &place.version().name);
    shape(place, object, ask).map_err(|why| {
        Refusal::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
        ))
    })
}

/// Says what it is, if the client did not, or that it is something else.
fn identify(place: &Place, object: &mut Value) -> Result<(), Refusal> {
    let (kind, version) = (place.kind.kind.as_str(), place.api_version());
    let sent_kind = text(object, "/kind");
    let sent_version = text(object, "/apiVersion");
    if place.kind.custom && (sent_kind.is_empty() || sent_version.is_empty()) {
        let missing = if sent_kind.is_empty() {
            "Kind"
        } else {
            "apiVersion"
        };
        return Err(Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): Object '{missing}' is missing"
        )));
    }
    if !sent_version.is_empty() && sent_version != version {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({sent_version}) does not match the expected API version ({version})"
        )));
    }
    if !sent_kind.is_empty() && sent_kind != kind && place.kind.custom {
        let name = text(object, "/metadata/name");
        return Err(place.kind.of_another_kind(name, sent_kind));
    }
    if !sent_kind.is_empty() && sent_kind != kind {
        return Err(Refusal::bad_request(format!(
            "{sent_kind} in version \"{}\" cannot be handled as a {kind}",
            place.version().name
        )));
    }
    let fields = map(object);
    fields.insert("kind".into(), kind.into());
    fields.insert("apiVersion".into(), version.into());
    in_namespace(place, object)?;
    let metadata = child(object, "metadata");
    if !place.namespace.is_empty() {
        metadata.insert("namespace".into(), place.namespace.clone().into());
    }
    Ok(())
}

/// The namespace in the body, if there is one, is that in the path.
pub(super) fn in_namespace(place: &Place, object: &Value) -> Result<(), Refusal> {
    match text(object, "/metadata/namespace") {
        namespace if namespace.is_empty() || namespace == place.namespace => Ok(()),
        _ => Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

/// Keeps what metadata may hold, and names the rest.
fn shape_metadata(object: &mut Value) -> Result<Vec<String>, String> {
    let metadata = child(object, "metadata");
    let mut unknown = Vec::new();
    metadata.retain(|name, value| {
        if METADATA.contains(&name.as_str()) {
            return !is_nothing(value);
        }
        if !matches!(name.as_str(), "managedFields" | "selfLink") {
            unknown.push(format!("metadata.{name}"));
        }
        false
    });
    for field in ["labels", "annotations"] {
        if let Some(value) = metadata.get(field) {
            texts_only(field, value)?;
        }
    }
    drop_empty(metadata);
    Ok(unknown)
}

fn texts_only(field: &str, value: &Value) -> Result<(), String> {
    let wrong = |kind: &str, wanted: &str| {
        Err(format!(
            "json: cannot unmarshal {kind} into Go struct field ObjectMeta.{field} of type {wanted}"
        ))
    };
    let Some(entries) = value.as_object() else {
        return wrong("value", "map[string]string");
    };
    match entries
        .values()
        .find(|value| !value.is_string() && !value.is_null())
    {
        None => Ok(()),
        Some(Value::Number(_)) => wrong("number", "string"),
        Some(Value::Bool(_)) => wrong("bool", "string"),
        Some(Value::Array(_)) => wrong("array", "string"),
        Some(_) => wrong("object", "string"),
    }
}

fn drop_empty(metadata: &mut Map<String, Value>) {
    for field in ["labels", "annotations"] {
        // A null value is an empty text to the server.
        for value in metadata
            .get_mut(field)
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            if value.1.is_null() {
                *value.1 = Value::from("");
            }
        }
    }
}

/// Empty maps, lists and texts are as good as not there, in metadata.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
