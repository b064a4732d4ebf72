//! DORA's metrics of software delivery, from promotion records.
//!
//! The names are those of dora.dev ("DORA's software delivery performance metrics"); older names in
//! brackets. A deployment is a promotion here: before it, a version has seen a part of the traffic
//! only.
//!
//! | metric | DORA's definition | what is counted |
//! |---|---|---|
//! | deployment frequency | deployments over a given period | promotions |
//! | change lead time (lead time for changes) | from committed to version control to deployed in production | from the target's `flagger.app/commit-time` to the promotion |
//! | change fail rate (change failure rate) | the ratio of deployments that require immediate intervention | rollbacks and failed promotions, of them and the promotions together |
//! | failed deployment recovery time (time to restore service) | the time to recover from a deployment that fails and requires immediate intervention | from a failure to the canary's next promotion |
//!
//! Releases that were superseded or reverted came to no verdict and count in neither number.
//! A rollback is counted as a failed deployment, although most users never saw it: the numbers are
//! stricter than DORA's where a canary protects. DORA's fifth metric, the deployment rework rate,
//! needs to know why a deployment was made, which no record tells.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Period, rollouts};
use crate::api::record::{Outcome, Record};

/// The metrics over a time, in all and by canary. What cannot be told is absent, never a zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dora {
    pub period: Period,
    #[serde(flatten)]
    pub all: Metrics,
    pub canaries: Vec<OfCanary>,
}

/// The metrics of one canary that came to an end at least once in the time, or was not recovered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfCanary {
    pub cluster: String,
    pub namespace: String,
    pub canary: String,
    #[serde(flatten)]
    pub metrics: Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    pub deployment_frequency: Frequency,
    pub change_lead_time: LeadTime,
    pub change_fail_rate: FailRate,
    pub failed_deployment_recovery_time: Recovery,
}

/// How often was deployed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frequency {
    pub promotions: usize,
    /// Absent where less than a day is known: one promotion in an hour is not 24 a day.
    pub per_day: Option<f64>,
    /// Absent where less than a week is known.
    pub per_week: Option<f64>,
}

/// How long a change took to be deployed. Promotions whose commit time is not known, or lies after
/// the promotion, are left out, and so `known` of `of` says how far the numbers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadTime {
    pub known: usize,
    pub of: usize,
    pub median_seconds: Option<i64>,
    /// The shortest time within which nine of ten were deployed.
    pub p90_seconds: Option<i64>,
}

/// Which part of the releases that came to an end failed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailRate {
    pub failed: usize,
    /// Promotions and failures; not what was superseded or reverted.
    pub ended: usize,
    /// 0 to 1; absent where nothing came to an end.
    pub rate: Option<f64>,
}

/// How long canaries took from a failure to their next promotion. Failures in a row are one, that
/// began with the first: trying again and failing shortens nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    pub recovered: usize,
    /// Of those that recovered; those still open are not in it.
    pub median_seconds: Option<i64>,
    /// Oldest first.
    pub open: Vec<Open>,
}

/// A canary without a promotion since a failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    pub since: Timestamp,
    pub cluster: String,
    pub namespace: String,
    pub canary: String,
    /// How many releases failed in a row.
    pub failures: usize,
}

/// Measures what ended in the period. A recovery belongs to it if a failure of it does.
///
/// `records` come in order of time, each once; those from before the period tell when a failure
/// began.
pub fn measure<'a>(records: impl Iterator<Item = &'a Record>, period: Period) -> Dora {
    let mut by_canary: BTreeMap<_, Vec<&Record>> = BTreeMap::new();
    for record in records.filter(|record| record.time.0 <= period.to) {
        by_canary
            .entry(rollouts::key(record))
            .or_default()
            .push(record);
    }
    let mut all = Tally::default();
    let mut canaries = Vec::new();
    for ((cluster, namespace, canary), records) in by_canary {
        let tally = Tally::of(&records, period);
        all.add(&tally);
        if tally.has_anything() {
            canaries.push(OfCanary {
                cluster: cluster.to_owned(),
                namespace: namespace.to_owned(),
                canary: canary.to_owned(),
                metrics: tally.metrics(period),
            });
        }
    }
    Dora {
        period,
        all: all.metrics(period),
        canaries,
    }
}

