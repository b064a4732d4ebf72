//! Delivering what the outboxes hold: promotion records to Git, and news to channels. An entry
//! leaves its outbox only after proof that it arrived, in a write of its own that no claim waits
//! for. Killed between the two, the next pass finds a record where it is and takes the entry out;
//! a message goes out once more, under the same key.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::record::{News, OutboxEntry, Refusal};
use crate::api::status::CanaryStatus;
use crate::io::Io;
use crate::io::cluster::{Cluster, Error};
use crate::objects::{CANARY, Names, Policy};
use crate::pass::claim;
use crate::pass::deliver::alerts::{self, Alerts};
use crate::pass::deliver::hooks::{self, Receivers};
use crate::pass::deliver::ownership::Owner;
use crate::pass::deliver::records::{self, Records};
use crate::pass::deliver::reverts::{self, Reverts};
use crate::pass::observe;
use crate::pass::report::Report;
use crate::webhooks;

/// A conflict that comes back this often has another writer who does not stop; the entry stays for
/// the next pass.
const ATTEMPTS: u32 = 5;

/// Outboxes by canary, as `namespace/name`.
pub type Entries = BTreeMap<String, Vec<OutboxEntry>>;

/// What the outboxes hold.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The Canaries' own entries, to be delivered.
    pub own: Entries,
    /// Entries that are somebody's who writes status, to be dropped: by canary, each with the reason.
    foreign: BTreeMap<String, Vec<(News, String)>>,
    /// The webhooks of canaries for which there is something.
    receivers: BTreeMap<String, Receivers>,
}

/// What has arrived, and what was refused, by canary.
#[derive(Debug, Default)]
pub struct Delivered(BTreeMap<String, Vec<Settled>>);

/// What a place has said to a piece of news.
#[derive(Debug)]
struct Settled {
    place: String,
    news: News,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Arrived,
    Refused(Refusal),
}

impl Delivered {
    /// The news has arrived at this place.
    pub fn add(&mut self, canary: &str, place: &str, news: News) {
        self.settle(canary, place, news, Answer::Arrived);
    }

    /// The place has refused this news, which stays in the outbox and waits.
    pub fn refuse(&mut self, canary: &str, place: &str, news: News, refusal: Refusal) {
        self.settle(canary, place, news, Answer::Refused(refusal));
    }

    fn settle(&mut self, canary: &str, place: &str, news: News, answer: Answer) {
        let of_canary = self.0.entry(canary.to_owned()).or_default();
        of_canary.push(Settled {
            place: place.to_owned(),
            news,
            answer,
        });
    }
}

impl OutboxEntry {
    /// Whether it is still to arrive there.
    pub fn waits_for(&self, place: &str) -> bool {
        self.to.iter().any(|waits| waits == place)
    }
}

/// What waits in the outboxes as the pass read them, or as it left them.
pub fn waiting(policy: &Policy, canaries: &[Canary], report: &Report) -> Waiting {
    let read: BTreeMap<String, &Canary> = canaries
        .iter()
        .map(|canary| (crate::pass::name_of(canary), canary))
        .collect();
    let mut waiting = Waiting::default();
    for handled in &report.canaries {
        let Some(canary) = read.get(&handled.canary) else {
            continue;
        };
        let Some(status) = handled.status.as_deref().or(canary.status.as_ref()) else {
            continue;
        };
        // What is told of a step is true once the route shows it.
        if status.wanted_weight.is_some() || status.outbox.is_empty() {
            continue;
        }
        let entries: Vec<_> = status.outbox.iter().filter_map(entry).collect();
        let owner = Owner::of(&policy.cluster_name, canary, status, &entries);
        let is_hook = |place: &String| webhooks::hook_at(place).is_some();
        if entries.iter().any(|entry| entry.to.iter().any(is_hook)) {
            let receivers = Receivers {
                names: Names::of(canary),
                hooks: observe::hooks(canary, policy).unwrap_or_default(),
            };
            waiting.receivers.insert(handled.canary.clone(), receivers);
        }
        for entry in entries {
            let name = handled.canary.clone();
            match owner.foreign(&entry) {
                None => waiting.own.entry(name).or_default().push(entry),
                Some(why) => {
                    let foreign = waiting.foreign.entry(name).or_default();
                    foreign.push((entry.news, why));
                }
            }
        }
    }
    waiting
}

/// An entry that this version can read; others are somebody else's to deliver.
fn entry(value: &Value) -> Option<OutboxEntry> {
    serde_json::from_value(value.clone()).ok()
}

/// What is left of an entry once this is settled; nothing if it waits for no other place.
fn left(value: Value, settled: &[Settled]) -> Option<Value> {
    let Some(mut entry) = entry(&value) else {
        return Some(value);
    };
    let before = entry.clone();
    for Settled { place, answer, .. } in settled.iter().filter(|it| it.news == entry.news) {
        match answer {
            Answer::Refused(refusal) if entry.waits_for(place) => {
                entry.refused.insert(place.clone(), refusal.clone());
            }
            Answer::Refused(_) => {}
            Answer::Arrived => {
                entry.to.retain(|waits_for| waits_for != place);
                entry.refused.remove(place);
            }
        }
    }
    if entry.to.is_empty() {
        None
    } else if entry == before {
        Some(value)
    } else {
        Some(serde_json::to_value(entry).unwrap_or(value))
    }
}

