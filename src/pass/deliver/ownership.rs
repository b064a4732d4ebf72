//! Status is input: whoever may write a Canary's status may put entries into its outbox, and what
//! an outbox holds is signed and sent in Davy's name. An entry is acted upon only if it is its own
//! Canary's. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::canary::Canary;
use crate::api::record::{News, OutboxEntry, Record, Revert, Told};
use crate::api::status::CanaryStatus;
use crate::pass::deliver::records::GIT;
use crate::records;

/// What tells a Canary's own entries from others.
#[derive(Debug)]
pub(super) struct Owner<'a> {
    cluster: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    /// The last step that was claimed: nothing can have happened after it.
    step: i64,
    /// Names of workloads that the Canary has released.
    targets: Vec<&'a str>,
    /// Digests of those records that the last one follows.
    chain: BTreeSet<String>,
}

impl<'a> Owner<'a> {
    pub(super) fn of(
        cluster: &'a str,
        canary: &'a Canary,
        status: &'a CanaryStatus,
        outbox: &[OutboxEntry],
    ) -> Self {
        let metadata = &canary.metadata;
        let layout = status.layout.as_ref();
        let before = layout.map(|layout| &*layout.target);
        Self {
            cluster,
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            step: status.step.as_ref().map_or(0, |step| step.number),
            targets: before
                .into_iter()
                .chain([&*canary.spec.target_ref.name])
                .collect(),
            chain: chain(status.last_record.as_deref(), outbox),
        }
    }

    /// Why an entry is not this Canary's, if it is not.
    pub(super) fn foreign(&self, entry: &OutboxEntry) -> Option<String> {
        let why = match &entry.news {
            News::Record(record) => self
                .other_cluster(&record.cluster)
                .or_else(|| self.other(&record.namespace, &record.canary, &record.uid, record.step))
                .or_else(|| self.unchained(entry, record)),
            News::Told(told) => self.other(&told.namespace, &told.name, &told.uid, told.step),
            News::Revert(revert) => self
                .other_cluster(&revert.cluster)
                .or_else(|| self.other(&revert.namespace, &revert.canary, &revert.uid, revert.step))
                .or_else(|| self.other_target(&revert.name)),
        };
        why.map(|why| format!("{}: {why}", in_words(&entry.news)))
    }

    fn other_cluster(&self, cluster: &str) -> Option<String> {
        (cluster != self.cluster).then(|| {
            format!(
                "it is of cluster {cluster:?}, and this is {:?}",
                self.cluster
            )
        })
    }

    fn other(&self, namespace: &str, name: &str, uid: &str, step: i64) -> Option<String> {
        if (namespace, name) != (self.namespace, self.name) {
            return Some(format!("it is of Canary {namespace:?}/{name:?}"));
        }
        if uid != self.uid {
            return Some(format!("it is of a Canary with UID {uid:?}"));
        }
        (step > self.step || step < 1)
            .then(|| format!("it is of step {step}, and the last one was {}", self.step))
    }

    fn other_target(&self, name: &str) -> Option<String> {
        (!self.targets.contains(&name)).then(|| format!("it is about workload {name:?}"))
    }

    fn unchained(&self, entry: &OutboxEntry, record: &Record) -> Option<String> {
        let is_chained = !entry.waits_for(GIT) || self.chain.contains(&digest(record));
        (!is_chained).then(|| "no later record of this Canary follows it".to_owned())
    }
}

/// Back from the last record, as far as the outbox goes: what was delivered is no longer in it.
fn chain(last: Option<&str>, outbox: &[OutboxEntry]) -> BTreeSet<String> {
    let previous: BTreeMap<String, Option<&str>> = outbox
        .iter()
        .filter_map(|entry| match &entry.news {
            News::Record(record) => Some((digest(record), record.previous.as_deref())),
            News::Told(_) | News::Revert(_) => None,
        })
        .collect();
    let mut chain = BTreeSet::new();
    let mut next = last;
    while let Some(digest) = next.filter(|digest| previous.contains_key(*digest)) {
        // A chain of digests cannot close; one that somebody has made up might.
        if !chain.insert(digest.to_owned()) {
            break;
        }
        next = previous[digest];
    }
    chain
}

fn digest(record: &Record) -> String {
    records::digest(&records::bytes(record))
}

