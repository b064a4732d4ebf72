//! A new object.

use serde_json::{Value, json};

use super::super::Cluster;
use super::super::answer::Refusal;
use super::super::builtin;
use super::super::history::Verb;
use super::super::kinds::Place;
use super::super::object::{self, Key, child, map, text};
use super::shape::shape_body;
use super::{Ask, Written, commit, metadata};

pub(super) fn create(
    cluster: &mut Cluster,
    place: &Place,
    mut object: Value,
    ask: &Ask,
) -> Result<Written, Refusal> {
    let kind = &place.kind;
    let warnings = shape_body(place, &mut object, ask)?;
    begin(cluster, place, &mut object, ask);
    let name = text(&object, "/metadata/name").to_owned();
    in_living_namespace(cluster, place, &name)?;
    let mut found = metadata::violations(kind, &object);
    match &place.version().schema {
        Some(schema) => found.extend(schema.violations(&object)),
        None => found.extend(builtin::violations(kind, None, &object)),
    }
    if !found.is_empty() {
        return Err(kind.invalid(&name, &found));
    }
    if object["metadata"].get("resourceVersion").is_some() {
        return Err(Refusal::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let key = kind.key(&place.namespace, &name);
    if cluster.objects.get(&key).is_some() {
        return Err(kind.already_exists(&name));
    }
    object["apiVersion"] = json!(kind.stored_version());
    let object = commit(cluster, ask, Verb::Create, key, Some(object))?;
    Ok(Written {
        object: object.unwrap_or_default(),
        warnings,
    })
}

/// What the server sets.
fn begin(cluster: &Cluster, place: &Place, object: &mut Value, ask: &Ask) {
    let kind = &place.kind;
    let number = cluster.revision + 1;
    let metadata = child(object, "metadata");
    if let (None, Some(prefix)) = (metadata.get("name"), metadata.get("generateName")) {
        let name = format!(
            "{}{}",
            prefix.as_str().unwrap_or_default(),
            object::letters(number, 5)
        );
        metadata.insert("name".into(), name.into());
    }
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        metadata.remove(field);
    }
    // What is not made has no identity that something else could have.
    let identity = number | u64::from(ask.dry_run) << 60;
    metadata.insert("uid".into(), object::uid(identity).into());
    metadata.insert("creationTimestamp".into(), object::seconds(ask.now).into());
    if builtin::has_generation(kind) {
        metadata.insert("generation".into(), 1.into());
    }
    if place.version().has_status {
        map(object).remove("status");
        // A status with a default in the schema is there from the start.
        if let Some(schema) = &place.version().schema {
            schema.fill(object);
        }
    }
    builtin::begin(kind, object, number);
}

fn in_living_namespace(cluster: &Cluster, place: &Place, name: &str) -> Result<(), Refusal> {
    if !place.kind.namespaced {
        return Ok(());
    }
    let namespace = &place.namespace;
    let stored = cluster
        .objects
        .get(&Key::new("", "Namespace", "", namespace));
    let (namespaces, _) = cluster
        .kinds
        .of(&Key::new("", "Namespace", "", namespace))?;
    match stored {
        None => Err(namespaces.not_found(namespace)),
        Some(stored) if stored["metadata"].get("deletionTimestamp").is_some() => {
            Err(place.kind.forbidden(
                name,
                &format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                ),
            ))
        }
        Some(_) => Ok(()),
    }
}
