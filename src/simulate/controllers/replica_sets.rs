//! The `ReplicaSet` controller and the pods that it would make.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::cluster::object::number;
use super::super::cluster::{Cluster, Key, Pod};
use super::Behaviour;
use super::owned::workload;

const MANAGER: &str = "replicaset-controller";

/// Starts and stops pods, and says how many there are.
pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp, behaviour: &Behaviour) {
    let Some(set) = cluster.get(key) else {
        return;
    };
    // The status tells of the pods that were there before this look: what it starts and stops, the
    // next one sees.
    let pods = cluster.pods(&set);
    if set["metadata"].get("deletionTimestamp").is_none() {
        let wanted = number(&set, "/spec/replicas").unwrap_or(1).max(0);
        let mut pods = pods.to_vec();
        let count = usize::try_from(wanted).unwrap_or(0);
        if pods.len() != count {
            // The youngest go first: they are the ones that are not ready.
            pods.truncate(count);
            let template = Arc::new(set["spec"]["template"].clone());
            pods.resize(
                count,
                Pod {
                    started: now,
                    template,
                },
            );
            cluster.set_pods(&set, pods);
        }
    }
    let (ready, available) = readiness(&set, &pods, now, behaviour);
    let mut status = json!({
        "replicas": pods.len(),
        "terminatingReplicas": 0,
        "observedGeneration": set["metadata"]["generation"],
    });
    for (field, count) in [
        ("fullyLabeledReplicas", pods.len()),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    if set["status"] != status {
        let mut set = set.as_ref().clone();
        set["status"] = status;
        // What is refused here is tried again in the next round, as every controller does.
        drop(cluster.replace_status(set, MANAGER, now));
    }
}

/// How many of the pods are ready, and how many have been for long enough.
pub(super) fn readiness(
    set: &Value,
    pods: &[Pod],
    now: Timestamp,
    behaviour: &Behaviour,
) -> (usize, usize) {
    let wait = min_ready(set);
    let since = |pod: &Pod, wait| ready_at(set, pod, behaviour).is_some_and(|at| at + wait <= now);
    let ready = pods
        .iter()
        .filter(|pod| since(pod, SignedDuration::ZERO))
        .count();
    let available = pods.iter().filter(|pod| since(pod, wait)).count();
    let max = behaviour.ready_max.get(workload(set)).copied();
    let max = max.unwrap_or(usize::MAX);
    (ready.min(max), available.min(max))
}

/// The times at which a pod of this set becomes ready or available.
pub(super) fn readiness_times(
    cluster: &Cluster,
    set: &Value,
    behaviour: &Behaviour,
) -> Vec<Timestamp> {
    let wait = min_ready(set);
    let pods = cluster.pods(set);
    let ready = pods.iter().filter_map(|pod| ready_at(set, pod, behaviour));
    ready.flat_map(|at| [at, at + wait]).collect()
}

fn ready_at(set: &Value, pod: &Pod, behaviour: &Behaviour) -> Option<Timestamp> {
    let stuck = behaviour.is_stuck(workload(set), &pod.template);
    (!stuck).then(|| pod.started + behaviour.ready_after)
}

fn min_ready(set: &Value) -> SignedDuration {
    SignedDuration::from_secs(number(set, "/spec/minReadySeconds").unwrap_or(0))
}
