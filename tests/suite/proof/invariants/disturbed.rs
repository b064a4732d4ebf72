//! What may never happen however a canary is disturbed between two passes: judged at each write,
//! and, where it is about what a pass leaves behind, by [`super::passes`].
//!
//! These stand beside the other invariants and not among them: with a write of somebody else in
//! the middle of a pass they need not hold, as nobody can see what comes after a claim.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Verb;
use super::ledger::Moment;
use super::promotion::images;
use super::release::{Release, Role};
use super::route::CANARY;

/// Our writes never move traffic to a side without ready pods while the other has some. Weights are
/// the subject of T4 and T5; this is about the Services through which they reach pods.
pub(super) fn n1_services_lead_to_ready_pods(moment: &Moment<'_>) -> Result<(), String> {
    if !moment.ours || !matches!(moment.role, Role::Apex | Role::Service) {
        return Ok(());
    }
    let (Some(before), Some(after)) = (&moment.write.before, &moment.write.after) else {
        return Ok(());
    };
    let release = moment.release;
    let split = moment.ledger.split(release);
    let name = &*moment.write.key.name;
    let has_traffic = match split {
        Some(canary) if name == release.names.sides.primary => canary < 100,
        Some(canary) if name == release.names.sides.canary => canary > 0,
        // Where no route divides the traffic, or one only takes its share of it, the rest goes by
        // the apex.
        split => {
            let kind = release.names.route_kind;
            let is_left = split.is_none_or(|it| it < 100 && kind.leaves_the_rest_to_the_apex());
            is_left && moment.role == Role::Apex
        }
    };
    let ready = |service: &Value| {
        moment
            .ledger
            .ready_behind(release, &service["spec"]["selector"])
    };
    let (was, is) = (ready(before), ready(after));
    if has_traffic && was > 0 && is == 0 {
        return Err(format!(
            "it led to {was} ready pods, and leads to none by {}",
            after["spec"]["selector"]
        ));
    }
    Ok(())
}

/// Only what was analysed gains traffic, unless nothing served at all.
pub(super) fn n3_only_what_was_analysed_gains(moment: &Moment<'_>) -> Result<(), String> {
    if let Some((before, after)) = moment.shift()
        && after > before
        && let (Some(step), Some(target)) = (
            moment.step(),
            moment.ledger.get(&moment.release.names.target()),
        )
    {
        let applied = step.applied().0.as_str().unwrap_or_default();
        let analysed = moment.ledger.target_with(applied);
        if let Some(analysed) = analysed.filter(|analysed| images(analysed) != images(target)) {
            return Err(format!(
                "{before} % became {after} % for {:?}, and {:?} was analysed",
                images(target),
                images(analysed)
            ));
        }
    }
    if moment.ours && moment.role == Role::Primary && moment.write.verb == Verb::Create {
        return n3_made_anew(moment);
    }
    Ok(())
}

/// A primary that is made anew runs what was promoted; anything else only where nothing serves, or
/// where that has all of the traffic already.
fn n3_made_anew(moment: &Moment<'_>) -> Result<(), String> {
    let (release, ledger) = (moment.release, moment.ledger);
    let status = &release.canary["status"];
    let promoted = status["lastPromotedSpec"].as_str();
    let promoted = promoted.and_then(|hash| ledger.target_with(hash));
    let (Some(promoted), Some(primary)) = (promoted, moment.write.after.as_deref()) else {
        return Ok(());
    };
    let is_copied = matches!(
        status["phase"].as_str(),
        Some("Promoting" | "Finalising" | "Succeeded")
    );
    let serves = ledger.available(&release.names.target()) > 0
        && ledger.split(release).is_some_and(|canary| canary < 100);
    if images(primary) == images(promoted) || is_copied || !serves {
        return Ok(());
    }
    Err(format!(
        "it is made of {:?}, and {:?} was promoted",
        images(primary),
        images(promoted)
    ))
}

