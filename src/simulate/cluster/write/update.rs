//! An object that is there already: what may change, through which door, and whether anything
//! changes at all.

use serde_json::{Value, json};

use super::super::Cluster;
use super::super::answer::Refusal;
use super::super::builtin;
use super::super::history::Verb;
use super::super::kinds::{Part, Place};
use super::super::object::{child, list, map, number, put as put_field, text};
use super::super::read;
use super::shape::shape_body;
use super::{Ask, Written, commit, metadata};

/// Replaces the object, its status or its scale.
pub(super) fn put(
    cluster: &mut Cluster,
    place: &Place,
    mut object: Value,
    ask: &Ask,
) -> Result<Written, Refusal> {
    if place.part == Part::Scale {
        return put_scale(cluster, place, &object, ask);
    }
    let warnings = shape_body(place, &mut object, ask)?;
    same_name(place, &object)?;
    let stored = read::object(cluster, place)?;
    let (sent, kept) = (
        text(&object, "/metadata/uid"),
        text(&stored, "/metadata/uid"),
    );
    if !sent.is_empty() && sent != kept {
        return Err(place.kind.conflict(
            &place.name,
            &format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: {sent}, UID in object meta: {kept}",
                place.kind.plural, place.namespace, place.name
            ),
        ));
    }
    update(cluster, place, &stored, object, warnings, ask)
}

/// The name in the body is the name in the path.
pub(super) fn same_name(place: &Place, object: &Value) -> Result<(), Refusal> {
    match text(object, "/metadata/name") {
        name if name == place.name => Ok(()),
        "" => Err(Refusal::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            place.name
        ))),
        name => Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            place.name
        ))),
    }
}

/// Puts `object`, which has its shape already, in the place of `stored`. Both are in the version of
/// the place.
pub(super) fn update(
    cluster: &mut Cluster,
    place: &Place,
    stored: &Value,
    mut object: Value,
    warnings: Vec<String>,
    ask: &Ask,
) -> Result<Written, Refusal> {
    let kind = &place.kind;
    check_version(place, stored, &object)?;
    let mut found = Vec::new();
    if place.part == Part::Status {
        keep_all_but_status(place, stored, &mut object);
    } else {
        found = metadata::keep(stored, &mut object);
        if place.version().has_status {
            put_field(map(&mut object), "status", stored.get("status").cloned());
        }
        builtin::carry(kind, stored, &mut object);
        if moves_generation(place, stored, &object) {
            let generation = number(stored, "/metadata/generation").unwrap_or(0) + 1;
            child(&mut object, "metadata").insert("generation".into(), generation.into());
        }
    }
    found.extend(metadata::violations(kind, &object));
    match &place.version().schema {
        Some(schema) => found.extend(schema.violations(&object)),
        None => found.extend(builtin::violations(kind, Some(stored), &object)),
    }
    if !found.is_empty() {
        return Err(kind.invalid(&place.name, &found));
    }
    let unchanged = object == *stored;
    object["apiVersion"] = json!(kind.stored_version());
    let deleted = object["metadata"].get("deletionTimestamp").is_some()
        && list(&object, "/metadata/finalizers").is_empty()
        && list(&object, "/spec/finalizers").is_empty();
    let written = |object| Written { object, warnings };
    if deleted {
        commit(cluster, ask, Verb::Delete, place.key(), None)?;
        return Ok(written(object.into()));
    }
    if unchanged {
        let stored = cluster.objects.get(&place.key()).cloned();
        return Ok(written(stored.unwrap_or_default()));
    }
    let verb = if place.part == Part::Status {
        Verb::UpdateStatus
    } else {
        Verb::Update
    };
    let object = commit(cluster, ask, verb, place.key(), Some(object))?;
    Ok(written(object.unwrap_or_default()))
}

/// The resourceVersion, if one was sent, is that of the stored object. Custom resources need one.
fn check_version(place: &Place, stored: &Value, object: &Value) -> Result<(), Refusal> {
    match text(object, "/metadata/resourceVersion") {
        "" if place.kind.custom => Err(place.kind.unconditional(&place.name)),
        "" => Ok(()),
        version if version == text(stored, "/metadata/resourceVersion") => Ok(()),
        _ => Err(place.kind.modified(&place.name)),
    }
}

/// Through `/status` nothing changes but the status; of a built-in kind, the annotations may too.
fn keep_all_but_status(place: &Place, stored: &Value, object: &mut Value) {
    let status = object.get("status").cloned();
    let annotations = object["metadata"].get("annotations").cloned();
    *object = stored.clone();
    put_field(map(object), "status", status);
    if !place.kind.custom {
        put_field(child(object, "metadata"), "annotations", annotations);
    }
}

fn moves_generation(place: &Place, stored: &Value, object: &Value) -> bool {
    if !place.kind.custom {
        return builtin::moves_generation(&place.kind, stored, object);
    }
    // Everything but metadata is spec, and but status where that has a door of its own, which was
    // kept above.
    let rest = |object: &Value| {
        let mut object = object.clone();
        for field in ["metadata", "apiVersion"] {
            map(&mut object).remove(field);
        }
        object
    };
    rest(stored) != rest(object)
}

fn put_scale(
    cluster: &mut Cluster,
    place: &Place,
    scale: &Value,
    ask: &Ask,
) -> Result<Written, Refusal> {
    same_name(place, scale)?;
    let stored = read::object(cluster, place)?;
    set_scale(cluster, place, &stored, scale, ask)
}

/// Writes the replicas of a `Scale` into its object.
pub(super) fn set_scale(
    cluster: &mut Cluster,
    place: &Place,
    stored: &Value,
    scale: &Value,
    ask: &Ask,
) -> Result<Written, Refusal> {
    let paths = place
        .version()
        .scale
        .as_ref()
        .ok_or_else(Refusal::no_resource)?;
    let sent = text(scale, "/metadata/resourceVersion");
    if !sent.is_empty() && sent != text(stored, "/metadata/resourceVersion") {
        return Err(place.kind.modified(&place.name));
    }
    let mut object = stored.clone();
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or(json!(0));
    read::set_replicas(&mut object, &paths.spec, replicas);
    update(cluster, place, stored, object, Vec::new(), ask)
}
