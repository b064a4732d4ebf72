//! Reading one canary: from what was listed for all, and what only it needs, to its snapshot. What
//! is wrong or cannot be read is part of the snapshot: traffic is taken off all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::configs::read_configs;
use super::{SnapshotError, World, keys, problems, restored};
use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Phase, Wait};
use crate::io::cluster::{Cluster, Error, Scope};
use crate::objects::hash::config_checksum;
use crate::objects::{Key, Objects, Problem, configs};
use crate::pass::snapshot::Snapshot;
use crate::pass::terms::layout;
use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Reads of one canary that are under way together.
const READS_AT_ONCE: usize = 8;

/// The snapshot of one canary: what was listed, and what only it needs.
///
/// # On failure
/// There is an error only where nothing can be decided about traffic either: the Canary never had
/// any, or its route, target or primary could not be read.
pub async fn snapshot(
    cluster: &Cluster,
    world: &World,
    canary: &Canary,
) -> Result<Snapshot, SnapshotError> {
    let (mut snapshot, is_known) = listed(world, canary)?;
    if !is_known {
        return Ok(snapshot);
    }
    confirm_what_is_gone(cluster, &mut snapshot).await;
    if snapshot.is_being_deleted() {
        snapshot.read_route();
        snapshot.problems.clear();
        snapshot.status = adopted(&snapshot);
        return Ok(snapshot);
    }
    read_restored(world, &mut snapshot).await?;
    read_configs(cluster, world, &mut snapshot).await;
    problems::of_objects(&mut snapshot);
    read_history(cluster, &mut snapshot).await;
    snapshot.read_route();
    find_rivals(world, &mut snapshot);
    snapshot.moves_to = moves_to(&mut snapshot);
    snapshot.status = adopted(&snapshot);
    Ok(snapshot)
}

/// The sides and the route decide where traffic goes, and the end of a Canary cannot be undone: what
/// the list does not show of them is asked for by name, once there has been any.
async fn confirm_what_is_gone(cluster: &Cluster, snapshot: &mut Snapshot) {
    let is_set_up = !matches!(snapshot.phase(), None | Some(Phase::Initializing));
    if !is_set_up && !snapshot.is_being_deleted() {
        return;
    }
    let mut vital = snapshot.weight_keys();
    vital.extend([snapshot.target_key(), snapshot.primary_key()]);
    vital.retain(|key| !snapshot.objects.contains_key(key));
    read_again(cluster, snapshot, vital).await;
}

/// What the lists of the pass hold for this canary, and whether its plug-ins are known.
fn listed(world: &World, canary: &Canary) -> Result<(Snapshot, bool), SnapshotError> {
    let names = layout::names(canary);
    let resolved = problems::resolve(canary, &names, &world.policy, &world.sources())
        .map_err(SnapshotError::Invalid)?;
    let keys: BTreeSet<Key> = keys(canary, &world.policy).into_iter().collect();
    let vital: BTreeSet<_> = [resolved.workload.kind()]
        .into_iter()
        .chain(
            resolved
                .router
                .weight_keys(canary, &names)
                .iter()
                .map(|key| key.kind),
        )
        .collect();
    let mut unread = BTreeSet::new();
    let mut unreachable = Vec::new();
    for key in &keys {
        let Some(why) = world.unreadable(&names.namespace, key) else {
            continue;
        };
        if vital.contains(key.kind) {
            return Err(SnapshotError::Unreachable(why));
        }
        if !unreachable.contains(&why) {
            unreachable.push(why);
        }
        unread.insert(key.clone());
    }
    let listed = world.objects.get(&names.namespace);
    let objects: Objects = keys
        .iter()
        .filter_map(|key| Some((key.clone(), listed?.get(key)?.clone())))
        .collect();
    unreachable.extend(resolved.unread);
    let mut problems = resolved.problems;
    let contested = world
        .contested
        .get(&format!("{}/{}", names.namespace, names.canary))
        .filter(|_| canary.metadata.deletion_timestamp.is_none());
    problems.extend(contested.into_iter().flatten().cloned());
    let stored = canary.status.clone().unwrap_or_default();
    let snapshot = Snapshot {
        now: world.now,
        canary: canary.clone(),
        names,
        policy: world.policy.clone(),
        keys,
        objects,
        foreign: BTreeSet::new(),
        unread,
        checksums: BTreeMap::new(),
        versions: BTreeMap::new(),
        history: Vec::new(),
        restored: None,
        terms: resolved.terms,
        checks: resolved.checks,
        unasked: resolved.unasked,
        hooks: resolved.hooks,
        router: resolved.router,
        workload: resolved.workload,
        autoscaler: resolved.autoscaler,
        status: resumed(canary, stored, world.now),
        route_traffic: None,
        unreadable_route: None,
        unsettled: None,
        problems,
        unreachable,
        pending: Vec::new(),
        is_contested: contested.is_some(),
        rivals: Vec::new(),
        moves_to: None,
        current: OnceLock::new(),
    };
    Ok((snapshot, resolved.is_known))
}

/// Time for which a Canary was suspended counts for no clock.
fn resumed(canary: &Canary, mut status: CanaryStatus, now: jiff::Timestamp) -> CanaryStatus {
    if canary.spec.suspend == Some(true) {
        return status;
    }
    let Some(since) = status.suspended_since.take() else {
        return status;
    };
    let gap = now.duration_since(since.0).max(SignedDuration::ZERO);
    let later = |time: &mut Time| time.0 = time.0.saturating_add(gap).unwrap_or(now).min(now);
    let shift = |wait: &mut Option<Wait>| {
        if let Some(wait) = wait {
            later(&mut wait.since);
            wait.gone.iter_mut().for_each(later);
        }
    };
    if let Some(waits) = &mut status.waits {
        shift(&mut waits.rollout);
        shift(&mut waits.evidence);
        shift(&mut waits.primary);
    }
    status.analysis_since.iter_mut().for_each(later);
    status
}

