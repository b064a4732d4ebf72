//! Reading one canary: from what was listed for all, and what only it needs, to its snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{World, keys, restored};
use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Phase};
use crate::io::cluster::{Cluster, Error, Scope};
use crate::objects::hash::config_checksum;
use crate::objects::references::Reference;
use crate::objects::{CONFIG_MAP, Key, Names, Objects, SECRET, configs, references};
use crate::pass::problems::{self, Unobserved};
use crate::pass::snapshot::Snapshot;
use crate::pass::terms::Strategy;

/// The snapshot of one canary: what was listed, and what only it needs.
pub async fn snapshot(
    cluster: &Cluster,
    world: &World,
    canary: &Canary,
) -> Result<Snapshot, Unobserved> {
    let names = Names::of(canary);
    let resolved = problems::resolve(canary, &world.policy).map_err(Unobserved::Problems)?;
    let keys: BTreeSet<Key> = keys(canary, &names, &world.policy).into_iter().collect();
    if let Some(why) = world.unreadable(&keys) {
        return Err(Unobserved::Failed(why));
    }
    let listed = world.objects.get(&names.namespace);
    let objects: Objects = keys
        .iter()
        .filter_map(|key| Some((key.clone(), listed?.get(key)?.clone())))
        .collect();
    let stored = canary.status.clone().unwrap_or_default();
    let mut snapshot = Snapshot {
        now: world.now,
        canary: canary.clone(),
        names,
        policy: world.policy.clone(),
        keys,
        objects,
        checksums: BTreeMap::new(),
        versions: BTreeMap::new(),
        history: Vec::new(),
        restored: None,
        terms: resolved.terms,
        router: resolved.router,
        workload: resolved.workload,
        autoscaler: resolved.autoscaler,
        status: stored,
        route_weight: None,
        unsettled: None,
    };
    let deleting = canary.metadata.deletion_timestamp.is_some();
    if deleting {
        // The end of a Canary cannot be undone: what the list does not show is asked for by name.
        for key in [snapshot.target_key(), snapshot.primary_key()] {
            if !snapshot.objects.contains_key(&key) {
                snapshot.keys.remove(&key);
                read(cluster, &mut snapshot, &key).await?;
            }
        }
    } else {
        problems::ownership(&snapshot)?;
        problems::target(&snapshot)?;
        snapshot.restored = restored::read(world.promotions.as_ref(), &snapshot)
            .await?
            .map(Arc::new);
        read_configs(cluster, world, &mut snapshot).await?;
        read_history(cluster, &mut snapshot).await?;
    }
    match snapshot.router.traffic(&snapshot.view()) {
        Ok(Some(traffic)) => {
            snapshot.route_weight = Some(traffic.canary_weight);
            snapshot.unsettled = traffic.unsettled;
        }
        Ok(None) => {}
        // A route that is to be given back needs no reading.
        Err(_) if deleting => {}
        Err(problem) => return Err(Unobserved::Problems(vec![problem])),
    }
    snapshot.status = adopted(&snapshot);
    Ok(snapshot)
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

/// Reads the tracked configs: contents where they have changed since their checksum was taken or
/// will be copied, and the copies where they will be written.
async fn read_configs(
    cluster: &Cluster,
    world: &World,
    snapshot: &mut Snapshot,
) -> Result<(), Unobserved> {
    let template = snapshot
        .target()
        .map(|target| snapshot.workload.template(target).clone());
    if let Some(template) = template.filter(|_| snapshot.policy.config_tracking) {
        let copying = may_copy(snapshot);
        let listed = world.objects.get(&snapshot.names.namespace);
        let restored = snapshot.restored.clone();
        let restored = restored.as_ref().map(|restored| &restored.template);
        let templates = [Some(&template), restored].into_iter().flatten();
        for Reference { key, .. } in templates.flat_map(references::of) {
            if *key.kind == CONFIG_MAP && !copying {
                if let Some(why) = world.unreadable(&BTreeSet::from([key.clone()])) {
                    return Err(Unobserved::Failed(why));
                }
                snapshot.keys.insert(key.clone());
                if let Some(metadata) = listed.and_then(|listed| listed.get(&key)) {
                    snapshot.objects.insert(key, metadata.clone());
                }
                continue;
            }
            read(cluster, snapshot, &key).await?;
            if copying {
                read(cluster, snapshot, &configs::copy_key(&key)).await?;
                read(cluster, snapshot, &configs::previous_key(&key)).await?;
            }
        }
        for key in configs::unread(&snapshot.view(), &template) {
            snapshot.keys.remove(&key);
            read(cluster, snapshot, &key).await?;
        }
        let checksums = configs::checksums(&snapshot.view(), &template)
            .map_err(|problem| Unobserved::Problems(vec![problem]))?;
        if let Some(restored) = &snapshot.restored {
            configs::tracked(&snapshot.view(), &restored.template)
                .map_err(|problem| Unobserved::Problems(vec![restored.problem(&problem)]))?;
        }
        snapshot.checksums = checksums.tracked;
        snapshot.versions = checksums.versions;
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
        read(cluster, snapshot, &key).await?;
    }
    Ok(())
}

/// Reads one object into the snapshot.
async fn read(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    key: &Key,
) -> Result<Option<Arc<Value>>, Unobserved> {
    if !snapshot.keys.contains(key) {
        snapshot.keys.insert(key.clone());
        match cluster
            .get(key.kind, &snapshot.names.namespace, &key.name)
            .await
        {
            Ok(object) => {
                snapshot.objects.insert(key.clone(), Arc::new(object));
            }
            Err(Error::NotFound) => {}
            Err(error) => {
                let namespace = &snapshot.names.namespace;
                let why = format!(
                    "reading {} {namespace}/{}: {error}",
                    key.kind.kind, key.name
                );
                return Err(Unobserved::Failed(why));
            }
        }
    }
    Ok(snapshot.objects.get(key).cloned())
}

/// Reads the primary's earlier templates while a promotion may fail or has failed.
async fn read_history(cluster: &Cluster, snapshot: &mut Snapshot) -> Result<(), Unobserved> {
    let may_fail = match snapshot.status.phase {
        Some(Phase::Promoting) => true,
        Some(Phase::Failed) => snapshot.status.previous_spec.is_some(),
        _ => false,
    };
    let Some(primary) = snapshot.primary().filter(|_| may_fail) else {
        return Ok(());
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
    let listed = cluster
        .list(kind, &scope, Some(&selector))
        .await
        .map_err(|error| Unobserved::Failed(format!("listing {}: {error}", kind.plural)))?;
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
    Ok(())
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
