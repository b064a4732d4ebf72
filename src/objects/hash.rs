//! What a change is told by: the hash of a pod template and the checksum of a config.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::objects::metadata::FLAGGER_ID;

/// The label by which a Deployment tells its `ReplicaSets` apart.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The hash of a pod template, without what controllers add to it: the same for a target's
/// template, its `ReplicaSet`'s and the one in a `ControllerRevision`.
pub fn template_hash(template: &Value) -> String {
    // The keys of a `serde_json` map are sorted, so that its text is canonical.
    format!("sha256:{}", eight_bytes(&bare(template).to_string()))
}

/// Whether two pod templates make the same pods.
pub fn same_template(one: &Value, other: &Value) -> bool {
    one == other || bare(one) == bare(other)
}

/// The checksum of the contents of a `ConfigMap` or Secret.
///
/// Over `data` alone it is Flagger's, so that what Flagger has stored is recognised. Where there
/// is `binaryData`, which Flagger overlooks, that is covered too.
pub fn config_checksum(object: &Value) -> String {
    let data = filled(&object["data"]);
    let binary_data = filled(&object["binaryData"]);
    if binary_data.is_null() {
        return eight_bytes(&as_go_writes(data));
    }
    eight_bytes(&as_go_writes(
        &json!({ "binaryData": binary_data, "data": data }),
    ))
}

/// A map, or null when there is nothing in it: Go does not tell the two apart once they have been
/// through an API server.
fn filled(map: &Value) -> &Value {
    match map.as_object() {
        Some(entries) if !entries.is_empty() => map,
        _ => &Value::Null,
    }
}

/// JSON as Go's `encoding/json` writes it: it keeps what could end a script element out of texts.
/// None of these characters can be anywhere but in a text.
fn as_go_writes(value: &Value) -> String {
    let mut written = String::new();
    for character in value.to_string().chars() {
        match character {
            '<' => written.push_str("\\u003c"),
            '>' => written.push_str("\\u003e"),
            '&' => written.push_str("\\u0026"),
            '\u{2028}' => written.push_str("\\u2028"),
            '\u{2029}' => written.push_str("\\u2029"),
            other => written.push(other),
        }
    }
    written
}

/// A name in the form of a UUID that follows from what it is made of: Flagger's is random.
pub fn identifier(parts: &[&str]) -> String {
    // A separator that no part contains, so that no two lists of parts make the same text.
    let digest = Sha256::digest(parts.join("\u{0}").as_bytes());
    let hex = hex(&digest[..16]);
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// The first eight bytes of the SHA-256, as Flagger shortens it.
fn eight_bytes(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The template as its author wrote it.
fn bare(template: &Value) -> Value {
    let mut bare = without_directives(template);
    let Some(fields) = bare.as_object_mut() else {
        return bare;
    };
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        for (map, key) in [("labels", POD_TEMPLATE_HASH), ("annotations", FLAGGER_ID)] {
            if let Some(map) = metadata.get_mut(map).and_then(Value::as_object_mut) {
                map.remove(key);
            }
        }
        metadata.retain(|_, value| !is_empty(value));
    }
    if fields.get("metadata").is_some_and(is_empty) {
        fields.remove("metadata");
    }
    bare
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// A `ControllerRevision` holds a template as a strategic merge patch.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "$patch")
            .map(|(name, value)| (name.clone(), without_directives(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_directives).collect(),
        other => other.clone(),
    }
}

/// The template of a history object as a workload takes it back.
pub fn author_template(template: &Value) -> Value {
    let mut template = without_directives(template);
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(POD_TEMPLATE_HASH);
    }
    template
}
