//! The state of a world as text, without what no two runs share: times, resourceVersions,
//! generations, UIDs, addresses, and the numbers of steps.

use std::collections::BTreeMap;
use std::fmt::Write;

use davy::simulate::world::World;
use serde_json::Value;

use crate::proof::invariants::crashes::Lives;
use crate::proof::invariants::{Committed, crashes};

/// Kinds that tell of how it came about, or belong to the server.
const LEFT_OUT: [&str; 4] = [
    "Event",
    "CustomResourceDefinition",
    "Namespace",
    "EndpointSlice",
];
const TIMES: [&str; 18] = [
    "creationTimestamp",
    "deletionTimestamp",
    "lastTransitionTime",
    "lastUpdateTime",
    "lastProbeTime",
    // Whose change a pass undid, and when: another pass may find it undone.
    "repairs",
    "drift",
    // What was waited for: a pass that is killed may have been the one that saw it.
    "waits",
    // Since when a hook has been called.
    "since",
    "steppedAt",
    "movedAt",
    "suspendedSince",
    "time",
    "lastScaleTime",
    "renewTime",
    // How long analyses took: a pass that is killed takes its time.
    "analysisSince",
    "analysisSeconds",
    "analysisSecondsSum",
];
const COUNTS: [&str; 19] = [
    "uid",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "managedFields",
    "flagger.app/step",
    "step",
    "configVersions",
    "reason",
    // Of the primary, when the last claim was made: an autoscaler changes it meanwhile.
    "primaryReplicas",
    "clusterIP",
    "clusterIPs",
    "nodePort",
    "deployment.kubernetes.io/revision",
    // What a Deployment had when it last looked at a ReplicaSet.
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deployment.kubernetes.io/revision-history",
    "pod-template-generation",
    "deprecated.daemonset.template.generation",
];

/// Everything that is left when a story is over, a line for each object.
pub(crate) fn end(world: &World) -> String {
    lines(world, |_| true)
}

/// The same without the evidence, which may be another where a check was disturbed.
pub(crate) fn end_without_evidence(world: &World) -> String {
    let fork = world.fork();
    let now = fork.now();
    {
        let mut state = fork.lock();
        let canaries = state.cluster.objects_of("flagger.app", "Canary");
        let canaries: Vec<_> = canaries.map(|(key, _)| key.clone()).collect();
        for key in canaries {
            let edited = state.cluster.edit(&key, "test", now, |canary| {
                canary["status"]
                    .as_object_mut()
                    .map(|status| status.remove("checks"));
            });
            edited.expect("a Canary without evidence");
        }
    }
    end(&fork)
}

/// What Davy looks after but the Canary itself: how often what was promoted on the way is not told.
pub(crate) fn objects(world: &World) -> String {
    let governed = governed(world);
    let objects = governed.lines().filter(|line| !line.starts_with("Canary "));
    objects.collect::<Vec<_>>().join("\n")
}

/// What Davy looks after, without what controllers make of it.
pub(crate) fn governed(world: &World) -> String {
    lines(world, |kind| {
        !matches!(kind, "ReplicaSet" | "ControllerRevision")
    })
}

fn lines(world: &World, wanted: impl Fn(&str) -> bool) -> String {
    let state = world.lock();
    let mut text = String::new();
    let mut autoscalers = state
        .cluster
        .objects_of("autoscaling", "HorizontalPodAutoscaler");
    let is_autoscaled = autoscalers.next().is_some();
    for (key, object) in state.cluster.objects() {
        if LEFT_OUT.contains(&&*key.kind) || !wanted(&key.kind) {
            continue;
        }
        let mut object = (**object).clone();
        let is_canary = &*key.kind == "Canary";
        bare(&mut object, is_canary);
        if !wanted("ReplicaSet") && !is_canary {
            // What controllers say of it.
            drop(object.as_object_mut().map(|object| object.remove("status")));
            if is_autoscaled
                && object["spec"]["replicas"]
                    .as_i64()
                    .is_some_and(|count| count > 0)
            {
                object["spec"]["replicas"] = "as the autoscaler wants".into();
            }
        }
        let _ = writeln!(text, "{key} {object}");
    }
    text
}

fn bare(value: &mut Value, is_canary: bool) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                let name = name.as_str();
                // Conditions of workloads say by their reason how far they are.
                let is_reason = name == "reason" && !is_canary;
                is_reason || !(TIMES.contains(&name) || COUNTS.contains(&name))
            });
            fields.values_mut().for_each(|value| bare(value, is_canary));
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                bare(item, is_canary);
            }
            // Conditions come in the order in which they first changed.
            if items
                .iter()
                .all(|item| item["type"].is_string() && item["status"].is_string())
            {
                items.sort_by_key(|item| item["type"].to_string());
            }
        }
        _ => {}
    }
}

/// How often each text was announced, without those that tell of waiting.
pub(crate) fn announced(world: &World) -> BTreeMap<String, u32> {
    let state = world.lock();
    let mut announced = BTreeMap::new();
    for write in state
        .cluster
        .history()
        .filter(|write| &*write.key.kind == "Event")
    {
        let Some(event) = &write.after else { continue };
        let text = event["message"].as_str().unwrap_or_default();
        if !text.contains(" not ready: ") || text.contains("failed, primary not ready") {
            *announced.entry(text.to_owned()).or_default() += 1;
        }
    }
    announced
}

pub(crate) fn lives(world: &World) -> Lives {
    let state = world.lock();
    crashes::lives(state.cluster.history().map(Committed::committed))
}