/// Where entries go, as far as the settings name a place.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The repository of promotion records.
    pub records: Option<Records>,
    /// The repository that manifests come from.
    pub reverts: Option<Reverts>,
    /// The channels of releases' news.
    pub alerts: Option<Alerts>,
}

/// Delivers what waits, to all places at the same time, and takes from the outboxes what is seen
/// to have arrived.
///
/// # On failure
/// What is wrong, for the summary of the pass; nothing is lost, and the next pass tries again.
pub async fn deliver(
    io: &Io,
    cluster: &Cluster,
    places: &Places,
    waiting: &Waiting,
) -> Vec<String> {
    let foreign = drop_foreign(cluster, &waiting.foreign).await;
    let (receivers, waiting) = (&waiting.receivers, &waiting.own);
    // Git may take long, and would have what was said meanwhile be said again.
    let to_git = async {
        let Some(records) = &places.records else {
            return Vec::new();
        };
        let (delivered, mut problems) = records::deliver(records, waiting).await;
        problems.extend(forget_all(cluster, &delivered).await);
        problems
    };
    let to_source = async {
        let Some(reverts) = &places.reverts else {
            return Vec::new();
        };
        let (delivered, mut problems) = reverts::deliver(reverts, waiting).await;
        problems.extend(forget_all(cluster, &delivered).await);
        problems
    };
    let to_channels = async {
        let Some(alerts) = &places.alerts else {
            return Vec::new();
        };
        let (delivered, mut problems) = alerts::deliver(io, cluster, alerts, waiting).await;
        problems.extend(forget_all(cluster, &delivered).await);
        problems
    };
    let to_hooks = async {
        let (delivered, mut problems) = hooks::deliver(io, cluster, receivers, waiting).await;
        problems.extend(forget_all(cluster, &delivered).await);
        problems
    };
    let (of_git, of_source, of_channels, of_hooks) =
        tokio::join!(to_git, to_source, to_channels, to_hooks);
    [foreign, of_git, of_source, of_channels, of_hooks].concat()
}

/// Takes out of the outboxes what is not their Canaries', says what it was, and counts it.
async fn drop_foreign(
    cluster: &Cluster,
    foreign: &BTreeMap<String, Vec<(News, String)>>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, entries) in foreign {
        let is_kept = |value: &Value| {
            let news = entry(value).map(|entry| entry.news);
            !entries
                .iter()
                .any(|(foreign, _)| Some(foreign) == news.as_ref())
        };
        let dropped = edit(cluster, name, |status| {
            let before = status.outbox.len();
            status.outbox.retain(is_kept);
            let gone = before - status.outbox.len();
            if gone > 0 {
                let dropped = &mut status.totals.get_or_insert_default().dropped;
                *dropped = dropped.saturating_add(i64::try_from(gone).unwrap_or(i64::MAX));
            }
        });
        let dropped = dropped.await;
        let said = entries.iter().map(|(_, why)| why);
        problems.extend(said.map(|why| format!("outbox of Canary {name}: dropped {why}")));
        if let Err(error) = dropped {
            problems.push(format!("outbox of Canary {name}: {error}"));
        }
    }
    problems
}

async fn forget_all(cluster: &Cluster, delivered: &Delivered) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, settled) in &delivered.0 {
        if let Err(error) = forget(cluster, name, settled).await {
            problems.push(format!("outbox of Canary {name}: {error}"));
        }
    }
    problems
}

/// Takes from an outbox what has arrived, and notes in it what was refused.
async fn forget(cluster: &Cluster, name: &str, settled: &[Settled]) -> Result<(), Error> {
    edit(cluster, name, |status| {
        let outbox = std::mem::take(&mut status.outbox).into_iter();
        status.outbox = outbox.filter_map(|value| left(value, settled)).collect();
    })
    .await
}

/// Writes the status of a canary, as it is by now, with a change of its outbox.
async fn edit(
    cluster: &Cluster,
    name: &str,
    change: impl Fn(&mut CanaryStatus),
) -> Result<(), Error> {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    let mut last = Error::Conflict;
    for _ in 0..ATTEMPTS {
        let canary = match cluster.get(&CANARY, namespace, name).await {
            Ok(canary) => claim::parse(canary)?,
            // Its outbox is gone with it.
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        let status = canary.status.clone().unwrap_or_default();
        let mut next = status.clone();
        change(&mut next);
        if next == status {
            return Ok(());
        }
        match claim::write(cluster, &canary, &next).await {
            Ok(_) => return Ok(()),
            // Whether it was carried out shows when it is read again.
            Err(error @ (Error::Conflict | Error::Unanswered(_))) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
