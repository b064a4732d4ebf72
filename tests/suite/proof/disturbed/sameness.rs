//! When two histories of a story have come to the same, so that what follows from one follows from
//! the other: everything that a pass goes by, with times told from now, and without what no two
//! histories share.
//!
//! What the checker remembers of the way is left out: a history that is cut here is judged on what
//! follows by the one that came here first.

use std::hash::{DefaultHasher, Hash, Hasher};

use davy::simulate::cluster::Key;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::proof::stage::Story;

/// Kinds that no pass reads.
const LEFT_OUT: [&str; 4] = [
    "Event",
    "EndpointSlice",
    "CustomResourceDefinition",
    "Namespace",
];
/// What tells one write from another, and texts for people.
const SKIPPED: [&str; 18] = [
    "uid",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "managedFields",
    "creationTimestamp",
    "clusterIP",
    "clusterIPs",
    "nodePort",
    "configVersions",
    "totals",
    "analysisSince",
    "checks",
    "events",
    "message",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "revision",
];
const TIMES: [&str; 5] = [
    "time",
    "heldSince",
    "lastTransitionTime",
    "lastUpdateTime",
    "lastScaleTime",
];
/// What is longer ago than this drains no more.
const LONG_AGO: SignedDuration = SignedDuration::from_mins(2);
/// No deadline of a hold is longer.
const HELD_LONG: SignedDuration = SignedDuration::from_mins(70);

/// The state of a story whose pass has just begun, which may wait for a human or not; none while
/// pods are on their way, whose ages are not to be seen.
pub(super) fn fingerprint(story: &Story, needs_a_human: bool) -> Option<u64> {
    let now = story.world.now();
    let state = story.world.lock();
    let held_back = &state.behaviour.ready_max;
    let mut hasher = DefaultHasher::new();
    (story.place(), needs_a_human).hash(&mut hasher);
    let answers = (&state.metrics, &state.hooks);
    format!("{:?} {answers:?}", state.behaviour).hash(&mut hasher);
    format!("{:?}", story.surroundings.refused(story.passes)).hash(&mut hasher);
    for (key, object) in state.cluster.objects() {
        if LEFT_OUT.contains(&&*key.kind) {
            continue;
        }
        if !held_back.contains_key(&*key.name) && is_under_way(key, object) {
            return None;
        }
        key.hash(&mut hasher);
        if &*key.kind == "Canary" {
            unfinished(object, |key| state.cluster.get(key), &mut hasher);
        }
        let fields = object.as_object();
        walk_fields(fields, now, &mut hasher);
    }
    Some(hasher.finish())
}

fn is_under_way(key: &Key, workload: &Value) -> bool {
    let count = |field: &str| workload["status"][field].as_i64().unwrap_or(0);
    let wanted = workload["spec"]["replicas"].as_i64().unwrap_or(1);
    match &*key.kind {
        "Deployment" => ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .any(|field| count(field) != wanted),
        "DaemonSet" => {
            let wanted = count("desiredNumberScheduled");
            workload["metadata"]["generation"] != workload["status"]["observedGeneration"]
                || [
                    "currentNumberScheduled",
                    "updatedNumberScheduled",
                    "numberAvailable",
                ]
                .iter()
                .any(|field| count(field) != wanted)
        }
        _ => false,
    }
}

/// Which objects of the last claim were not written since.
fn unfinished(
    canary: &Value,
    get: impl Fn(&Key) -> Option<std::sync::Arc<Value>>,
    hasher: &mut DefaultHasher,
) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&canary["metadata"]["namespace"]);
    let objects = canary["status"]["step"]["objects"].as_array();
    for object in objects.into_iter().flatten() {
        let version = text(&object["apiVersion"]);
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let (kind, name) = (text(&object["kind"]), text(&object["name"]));
        let key = Key::new(group, &kind, &namespace, &name);
        let is = get(&key).map(|it| it["metadata"]["resourceVersion"].clone());
        let is_there = is.is_some();
        let is = is.unwrap_or_default();
        (key, is_there, is == object["resourceVersion"]).hash(hasher);
    }
    let is_observed = canary["metadata"]["generation"] == canary["status"]["observedGeneration"];
    is_observed.hash(hasher);
}

fn walk_fields(fields: Option<&Map<String, Value>>, now: Timestamp, hasher: &mut DefaultHasher) {
    for (field, value) in fields.into_iter().flatten() {
        let field = field.as_str();
        if SKIPPED.contains(&field) {
            continue;
        }
        field.hash(hasher);
        match (field, value) {
            // Numbers and objects of a step are told above.
            ("step", Value::Object(step)) => ago(&step["time"], now, LONG_AGO).hash(hasher),
            ("reason", Value::String(_)) => {}
            ("flagger.app/step", Value::String(mark)) => {
                let time = mark.split_once(' ').map_or("", |(_, time)| time);
                ago(&Value::from(time), now, LONG_AGO).hash(hasher);
            }
            ("heldSince", time) => ago(time, now, HELD_LONG).hash(hasher),
            (field, time) if TIMES.contains(&field) && time.is_string() => {
                ago(time, now, LONG_AGO).hash(hasher);
            }
            (_, value) => walk(value, now, hasher),
        }
    }
}

fn walk(value: &Value, now: Timestamp, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => walk_fields(Some(fields), now, hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            for item in items {
                walk(item, now, hasher);
            }
        }
        value => value.hash(hasher),
    }
}

/// Seconds since a time, as far as they matter.
fn ago(time: &Value, now: Timestamp, most: SignedDuration) -> Option<i64> {
    let time: Timestamp = time.as_str()?.parse().ok()?;
    Some(now.duration_since(time).min(most).as_secs())
}
