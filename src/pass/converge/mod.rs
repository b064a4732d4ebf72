//! Making the cluster what a decision says: each write conditional on what was read. It chooses
//! nothing: objects are rendered anew only after a conflict, from what is there then.

mod guards;
mod stored;

use std::sync::Arc;

use serde_json::{Value, json};
use thiserror::Error;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Step};
use crate::io::clock::Clock;
use crate::io::cluster::{self, Cluster};
use crate::objects::hash::content_hash;
use crate::objects::metadata::STEP;
use crate::objects::patch::{difference, stamp, with_resource_version};
use crate::objects::{CANARY, Key};
use crate::pass::FINALIZER;
use crate::pass::desired::desired;
use crate::pass::snapshot::{Snapshot, wanted_traffic};
use crate::pass::step::{Write, Writes};

pub use stored::acknowledged;

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

/// What came of the writes of a step.
#[derive(Debug)]
pub struct Converged {
    /// The snapshot with what the API server answered in place of what was read.
    pub snapshot: Snapshot,
    /// What was written, with the object as it was read before.
    pub written: Vec<Written>,
    /// Somebody else's write makes the step moot, or not safe to go on with.
    pub is_stopped: bool,
    /// The first write that failed.
    pub error: Option<WriteError>,
}

/// A write that the API server has answered.
#[derive(Clone, Debug)]
pub struct Written {
    pub key: Key,
    pub before: Option<Arc<Value>>,
    /// What was sent, where the API server stored something else.
    pub sent: Option<Value>,
}

impl Converged {
    /// Whether the traffic is where the status wants it.
    pub fn shows(&self, status: &CanaryStatus) -> bool {
        !self.snapshot.router.can().weights
            || self.snapshot.unreadable_route.is_none()
                && self.snapshot.shown() == wanted_traffic(&self.snapshot.canary, status)
    }
}

/// How one write ended.
enum Outcome {
    Written(Written),
    /// It was there already, or is not to be.
    Done,
    /// The step ends here.
    Stop,
}

/// Carries the writes of a step out, in order; nothing later in the order happens before what comes
/// first, unless the writes are independent of each other.
///
/// # Guarantees
/// Each write is conditional on the object as this pass read it. After a conflict the object is
/// read again and then the Canary: only while the step is still the same is it written.
pub async fn converge(
    cluster: &Cluster,
    clock: &Clock,
    snapshot: &Snapshot,
    status: &CanaryStatus,
    writes: &Writes,
) -> Converged {
    let mut converged = Converged {
        snapshot: snapshot.clone(),
        written: Vec::new(),
        is_stopped: false,
        error: None,
    };
    let Some(step) = &status.step else {
        return converged;
    };
    let mut writer = Writer {
        cluster,
        clock,
        status,
        step,
    };
    for planned in &writes.objects {
        let key = &planned.key;
        match writer.write(&mut converged.snapshot, planned).await {
            Ok(Outcome::Written(written)) => converged.written.push(written),
            Ok(Outcome::Done) => {}
            Ok(Outcome::Stop) => {
                converged.is_stopped = true;
                if !writes.is_independent || snapshot.holds_weight(key) {
                    break;
                }
            }
            Err(source) => {
                let key = key.clone();
                converged.error.get_or_insert(WriteError { key, source });
                if !writes.is_independent {
                    break;
                }
            }
        }
    }
    converged.snapshot.read_route();
    converged
}

struct Writer<'a> {
    cluster: &'a Cluster,
    clock: &'a Clock,
    status: &'a CanaryStatus,
    step: &'a Step,
}

impl Writer<'_> {
    /// Writes one object.
    async fn write(
        &mut self,
        snapshot: &mut Snapshot,
        planned: &Write,
    ) -> Result<Outcome, cluster::Error> {
        let (key, status) = (&planned.key, self.status);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 && !guards::is_still_mine(self.cluster, snapshot, status, key).await? {
                return Ok(Outcome::Stop);
            }
            if attempt > 0 && snapshot.step_of(key) == Some(self.step.number) {
                // Another pass has written it for this step. What was changed since is drift: a
                // second write for the same step might come after the next one was claimed, which
                // does not name the object.
                return Ok(Outcome::Done);
            }
            let wanted = if attempt == 0 {
                planned.object.clone()
            } else {
                rendered(snapshot, status, key)
            };
            let live = || snapshot.objects.get(key).map(|object| (**object).clone());
            // An object that the step only takes over stays as it is, but for the annotation.
            let Some(mut wanted) = wanted.or_else(live) else {
                // Neither there nor to be there.
                return Ok(Outcome::Done);
            };
            let may = guards::may_write(self.cluster, self.clock, snapshot, status, key, &wanted);
            if !may.await? {
                return Ok(Outcome::Stop);
            }
            // Not the time of the claim: a step that is finished late begins to show when it is
            // written.
            stamp(&mut wanted, self.step.number, self.clock.now());
            // What the write changes is seen beside this, and not beside what was there before a
            // conflict: the difference to that is somebody else's.
            let before = snapshot.objects.get(key).cloned();
            match send(self.cluster, snapshot, key, &wanted).await {
                Ok(written) => {
                    let is_as_sent = content_hash(&wanted) == content_hash(&written);
                    snapshot.objects.insert(key.clone(), Arc::new(written));
                    return Ok(Outcome::Written(Written {
                        key: key.clone(),
                        before,
                        sent: (!is_as_sent).then_some(wanted),
                    }));
                }
                Err(
                    cluster::Error::Conflict
                    | cluster::Error::AlreadyExists
                    | cluster::Error::NotFound,
                ) => {}
                Err(cluster::Error::Unanswered(why)) => {
                    let written = Written {
                        key: key.clone(),
                        before,
                        sent: None,
                    };
                    return self.settle(snapshot, written, &wanted, why).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::Stop)
    }

    /// Whether a write whose answer never came was carried out shows when the object is read: then
    /// it carries our annotation, and there is nothing left to write.
    async fn settle(
        &self,
        snapshot: &mut Snapshot,
        written: Written,
        sent: &Value,
        why: String,
    ) -> Result<Outcome, cluster::Error> {
        let stamped = &sent["metadata"]["annotations"][STEP];
        let now = guards::reread(self.cluster, snapshot, &written.key).await;
        let is_stamped = |object: &Arc<Value>| object["metadata"]["annotations"][STEP] == *stamped;
        let object = snapshot.objects.get(&written.key);
        if now.is_ok() && object.is_some_and(is_stamped) {
            Ok(Outcome::Written(written))
        } else {
            Err(cluster::Error::Unanswered(why))
        }
    }
}

/// The object as status wants it, from the object as it is.
fn rendered(snapshot: &Snapshot, status: &CanaryStatus, key: &Key) -> Option<Value> {
    let desired = desired(snapshot, status);
    desired.get(key).map(|wanted| wanted.object.clone())
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