/// What others have put on an object, and the Canary does not name, survives our writes: labels,
/// annotations, owners, and fields of the spec.
pub(super) fn n5_nothing_of_others_is_written(moment: &Moment<'_>) -> Result<(), String> {
    let (Some(before), Some(after), true) = (
        moment.write.before.as_deref(),
        moment.write.after.as_deref(),
        moment.ours,
    ) else {
        return Ok(());
    };
    if moment.role == Role::Canary {
        let fields = ["/spec", "/metadata/labels", "/metadata/annotations"];
        let changed = fields
            .iter()
            .find(|field| before.pointer(field) != after.pointer(field));
        return changed.map_or(Ok(()), |field| Err(format!("{field} is its user's")));
    }
    let owners = |object: &Value| object["metadata"]["ownerReferences"].as_array().cloned();
    let kept = owners(after).unwrap_or_default();
    let foreign = owners(before).unwrap_or_default();
    let mut foreign = foreign
        .iter()
        .filter(|owner| owner["uid"] != *moment.release.names.uid);
    if let Some(lost) = foreign.find(|owner| !kept.contains(owner)) {
        return Err(format!("the owner {lost} is taken off"));
    }
    let ours = moment.ledger.paths_of(&moment.write.key);
    let named = named(moment.release);
    let changed = paths(before).find(|(path, value)| {
        let is_ours = ours.is_some_and(|ours| ours.contains(path));
        let is_named = is_named(path, moment, &named)
            || (moment.role == Role::Target && puts_to_zero(path, before));
        !is_ours && !is_named && at(after, path) != Some(*value)
    });
    match changed {
        Some((path, value)) => Err(format!("{path} was {value}, by somebody else")),
        None => Ok(()),
    }
}

/// Whether the field is the one by which a target without replicas is put to zero and back.
fn puts_to_zero(path: &str, target: &Value) -> bool {
    target["kind"] == "DaemonSet" && path == "spec template"
}

/// Whether the field is Davy's to write, by what the object is or because the Canary names it.
fn is_named(path: &str, moment: &Moment<'_>, named: &BTreeSet<String>) -> bool {
    let Some((part, field)) = path.split_once(' ') else {
        return false;
    };
    let role = moment.role;
    if part != "spec" {
        let holds_target =
            role == Role::UsersScaler && field == "autoscaling.keda.sh/paused-replicas";
        let divides = role == Role::Route && field.starts_with(CANARY);
        return holds_target
            || divides
            || field == "app"
            || field.starts_with("flagger.app/")
            // The API server counts templates.
            || field == "deprecated.daemonset.template.generation"
            || named.contains(field);
    }
    match role {
        Role::Apex | Role::Service => matches!(field, "selector" | "ports"),
        Role::Route => moment.release.names.route_kind.has_from_the_canary(field),
        Role::Rule => matches!(field, "host" | "trafficPolicy" | "subsets"),
        Role::Target => field == "replicas",
        Role::Primary | Role::Scaler | Role::Copy => true,
        Role::Canary | Role::UsersScaler | Role::Event => false,
    }
}

/// The labels and annotations that the Canary asks for on its Services and routes.
fn named(release: &Release) -> BTreeSet<String> {
    let service = &release.spec()["service"];
    let places = ["apex", "primary", "canary"].map(|place| &service[place]);
    let maps = places
        .into_iter()
        .flat_map(|place| [&place["labels"], &place["annotations"]]);
    maps.filter_map(Value::as_object)
        .flat_map(Map::keys)
        .cloned()
        .collect()
}

const PARTS: [(&str, &str); 3] = [
    ("labels", "/metadata/labels"),
    ("annotations", "/metadata/annotations"),
    ("spec", "/spec"),
];

/// Each label, annotation and field of the spec, as `part name`.
pub(super) fn paths(object: &Value) -> impl Iterator<Item = (String, &Value)> {
    PARTS.into_iter().flat_map(move |(part, pointer)| {
        let fields = object.pointer(pointer).and_then(Value::as_object);
        let fields = fields.into_iter().flatten();
        fields.map(move |(field, value)| (format!("{part} {field}"), value))
    })
}

/// The value at such a path.
pub(super) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let (part, field) = path.split_once(' ')?;
    let (_, pointer) = PARTS.iter().find(|(name, _)| *name == part)?;
    object.pointer(pointer)?.get(field)
}
