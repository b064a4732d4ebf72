//! What the API server sees to in metadata, for every kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::answer::Cause;
use super::super::kinds::Kind;
use super::super::object::{child, list, put, text};
use super::Ask;

const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                           must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
                           regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                         start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                     end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// All annotations of an object together.
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// What an update may not change: taken over from the stored object, or refused if the client wants
/// something else.
pub(super) fn keep(stored: &Value, object: &mut Value) -> Vec<Cause> {
    let mut found = Vec::new();
    let before = &stored["metadata"];
    let metadata = child(object, "metadata");
    for field in ["uid", "deletionTimestamp"] {
        match (metadata.get(field), before.get(field)) {
            (Some(sent), kept) if Some(sent) != kept => {
                found.push(Cause::invalid(
                    format!("metadata.{field}"),
                    sent,
                    "field is immutable",
                ));
            }
            (None, Some(kept)) => drop(metadata.insert(field.into(), kept.clone())),
            _ => {}
        }
    }
    for field in [
        "name",
        "namespace",
        "generateName",
        "creationTimestamp",
        "generation",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "managedFields",
    ] {
        put(metadata, field, before.get(field).cloned());
    }
    if before.get("deletionTimestamp").is_some() {
        let known = list(stored, "/metadata/finalizers");
        let new: Vec<_> = list(object, "/metadata/finalizers")
            .iter()
            .filter(|finalizer| !known.contains(finalizer))
            .map(Value::to_string)
            .collect();
        if !new.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                new.join(", ")
            );
            found.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    found
}

/// Notes who wrote the object and when, in whole seconds as the API server does.
pub(super) fn note_manager(object: &mut Value, ask: &Ask, part: Option<&str>) {
    let seconds = Timestamp::from_second(ask.now.as_second()).unwrap_or(ask.now);
    let mut entry = json!({
        "manager": &*ask.manager,
        "operation": "Update",
        "apiVersion": &object["apiVersion"],
        "time": seconds.to_string(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    });
    if let Some(part) = part {
        entry["subresource"] = json!(part);
    }
    let entries = &mut object["metadata"]["managedFields"];
    if !entries.is_array() {
        *entries = json!([]);
    }
    let same = |other: &Value| {
        other["manager"] == entry["manager"] && other.get("subresource") == entry.get("subresource")
    };
    if let Some(entries) = entries.as_array_mut() {
        match entries.iter_mut().find(|other| same(other)) {
            Some(other) => *other = entry,
            None => entries.push(entry),
        }
    }
}

/// What is wrong with the metadata of an object.
pub(super) fn violations(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut found = Vec::new();
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        found.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(why) = name_trouble(kind, name) {
        found.push(Cause::invalid("metadata.name", &json!(name), &why));
    }
    entries(object, "labels", &mut found);
    entries(object, "annotations", &mut found);
    owners(object, &mut found);
    found
}

fn entries(object: &Value, field: &str, found: &mut Vec<Cause>) {
    let path = format!("metadata.{field}");
    let entries = object["metadata"][field].as_object();
    let mut total = 0;
    for (key, value) in entries.into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        total += key.len() + value.len();
        let (prefix, name) = key.split_once('/').unwrap_or(("", key));
        if name.len() > 63 {
            found.push(Cause::invalid(
                &path,
                &json!(key),
                "name part must be no more than 63 bytes",
            ));
        } else if !is_name(name) || name.is_empty() {
            found.push(Cause::invalid(&path, &json!(key), NAME_PART));
        } else if !prefix.is_empty() && !is_subdomain(&prefix.to_lowercase()) {
            found.push(Cause::invalid(
                &path,
                &json!(key),
                &format!("prefix part {SUBDOMAIN}"),
            ));
        }
        if field == "labels" && value.len() > 63 {
            found.push(Cause::invalid(
                &path,
                &json!(value),
                "must be no more than 63 bytes",
            ));
        } else if field == "labels" && !is_name(value) {
            found.push(Cause::invalid(&path, &json!(value), LABEL_VALUE));
        }
    }
    if field == "annotations" && total > ANNOTATIONS_MAX {
        found.push(Cause {
            reason: "FieldValueTooLong",
            field: path,
            message: format!("Too long: may not be more than {ANNOTATIONS_MAX} bytes"),
        });
    }
}

fn owners(object: &Value, found: &mut Vec<Cause>) {
    let owners = list(object, "/metadata/ownerReferences");
    for owner in owners {
        for (field, what) in [
            ("apiVersion", "version"),
            ("kind", "kind"),
            ("name", "name"),
            ("uid", "uid"),
        ] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let path = format!("metadata.ownerReferences.{field}");
                found.push(Cause::invalid(
                    path,
                    &"\"\"",
                    &format!("{what} must not be empty"),
                ));
            }
        }
    }
    let mut controllers = owners
        .iter()
        .filter(|owner| owner["controller"] == true)
        .map(|owner| format!("{}/{}", text(owner, "/kind"), text(owner, "/name")));
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        found.push(Cause::invalid(
            "metadata.ownerReferences",
            &json!(owners),
            &why,
        ));
    }
}

fn name_trouble(kind: &Kind, name: &str) -> Option<String> {
    if kind.is("", "Service") || kind.is("", "Namespace") {
        return match name {
            _ if name.contains('.') => Some("must not contain dots".into()),
            _ if name.len() > 63 => Some("must be no more than 63 characters".into()),
            _ if !is_subdomain(name) => Some(LABEL.into()),
            _ => None,
        };
    }
    match name {
        _ if name.len() > 253 => Some("must be no more than 253 bytes".into()),
        _ if !is_subdomain(name) => Some(SUBDOMAIN.into()),
        _ => None,
    }
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(|part| {
        let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().is_some_and(letter)
            && bytes.last().is_some_and(letter)
            && bytes.iter().all(|byte| letter(byte) || *byte == b'-')
    })
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.into_iter().flatten().all(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
