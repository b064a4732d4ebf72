//! The families of a page: Flagger's, whose names and labels its users' dashboards ask for, and ours.
//! A name or label that changes here breaks what somebody has built on it.

use prometheus::proto::MetricType;

/// A family: its name, its help, its type.
pub(super) struct Family(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) MetricType,
);

pub(super) const INFO: Family = Family(
    "flagger_info",
    "Version and default routing provider.",
    MetricType::GAUGE,
);
pub(super) const TOTAL: Family = Family(
    "flagger_canary_total",
    "Canaries by namespace.",
    MetricType::GAUGE,
);
pub(super) const STATUS: Family = Family(
    "flagger_canary_status",
    "Last status: 0 in progress, 1 successful or at rest, 2 failed.",
    MetricType::GAUGE,
);
pub(super) const WEIGHT: Family = Family(
    "flagger_canary_weight",
    "Percent of the traffic by workload.",
    MetricType::GAUGE,
);
pub(super) const ANALYSIS: Family = Family(
    "flagger_canary_metric_analysis",
    "Last value of a check; durations in seconds.",
    MetricType::GAUGE,
);
pub(super) const DURATION: Family = Family(
    "flagger_canary_duration_seconds",
    "Seconds that analyses took, from the new version to its end.",
    MetricType::HISTOGRAM,
);
pub(super) const SUCCESSES: Family = Family(
    "flagger_canary_successes_total",
    "New versions promoted.",
    MetricType::COUNTER,
);
pub(super) const FAILURES: Family = Family(
    "flagger_canary_failures_total",
    "New versions rolled back.",
    MetricType::COUNTER,
);
pub(super) const PHASE: Family = Family(
    "davy_canary_phase",
    "1 for the phase in which the canary is.",
    MetricType::GAUGE,
);
pub(super) const READY: Family = Family(
    "davy_canary_ready",
    "1 if condition Ready is true, else 0, with the reason that it gives.",
    MetricType::GAUGE,
);
pub(super) const DRIFT: Family = Family(
    "davy_drift_total",
    "Repairs of what somebody else had changed, by kind of object and field manager.",
    MetricType::COUNTER,
);
pub(super) const ITERATIONS: Family = Family(
    "davy_canary_iterations",
    "Iterations done, of a blue/green release or A/B test.",
    MetricType::GAUGE,
);
pub(super) const VERDICT: Family = Family(
    "davy_canary_verdict",
    "1 for the last verdict of a check: pass, fail, noData, tooLittleData or error.",
    MetricType::GAUGE,
);
pub(super) const OUTBOX: Family = Family(
    "davy_outbox_entries",
    "Entries that waited to be told when the pass had decided.",
    MetricType::GAUGE,
);
pub(super) const OUTBOX_OLDEST: Family = Family(
    "davy_outbox_oldest_timestamp_seconds",
    "When the oldest of them was made.",
    MetricType::GAUGE,
);
pub(super) const OUTBOX_DROPPED: Family = Family(
    "davy_outbox_dropped_total",
    "Entries that were not their Canary's own: somebody else wrote its status.",
    MetricType::COUNTER,
);
pub(super) const PASS_TIME: Family = Family(
    "davy_pass_last_success_timestamp_seconds",
    "When the last pass began that read the canaries.",
    MetricType::GAUGE,
);
pub(super) const PASS_DURATION: Family = Family(
    "davy_pass_duration_seconds",
    "Seconds that it took.",
    MetricType::GAUGE,
);
pub(super) const PASS_CANARIES: Family = Family(
    "davy_pass_canaries",
    "Canaries of that pass by what became of them.",
    MetricType::GAUGE,
);
pub(super) const PASS_REQUESTS: Family = Family(
    "davy_pass_api_requests",
    "Requests of that pass to the Kubernetes API.",
    MetricType::GAUGE,
);
