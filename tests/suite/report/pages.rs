//! Many rollouts, made from real ones: stories are played once, and their records written again
//! under other names, at other times, with other images. The same at every run.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use davy::api::record::{Check, Outcome, Record, Release};
use davy::records::chain::Filed;
use davy::report::{Period, Trail, dora, html};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Every kind of an end, and checks that pass, fail and are not answered.
const STORIES: [&str; 6] = [
    "promoted",
    "rolled-back",
    "metrics-outage",
    "primary-never-ready",
    "new-revision-midway",
    "set-back-midway",
];
const CANARIES: [(&str, &str, &str); 5] = [
    ("production", "shop", "cart"),
    ("production", "shop", "checkout"),
    ("production", "search", "index"),
    ("staging", "shop", "cart"),
    ("staging", "shop", "a-recommendation-service"),
];

/// What was asked, as Istio's metrics are asked.
const CHECKS: [(&str, &str, Option<f64>, Option<f64>); 2] = [
    (
        "request-success-rate",
        r#"sum(
  rate(
    istio_requests_total{
      reporter="destination",
      destination_workload_namespace="NAMESPACE",
      destination_workload=~"TARGET",
      response_code!~"5.*"
    }[1m]
  )
)
/
sum(
  rate(
    istio_requests_total{
      reporter="destination",
      destination_workload_namespace="NAMESPACE",
      destination_workload=~"TARGET"
    }[1m]
  )
)
* 100"#,
        Some(99.0),
        None,
    ),
    (
        "request-duration",
        r#"histogram_quantile(
  0.99,
  sum(
    rate(
      istio_request_duration_milliseconds_bucket{
        reporter="destination",
        destination_workload_namespace="NAMESPACE",
        destination_workload=~"TARGET"
      }[1m]
    )
  ) by (le)
)"#,
        None,
        Some(500.0),
    ),
];

/// The records of each story, or `None` where programs are missing.
pub(super) fn stories() -> Option<&'static [Vec<Record>]> {
    static STORIES_PLAYED: OnceLock<Option<Vec<Vec<Record>>>> = OnceLock::new();
    let played = STORIES_PLAYED.get_or_init(|| {
        let stories = STORIES.iter().map(|story| {
            let place = super::played(story)?;
            let files = super::trail(&place);
            let mut records: Vec<Record> = files
                .iter()
                .map(|file| davy::records::parse(&file.bytes).expect("a record"))
                .collect();
            records.sort_by_key(|record| (record.time.0, record.step));
            Some(records)
        });
        stories.collect()
    });
    played.as_deref()
}

/// Files with at least so many rollouts, and the time at which they are looked at.
pub(super) fn files(rollouts: usize) -> Option<(Vec<Filed>, Timestamp)> {
    let stories = stories()?;
    let begin: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
    let mut now = begin;
    let mut last: BTreeMap<_, (String, i64)> = BTreeMap::new();
    let mut files = Vec::new();
    let mut made = 0;
    for turn in 0.. {
        if made >= rollouts {
            break;
        }
        // Five and six have no common divisor: every canary sees every story.
        let canary = CANARIES[turn % CANARIES.len()];
        let story = &stories[turn % stories.len()];
        for record in story {
            if record.outcome == Outcome::Initialized && last.contains_key(&canary) {
                continue;
            }
            let before = last.get(&canary);
            let mut record = renamed(record, turn, canary);
            let hours = i64::try_from(turn).unwrap() * 3;
            moved(
                &mut record,
                story[0].time.0,
                begin + SignedDuration::from_hours(hours),
            );
            record.previous = before.map(|(digest, _)| digest.clone());
            record.step += before.map_or(0, |(_, step)| *step);
            let bytes = davy::records::bytes(&record);
            let digest = davy::records::digest(&bytes);
            now = record.time.0;
            made += usize::from(is_rollout(&record));
            files.push(Filed {
                path: davy::records::path(&record),
                bytes,
                commit: digest[7..47].to_owned(),
                at: record.time.0,
                doubt: None,
                changes: Vec::new(),
            });
            last.insert(canary, (digest, record.step));
        }
    }
    Some((files, now + SignedDuration::from_mins(40)))
}

/// A story's last record is one that ends it; none is still going on.
fn is_rollout(record: &Record) -> bool {
    !matches!(record.outcome, Outcome::Initialized | Outcome::NewRevision)
}

fn renamed(record: &Record, turn: usize, canary: (&str, &str, &str)) -> Record {
    let mut record = record.clone();
    (record.cluster, record.namespace, record.canary) = (
        canary.0.to_owned(),
        canary.1.to_owned(),
        canary.2.to_owned(),
    );
    record.uid = format!("{}-{}-{}", canary.0, canary.1, canary.2);
    if let Some(release) = &mut record.release {
        let image = |number: usize| {
            vec![format!(
                "registry.example/{}/{}:1.{number}.0",
                canary.1, canary.2
            )]
        };
        if let Some(from) = &mut release.from {
            from.images = image(turn / CANARIES.len());
        }
        release.to.images = image(turn / CANARIES.len() + 1);
        release.actor = Some(["argocd-controller", "kubectl-edit", "helm"][turn % 3].to_owned());
        release.change_cause = Some(format!("Change {turn} to what customers see"));
        release.commit = Some(format!("{:040x}", turn * 7_919 + 1));
    }
    if let Some(terms) = &mut record.analysis {
        terms.checks = CHECKS
            .map(|(metric, query, min, max)| Check {
                metric: metric.to_owned(),
                query: query
                    .replace("TARGET", canary.2)
                    .replace("NAMESPACE", canary.1),
                min,
                max,
            })
            .to_vec();
    }
    record
}

/// Moves every time by as much as `from` is from `to`; three of four commits say when they were made.
fn moved(record: &mut Record, from: Timestamp, to: Timestamp) {
    let by = to.duration_since(from);
    let shift = |time: &mut Time| time.0 += by;
    shift(&mut record.time);
    if let Some(release) = &mut record.release {
        let Release { began, steps, .. } = release;
        shift(began);
        for step in steps {
            shift(&mut step.time);
        }
        let before = SignedDuration::from_mins(to.as_second() / 3_600 * 37 % 900 + 5);
        let is_known = to.as_second() / 3_600 % 4 != 0;
        release.commit_time = is_known.then(|| Time(release.began.0 - before));
    }
}

/// The page of files at a time.
pub(super) fn page(files: &[Filed], now: Timestamp) -> String {
    let trail = Trail::new(files);
    let period = Period::new(None, trail.times(), now);
    html::page(&trail, &dora::measure(trail.records(), period))
}
