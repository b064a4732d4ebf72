//! The series of a pass as text, for Pushgateway and `/metrics`: Flagger's names, and `davy_*`.
//! All from what status says, so that a page that is lost or sent twice changes nothing.

mod families;

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, CheckStatus, ConditionStatus, Phase, Totals, Verdict};
use crate::metrics;
use crate::pass::report::{Outcome, Report};
use crate::pass::snapshot::percent;
use crate::pass::terms;
use crate::pass::totals::{self, BOUNDS};
use families::{
    ANALYSIS, DRIFT, DURATION, FAILURES, Family, INFO, ITERATIONS, OUTBOX, OUTBOX_DROPPED,
    OUTBOX_OLDEST, PASS_CANARIES, PASS_DURATION, PASS_REQUESTS, PASS_TIME, PHASE, READY, STATUS,
    SUCCESSES, TOTAL, VERDICT, WEIGHT,
};

/// The content type of the text.
pub use prometheus::TEXT_FORMAT;

/// A canary as its series tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    namespace: String,
    /// Flagger's label `name` is the target's name.
    target: String,
    strategy: &'static str,
    phase: Option<Phase>,
    weight: u8,
    iterations: i64,
    checks: Vec<CheckStatus>,
    totals: Totals,
    waiting: Waiting,
    /// Condition Ready, with its reason.
    ready: Option<(bool, String)>,
}

/// What waits in an outbox.
#[derive(Clone, Debug, Default, PartialEq)]
struct Waiting {
    entries: usize,
    since: Option<Timestamp>,
}

impl Waiting {
    /// An entry that this version cannot read waits as well; it only does not say since when.
    fn of(outbox: &[Value]) -> Self {
        let times = outbox
            .iter()
            .flat_map(|entry| [&entry["record"]["time"], &entry["told"]["time"]])
            .filter_map(|time| time.as_str()?.parse().ok());
        Self {
            entries: outbox.len(),
            since: times.min(),
        }
    }
}

impl Subject {
    pub fn of(canary: &Canary, status: &CanaryStatus) -> Self {
        Self {
            namespace: canary.metadata.namespace.clone().unwrap_or_default(),
            target: canary.spec.target_ref.name.clone(),
            strategy: strategy(canary),
            phase: status.phase,
            weight: percent(status.canary_weight),
            iterations: status.iterations.unwrap_or(0),
            checks: status.checks.clone(),
            totals: status.totals.clone().unwrap_or_default(),
            waiting: Waiting::of(&status.outbox),
            ready: ready(status),
        }
    }
}

fn ready(status: &CanaryStatus) -> Option<(bool, String)> {
    let ready = status.condition("Ready")?;
    Some((ready.status == ConditionStatus::True, ready.reason.clone()))
}

/// The values of Flagger's label `deployment_strategy`.
fn strategy(canary: &Canary) -> &'static str {
    match terms::analysis(canary) {
        Some(analysis) if !analysis.r#match.is_empty() => "ab-testing",
        Some(analysis) if analysis.iterations.unwrap_or(0) > 0 => "blue-green",
        _ => "canary",
    }
}

/// As status writes it.
fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::NoData => "noData",
        Verdict::TooLittleData => "tooLittleData",
        Verdict::Error => "error",
        Verdict::Pending => "pending",
    }
}

/// Every series of a pass.
pub fn text(report: &Report, mesh_provider: &str) -> String {
    let mut page = Page::default();
    let info = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("mesh_provider", mesh_provider),
    ];
    page.gauge(&INFO, &info, 1.0);
    for subject in &report.subjects {
        let namespace = [("namespace", &*subject.namespace)];
        page.add(&TOTAL, &namespace, 1.0);
        page.health(subject);
        page.release(subject);
        page.checks(subject);
        page.ends(subject);
        page.outbox(subject);
    }
    page.pass(report);
    page.text()
}

type Labels<'a> = [(&'static str, &'a str)];

/// One series of a family by its labels: two canaries may share theirs, and a page with a series
/// twice is refused as a whole.
#[derive(Default)]
struct Page {
    families: BTreeMap<&'static str, (&'static str, MetricType, Series)>,
}