fn in_words(news: &News) -> String {
    match news {
        News::Record(record) => format!("record {} {}", record.step, record.outcome),
        News::Told(Told { step, .. }) => format!("Events of step {step}"),
        News::Revert(Revert { step, .. }) => format!("revert of step {step}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: &str = "it is taken";

    fn record(step: i64, previous: Option<&str>) -> OutboxEntry {
        entry(&json!({"to": ["git"], "record": {
            "version": 1, "tool": "davy", "cluster": "east", "namespace": "shop", "canary": "cart",
            "uid": "u1", "step": step, "outcome": "promoted", "time": "2026-01-01T00:00:00Z",
            "reason": "", "previous": previous,
        }}))
    }

    fn entry(value: &serde_json::Value) -> OutboxEntry {
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn digest_of(entry: &OutboxEntry) -> String {
        match &entry.news {
            News::Record(record) => digest(record),
            News::Told(_) | News::Revert(_) => String::new(),
        }
    }

    /// What is thought of each entry of an outbox whose last record has this digest.
    fn judged(last: &str, outbox: &[OutboxEntry]) -> Vec<String> {
        let canary: Canary = serde_json::from_value(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "cart", "namespace": "shop", "uid": "u1"},
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"}, "service": {"port": 80}},
            "status": {
                "lastRecord": last,
                "step": {"number": 9, "time": "2026-01-01T00:00:00Z", "objects": []},
            },
        }))
        .unwrap_or_else(|error| panic!("{error}"));
        let status = canary.status.clone().unwrap_or_default();
        let owner = Owner::of("east", &canary, &status, outbox);
        let judged = outbox.iter().map(|entry| owner.foreign(entry));
        judged
            .map(|why| why.unwrap_or_else(|| OWN.to_owned()))
            .collect()
    }

    fn changed(entry: &OutboxEntry, pointer: &str, to: &serde_json::Value) -> OutboxEntry {
        let mut value = serde_json::to_value(entry).unwrap_or_else(|error| panic!("{error}"));
        match value.pointer_mut(pointer) {
            Some(place) => place.clone_from(to),
            None => panic!("no {pointer}"),
        }
        self::entry(&value)
    }

    #[test]
    fn a_chain_of_its_own_records_is_taken_from_wherever_it_begins() {
        let delivered = record(3, None);
        let first = record(5, Some(&digest_of(&delivered)));
        let second = record(8, Some(&digest_of(&first)));
        let last = digest_of(&second);
        assert_eq!(judged(&last, &[first, second]), [OWN, OWN]);
    }

    #[test]
    fn what_is_of_another_or_in_no_chain_is_not_taken() {
        let own = record(5, None);
        let last = digest_of(&own);
        let altered = |pointer: &str, to: serde_json::Value| {
            let altered = changed(&own, pointer, &to);
            // Whoever writes status may name it as the last one as well.
            let last = digest_of(&altered);
            judged(&last, &[altered]).remove(0)
        };
        let cases = [
            altered("/record/cluster", json!("west")),
            altered("/record/namespace", json!("till")),
            altered("/record/canary", json!("till")),
            altered("/record/uid", json!("u2")),
            altered("/record/step", json!(10)),
            altered("/record/step", json!(-1)),
            judged(&last, &[own.clone(), record(6, Some(&last))]).remove(1),
            judged("", std::slice::from_ref(&own)).remove(0),
        ];
        assert_eq!(
            cases,
            [
                "record 5 promoted: it is of cluster \"west\", and this is \"east\"",
                "record 5 promoted: it is of Canary \"till\"/\"cart\"",
                "record 5 promoted: it is of Canary \"shop\"/\"till\"",
                "record 5 promoted: it is of a Canary with UID \"u2\"",
                "record 10 promoted: it is of step 10, and the last one was 9",
                "record -1 promoted: it is of step -1, and the last one was 9",
                "record 6 promoted: no later record of this Canary follows it",
                "record 5 promoted: no later record of this Canary follows it",
            ]
        );
    }

    #[test]
    fn news_and_reverts_of_others_are_not_taken() {
        let told = entry(&json!({"to": ["event-webhook"], "told": {
            "namespace": "shop", "name": "cart", "uid": "u1", "step": 2,
            "time": "2026-01-01T00:00:00Z", "phase": "Progressing", "checksum": "1", "events": [],
        }}));
        let revert = entry(&json!({"to": ["source"], "revert": {
            "cluster": "east", "namespace": "shop", "canary": "cart", "uid": "u1", "step": 2,
            "time": "2026-01-01T00:00:00Z", "reason": "", "kind": "Deployment", "name": "cart",
            "images": [],
        }}));
        let outbox = [
            changed(&told, "/told/name", &json!("till")),
            changed(&told, "/told/step", &json!(10)),
            changed(&revert, "/revert/cluster", &json!("west")),
            changed(&revert, "/revert/name", &json!("till")),
            told,
            revert,
        ];
        assert_eq!(
            judged("", &outbox),
            [
                "Events of step 2: it is of Canary \"shop\"/\"till\"",
                "Events of step 10: it is of step 10, and the last one was 9",
                "revert of step 2: it is of cluster \"west\", and this is \"east\"",
                "revert of step 2: it is about workload \"till\"",
                OWN,
                OWN,
            ]
        );
    }
}
