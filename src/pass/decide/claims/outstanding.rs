//! How far the cluster is from what status says, and whose doing that is.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::api::status::{CanaryStatus, Repairs};
use crate::objects::metadata::writers;
use crate::objects::{Key, SERVICE};
use crate::pass::snapshot::Snapshot;

/// Repairs of one object that are made at once; each further one waits twice as long.
const REPAIRS_AT_ONCE: i64 = 3;
const REPAIR_DELAY: SignedDuration = SignedDuration::from_secs(10);
const REPAIR_DELAY_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Pairs of kind and field manager that are counted; beyond, all are one.
const COUNTED_MAX: usize = 32;
const OTHERS: &str = "others";
const NOBODY_KNOWN: &str = "unknown";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::pass::decide) struct Outstanding {
    /// Claimed, and written by nobody since: to be finished as claimed.
    pub(in crate::pass::decide) unfinished: BTreeSet<Key>,
    /// Not as status says for another reason: to be claimed anew.
    pub(in crate::pass::decide) drifted: BTreeSet<Key>,
    /// Of the last claim, and not seen to have been written for it.
    pub(in crate::pass::decide) unconfirmed: BTreeSet<Key>,
    /// Somebody took traffic off the canary; it is not raised again without a check.
    pub(in crate::pass::decide) lowered: bool,
    /// Who, where it can be told.
    pub(in crate::pass::decide) lowered_by: Option<String>,
}

impl Outstanding {
    pub(in crate::pass::decide) fn of(snapshot: &Snapshot) -> Self {
        let unfinished = snapshot.open();
        let is_route_unfinished = unfinished.iter().any(|key| snapshot.holds_weight(key));
        let lowered = snapshot.wanted().exceeds(snapshot.shown()) && !is_route_unfinished;
        let drifted = snapshot
            .current()
            .differing(snapshot)
            .into_iter()
            .filter(|key| !unfinished.contains(key))
            .filter(|key| {
                !lowered || snapshot.unreadable_route.is_some() || !snapshot.holds_weight(key)
            })
            .filter(|key| !is_put_off(snapshot, key))
            .collect();
        let lowered_by = if lowered {
            route_writer(snapshot)
        } else {
            None
        };
        Self {
            unfinished,
            drifted,
            unconfirmed: snapshot.unproven(),
            lowered,
            lowered_by,
        }
    }

    /// What the next claim has to write, whatever else it is about.
    pub(in crate::pass::decide) fn carried(&self) -> impl Iterator<Item = &Key> {
        self.unfinished.iter().chain(&self.drifted)
    }

    /// Whether the traffic is not where the last claim wanted it.
    pub(in crate::pass::decide) fn is_route_unfinished(&self, snapshot: &Snapshot) -> bool {
        self.unfinished.iter().any(|key| snapshot.holds_weight(key))
    }

    /// In words: what is repaired, and whose change that was.
    pub(in crate::pass::decide) fn repairs(&self, snapshot: &Snapshot) -> String {
        let texts: Vec<_> = self
            .carried()
            .map(|key| match last_writer(snapshot, key) {
                Some(by) if self.drifted.contains(key) => format!("{key} (changed by {by})"),
                _ => key.to_string(),
            })
            .collect();
        texts.join(", ")
    }
}

