//! In which order canaries have their turn in a pass. Pure: nothing is remembered from pass to pass.
//!
//! Namespaces take turns, so that the many canaries of one team do not put off those of another.
//! Within a namespace releases that are under way come first, the one that has waited longest at
//! the head: what a pass did not reach comes first in the next. Those at rest follow, from another
//! one on in each pass.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::api::canary::Canary;
use crate::api::status::Phase;

/// A large odd number, so that passes at regular times begin everywhere in turn (Knuth, The Art of
/// Computer Programming 3, 6.4: multiplicative hashing).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The canaries in the order of their turns.
pub(super) fn ordered(canaries: Vec<Canary>, now: Timestamp) -> Vec<Canary> {
    let mut namespaces: BTreeMap<String, Vec<Canary>> = BTreeMap::new();
    for canary in canaries {
        let namespace = canary.metadata.namespace.clone().unwrap_or_default();
        namespaces.entry(namespace).or_default().push(canary);
    }
    let mut queues: Vec<VecDeque<Canary>> = namespaces
        .into_values()
        .map(|canaries| of_namespace(canaries, now))
        .collect();
    rotate(&mut queues, now);
    let mut ordered = Vec::new();
    while !queues.is_empty() {
        ordered.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
        queues.retain(|queue| !queue.is_empty());
    }
    ordered
}

fn of_namespace(canaries: Vec<Canary>, now: Timestamp) -> VecDeque<Canary> {
    let (mut under_way, mut at_rest): (Vec<_>, Vec<_>) =
        canaries.into_iter().partition(is_under_way);
    under_way.sort_by_cached_key(waits_since);
    at_rest.sort_by_cached_key(|canary| canary.metadata.name.clone());
    rotate(&mut at_rest, now);
    under_way.into_iter().chain(at_rest).collect()
}

fn is_under_way(canary: &Canary) -> bool {
    let phase = canary.status.as_ref().and_then(|status| status.phase);
    canary.metadata.deletion_timestamp.is_some()
        || !matches!(
            phase,
            Some(Phase::Initialized | Phase::Succeeded | Phase::Failed)
        )
}

/// When it had its last turn; one that never had any waits since it was made.
fn waits_since(canary: &Canary) -> (Option<Timestamp>, Option<String>) {
    let status = canary.status.as_ref();
    let last = status.and_then(|status| status.last_transition_time.as_ref());
    let made = canary.metadata.creation_timestamp.as_ref();
    let since = last.or(made).map(|time| time.0);
    (since, canary.metadata.name.clone())
}

fn rotate<T>(things: &mut [T], now: Timestamp) {
    let Ok(count) = u64::try_from(things.len()) else {
        return;
    };
    if count == 0 {
        return;
    }
    let second = u64::try_from(now.as_second()).unwrap_or(0);
    let start = (u128::from(second.wrapping_mul(SPREAD)) * u128::from(count)) >> 64;
    things.rotate_left(usize::try_from(start).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn canary(name: &str, phase: &str, last: Option<i64>) -> Canary {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        let time = |second| {
            Timestamp::from_second(second)
                .unwrap_or_default()
                .to_string()
        };
        let mut value = json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": time(500)},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "service": {"port": 80},
            },
            "status": {"phase": phase},
        });
        if let Some(last) = last {
            value["status"]["lastTransitionTime"] = time(last).into();
        }
        serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"))
    }

    fn order(canaries: Vec<Canary>, second: i64) -> Vec<String> {
        let now = Timestamp::from_second(second).unwrap_or_default();
        let ordered = ordered(canaries, now);
        ordered.iter().map(crate::pass::name_of).collect()
    }

    #[test]
    fn namespaces_take_turns_and_who_waits_longest_is_first() {
        let canaries = vec![
            canary("many/resting", "Succeeded", Some(1)),
            canary("many/b", "Progressing", Some(900)),
            canary("many/a", "Progressing", Some(800)),
            canary("many/new", "", None),
            canary("few/only", "Progressing", Some(950)),
        ];
        let order = order(canaries, 0);
        let of_many: Vec<_> = order.iter().filter(|name| *name != "few/only").collect();
        assert_eq!(of_many, ["many/new", "many/a", "many/b", "many/resting"]);
        let place = order.iter().position(|name| name == "few/only");
        assert!(place.is_some_and(|place| place < 2), "{order:?}");
    }

    #[test]
    fn passes_at_regular_times_begin_with_each_in_turn() {
        let names = ["x/a", "x/b", "x/c", "x/d", "x/e"];
        for interval in [10, 60, 300] {
            let first: BTreeSet<_> = (0..60)
                .map(|pass| {
                    let canaries = names.map(|name| canary(name, "Succeeded", Some(1)));
                    order(canaries.into(), 1_700_000_000 + pass * interval).remove(0)
                })
                .collect();
            assert_eq!(first.len(), names.len(), "every {interval} s: {first:?}");
        }
    }
}