/// Other objects in the namespace that claim the hosts of this canary's route.
fn find_rivals(world: &World, snapshot: &mut Snapshot) {
    let others = world.others.get(&snapshot.names.namespace);
    let rivals = others
        .into_iter()
        .flatten()
        .filter(|(_, other)| snapshot.router.is_rival(&snapshot.view(), other));
    snapshot.rivals = rivals.map(|(key, _)| key.clone()).collect();
}

/// Where the Canary names other objects, and those can take the traffic over.
fn moves_to(snapshot: &mut Snapshot) -> Option<crate::api::status::Layout> {
    let wanted = layout::moves_to(&snapshot.canary, &snapshot.policy)?;
    let workload = crate::workloads::of_kind(&wanted.target_kind)?;
    let target = Key::new(workload.kind(), &*wanted.target);
    if !snapshot.objects.contains_key(&target) {
        let why = format!(
            "{} {}/{} does not exist",
            wanted.target_kind, snapshot.names.namespace, wanted.target
        );
        snapshot
            .problems
            .push(Problem::field("spec.targetRef", why));
        return None;
    }
    Some(wanted)
}

/// What a primary that is to be made starts from. Without it none is made.
async fn read_restored(world: &World, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
    snapshot.restored = restored::read(world.promotions.as_ref(), snapshot)
        .await?
        .map(Arc::new);
    Ok(())
}

/// Reads objects into the snapshot, some of them at a time: an application may have many configs.
pub(super) async fn read(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    keys: impl IntoIterator<Item = Key>,
) {
    let mut unknown: Vec<Key> = Vec::new();
    for key in keys {
        if snapshot.keys.insert(key.clone()) {
            snapshot.unread.remove(&key);
            unknown.push(key);
        }
    }
    let namespace = &snapshot.names.namespace.clone();
    let reads = unknown.into_iter().map(|key| async move {
        let object = cluster.get(key.kind, namespace, &key.name).await;
        (key, object)
    });
    let mut reads = futures::stream::iter(reads).buffered(READS_AT_ONCE);
    while let Some((key, object)) = reads.next().await {
        match object {
            Ok(object) => {
                snapshot.objects.insert(key, Arc::new(object));
            }
            Err(Error::NotFound) => {
                snapshot.objects.remove(&key);
            }
            Err(error) => {
                let why = format!(
                    "reading {} {namespace}/{}: {error}",
                    key.kind.kind, key.name
                );
                snapshot.unread.insert(key);
                snapshot.unreachable.push(why);
            }
        }
    }
}

/// Reads objects again, whatever is known of them.
pub(super) async fn read_again(cluster: &Cluster, snapshot: &mut Snapshot, keys: Vec<Key>) {
    for key in &keys {
        snapshot.keys.remove(key);
    }
    read(cluster, snapshot, keys).await;
}

/// Reads the primary's earlier templates while a promotion may fail or has failed.
async fn read_history(cluster: &Cluster, snapshot: &mut Snapshot) {
    let may_fail = match snapshot.status.phase {
        Some(Phase::Promoting) => true,
        Some(Phase::Failed) => snapshot.status.previous_spec.is_some(),
        _ => false,
    };
    let Some(primary) = snapshot.primary().filter(|_| may_fail) else {
        return;
    };
    let uid = primary["metadata"]["uid"].clone();
    let selector = snapshot.workload.history_selector(primary);
    let kind = snapshot.workload.history_kind();
    let scope = Scope::Namespace(snapshot.names.namespace.clone());
    let listed = match cluster.list(kind, &scope, Some(&selector)).await {
        Ok(listed) => listed,
        Err(error) => {
            let why = format!("listing {}: {error}", kind.plural);
            snapshot.unreachable.push(why);
            return;
        }
    };
    let mut history = Vec::new();
    for listed in listed {
        match listed.whole() {
            Ok(object) => history.push(object),
            Err(why) => snapshot.unreachable.push(format!("{} {why}", kind.kind)),
        }
    }
    snapshot.history = history
        .into_iter()
        .filter(|object| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners
                .into_iter()
                .flatten()
                .any(|owner| owner["uid"] == uid)
        })
        .map(Arc::new)
        .collect();
}

/// The status that a pass starts from. Another controller's is adopted as it stands: the weight
/// from the route, the hashes of what is there, so that nothing starts because of a change of
/// hands.
fn adopted(snapshot: &Snapshot) -> CanaryStatus {
    let mut status = snapshot.status.clone();
    if status.step.is_some() || status.phase.is_none() {
        return status;
    }
    let copies = snapshot.checksums.keys().filter_map(|config| {
        let key = configs::copy_key(&configs::key_of_status(config)?);
        let copy = snapshot.objects.get(&key)?;
        Some((config.clone(), config_checksum(copy)))
    });
    let promoted: BTreeMap<String, String> = copies.collect();
    let revision = snapshot.revision();
    let same = snapshot.copy_hash() == snapshot.primary_hash() && promoted == snapshot.checksums;
    status.canary_weight = Some(i64::from(snapshot.weight()));
    let shown = snapshot.shown();
    if shown.matched || shown.mirror {
        let traffic = status.traffic.get_or_insert_default();
        (traffic.matched, traffic.mirrored) = (shown.matched, shown.mirror);
    }
    status.primary_spec = snapshot.primary_hash();
    status.promoted_configs = Some(promoted);
    status.last_promoted_spec = same.then(|| revision.spec.clone());
    status.last_applied_spec = Some(revision.spec);
    status.tracked_configs = Some(revision.configs);
    status.config_versions = Some(snapshot.versions.clone());
    status
}