/// Counts the repairs of a claim, and tells how often an object was repaired in a row if that is
/// to be said.
pub(in crate::pass::decide) fn count_repairs(
    snapshot: &Snapshot,
    status: &mut CanaryStatus,
    repaired: &BTreeSet<Key>,
) -> Option<String> {
    let drift = &mut status.totals.get_or_insert_default().drift;
    for key in repaired {
        let by = last_writer(snapshot, key);
        let by = by.as_deref().unwrap_or(NOBODY_KNOWN);
        let name = format!("{}/{}", key.kind.kind, cut(by));
        let name = if drift.contains_key(&name) || drift.len() < COUNTED_MAX {
            name
        } else {
            format!("{}/{OTHERS}", key.kind.kind)
        };
        let count = drift.entry(name).or_insert(0);
        *count = count.saturating_add(1);
    }
    let fought = repaired.iter().find(|key| may_be_put_off(snapshot, key))?;
    let object = fought.to_string();
    let count = match &status.repairs {
        Some(repairs) if repairs.object == object && !is_over(snapshot, repairs) => {
            repairs.count.saturating_add(1)
        }
        _ => 1,
    };
    status.repairs = Some(Repairs {
        object,
        count,
        at: Some(Time(snapshot.now)),
    });
    let by = last_writer(snapshot, fought).unwrap_or_else(|| "somebody".to_owned());
    (count == REPAIRS_AT_ONCE).then(|| {
        format!(
            "{fought} is changed again and again by {by}: leave its replicas and templates to \
             Davy, for example by taking spec.replicas out of the manifest; repairs get rarer"
        )
    })
}

fn cut(manager: &str) -> String {
    manager.chars().take(64).collect()
}

/// Services and routes lead the traffic, and configs are read by whatever pod starts next: they are
/// repaired at once, however often. The rest may be fought over by two tools.
fn may_be_put_off(snapshot: &Snapshot, key: &Key) -> bool {
    *key.kind == *snapshot.workload.kind()
        || snapshot
            .autoscaler
            .is_some_and(|autoscaler| *autoscaler.kind() == *key.kind)
}

pub(in crate::pass::decide) fn is_put_off(snapshot: &Snapshot, key: &Key) -> bool {
    let Some(repairs) = &snapshot.status.repairs else {
        return false;
    };
    may_be_put_off(snapshot, key)
        && repairs.object == key.to_string()
        && since(snapshot, repairs).is_some_and(|since| since < delay(repairs.count))
}

fn is_over(snapshot: &Snapshot, repairs: &Repairs) -> bool {
    let quiet = delay(repairs.count) * 2 + snapshot.terms.drain() * 3;
    since(snapshot, repairs).is_none_or(|since| since > quiet)
}

/// How long ago the last repair was; nothing where that lies in the future.
fn since(snapshot: &Snapshot, repairs: &Repairs) -> Option<SignedDuration> {
    let at = repairs.at.as_ref()?;
    let since = snapshot.now.duration_since(at.0);
    (!since.is_negative()).then_some(since)
}

fn delay(count: i64) -> SignedDuration {
    if count < REPAIRS_AT_ONCE {
        return SignedDuration::ZERO;
    }
    let doublings = u32::try_from(count - REPAIRS_AT_ONCE).unwrap_or(u32::MAX);
    (REPAIR_DELAY * 2_i32.saturating_pow(doublings.min(20))).min(REPAIR_DELAY_MAX)
}

/// The field manager that wrote the weights last, if not we.
pub(in crate::pass::decide) fn route_writer(snapshot: &Snapshot) -> Option<String> {
    let routes = snapshot.weight_keys();
    routes.iter().find_map(|key| last_writer(snapshot, key))
}

/// The field manager that wrote an object last, if not we.
fn last_writer(snapshot: &Snapshot, key: &Key) -> Option<String> {
    let object: &Value = snapshot.objects.get(key)?;
    let is_ours = |entry: &Value| entry["manager"] == crate::pass::FIELD_MANAGER;
    // Their times are whole seconds. What was changed in the second of our own write was changed
    // after it: we write nothing that has to be repaired.
    let last = writers(object).max_by_key(|entry| {
        let time = entry["time"].as_str().unwrap_or_default();
        (time.to_owned(), !is_ours(entry))
    })?;
    let by = last["manager"].as_str().filter(|_| !is_ours(last));
    by.map(str::to_owned)
}

/// Whether clients are led by this object.
pub(in crate::pass::decide) fn leads_clients(snapshot: &Snapshot, key: &Key) -> bool {
    snapshot.is_route(key) || (*key.kind == SERVICE && *key == snapshot.apex_key())
}
