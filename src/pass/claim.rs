//! The claim: one status write under the resourceVersion that was observed. Phase, weight,
//! counters, number and evidence change together or not at all.

use serde_json::{Map, Value, json};

use crate::api::canary::Canary;
use crate::api::crd;
use crate::api::status::CanaryStatus;
use crate::io::cluster::{Cluster, Error};
use crate::objects::CANARY;
use crate::pass::snapshot::Snapshot;

/// What came of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// The step is ours; this is the Canary with it.
    Ours(Box<Canary>),
    /// Another pass was faster: this one is over for the canary, and nothing has happened.
    Lost,
}

/// Claims `next` for the snapshot's canary.
///
/// # Guarantees
/// At most one status write is committed, and only on the status that the snapshot saw.
///
/// # On failure
/// A write whose answer never came is settled by reading, never by repeating it.
pub async fn claim(
    cluster: &Cluster,
    snapshot: &Snapshot,
    next: &CanaryStatus,
) -> Result<Claimed, Error> {
    match write(cluster, &snapshot.canary, next).await {
        Ok(canary) => Ok(Claimed::Ours(Box::new(canary))),
        Err(Error::Conflict) => {
            let now = read(cluster, snapshot).await?;
            let same_step = step_number(&now) == step_number(&snapshot.canary)
                && now.metadata.generation == snapshot.canary.metadata.generation
                && now.metadata.uid == snapshot.canary.metadata.uid
                && now.metadata.deletion_timestamp == snapshot.canary.metadata.deletion_timestamp;
            if !same_step {
                return Ok(Claimed::Lost);
            }
            // Somebody wrote an annotation or a condition, or another pass has delivered what the
            // outbox held: the claim stands on the same facts.
            let next = &rebased(snapshot, &now, next);
            match write(cluster, &now, next).await {
                Ok(canary) => Ok(Claimed::Ours(Box::new(canary))),
                Err(Error::Conflict | Error::NotFound) => Ok(Claimed::Lost),
                Err(Error::Unanswered(why)) => settle(cluster, snapshot, next, why).await,
                Err(error) => Err(error),
            }
        }
        Err(Error::NotFound) => Ok(Claimed::Lost),
        Err(Error::Unanswered(why)) => settle(cluster, snapshot, next, why).await,
        Err(error) => Err(error),
    }
}

async fn settle(
    cluster: &Cluster,
    snapshot: &Snapshot,
    next: &CanaryStatus,
    why: String,
) -> Result<Claimed, Error> {
    let now = read(cluster, snapshot)
        .await
        .map_err(|_| Error::Unanswered(why.clone()))?;
    if now
        .status
        .as_ref()
        .is_some_and(|status| status.step == next.step)
    {
        return Ok(Claimed::Ours(Box::new(now)));
    }
    if step_number(&now) == step_number(&snapshot.canary) {
        // Not carried out, or not yet: the next pass decides again.
        return Err(Error::Unanswered(why));
    }
    Ok(Claimed::Lost)
}

/// The Canary as it is now.
pub async fn read(cluster: &Cluster, snapshot: &Snapshot) -> Result<Canary, Error> {
    let names = &snapshot.names;
    parse(
        cluster
            .get(&CANARY, &names.namespace, &names.canary)
            .await?,
    )
}

/// The same claim where the outbox has changed: what was delivered meanwhile is not put back.
fn rebased(snapshot: &Snapshot, now: &Canary, next: &CanaryStatus) -> CanaryStatus {
    let known = &snapshot.status.outbox;
    let new = next.outbox.iter().filter(|entry| !known.contains(entry));
    let left = now.status.iter().flat_map(|status| &status.outbox);
    CanaryStatus {
        outbox: left.chain(new).cloned().collect(),
        ..next.clone()
    }
}

pub(super) fn parse(canary: Value) -> Result<Canary, Error> {
    serde_json::from_value(canary)
        .map_err(|error| Error::Unanswered(format!("not a Canary: {error}")))
}

fn step_number(canary: &Canary) -> i64 {
    canary
        .status
        .as_ref()
        .and_then(|status| status.step.as_ref())
        .map_or(0, |step| step.number)
}

/// Writes the difference between the status that was read and the next one.
pub(super) async fn write(
    cluster: &Cluster,
    read: &Canary,
    next: &CanaryStatus,
) -> Result<Canary, Error> {
    let before = json!(read.status.clone().unwrap_or_default());
    let mut after = json!(next);
    crd::fit_status(&mut after);
    let name = read.metadata.name.as_deref().unwrap_or_default();
    let namespace = read.metadata.namespace.as_deref().unwrap_or_default();
    let patch = json!({
        "metadata": { "resourceVersion": read.metadata.resource_version },
        "status": difference(&before, &after),
    });
    parse(cluster.patch_status(namespace, name, &patch).await?)
}

/// The merge patch that turns `before` into `after`: `null` for every key that goes.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(key.clone(), difference(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}
