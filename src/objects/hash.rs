//! What a change is told by: the hash of a pod template and the checksum of a config.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::objects::metadata::{FLAGGER_ID, STEP, is_of_controllers};

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

/// The template of a `ReplicaSet` or `ControllerRevision` as its Deployment or `DaemonSet` had it.
pub fn template_of_history(template: &Value) -> Value {
    without(template, &[("labels", POD_TEMPLATE_HASH)])
}

/// The hash of a pod template without the marks by which tools restart pods in place: `kubectl
/// rollout restart`, Reloader and the like. They make new pods, and no other program.
pub fn unmarked_hash(template: &Value) -> String {
    let mut template = template.clone();
    if let Some(annotations) = template
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.retain(|key, _| !is_restart_mark(key));
        if annotations.is_empty()
            && let Some(metadata) = template["metadata"].as_object_mut()
        {
            metadata.remove("annotations");
        }
    }
    for containers in ["/spec/containers", "/spec/initContainers"] {
        let containers = template
            .pointer_mut(containers)
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            drop_restart_variables(container);
        }
    }
    template_hash(&template)
}

/// Annotations on pods that tools change in order to restart them.
fn is_restart_mark(key: &str) -> bool {
    key.ends_with("/restartedAt")
        || key == "cattle.io/timestamp"
        || key.starts_with("reloader.stakater.com/last-reloaded-from")
}

/// Reloader's other way: an environment variable with the checksum of a config.
fn drop_restart_variables(container: &mut Value) {
    let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut) else {
        return;
    };
    variables.retain(|variable| {
        !variable["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("STAKATER_"))
    });
    if variables.is_empty()
        && let Some(container) = container.as_object_mut()
    {
        container.remove("env");
    }
}

/// The hash of everything in an object that its writers say: not of what the server keeps about it,
/// nor of its status, nor of the number of the step that wrote it.
pub fn content_hash(object: &Value) -> String {
    let mut content = object.clone();
    if let Some(fields) = content.as_object_mut() {
        for field in ["status", "apiVersion", "kind"] {
            fields.remove(field);
        }
    }
    if let Some(metadata) = content.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "creationTimestamp",
            "generation",
            "managedFields",
            "resourceVersion",
            "selfLink",
            "uid",
        ] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(STEP);
            annotations.retain(|key, _| !is_of_controllers(key));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    format!("sha256:{}", eight_bytes(&content.to_string()))
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
    without(
        template,
        &[("labels", POD_TEMPLATE_HASH), ("annotations", FLAGGER_ID)],
    )
}

/// The template without these labels and annotations, and without what a server drops.
fn without(template: &Value, marks: &[(&str, &str)]) -> Value {
    let mut bare = without_directives(template);
    let Some(fields) = bare.as_object_mut() else {
        return bare;
    };
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        for (map, key) in marks {
            if let Some(map) = metadata.get_mut(*map).and_then(Value::as_object_mut) {
                map.remove(*key);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controllers_add_is_not_in_the_hash() {
        let plain =
            json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "x": 1, "b": [{}] } });
        let alike = [
            json!({ "spec": { "b": [{}], "x": 1 }, "metadata": { "labels": { "app": "a" } } }),
            json!({
                "metadata": {
                    "creationTimestamp": null,
                    "labels": { "app": "a", "pod-template-hash": "5d4f" },
                    "annotations": { "flagger-id": "1" },
                },
                "spec": { "x": 1, "b": [{}] },
            }),
            json!({
                "$patch": "replace",
                "metadata": { "labels": { "app": "a" }, "annotations": {} },
                "spec": { "x": 1, "b": [{ "$patch": "replace" }], "$patch": "replace" },
            }),
        ];
        for template in &alike {
            assert_eq!(template_hash(template), template_hash(&plain), "{template}");
            assert!(same_template(template, &plain), "{template}");
        }
    }

    #[test]
    fn what_makes_other_pods_is_in_the_hash() {
        let plain =
            json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "b": ["1", "2"] } });
        let others = [
            json!({ "metadata": { "labels": { "app": "b" } }, "spec": { "b": ["1", "2"] } }),
            json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "b": ["2", "1"] } }),
            json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "b": ["1", "2"], "c": {} } }),
            json!({ "spec": { "b": ["1", "2"] } }),
            json!({
                "metadata": {
                    "labels": { "app": "a" },
                    "annotations": { "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z" },
                },
                "spec": { "b": ["1", "2"] },
            }),
        ];
        for template in &others {
            assert_ne!(template_hash(template), template_hash(&plain), "{template}");
            assert!(!same_template(template, &plain), "{template}");
        }
    }

    /// Hashes are stored: should their text ever change, a rollout would start everywhere.
    #[test]
    fn a_hash_stays_what_it_is() {
        let template = json!({ "spec": { "z": 1, "a": "é\n" }, "metadata": { "labels": { "b": "", "a": "" } } });
        let canonical =
            "{\"metadata\":{\"labels\":{\"a\":\"\",\"b\":\"\"}},\"spec\":{\"a\":\"é\\n\",\"z\":1}}";
        assert_eq!(bare(&template).to_string(), canonical);
        assert_eq!(template_hash(&template), "sha256:3244b084ac1e8fe4");
    }

    /// The sums are those of Go's `json.Marshal`, and the first two stood in Flagger's status.
    #[test]
    fn config_checksums_are_flaggers() {
        let page =
            "<b title=\"x\">Tom & Jerry</b>\n\t\\ \u{2028}\u{2029} \u{8}\u{c}\r\u{1}\u{7f} é 🦀";
        let texts = json!({ "page": page, "b<": "2", "B": "1", "a.b": "", "_": "</script>" });
        let bytes = json!({ "value": "czNjcjN0", "empty": "", "bin": "//4+Pw==" });
        let cases = [
            (json!({ "data": { "color": "blue" } }), "f234cb93c08ad64e"),
            (
                json!({ "data": { "value": "czNjcjN0" } }),
                "e9508890208eabc4",
            ),
            (json!({ "data": texts }), "a55fd1bd93d1e73e"),
            (json!({ "data": bytes }), "32ec4f44b8477d93"),
            (json!({}), "74234e98afe7498f"),
            (json!({ "data": {}, "binaryData": {} }), "74234e98afe7498f"),
        ];
        for (object, checksum) in cases {
            assert_eq!(config_checksum(&object), checksum, "{object}");
        }
    }

    #[test]
    fn a_change_of_binary_data_is_a_change() {
        let checksums = [
            json!({ "data": { "a": "1" } }),
            json!({ "data": { "a": "1" }, "binaryData": { "b": "AA==" } }),
            json!({ "data": { "a": "1" }, "binaryData": { "b": "AQ==" } }),
            json!({ "binaryData": { "b": "AQ==" } }),
        ]
        .map(|object| config_checksum(&object));
        let distinct: std::collections::BTreeSet<_> = checksums.iter().collect();
        assert_eq!(distinct.len(), checksums.len());
    }
}
