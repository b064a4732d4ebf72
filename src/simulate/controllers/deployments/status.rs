//! What the Deployment controller says about a rollout.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::cluster::object::{list, number, seconds, text};
use super::super::super::cluster::{Cluster, Key};
use super::revisions::has_deadline;
use super::{MANAGER, Rollout, available, deadline, total, wanted};

/// Counts the pods and writes the status if it differs; with `judge`, says how the rollout is
/// going.
pub(super) fn write(cluster: &mut Cluster, key: &Key, now: Timestamp, judge: bool) {
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    let before = &rollout.deployment["status"];
    let mut deployment = rollout.deployment.as_ref().clone();
    deployment["status"] = counted(&rollout, now);
    if judge {
        judge_progress(&rollout, &mut deployment, now);
    }
    if deployment["status"] != *before {
        drop(cluster.replace_status(deployment, MANAGER, now));
    }
}

fn counted(rollout: &Rollout, now: Timestamp) -> Value {
    let deployment = &rollout.deployment;
    let actual = |set: &Value| number(set, "/status/replicas").unwrap_or(0);
    let ready = |set: &Value| number(set, "/status/readyReplicas").unwrap_or(0);
    let available = total(rollout.all(), available);
    let counts = [
        ("replicas", total(rollout.all(), actual)),
        ("updatedReplicas", total(rollout.new.iter(), actual)),
        ("readyReplicas", total(rollout.all(), ready)),
        ("availableReplicas", available),
        (
            "unavailableReplicas",
            (total(rollout.all(), wanted) - available).max(0),
        ),
    ];
    let mut status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "terminatingReplicas": 0,
    });
    for (field, count) in counts {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    for field in ["collisionCount", "conditions"] {
        if let Some(value) = deployment["status"].get(field) {
            status[field] = value.clone();
        }
    }
    let (value, reason, message) = if available >= rollout.replicas() - rollout.max_unavailable() {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set_condition(&mut status, "Available", value, reason, message, now);
    status
}

fn judge_progress(rollout: &Rollout, deployment: &mut Value, now: Timestamp) {
    if !has_deadline(deployment) {
        if let Some(conditions) = deployment["status"]["conditions"].as_array_mut() {
            conditions.retain(|condition| condition["type"] != "Progressing");
        }
        return;
    }
    let before = &rollout.deployment["status"];
    let status = &deployment["status"];
    let current = condition(before, "Progressing");
    let reason = current.map_or("", |condition| text(condition, "/reason"));
    // Once complete, a rollout stays so until its template changes: scaling and failing pods are
    // not progress.
    if status["replicas"] == status["updatedReplicas"] && reason == "NewReplicaSetAvailable" {
        return;
    }
    let subject = match &rollout.new {
        Some(new) => format!("ReplicaSet \"{}\"", text(new, "/metadata/name")),
        None => format!("Deployment \"{}\"", text(deployment, "/metadata/name")),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        progress(deployment, "True", "NewReplicaSetAvailable", &message, now);
    } else if has_progressed(before, status) {
        let message = format!("{subject} is progressing.");
        // This one is written anew at each progress: the deadline counts from its time.
        let since = current
            .filter(|condition| condition["status"] == "True")
            .map(|condition| condition["lastTransitionTime"].clone());
        if let Some(conditions) = deployment["status"]["conditions"].as_array_mut() {
            conditions.retain(|condition| condition["type"] != "Progressing");
        }
        progress(deployment, "True", "ReplicaSetUpdated", &message, now);
        if let (Some(since), Some(conditions)) =
            (since, deployment["status"]["conditions"].as_array_mut())
            && let Some(last) = conditions.last_mut()
        {
            last["lastTransitionTime"] = since;
        }
    } else if reason == "ProgressDeadlineExceeded"
        || deadline(&rollout.deployment).is_some_and(|deadline| deadline <= now)
    {
        let message = format!("{subject} has timed out progressing.");
        progress(
            deployment,
            "False",
            "ProgressDeadlineExceeded",
            &message,
            now,
        );
    }
}

/// Says that the rollout was paused or goes on, unless it is known to be late.
pub(super) fn note_pause(cluster: &mut Cluster, deployment: &Value, paused: bool, now: Timestamp) {
    let current = condition(&deployment["status"], "Progressing");
    let reason = current.map_or("", |condition| text(condition, "/reason"));
    let (reason, message) = match (paused, reason) {
        _ if !has_deadline(deployment) => return,
        (_, "ProgressDeadlineExceeded") | (true, "DeploymentPaused") => return,
        (true, _) => ("DeploymentPaused", "Deployment is paused"),
        (false, "DeploymentPaused") => ("DeploymentResumed", "Deployment is resumed"),
        (false, _) => return,
    };
    let mut deployment = deployment.clone();
    progress(&mut deployment, "Unknown", reason, message, now);
    drop(cluster.replace_status(deployment, MANAGER, now));
}

/// Whether every pod is of the new template and available.
pub(super) fn is_complete(deployment: &Value, status: &Value) -> bool {
    let replicas = number(deployment, "/spec/replicas").unwrap_or(1);
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    count("updatedReplicas") == replicas
        && count("replicas") == replicas
        && count("availableReplicas") == replicas
        && count("observedGeneration") >= number(deployment, "/metadata/generation").unwrap_or(0)
}

fn has_progressed(before: &Value, status: &Value) -> bool {
    let count = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
    let old = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
    let grew = |field| count(status, field) > count(before, field);
    grew("updatedReplicas")
        || grew("readyReplicas")
        || grew("availableReplicas")
        || old(status) < old(before)
}

pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(status, "/conditions")
        .iter()
        .find(|condition| condition["type"] == kind)
}

pub(super) fn progress(
    deployment: &mut Value,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let mut status = deployment["status"].take();
    set_condition(&mut status, "Progressing", value, reason, message, now);
    deployment["status"] = status;
}

/// Puts a condition, unless it says the same already. The time of its last transition is that of
/// the last change of its value.
fn set_condition(
    status: &mut Value,
    kind: &str,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let current = condition(status, kind);
    let same = |condition: &&Value| condition["status"] == value;
    if current
        .filter(same)
        .is_some_and(|condition| condition["reason"] == reason)
    {
        return;
    }
    let now = json!(seconds(now));
    let since = current.filter(same).map_or(now.clone(), |condition| {
        condition["lastTransitionTime"].clone()
    });
    let mut conditions = list(status, "/conditions").to_vec();
    conditions.retain(|condition| condition["type"] != kind);
    conditions.push(json!({
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": since,
    }));
    status["conditions"] = json!(conditions);
}
