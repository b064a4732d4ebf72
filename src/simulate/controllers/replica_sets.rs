//! The `ReplicaSet` controller and the pods that it would make.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::cluster::object::{number, text};
use super::super::cluster::{Cluster, Key, Pod};
use super::Behaviour;
use super::owned::workload;

const MANAGER: &str = "replicaset-controller";

/// Starts and stops pods, and says how many there are.
pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp, behaviour: &Behaviour) {
    let Some(set) = cluster.get(key) else {
        return;
    };
    if set["metadata"].get("deletionTimestamp").is_none() {
        let wanted = number(&set, "/spec/replicas").unwrap_or(1).max(0);
        let mut pods = cluster.pods(&set).to_vec();
        let count = usize::try_from(wanted).unwrap_or(0);
        if pods.len() != count {
            // The youngest go first: they are the ones that are not ready.
            pods.truncate(count);
            pods.resize(count, Pod { started: now, hash: Arc::from("") });
            cluster.set_pods(&set, pods);
        }
    }
    let pods = cluster.pods(&set);
    let (ready, available) = readiness(&set, &pods, now, behaviour);
    let mut status = json!({
        "replicas": pods.len(),
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
    if behaviour.is_stuck(workload(set), &set["spec"]["template"]) {
        return (0, 0);
    }
    let since = |pod: &&Pod, wait| pod.started + wait <= now;
    let ready = pods.iter().filter(|pod| since(pod, behaviour.ready_after)).count();
    let settled = behaviour.ready_after + min_ready(set);
    let available = pods.iter().filter(|pod| since(pod, settled)).count();
    (ready, available)
}

/// The times at which a pod of this set becomes ready or available.
pub(super) fn readiness_times(
    cluster: &Cluster,
    set: &Value,
    behaviour: &Behaviour,
) -> Vec<Timestamp> {
    if behaviour.is_stuck(workload(set), &set["spec"]["template"]) {
        return Vec::new();
    }
    let waits = [behaviour.ready_after, behaviour.ready_after + min_ready(set)];
    let pods = cluster.pods(set);
    pods.iter().flat_map(|pod| waits.map(|wait| pod.started + wait)).collect()
}

fn min_ready(set: &Value) -> SignedDuration {
    SignedDuration::from_secs(number(set, "/spec/minReadySeconds").unwrap_or(0))
}

/// The pods that a Service with this selector sends to: the name and address of each, and whether it is ready.
pub(super) fn selected(
    cluster: &Cluster,
    namespace: &str,
    selector: &serde_json::Map<String, Value>,
    now: Timestamp,
    behaviour: &Behaviour,
) -> Vec<(String, usize, bool)> {
    let replica_sets = cluster.objects_of("apps", "ReplicaSet");
    let daemon_sets = cluster.objects_of("apps", "DaemonSet");
    let mut found = Vec::new();
    for (key, set) in replica_sets.chain(daemon_sets) {
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        let fits = selector.iter().all(|(label, value)| labels[label] == *value);
        if &*key.namespace != namespace || !fits {
            continue;
        }
        let pods = cluster.pods(set);
        for (index, pod) in pods.iter().enumerate() {
            let (ready, _) = readiness(set, std::slice::from_ref(pod), now, behaviour);
            found.push((text(set, "/metadata/name").to_owned(), index, ready > 0));
        }
    }
    found
}