type Series = BTreeMap<Vec<(&'static str, String)>, Sample>;

enum Sample {
    Number(f64),
    Analyses(Totals),
}

impl Page {
    /// Whether somebody must look at it, and whose changes were undone.
    fn health(&mut self, subject: &Subject) {
        let (namespace, target) = (&*subject.namespace, &*subject.target);
        if let Some((is_ready, reason)) = &subject.ready {
            let labels = [
                ("name", target),
                ("namespace", namespace),
                ("reason", &**reason),
            ];
            self.gauge(&READY, &labels, f64::from(u8::from(*is_ready)));
        }
        for (what, count) in &subject.totals.drift {
            // A kind has no slash; a manager may.
            let (kind, manager) = what.split_once('/').unwrap_or((what, ""));
            let labels = [
                ("name", target),
                ("namespace", namespace),
                ("kind", kind),
                ("manager", manager),
            ];
            self.add(&DRIFT, &labels, number(*count));
        }
    }

    /// How far a release is.
    fn release(&mut self, subject: &Subject) {
        let Some(phase) = subject.phase else {
            return;
        };
        let (namespace, target) = (&*subject.namespace, &*subject.target);
        let of_canary = [("name", target), ("namespace", namespace)];
        self.gauge(
            &STATUS,
            &of_canary,
            match phase {
                Phase::Progressing => 0.0,
                Phase::Failed => 2.0,
                _ => 1.0,
            },
        );
        let primary = format!("{target}-primary");
        for (workload, weight) in [(&*primary, 100 - subject.weight), (target, subject.weight)] {
            let labels = [("workload", workload), ("namespace", namespace)];
            self.gauge(&WEIGHT, &labels, f64::from(weight));
        }
        let phase = format!("{phase:?}");
        let labels = [
            ("name", target),
            ("namespace", namespace),
            ("phase", &phase),
        ];
        self.gauge(&PHASE, &labels, 1.0);
        self.gauge(&ITERATIONS, &of_canary, number(subject.iterations));
    }

    /// What the checks answered last. The threshold is a label of the verdict, so that it can
    /// stand beside the value.
    fn checks(&mut self, subject: &Subject) {
        if subject.phase.is_none() {
            return;
        }
        let (namespace, target) = (&*subject.namespace, &*subject.target);
        for check in &subject.checks {
            let metric = ("metric", &*check.metric);
            let labels = [
                ("name", target),
                ("namespace", namespace),
                metric,
                ("threshold", check.threshold.as_deref().unwrap_or_default()),
                ("verdict", verdict(check.verdict)),
            ];
            self.gauge(&VERDICT, &labels, 1.0);
            let Some(value) = check.value else { continue };
            let scale = if metrics::is_in_milliseconds(&check.metric) {
                1_000.0
            } else {
                1.0
            };
            let labels = [("name", target), ("namespace", namespace), metric];
            self.gauge(&ANALYSIS, &labels, value / scale);
        }
    }

    /// How the releases before ended. Counters are there at zero from the beginning: one that
    /// appears with its first count has risen from nothing, which no rate shows.
    fn ends(&mut self, subject: &Subject) {
        let (namespace, target) = (&*subject.namespace, &*subject.target);
        let totals = &subject.totals;
        let skipped = totals.skipped.clamp(0, totals.promotions.max(0));
        for (family, status, count) in [
            (&SUCCESSES, "completed", totals.promotions - skipped),
            (&SUCCESSES, "skipped", skipped),
            (&FAILURES, "completed", totals.rollbacks),
        ] {
            let labels = [
                ("name", target),
                ("namespace", namespace),
                ("deployment_strategy", subject.strategy),
                ("analysis_status", status),
            ];
            self.add(family, &labels, number(count));
        }
        let labels = [("name", target), ("namespace", namespace)];
        let totals = Sample::Analyses(totals.clone());
        self.series(&DURATION).insert(owned(&labels), totals);
    }

    fn outbox(&mut self, subject: &Subject) {
        let (namespace, target) = (&*subject.namespace, &*subject.target);
        let labels = [("name", target), ("namespace", namespace)];
        let entries = i64::try_from(subject.waiting.entries).unwrap_or(i64::MAX);
        self.gauge(&OUTBOX, &labels, number(entries));
        let dropped = number(subject.totals.dropped);
        self.add(&OUTBOX_DROPPED, &labels, dropped);
        if let Some(since) = subject.waiting.since {
            let since = since.as_duration().as_secs_f64();
            self.gauge(&OUTBOX_OLDEST, &labels, since);
        }
    }

    fn pass(&mut self, report: &Report) {
        let started = report.started.as_duration().as_secs_f64();
        self.gauge(&PASS_TIME, &[], started);
        self.gauge(&PASS_DURATION, &[], report.seconds);
        for outcome in Outcome::ALL {
            let count = i64::try_from(report.count(*outcome)).unwrap_or(i64::MAX);
            let labels = [("outcome", outcome.name())];
            self.gauge(&PASS_CANARIES, &labels, number(count));
        }
        let requests = i64::try_from(report.api_requests).unwrap_or(i64::MAX);
        self.gauge(&PASS_REQUESTS, &[], number(requests));
    }

    fn gauge(&mut self, family: &Family, labels: &Labels<'_>, value: f64) {
        self.series(family)
            .insert(owned(labels), Sample::Number(value));
    }

    fn add(&mut self, family: &Family, labels: &Labels<'_>, value: f64) {
        let zero = Sample::Number(0.0);
        let series = self.series(family).entry(owned(labels)).or_insert(zero);
        if let Sample::Number(sum) = series {
            *sum += value;
        }
    }

    fn series(&mut self, Family(name, help, kind): &Family) -> &mut Series {
        let family = self.families.entry(name);
        &mut family.or_insert((help, *kind, Series::new())).2
    }

    fn text(self) -> String {
        let families: Vec<_> = self.families.into_iter().map(encoded).collect();
        // It refuses a family without series and writes to a String: neither is possible.
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }
}

fn encoded(
    (name, (help, kind, series)): (&'static str, (&'static str, MetricType, Series)),
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    let metrics = series.into_iter().map(|(labels, value)| {
        let mut metric = Metric::from_label(labels.into_iter().map(label).collect());
        match (value, kind) {
            (Sample::Analyses(totals), _) => metric.set_histogram(histogram(&totals)),
            (Sample::Number(value), MetricType::COUNTER) => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            (Sample::Number(value), _) => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        metric
    });
    family.set_metric(metrics.collect());
    family
}

fn label((name, value): (&'static str, String)) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value);
    label
}

fn histogram(totals: &Totals) -> Histogram {
    let mut sum = 0_u64;
    let cumulative: Vec<u64> = totals::buckets(totals)
        .into_iter()
        .map(|count| {
            sum = sum.saturating_add(u64::try_from(count).unwrap_or(0));
            sum
        })
        .collect();
    let buckets = BOUNDS.iter().zip(cumulative).map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    // What is beyond the last bound is in the count only, and in the encoder's +Inf.
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(sum);
    histogram.set_sample_sum(totals.analysis_seconds_sum);
    histogram
}

fn owned(labels: &Labels<'_>) -> Vec<(&'static str, String)> {
    labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a series is a float; a count that loses by it is none that anybody reads"
)]
fn number(count: i64) -> f64 {
    count.max(0) as f64
}
