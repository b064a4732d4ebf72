//! Making the cluster what status says: the plan is pure (`plan`), and the acting half carries it
//! out, each write conditional on what was read. It chooses nothing.

pub mod plan;

use std::sync::Arc;

use serde_json::{Value, json};
use thiserror::Error;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Step, StepObject};
use crate::io::clock::Clock;
use crate::io::cluster::{self, Cluster};
use crate::objects::metadata::STEP;
use crate::objects::patch::{difference, stamp, with_resource_version};
use crate::objects::{CANARY, Key, Problem, Rank, Wanted};
use crate::pass::FINALIZER;
use crate::pass::claim;
use crate::pass::snapshot::{Snapshot, percent};

/// A conflict that comes back this often has another writer who does not stop; the next pass goes
/// on.
const ATTEMPTS: u32 = 3;

#[derive(Debug, Error)]
#[error("writing {key}: {source}")]
pub struct WriteError {
    pub key: Key,
    pub source: cluster::Error,
}

/// Puts our finalizer on the Canary that was read, or takes it off.
pub async fn finalizer(
    cluster: &Cluster,
    canary: &Canary,
    present: bool,
) -> Result<(), cluster::Error> {
    let mut finalizers = canary.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    let version = canary
        .metadata
        .resource_version
        .as_deref()
        .unwrap_or_default();
    // On a member that is there, `add` replaces.
    let list = json!([{ "op": "add", "path": "/metadata/finalizers", "value": finalizers }]);
    let list = serde_json::from_value(list).unwrap_or_default();
    let patch = with_resource_version(list, version);
    let namespace = canary.metadata.namespace.as_deref().unwrap_or_default();
    let name = canary.metadata.name.as_deref().unwrap_or_default();
    cluster
        .patch(&CANARY, namespace, name, patch)
        .await
        .map(|_| ())
}

/// How far a step was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Converged {
    /// Every object of the step was written.
    Done,
    /// Somebody else's write makes this step moot, or not safe to go on with.
    Stopped,
}

/// Writes the objects that the step of `status` names and that are still as its claim saw them,
/// in order; nothing later in the order happens before what comes first.
///
/// # Guarantees
/// Each write is conditional on the object as this pass read it. After a conflict the object is
/// read again and then the Canary: only while the step is still the same is it written.
pub async fn converge(
    cluster: &Cluster,
    clock: &Clock,
    snapshot: &Snapshot,
    status: &CanaryStatus,
) -> Result<Converged, WriteError> {
    let Some(step) = &status.step else {
        return Ok(Converged::Done);
    };
    let mut snapshot = snapshot.clone();
    let mut keys: Vec<(Rank, Key)> = Vec::new();
    let planned = plan::plan(&snapshot, status).unwrap_or_default();
    for object in &step.objects {
        let Some(key) = key_of(&snapshot, object) else {
            continue;
        };
        if snapshot.resource_version(&key) != object.resource_version {
            continue;
        }
        let rank = planned
            .iter()
            .find(|wanted| wanted.key == key)
            .map_or(Rank::PreviousConfig, |wanted| wanted.rank);
        keys.push((rank, key));
    }
    keys.sort();
    for (_, key) in keys {
        if !write(cluster, clock, &mut snapshot, status, step, &key)
            .await
            .map_err(|source| WriteError {
                key: key.clone(),
                source,
            })?
        {
            return Ok(Converged::Stopped);
        }
    }
    Ok(Converged::Done)
}

fn key_of(snapshot: &Snapshot, object: &StepObject) -> Option<Key> {
    let named = |key: &&Key| key.is(&object.api_version, &object.kind, &object.name);
    snapshot.keys.iter().find(named).cloned()
}

