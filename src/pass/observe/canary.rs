//! Reading one canary: from what was listed for all, and what only it needs, to its snapshot. What
//! is wrong or cannot be read is part of the snapshot: traffic is taken off all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use super::{SnapshotError, World, keys, restored};
use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Phase, Wait};
use crate::io::cluster::{Cluster, Error, Scope};
use crate::objects::hash::config_checksum;
use crate::objects::references::Reference;
use crate::objects::{CONFIG_MAP, Key, Objects, Problem, SECRET, configs, references};
use crate::pass::problems;
use crate::pass::snapshot::Snapshot;
use crate::pass::terms::Strategy;

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
    let mut snapshot = listed(world, canary)?;
    if snapshot.is_being_deleted() {
        // The end of a Canary cannot be undone: what the list does not show is asked for by name.
        for key in [snapshot.target_key(), snapshot.primary_key()] {
            if !snapshot.objects.contains_key(&key) {
                snapshot.keys.remove(&key);
                read(cluster, &mut snapshot, &key).await;
            }
        }
        read_route(&mut snapshot);
        snapshot.problems.clear();
        snapshot.status = adopted(&snapshot);
        return Ok(snapshot);
    }
    read_restored(world, &mut snapshot).await?;
    read_configs(cluster, world, &mut snapshot).await;
    problems::of_objects(&mut snapshot);
    read_history(cluster, &mut snapshot).await;
    read_route(&mut snapshot);
    find_rivals(world, &mut snapshot);
    snapshot.moves_to = moves_to(&mut snapshot);
    snapshot.status = adopted(&snapshot);
    Ok(snapshot)
}