/// What is counted, before it is put into proportion.
#[derive(Debug, Default)]
struct Tally {
    promotions: usize,
    failures: usize,
    lead_times: Vec<i64>,
    recoveries: Vec<i64>,
    open: Vec<Open>,
}

impl Tally {
    /// Counts one canary's records.
    fn of(records: &[&Record], period: Period) -> Self {
        let mut tally = Self::default();
        // The failures since the last promotion.
        let mut failures: Vec<Timestamp> = Vec::new();
        for record in records {
            let time = record.time.0;
            let is_in = period.contains(time);
            match record.outcome {
                Outcome::Promoted => {
                    if is_in {
                        tally.promotions += 1;
                        tally.lead_times.extend(lead_time(record));
                    }
                    if let [first, .., last] | [first @ last] = failures[..]
                        && period.contains(last)
                    {
                        tally.recoveries.push(seconds(first, time));
                    }
                    failures.clear();
                }
                Outcome::RolledBack | Outcome::PromotionFailed => {
                    tally.failures += usize::from(is_in);
                    failures.push(time);
                }
                Outcome::Initialized
                | Outcome::NewRevision
                | Outcome::Superseded
                | Outcome::Reverted
                | Outcome::Held => {}
            }
        }
        if let (Some(first), Some(last), Some(record)) =
            (failures.first(), failures.last(), records.first())
            && period.contains(*last)
        {
            tally.open.push(Open {
                since: *first,
                cluster: record.cluster.clone(),
                namespace: record.namespace.clone(),
                canary: record.canary.clone(),
                failures: failures.len(),
            });
        }
        tally
    }

    fn add(&mut self, other: &Self) {
        let Self {
            promotions,
            failures,
            lead_times,
            recoveries,
            open,
        } = other;
        self.promotions += promotions;
        self.failures += failures;
        self.lead_times.extend(lead_times);
        self.recoveries.extend(recoveries);
        self.open.extend(open.iter().cloned());
    }

    /// Whether the canary has anything to tell.
    fn has_anything(&self) -> bool {
        self.promotions + self.failures > 0 || !self.open.is_empty()
    }

    fn metrics(&self, period: Period) -> Metrics {
        let days = period.days();
        let per = |length: f64| {
            // Counts are far below 2^52.
            #[expect(clippy::cast_precision_loss, reason = "a count of promotions")]
            let promotions = self.promotions as f64;
            (days >= length).then(|| promotions / days * length)
        };
        let ended = self.promotions + self.failures;
        #[expect(clippy::cast_precision_loss, reason = "a count of releases")]
        let rate = (ended > 0).then(|| self.failures as f64 / ended as f64);
        let mut open = self.open.clone();
        open.sort();
        Metrics {
            deployment_frequency: Frequency {
                promotions: self.promotions,
                per_day: per(1.0),
                per_week: per(7.0),
            },
            change_lead_time: LeadTime {
                known: self.lead_times.len(),
                of: self.promotions,
                median_seconds: median(&self.lead_times),
                p90_seconds: nearest_rank(&self.lead_times, 90),
            },
            change_fail_rate: FailRate {
                failed: self.failures,
                ended,
                rate,
            },
            failed_deployment_recovery_time: Recovery {
                recovered: self.recoveries.len(),
                median_seconds: median(&self.recoveries),
                open,
            },
        }
    }
}

/// From the commit to the promotion, where that is known and can be.
fn lead_time(record: &Record) -> Option<i64> {
    let committed = record.release.as_ref()?.commit_time.as_ref()?.0;
    (committed <= record.time.0).then(|| seconds(committed, record.time.0))
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

/// The middle of the values, or the mean of the two in the middle.
fn median(values: &[i64]) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(i64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

/// The smallest value that `percent` of them do not exceed: always one that was measured, also where
/// there are few.
fn nearest_rank(values: &[i64], percent: usize) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}
