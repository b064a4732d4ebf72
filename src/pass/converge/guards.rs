//! What is asked once more at a write, and not only when the pass began: another tool may have
//! changed what the decision rests on.

use std::sync::Arc;

use serde_json::Value;

use crate::api::status::CanaryStatus;
use crate::io::clock::Clock;
use crate::io::cluster::{self, Cluster};
use crate::objects::Key;
use crate::pass::claim;
use crate::pass::snapshot::{Snapshot, wanted_traffic};
use crate::routers::Traffic;

/// After a conflict: the object first, then the claim, so that a later claim is either seen or
/// has read this object too.
pub(super) async fn is_still_mine(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    status: &CanaryStatus,
    key: &Key,
) -> Result<bool, cluster::Error> {
    reread(cluster, snapshot, key).await?;
    if snapshot.is_route(key) {
        snapshot.read_route();
        // A raise goes onto the very route that the claim saw, or not at all.
        if snapshot.router.can().weights && traffic_of(snapshot, status).exceeds(snapshot.shown()) {
            return Ok(false);
        }
    }
    // The primary changed under a step that sends traffic back to it: look again first.
    if *key == snapshot.primary_key()
        && takes_off(snapshot, status)
        && !snapshot.primary_can_carry()
    {
        return Ok(false);
    }
    let canary = claim::read(cluster, snapshot).await?;
    let step = canary.status.and_then(|now| now.step);
    Ok(canary.metadata.uid == snapshot.canary.metadata.uid && step == status.step)
}

/// Whether this write may be made now: traffic goes back only to a primary that answers, and pods
/// go only where nothing is sent any more.
pub(super) async fn may_write(
    cluster: &Cluster,
    clock: &Clock,
    snapshot: &mut Snapshot,
    status: &CanaryStatus,
    key: &Key,
    wanted: &Value,
) -> Result<bool, cluster::Error> {
    if returns_traffic(snapshot, status, key) && !primary_answers(cluster, snapshot).await? {
        return Ok(false);
    }
    if empties_canary(snapshot, status, key, wanted) {
        return is_drained(cluster, clock, snapshot).await;
    }
    Ok(true)
}

pub(super) async fn reread(
    cluster: &Cluster,
    snapshot: &mut Snapshot,
    key: &Key,
) -> Result<(), cluster::Error> {
    let namespace = &snapshot.names.namespace;
    match cluster.get(key.kind, namespace, &key.name).await {
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
    snapshot.holds_weight(key) && takes_off(snapshot, status) && snapshot.canary_available() > 0
}

fn traffic_of(snapshot: &Snapshot, status: &CanaryStatus) -> Traffic {
    wanted_traffic(&snapshot.canary, status)
}

/// Whether requests that reach the canary are the primary's by what status says.
fn takes_off(snapshot: &Snapshot, status: &CanaryStatus) -> bool {
    let wanted = traffic_of(snapshot, status);
    snapshot.shown().answered().exceeds(wanted.answered())
}

/// Whether writing this object takes the canary's pods away.
fn empties_canary(snapshot: &Snapshot, status: &CanaryStatus, key: &Key, wanted: &Value) -> bool {
    let puts_to_zero = if *key == snapshot.target_key() {
        snapshot.workload.replicas(wanted) == 0
    } else {
        !snapshot.is_scaler_copy(key)
            && snapshot.autoscaler.is_some_and(|autoscaler| {
                *key.kind == *autoscaler.kind() && autoscaler.is_held(wanted)
            })
    };
    puts_to_zero && traffic_of(snapshot, status).canary == 0 && snapshot.target_replicas() > 0
}

/// Whether the canary has no traffic, and has had none for as long as connections need to end, at
/// the write and not only when the pass began: another tool may have changed the route.
async fn is_drained(
    cluster: &Cluster,
    clock: &Clock,
    snapshot: &Snapshot,
) -> Result<bool, cluster::Error> {
    if snapshot.route_traffic.is_none() {
        return Ok(!snapshot.router.can().weights);
    }
    let mut now = snapshot.clone();
    now.now = clock.now();
    for (key, _) in snapshot.router.reads(&snapshot.canary, &snapshot.names) {
        if snapshot.objects.contains_key(&key) {
            reread(cluster, &mut now, &key).await?;
        }
    }
    now.read_route();
    Ok(now.is_drained() && now.unreadable_route.is_none() && now.weight() == 0)
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
