//! What the controllers of a cluster would do, as pure steps on it: rollouts, autoscaling,
//! endpoints, garbage. Their writes go through the same rules as those of every client and are in
//! the history under their own names.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cluster::object::{list, text};
use super::cluster::{Cluster, Key};

mod autoscalers;
mod daemon_sets;
mod deployments;
mod endpoints;
mod garbage;
mod owned;
mod replica_sets;

#[cfg(test)]
mod tests;

/// More rounds than any rollout takes without time passing: controllers that go on for ever are a
/// mistake of ours.
const ROUNDS_MAX: usize = 1_000;

/// What the world does that no object says.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// From the start of a pod to its readiness.
    pub ready_after: SignedDuration,
    /// Pods that never become ready. The first rule that fits an image decides.
    pub never_ready: Vec<NeverReady>,
    /// How many pods of a workload can be ready, by its name: what a node, a quota or a dependency
    /// that is gone leaves of them. One that is not named is not held back.
    pub ready_max: BTreeMap<String, usize>,
    /// How many replicas the autoscaler of a workload would like; one that is not named is content.
    pub desired: BTreeMap<Key, i64>,
    /// How many pods a `DaemonSet` runs.
    pub nodes: usize,
}

/// Images whose tag contains a text, in the workloads whose name ends in another.
#[derive(Clone, Debug, PartialEq)]
pub struct NeverReady {
    pub tag: String,
    pub workload: String,
}

impl Default for Behaviour {
    /// Pods are ready after three seconds, but those whose tag contains `stuck` never;
    /// `primary-stuck` is about primaries only.
    fn default() -> Self {
        let rule = |tag: &str, workload: &str| NeverReady {
            tag: tag.to_owned(),
            workload: workload.to_owned(),
        };
        Self {
            ready_after: SignedDuration::from_secs(3),
            never_ready: vec![rule("primary-stuck", "-primary"), rule("stuck", "")],
            ready_max: BTreeMap::new(),
            desired: BTreeMap::new(),
            nodes: 2,
        }
    }
}

impl Behaviour {
    /// Whether the pods that this workload makes from this template never become ready.
    fn is_stuck(&self, workload: &str, template: &Value) -> bool {
        let containers = list(template, "/spec/containers");
        containers.iter().any(|container| {
            let image = text(container, "/image");
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            self.never_ready
                .iter()
                .find(|rule| tag.contains(&rule.tag))
                .is_some_and(|rule| workload.ends_with(&rule.workload))
        })
    }
}

/// Plays everything that the controllers would have done since the last call or the last write,
/// each thing at its own time. When something may be due next, if nobody else writes before.
pub fn settle(cluster: &mut Cluster, now: Timestamp, behaviour: &Behaviour) -> Option<Timestamp> {
    let mut at = cluster.settled().unwrap_or(now).min(now);
    let mut rounds = 0;
    loop {
        if step(cluster, at, behaviour) {
            rounds += 1;
            assert!(
                rounds < ROUNDS_MAX,
                "the controllers do not come to rest at {at}"
            );
            continue;
        }
        rounds = 0;
        match scheduled(cluster, at, behaviour) {
            Some(next) if next <= now => at = next,
            next => {
                cluster.set_settled(now);
                return next;
            }
        }
    }
}

/// One round: every controller looks once at each of its objects. Whether anything was written.
pub fn step(cluster: &mut Cluster, now: Timestamp, behaviour: &Behaviour) -> bool {
    let before = cluster.revision();
    for key in keys(cluster, "apps", "Deployment") {
        deployments::sync(cluster, &key, now);
    }
    for key in keys(cluster, "apps", "ReplicaSet") {
        replica_sets::sync(cluster, &key, now, behaviour);
    }
    for key in keys(cluster, "apps", "DaemonSet") {
        daemon_sets::sync(cluster, &key, now, behaviour);
    }
    for key in keys(cluster, "autoscaling", "HorizontalPodAutoscaler") {
        autoscalers::sync(cluster, &key, now, behaviour);
    }
    endpoints::sync(cluster, now, behaviour);
    garbage::collect(cluster, now);
    cluster.revision() != before
}

/// The earliest time, from now on, at which the controllers would change something if nobody else
/// did before.
pub fn next_change(cluster: &Cluster, now: Timestamp, behaviour: &Behaviour) -> Option<Timestamp> {
    let mut trial = cluster.clone();
    let mut at = now;
    while !step(&mut trial, at, behaviour) {
        at = scheduled(&trial, at, behaviour)?;
    }
    Some(at)
}

/// The earliest later time at which something may be due.
fn scheduled(cluster: &Cluster, now: Timestamp, behaviour: &Behaviour) -> Option<Timestamp> {
    let deployments = cluster.objects_of("apps", "Deployment");
    let deadlines = deployments.filter_map(|(_, deployment)| deployments::deadline(deployment));
    let replica_sets = cluster.objects_of("apps", "ReplicaSet");
    let daemon_sets = cluster.objects_of("apps", "DaemonSet");
    let pods = replica_sets
        .chain(daemon_sets)
        .flat_map(|(_, set)| replica_sets::readiness_times(cluster, set, behaviour));
    deadlines.chain(pods).filter(|time| *time > now).min()
}

fn keys(cluster: &Cluster, group: &str, kind: &str) -> Vec<Key> {
    cluster
        .objects_of(group, kind)
        .map(|(key, _)| key.clone())
        .collect()
}