/// What the lists of the pass hold for this canary.
fn listed(world: &World, canary: &Canary) -> Result<Snapshot, SnapshotError> {
    let names = problems::names(canary);
    let resolved = problems::resolve(canary, &names, &world.policy, &world.metrics_server)
        .map_err(SnapshotError::Invalid)?;
    let keys: BTreeSet<Key> = keys(canary, &world.policy).into_iter().collect();
    let vital: BTreeSet<_> = [resolved.workload.kind()]
        .into_iter()
        .chain(
            resolved
                .router
                .weight_keys(&names)
                .iter()
                .map(|key| key.kind),
        )
        .collect();
    let mut unread = BTreeSet::new();
    let mut unreachable = Vec::new();
    for key in &keys {
        let Some(why) = world.unreadable(key.kind) else {
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
    let mut problems = resolved.problems;
    let contested = world
        .contested
        .get(&format!("{}/{}", names.namespace, names.canary))
        .filter(|_| canary.metadata.deletion_timestamp.is_none());
    problems.extend(contested.into_iter().flatten().cloned());
    let stored = canary.status.clone().unwrap_or_default();
    Ok(Snapshot {
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
        router: resolved.router,
        workload: resolved.workload,
        autoscaler: resolved.autoscaler,
        status: resumed(canary, stored, world.now),
        route_weight: None,
        unreadable_route: None,
        unsettled: None,
        problems,
        unreachable,
        awaited: Vec::new(),
        is_contested: contested.is_some(),
        rivals: Vec::new(),
        moves_to: None,
        current: OnceLock::new(),
    })
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

/// What the route shows. One that shows no weight is there to be repaired.
fn read_route(snapshot: &mut Snapshot) {
    match snapshot.router.traffic(&snapshot.view()) {
        Ok(Some(traffic)) => {
            snapshot.route_weight = Some(traffic.canary_weight);
            snapshot.unsettled = traffic.unsettled;
        }
        Ok(None) => {}
        Err(problem) => snapshot.unreadable_route = Some(problem),
    }
}

/// Other objects in the namespace that claim the hosts of this canary's route.
fn find_rivals(world: &World, snapshot: &mut Snapshot) {
    let others = world.others.get(&snapshot.names.namespace);
    let rivals = others.into_iter().flatten().filter(|(_, other)| {
        snapshot.router.is_rival(&snapshot.view(), other)
    });
    snapshot.rivals = rivals.map(|(key, _)| key.clone()).collect();
}

/// Where the Canary names other objects, and those can take the traffic over.
fn moves_to(snapshot: &mut Snapshot) -> Option<crate::api::status::Layout> {
    let layout = problems::moves_to(&snapshot.canary, &snapshot.policy)?;
    let workload = crate::workloads::of_kind(&layout.target_kind)?;
    let target = Key::new(workload.kind(), &*layout.target);
    if !snapshot.objects.contains_key(&target) {
        let why = format!(
            "{} {}/{} does not exist",
            layout.target_kind, snapshot.names.namespace, layout.target
        );
        snapshot
            .problems
            .push(Problem::field("spec.targetRef", why));
        return None;
    }
    Some(layout)
}

/// Whether this pass may copy the target to the primary, or back: then contents are needed.
fn may_copy(snapshot: &Snapshot) -> bool {
    let Snapshot { status, terms, .. } = snapshot;
    let done = status.iterations.unwrap_or(0);
    match status.phase {
        _ if status.step.is_none() || snapshot.primary().is_none() => true,
        None | Some(Phase::Initializing | Phase::Promoting) => true,
        Some(Phase::Failed) => status.previous_spec.is_some(),
        Some(Phase::Progressing | Phase::WaitingPromotion) => {
            terms.skip_analysis
                || match &terms.strategy {
                    Strategy::Weights(weights) => weights
                        .last()
                        .is_none_or(|last| status.canary_weight.unwrap_or(0) >= i64::from(*last)),
                    Strategy::Iterations { total, .. } => done > *total,
                }
        }
        Some(_) => false,
    }
}

/// What a primary that is to be made starts from. Without it none is made.
async fn read_restored(world: &World, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
    snapshot.restored = restored::read(world.promotions.as_ref(), snapshot)
        .await?
        .map(Arc::new);
    Ok(())
}

/// Reads the tracked configs: contents where they have changed since their checksum was taken or
/// will be copied, and the copies where they will be written or are not as they were.
async fn read_configs(cluster: &Cluster, world: &World, snapshot: &mut Snapshot) {
    let template = snapshot
        .target()
        .map(|target| snapshot.workload.template(target).clone());
    if let Some(template) = template.filter(|_| snapshot.policy.config_tracking) {
        let copying = may_copy(snapshot);
        let restored = snapshot.restored.clone();
        let restored = restored.as_ref().map(|restored| &restored.template);
        let templates = [Some(&template), restored].into_iter().flatten();
        for Reference { key, .. } in templates.flat_map(references::of) {
            if *key.kind == CONFIG_MAP && !copying {
                take_listed(world, snapshot, &key);
                continue;
            }
            read(cluster, snapshot, &key).await;
            if copying {
                read(cluster, snapshot, &configs::copy_key(&key)).await;
                read(cluster, snapshot, &configs::previous_key(&key)).await;
            }
        }
        for key in configs::unread(&snapshot.view(), &template) {
            snapshot.keys.remove(&key);
            read(cluster, snapshot, &key).await;
        }
        match configs::checksums(&snapshot.view(), &template) {
            Ok(checksums) => {
                snapshot.checksums = checksums.tracked;
                snapshot.versions = checksums.versions;
            }
            // What cannot be looked at counts as unchanged: it starts nothing.
            Err(problem) => {
                if snapshot.unreachable.is_empty() {
                    snapshot.problems.push(problem);
                }
                snapshot.checksums = snapshot.status.tracked_configs.clone().unwrap_or_default();
            }
        }
        if let Some(restored) = &snapshot.restored
            && let Err(problem) = configs::tracked(&snapshot.view(), &restored.template)
        {
            let problem = restored.problem(&problem);
            snapshot.problems.push(problem);
        }
        read_copies(cluster, world, snapshot).await;
    }
    // What a claim named is looked at, whatever the phase has become since.
    let objects = snapshot.status.step.iter().flat_map(|step| &step.objects);
    let named: Vec<Key> = objects
        .filter_map(|object| {
            let kind = [&CONFIG_MAP, &SECRET]
                .into_iter()
                .find(|kind| kind.kind == object.kind)?;
            (object.api_version == "v1").then(|| Key::new(kind, &*object.name))
        })
        .collect();
    for key in named {
        read(cluster, snapshot, &key).await;
    }
}

/// Takes the metadata of a ConfigMap from the list of the pass.
fn take_listed(world: &World, snapshot: &mut Snapshot, key: &Key) {
    if snapshot.keys.contains(key) {
        return;
    }
    snapshot.keys.insert(key.clone());
    if let Some(why) = world.unreadable(key.kind) {
        snapshot.unread.insert(key.clone());
        if !snapshot.unreachable.contains(&why) {
            snapshot.unreachable.push(why);
        }
    }
    let listed = world.objects.get(&snapshot.names.namespace);
    if let Some(metadata) = listed.and_then(|listed| listed.get(key)) {
        snapshot.objects.insert(key.clone(), metadata.clone());
    }
}

/// The primary's copies of what was promoted, where they are not as a pass has seen them: what is
/// gone or was changed is written again from the config itself, or from what was kept of it.
async fn read_copies(cluster: &Cluster, world: &World, snapshot: &mut Snapshot) {
    let promoted = snapshot.status.promoted_configs.clone().unwrap_or_default();
    for name in promoted.keys() {
        let Some(config) = configs::key_of_status(name) else {
            continue;
        };
        let copy = configs::copy_key(&config);
        if *copy.kind == CONFIG_MAP {
            take_listed(world, snapshot, &copy);
        } else {
            read(cluster, snapshot, &copy).await;
        }
        let is_known = configs::is_at_known_version(&snapshot.view(), &copy);
        if is_known {
            continue;
        }
        for key in [copy, config.clone(), configs::previous_key(&config)] {
            snapshot.keys.remove(&key);
            read(cluster, snapshot, &key).await;
        }
    }
    // A later pass need not look at what is as it was promoted.
    for (name, checksum) in &promoted {
        let Some(copy) = configs::key_of_status(name).map(|config| configs::copy_key(&config))
        else {
            continue;
        };
        let is_known = configs::is_at_known_version(&snapshot.view(), &copy);
        let Some(object) = snapshot.objects.get(&copy) else {
            continue;
        };
        let version = object["metadata"]["resourceVersion"].as_str();
        if let Some(version) = version
            && (is_known || config_checksum(object) == *checksum)
        {
            let version = version.to_owned();
            snapshot
                .versions
                .insert(configs::status_key(&copy), version);
        }
    }
}

/// Reads one object into the snapshot.
async fn read(cluster: &Cluster, snapshot: &mut Snapshot, key: &Key) {
    if snapshot.keys.contains(key) {
        return;
    }
    snapshot.keys.insert(key.clone());
    snapshot.unread.remove(key);
    let namespace = snapshot.names.namespace.clone();
    match cluster.get(key.kind, &namespace, &key.name).await {
        Ok(object) => {
            snapshot.objects.insert(key.clone(), Arc::new(object));
        }
        Err(Error::NotFound) => {
            snapshot.objects.remove(key);
        }
        Err(error) => {
            let why = format!(
                "reading {} {namespace}/{}: {error}",
                key.kind.kind, key.name
            );
            snapshot.unread.insert(key.clone());
            snapshot.unreachable.push(why);
        }
    }
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
    let labels = primary["spec"]["selector"]["matchLabels"]
        .as_object()
        .cloned();
    let selector = labels
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",");
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
    snapshot.history = listed
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
    status.primary_spec = snapshot.primary_hash();
    status.promoted_configs = Some(promoted);
    status.last_promoted_spec = same.then(|| revision.spec.clone());
    status.last_applied_spec = Some(revision.spec);
    status.tracked_configs = Some(revision.configs);
    status.config_versions = Some(snapshot.versions.clone());
    status
}
