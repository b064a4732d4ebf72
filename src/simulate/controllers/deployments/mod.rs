//! The Deployment controller: from a template to `ReplicaSet`s, step by step, as the real one takes
//! them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::cluster::object::{number, text};
use super::super::cluster::{Cluster, Key};
use super::owned::{owned, share};

mod revisions;
mod scaling;
mod status;

const MANAGER: &str = "deployment-controller";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A Deployment and its `ReplicaSet`s, as they are at the moment.
struct Rollout {
    deployment: Arc<Value>,
    /// The set with the template of the Deployment.
    new: Option<Arc<Value>>,
    /// All other sets, oldest first.
    old: Vec<Arc<Value>>,
}

impl Rollout {
    fn read(cluster: &Cluster, key: &Key) -> Option<Self> {
        let deployment = cluster.get(key)?;
        let sets = owned(cluster, &deployment, "ReplicaSet");
        let template = &deployment["spec"]["template"];
        let is_new = |set: &Value| revisions::same_template(&set["spec"]["template"], template);
        let new = sets
            .iter()
            .map(|(_, set)| set)
            .find(|set| is_new(set))
            .cloned();
        let uid = |set: &Value| text(set, "/metadata/uid").to_owned();
        let new_uid = new.as_deref().map(uid);
        let old = sets
            .into_iter()
            .map(|(_, set)| set)
            .filter(|set| Some(uid(set)) != new_uid)
            .collect();
        Some(Self {
            deployment,
            new,
            old,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    fn replicas(&self) -> i64 {
        number(&self.deployment, "/spec/replicas").unwrap_or(1)
    }

    fn is_recreate(&self) -> bool {
        self.deployment["spec"]["strategy"]["type"] == "Recreate"
    }

    fn max_surge(&self) -> i64 {
        if self.is_recreate() {
            return 0;
        }
        share(
            &self.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
            self.replicas(),
            true,
        )
    }

    fn max_unavailable(&self) -> i64 {
        if self.is_recreate() || self.replicas() == 0 {
            return 0;
        }
        let rolling = &self.deployment["spec"]["strategy"]["rollingUpdate"];
        let share = share(&rolling["maxUnavailable"], self.replicas(), false);
        // With neither surge nor unavailability nothing could ever move.
        let share = if share == 0 && self.max_surge() == 0 {
            1
        } else {
            share
        };
        share.min(self.replicas())
    }
}

/// What a set has been told to run, and what is available of it.
fn wanted(set: &Value) -> i64 {
    number(set, "/spec/replicas").unwrap_or(0)
}

fn available(set: &Value) -> i64 {
    number(set, "/status/availableReplicas").unwrap_or(0)
}

fn total<'a>(sets: impl Iterator<Item = &'a Arc<Value>>, count: fn(&Value) -> i64) -> i64 {
    sets.map(|set| count(set)).sum()
}

/// Looks once at a Deployment. Each look changes the size of one kind of set at most, as the real
/// controller's does.
pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp) {
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    if rollout.deployment["metadata"]
        .get("deletionTimestamp")
        .is_some()
    {
        return status::write(cluster, key, now, false);
    }
    let paused = rollout.deployment["spec"]["paused"] == true;
    status::note_pause(cluster, &rollout.deployment, paused, now);
    if paused || scaling::was_scaled(&rollout) {
        revisions::sync(cluster, key, now, false);
        scaling::scale(cluster, key, now);
        if paused {
            revisions::clean_up(cluster, key, now);
        }
        return status::write(cluster, key, now, false);
    }
    if rollout.is_recreate() {
        recreate(cluster, key, now);
    } else {
        roll(cluster, key, now);
    }
}

fn recreate(cluster: &mut Cluster, key: &Key, now: Timestamp) {
    revisions::sync(cluster, key, now, false);
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    let mut changed = false;
    for set in rollout.old.iter().filter(|set| wanted(set) > 0) {
        changed |= scaling::resize(cluster, &rollout, set, 0, now);
    }
    let running = rollout.old.iter().any(|set| !cluster.pods(set).is_empty());
    if changed || running {
        return status::write(cluster, key, now, true);
    }
    revisions::sync(cluster, key, now, true);
    if let Some(rollout) = Rollout::read(cluster, key)
        && let Some(new) = &rollout.new
    {
        scaling::resize(cluster, &rollout, new, rollout.replicas(), now);
        if status::is_complete(&rollout.deployment, &rollout.deployment["status"]) {
            revisions::clean_up(cluster, key, now);
        }
    }
    status::write(cluster, key, now, true);
}

fn roll(cluster: &mut Cluster, key: &Key, now: Timestamp) {
    revisions::sync(cluster, key, now, true);
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    let Some(new) = &rollout.new else {
        return status::write(cluster, key, now, true);
    };
    let size = scaling::size_of_new(&rollout);
    if size != wanted(new) {
        scaling::resize(cluster, &rollout, new, size, now);
    } else if !scaling::shrink_old(cluster, &rollout, now)
        && status::is_complete(&rollout.deployment, &rollout.deployment["status"])
    {
        revisions::clean_up(cluster, key, now);
    }
    status::write(cluster, key, now, true);
}

/// When this rollout has made no progress for too long, if it goes on like that.
pub(super) fn deadline(deployment: &Value) -> Option<Timestamp> {
    if deployment["spec"]["paused"] == true {
        return None;
    }
    let condition = status::condition(&deployment["status"], "Progressing")?;
    let reason = text(condition, "/reason");
    if matches!(
        reason,
        "NewReplicaSetAvailable" | "ProgressDeadlineExceeded"
    ) {
        return None;
    }
    let since: Timestamp = text(condition, "/lastUpdateTime").parse().ok()?;
    let deadline = number(deployment, "/spec/progressDeadlineSeconds")?;
    since.checked_add(SignedDuration::from_secs(deadline)).ok()
}
