//! The `DaemonSet` controller: its pods, replaced one by one, and the `ControllerRevision`s that
//! keep its templates.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cluster::object::{child, map, number, text};
use super::super::cluster::{Cluster, Key, Pod};
use super::Behaviour;
use super::owned::{owned, owner_reference, share, template_hash};
use super::replica_sets::readiness;

const MANAGER: &str = "daemonset-controller";
const HASH: &str = "controller-revision-hash";

pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp, behaviour: &Behaviour) {
    let Some(set) = cluster.get(key) else {
        return;
    };
    if set["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    record(cluster, &set, now);
    let wanted = if runs_on_nodes(&set) {
        behaviour.nodes
    } else {
        0
    };
    let new = Pod {
        started: now,
        template: Arc::new(set["spec"]["template"].clone()),
    };
    let before = cluster.pods(&set);
    let mut pods = before.to_vec();
    let is_available = |pod: &Pod| readiness(&set, std::slice::from_ref(pod), now, behaviour).1 > 0;
    pods.truncate(wanted);
    if set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        replace_old(&set, &mut pods, &new, is_available);
    }
    pods.resize(wanted, new.clone());
    if pods != *before {
        cluster.set_pods(&set, pods);
    }
    // As with `ReplicaSet`s, the status tells of the pods that were there before this look.
    let pods = before;
    let updated = pods
        .iter()
        .filter(|pod| pod.template == new.template)
        .count();
    let (ready, available) = readiness(&set, &pods, now, behaviour);
    let mut status = json!({
        "currentNumberScheduled": pods.len(),
        "desiredNumberScheduled": wanted,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "observedGeneration": set["metadata"]["generation"],
    });
    for (field, count) in [
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", wanted.saturating_sub(available)),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    if status != set["status"] {
        let mut set = set.as_ref().clone();
        set["status"] = status;
        drop(cluster.replace_status(set, MANAGER, now));
    }
}

/// Starts new pods in the place of old ones: of those that are not available at once, of the others
/// as many as may be missing.
fn replace_old(set: &Value, pods: &mut [Pod], new: &Pod, is_available: impl Fn(&Pod) -> bool) {
    let strategy = &set["spec"]["updateStrategy"]["rollingUpdate"];
    let total = i64::try_from(pods.len()).unwrap_or(0);
    let may_miss = share(&strategy["maxUnavailable"], total, true).max(1);
    let missing = pods.iter().filter(|pod| !is_available(pod)).count();
    let mut left = usize::try_from(may_miss)
        .unwrap_or(1)
        .saturating_sub(missing);
    for pod in pods.iter_mut().filter(|pod| pod.template != new.template) {
        if is_available(pod) {
            if left == 0 {
                continue;
            }
            left -= 1;
        }
        *pod = new.clone();
    }
}

/// No node has labels of its own: a set that asks for some runs nowhere.
fn runs_on_nodes(set: &Value) -> bool {
    let selector = set["spec"]["template"]["spec"]["nodeSelector"].as_object();
    selector
        .into_iter()
        .flatten()
        .all(|(label, _)| label == "kubernetes.io/os")
}

/// Keeps the template of the set as a revision, the newest number on the one in use.
fn record(cluster: &mut Cluster, set: &Value, now: Timestamp) {
    let data = data(&set["spec"]["template"]);
    let revisions = owned(cluster, set, "ControllerRevision");
    let newest = revisions
        .iter()
        .filter_map(|(_, kept)| number(kept, "/revision"))
        .max()
        .unwrap_or(0);
    if let Some((_, kept)) = revisions.iter().find(|(_, kept)| kept["data"] == data) {
        if number(kept, "/revision") != Some(newest) {
            let mut kept = kept.as_ref().clone();
            kept["revision"] = json!(newest + 1);
            drop(cluster.replace(kept, MANAGER, now));
        }
        return;
    }
    let hash = template_hash(&data, 0);
    let mut revision = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": format!("{}-{hash}", text(set, "/metadata/name")),
            "namespace": set["metadata"]["namespace"],
            "labels": set["spec"]["template"]["metadata"]["labels"],
            "annotations": set["metadata"]["annotations"],
            "ownerReferences": [owner_reference(set)],
        },
        "data": data,
        "revision": newest + 1,
    });
    let labels = child(&mut revision, "metadata")
        .entry("labels")
        .or_insert_with(|| json!({}));
    map(labels).insert(HASH.into(), hash.into());
    drop(cluster.create(revision, MANAGER, now));
    clean_up(cluster, set, now);
}

/// A template as a revision keeps it: to be put in the place of another, not merged into it.
fn data(template: &Value) -> Value {
    let mut template = template.clone();
    map(&mut template).insert("$patch".into(), "replace".into());
    json!({"spec": {"template": template}})
}

/// Removes the oldest revisions beyond `revisionHistoryLimit`, of those that no pod is made from
/// any more.
fn clean_up(cluster: &mut Cluster, set: &Value, now: Timestamp) {
    let limit = number(set, "/spec/revisionHistoryLimit").unwrap_or(10);
    let pods = cluster.pods(set);
    let used: Vec<_> = pods.iter().map(|pod| data(&pod.template)).collect();
    let mut idle = owned(cluster, set, "ControllerRevision");
    let newest = idle
        .iter()
        .filter_map(|(_, kept)| number(kept, "/revision"))
        .max();
    idle.retain(|(_, kept)| number(kept, "/revision") != newest && !used.contains(&kept["data"]));
    idle.sort_by_key(|(_, kept)| number(kept, "/revision"));
    let surplus = idle
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    for (key, _) in &idle[..surplus] {
        drop(cluster.delete(key, MANAGER, now));
    }
}