/// Writes one object; `false` when the step must stop here.
async fn write(
    cluster: &Cluster,
    clock: &Clock,
    snapshot: &mut Snapshot,
    status: &CanaryStatus,
    step: &Step,
    key: &Key,
) -> Result<bool, cluster::Error> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 && !is_still_mine(cluster, snapshot, status, key).await? {
            return Ok(false);
        }
        if returns_traffic(snapshot, status, key) && !primary_answers(cluster, snapshot).await? {
            return Ok(false);
        }
        if empties_canary(snapshot, status, key) && !is_left_alone(cluster, clock, snapshot).await?
        {
            return Ok(false);
        }
        if attempt > 0 && snapshot.step_of(key) == Some(step.number) {
            // Another pass has written it for this step. What was changed since is drift: a second
            // write for the same step might come after the next one was claimed, which does not
            // name the object.
            return Ok(true);
        }
        let mut wanted = match wanted(snapshot, status, key) {
            Ok(Some(wanted)) => wanted,
            // Neither there nor to be there.
            Ok(None) => return Ok(true),
            // What was read meanwhile cannot be written on: the next pass looks again.
            Err(_) => return Ok(false),
        };
        // Not the time of the claim: a step that is finished late begins to show when it is written.
        stamp(&mut wanted, step.number, clock.now());
        let stamped = wanted["metadata"]["annotations"][STEP].clone();
        let result = send(cluster, snapshot, key, &wanted).await;
        match result {
            Ok(written) => {
                snapshot.objects.insert(key.clone(), Arc::new(written));
                return Ok(true);
            }
            Err(
                cluster::Error::Conflict | cluster::Error::AlreadyExists | cluster::Error::NotFound,
            ) => {}
            // Whether it was carried out shows when the object is read: then it carries our
            // annotation, and there is nothing left to write.
            Err(cluster::Error::Unanswered(why)) => {
                let is_stamped =
                    |object: &Arc<Value>| object["metadata"]["annotations"][STEP] == stamped;
                let now = reread(cluster, snapshot, key).await;
                let is_ours = now.is_ok() && snapshot.objects.get(key).is_some_and(is_stamped);
                return if is_ours {
                    Ok(true)
                } else {
                    Err(cluster::Error::Unanswered(why))
                };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The object as status wants it, from the object as it is. An object that the step only takes
/// over stays as it is, but for the annotation.
fn wanted(snapshot: &Snapshot, status: &CanaryStatus, key: &Key) -> Result<Option<Value>, Problem> {
    let planned = plan::plan(snapshot, status)?;
    let wanted = planned.into_iter().find(|wanted| wanted.key == *key);
    let live = || snapshot.objects.get(key).map(|object| (**object).clone());
    Ok(wanted.map(|Wanted { object, .. }| object).or_else(live))
}

async fn send(
    cluster: &Cluster,
    snapshot: &Snapshot,
    key: &Key,
    wanted: &Value,
) -> Result<Value, cluster::Error> {
    let namespace = &snapshot.names.namespace;
    match snapshot.objects.get(key) {
        None => cluster.create(key.kind, namespace, wanted).await,
        Some(live) => {
            let version = snapshot.resource_version(key);
            let patch = with_resource_version(difference(live, wanted), version);
            cluster.patch(key.kind, namespace, &key.name, patch).await
        }
    }
}

/// After a conflict: the object first, then the claim, so that a later claim is either seen or
/// has read this object too.
async fn is_still_mine(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    status: &CanaryStatus,
    key: &Key,
) -> Result<bool, cluster::Error> {
    reread(cluster, snapshot, key).await?;
    if snapshot.is_route(key) {
        let shown = snapshot.router.traffic(&snapshot.view()).ok().flatten();
        snapshot.route_weight = shown.map(|traffic| traffic.canary_weight);
        // A raise goes onto the very route that the claim saw, or not at all.
        if snapshot.router.has_weights() && percent(status.canary_weight) > snapshot.weight() {
            return Ok(false);
        }
    }
    // The primary changed under a step that sends traffic back to it: look again first.
    if *key == snapshot.primary_key()
        && percent(status.canary_weight) < snapshot.weight()
        && !snapshot.primary_can_carry()
    {
        return Ok(false);
    }
    let canary = claim::read(cluster, snapshot).await?;
    let step = canary.status.and_then(|now| now.step);
    Ok(canary.metadata.uid == snapshot.canary.metadata.uid && step == status.step)
}

async fn reread(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    key: &Key,
) -> Result<(), cluster::Error> {
    match cluster
        .get(key.kind, &snapshot.names.namespace, &key.name)
        .await
    {
        Ok(object) => {
            snapshot.objects.insert(key.clone(), Arc::new(object));
        }
        Err(cluster::Error::NotFound) => {
            snapshot.objects.remove(key);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether writing this object gives traffic back to the primary.
fn returns_traffic(snapshot: &Snapshot, status: &CanaryStatus, key: &Key) -> bool {
    snapshot.is_route(key)
        && percent(status.canary_weight) < snapshot.weight()
        && snapshot.canary_available() > 0
}

/// Whether writing this object takes the canary's pods away.
fn empties_canary(snapshot: &Snapshot, status: &CanaryStatus, key: &Key) -> bool {
    *key == snapshot.target_key()
        && percent(status.canary_weight) == 0
        && snapshot.target_replicas() > 0
        && matches!(wanted(snapshot, status, key), Ok(Some(wanted)) if snapshot.workload.replicas(&wanted) == 0)
}

/// Whether the canary has no traffic, and has had none for as long as connections need to end, at
/// the write and not only when the pass began: another tool may have changed the route.
async fn is_left_alone(
    cluster: &Cluster,
    clock: &Clock,
    snapshot: &Snapshot,
) -> Result<bool, cluster::Error> {
    if snapshot.route_weight.is_none() {
        return Ok(true);
    }
    let mut now = snapshot.clone();
    now.now = clock.now();
    for key in snapshot.router.keys(&snapshot.names) {
        if snapshot.objects.contains_key(&key) {
            reread(cluster, &mut now, &key).await?;
        }
    }
    let shown = now.router.traffic(&now.view()).ok().flatten();
    Ok(now.is_drained() && shown.is_none_or(|traffic| traffic.canary_weight == 0))
}

/// The primary's readiness at the write, not only when the pass began.
async fn primary_answers(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
) -> Result<bool, cluster::Error> {
    let key = snapshot.primary_key();
    reread(cluster, snapshot, &key).await?;
    Ok(snapshot.primary_can_carry())
}
