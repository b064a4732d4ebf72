//! How many pods each `ReplicaSet` may have.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::super::super::cluster::object::{child, number};
use super::super::super::cluster::{Cluster, Key};
use super::revisions::annotations;
use super::{DESIRED, MANAGER, MAX, Rollout, available, total, wanted};

/// Whether somebody changed the number of replicas since the sets were sized.
pub(super) fn was_scaled(rollout: &Rollout) -> bool {
    rollout
        .all()
        .filter(|set| wanted(set) > 0)
        .any(|set| noted(set, DESIRED).is_some_and(|desired| desired != rollout.replicas()))
}

/// Gives the new number to the one set that runs, or to all that do, each by its share.
pub(super) fn scale(cluster: &mut Cluster, key: &Key, now: Timestamp) {
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    let active: Vec<_> = rollout.all().filter(|set| wanted(set) > 0).collect();
    let only = match active.as_slice() {
        [] => rollout.new.as_ref().or(rollout.old.last()),
        [only] => Some(*only),
        _ => None,
    };
    if let Some(only) = only {
        if wanted(only) != rollout.replicas() {
            resize(cluster, &rollout, only, rollout.replicas(), now);
        }
        return;
    }
    if active.is_empty() {
        return;
    }
    if rollout
        .new
        .as_ref()
        .is_some_and(|new| is_saturated(&rollout, new))
    {
        for set in rollout.old.iter().filter(|set| wanted(set) > 0) {
            resize(cluster, &rollout, set, 0, now);
        }
    } else if !rollout.is_recreate() {
        scale_by_share(cluster, &rollout, now);
    }
}

fn is_saturated(rollout: &Rollout, new: &Value) -> bool {
    let replicas = rollout.replicas();
    noted(new, DESIRED) == Some(replicas) && wanted(new) == replicas && available(new) == replicas
}

fn scale_by_share(cluster: &mut Cluster, rollout: &Rollout, now: Timestamp) {
    let mut active: Vec<_> = rollout.all().filter(|set| wanted(set) > 0).collect();
    let allowed = match rollout.replicas() {
        0 => 0,
        replicas => replicas + rollout.max_surge(),
    };
    let to_add = allowed - active.iter().map(|set| wanted(set)).sum::<i64>();
    // The largest takes what is left over; of two, the newer when growing and the older when
    // shrinking.
    if to_add > 0 {
        active.reverse();
    }
    active.sort_by_key(|set| -wanted(set));
    let mut added = 0;
    let mut sizes: Vec<_> = active
        .iter()
        .map(|set| {
            let rest = to_add - added;
            let part = match fraction(rollout, set) {
                part if to_add > 0 => part.min(rest).max(0),
                part if to_add < 0 => part.max(rest).min(0),
                _ => 0,
            };
            added += part;
            wanted(set) + part
        })
        .collect();
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (set, size) in active.into_iter().zip(sizes) {
        resize(cluster, rollout, set, size, now);
    }
}

/// What a set would gain if it kept its share of the whole.
fn fraction(rollout: &Rollout, set: &Value) -> i64 {
    if rollout.replicas() == 0 {
        return -wanted(set);
    }
    let before = noted(set, MAX)
        .or_else(|| number(&rollout.deployment, "/status/replicas"))
        .unwrap_or(0);
    if before == 0 {
        return 0;
    }
    let whole = rollout.replicas() + rollout.max_surge();
    // Rounded to the nearest.
    (2 * wanted(set) * whole + before) / (2 * before) - wanted(set)
}

/// The size of the new set in the next step of a rolling update.
pub(super) fn size_of_new(rollout: &Rollout) -> i64 {
    let current = rollout.new.as_ref().map_or(0, |new| wanted(new));
    let replicas = rollout.replicas();
    if current >= replicas {
        return replicas;
    }
    let room = replicas + rollout.max_surge() - total(rollout.all(), wanted);
    if room <= 0 {
        current
    } else {
        current + room.min(replicas - current)
    }
}

pub(super) fn size_at_birth(rollout: &Rollout) -> i64 {
    if rollout.is_recreate() {
        rollout.replicas()
    } else {
        size_of_new(rollout)
    }
}

/// Takes pods from the old sets, the unhealthy ones first, as far as enough stay available. Whether
/// any were taken.
pub(super) fn shrink_old(cluster: &mut Cluster, rollout: &Rollout, now: Timestamp) -> bool {
    if total(rollout.old.iter(), wanted) == 0 {
        return false;
    }
    let min_available = rollout.replicas() - rollout.max_unavailable();
    let coming = rollout
        .new
        .as_ref()
        .map_or(0, |new| wanted(new) - available(new));
    let may_go = total(rollout.all(), wanted) - min_available - coming;
    if may_go <= 0 {
        return false;
    }
    let mut sizes: Vec<_> = rollout.old.iter().map(|set| wanted(set)).collect();
    let mut left = may_go;
    for (size, set) in sizes.iter_mut().zip(&rollout.old) {
        // More available than wanted: its pods are still going. The real controller waits for that
        // by an error, too.
        if left > 0 && *size > 0 && available(set) > *size {
            return false;
        }
        let unhealthy = (*size - available(set)).clamp(0, left);
        *size -= unhealthy;
        left -= unhealthy;
    }
    let mut left = total(rollout.all(), available) - min_available;
    for size in &mut sizes {
        let part = (*size).clamp(0, left.max(0));
        *size -= part;
        left -= part;
    }
    let mut changed = false;
    for (size, set) in sizes.into_iter().zip(&rollout.old) {
        if size != wanted(set) {
            changed |= resize(cluster, rollout, set, size, now);
        }
    }
    changed
}

/// Writes the size of a set, and what the Deployment was like when it got it. Whether anything
/// changed.
pub(super) fn resize(
    cluster: &mut Cluster,
    rollout: &Rollout,
    set: &Arc<Value>,
    size: i64,
    now: Timestamp,
) -> bool {
    let mut sized = set.as_ref().clone();
    child(&mut sized, "spec").insert("replicas".into(), size.into());
    note_size(rollout, &mut sized);
    sized != **set && cluster.replace(sized, MANAGER, now).is_ok()
}

pub(super) fn note_size(rollout: &Rollout, set: &mut Value) {
    let annotations = annotations(set);
    annotations.insert(DESIRED.into(), rollout.replicas().to_string().into());
    let max = rollout.replicas() + rollout.max_surge();
    annotations.insert(MAX.into(), max.to_string().into());
}

fn noted(set: &Value, annotation: &str) -> Option<i64> {
    let noted = set["metadata"]["annotations"][annotation].as_str();
    noted?.parse().ok()
}
