//! `status` of a Canary: Flagger's fields, and what a pass needs to know of the passes before it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use serde_json::Value;

use crate::api::analysis::OnNoData;
use crate::api::checks::Metric;
use crate::api::record::Release;
use crate::api::schema;

/// What should be, and what the last passes saw. Traffic follows it: do not edit it by hand.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Where the release is. Initializing: the primary is being made. Initialized: it serves, and no
    /// release was made yet. Waiting: a new version waits for confirm-rollout. Progressing: it is
    /// being judged. WaitingPromotion: it passed and waits for confirm-promotion. Promoting: the
    /// primary is getting the new version. Finalising: the primary has the traffic back and the
    /// canary goes to zero. Succeeded, Failed: how the last release ended. Terminating: the Canary is
    /// being deleted and the target gets its traffic back.
    #[serde(
        default,
        deserialize_with = "empty_is_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub phase: Option<Phase>,

    /// Percentage of the traffic that the canary gets. 0 throughout a blue/green release or A/B test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_weight: Option<i64>,

    /// Percentage that the route should show, where it shows canaryWeight instead: a write that was
    /// refused or has not come through yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_weight: Option<i64>,

    /// When the traffic last moved, and what moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,

    /// Failed checks of this analysis; threshold says how many roll back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_checks: Option<i64>,

    /// Iterations done, of a blue/green release or A/B test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<i64>,

    /// Hash of the target's template that was last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_applied_spec: Option<String>,

    /// Hash of the target's template that was last promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_promoted_spec: Option<String>,

    /// Checksums of the ConfigMaps and Secrets that the target uses, by configmap/name or
    /// secret/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::by_config")]
    pub tracked_configs: Option<BTreeMap<String, String>>,

    /// The canary's cookie of this release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub session_affinity_cookie: Option<String>,

    /// The canary's cookie of the release before, which browsers are told to forget.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub previous_session_affinity_cookie: Option<String>,

    /// The primary's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub primary_session_affinity_cookie: Option<String>,

    /// When this status was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,

    /// Promoted says whether the newest version has all of the traffic; Ready, Reconciling and
    /// Stalled say the same in the words that kubectl wait and GitOps tools know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<CanaryCondition>,

    /// Generation of the Canary that this status was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Why the release is where it is, and what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,

    /// What the release waits for, and since when; each reason has its own deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,

    /// Since when the Canary has been suspended while a release was under way. The time until it is
    /// resumed counts for no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub suspended_since: Option<Time>,

    /// When this analysis began. What it takes until a promotion or a rollback goes into the totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub analysis_since: Option<Time>,

    /// When the analysis last took a step: began, moved traffic, or judged its checks. The interval
    /// counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub stepped_at: Option<Time>,

    /// The analysis as it was when it was last valid. Where the Canary has become invalid in the
    /// middle of a release, that release ends by these settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<AnalysisSettings>,

    /// Checks of this analysis without an answer; errorThreshold says how many are borne.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_checks: Option<i64>,

    /// Hash of the template that the primary should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub primary_spec: Option<String>,

    /// Hash of the primary's template before the promotion, which it gets back when it does not
    /// become ready with the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub previous_spec: Option<String>,

    /// Checksums of the ConfigMaps and Secrets that the primary should use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::by_config")]
    pub promoted_configs: Option<BTreeMap<String, String>>,

    /// The resourceVersions at which the checksums were taken: what is still at its version need not
    /// be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::by_config")]
    pub config_versions: Option<BTreeMap<String, String>>,

    /// Which objects the traffic goes through. Where the Canary names others by now, the traffic
    /// moves to those once no release is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,

    /// Whether the target runs, and the replicas of the primary when status was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,

    /// Objects that an admission policy stores otherwise than they were sent: what was sent and what
    /// was stored. They count as written for as long as both stay the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub stored: Vec<StoredObject>,

    /// Repairs of an object that somebody else changes again and again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<Repairs>,

    /// The last step: what one pass said it would do before it did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,

    /// The last answers of the checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub checks: Vec<CheckStatus>,

    /// What is being released, by whom, and how far it came; kept where promotion records are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,

    /// Digest of the last promotion record; the next one names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_record: Option<String>,

    /// What happened and was not told everywhere yet. An entry goes when it is known to have arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::outbox")]
    pub outbox: Vec<Value>,

    /// Counts over the life of the Canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,

    /// What the first Flagger, flagger.app/v1alpha1, calls phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub state: Option<String>,

    /// What the first Flagger, flagger.app/v1alpha1, calls lastAppliedSpec.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub canary_revision: Option<String>,
}

/// Where a release is.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[schemars(transform = schema::or_empty)]
pub enum Phase {
    Initializing,
    Initialized,
    Waiting,
    Progressing,
    WaitingPromotion,
    Promoting,
    Finalising,
    Succeeded,
    Failed,
    Terminating,
    Terminated,
}

/// Flagger writes an empty phase before it has begun.
fn empty_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Phase>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Phase::deserialize(text.into_deserializer()).map(Some),
    }
}

/// One thing that is true, false or not known of a Canary.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryCondition {
    /// What is true, false or unknown: Promoted, Ready, Reconciling or Stalled.
    #[schemars(length(max = 316))]
    pub r#type: String,

    /// Whether it is so: True, False or Unknown.
    pub status: ConditionStatus,

    /// One word that says why; of Promoted, the phase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// A sentence that says why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32768))]
    pub message: String,

    /// When the condition was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_update_time: Option<Time>,

    /// When its status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,
}

/// Whether a condition holds.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    #[default]
    Unknown,
}

/// What a release waits for, by reason.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// The pods of the canary are not ready; progressDeadlineSeconds counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Wait>,

    /// There is no evidence: checks without an answer, or a Canary that has become invalid;
    /// holdDeadline counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Wait>,

    /// The primary is not ready; holdDeadline counts, and during a promotion
    /// progressDeadlineSeconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Wait>,
}

/// One reason to wait.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// Since when.
    #[schemars(schema_with = "schema::time")]
    pub since: Time,

    /// When the reason was gone. It has to stay away for an interval, or else goes on since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub gone: Option<Time>,

    /// The furthest that a rollout has come, in pods. Only what goes beyond it is progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<i64>,
}

/// When the traffic last moved, and what moved it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Number of the step that last moved traffic.
    #[schemars(range(min = 0))]
    pub step: i64,

    /// When that step was seen to be written, where a later step has written the same objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub moved_at: Option<Time>,

    /// The canary's percentage before it took over from a primary without ready pods. It has that
    /// again when the primary is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,

    /// How often somebody else took traffic off the canary in this analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowered: Option<i64>,

    /// Whether the canary has all of the traffic because an update of the primary leaves it without
    /// pods: it is updated once its connections have ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub ahead_of_update: bool,
}

/// What an analysis is judged by, as the Canary had it when it was last valid.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisSettings {
    /// Time between two steps; none where each pass takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub interval: Option<String>,

    /// Failed checks that roll back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,

    /// Checks without an answer after which onNoData says what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<i64>,

    /// What follows then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_no_data: Option<OnNoData>,

    /// How long the analysis may be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hold_deadline: Option<String>,

    /// Seconds that a rollout may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i64>,

    /// The checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub metrics: Vec<Metric>,
}

/// Which objects the traffic goes through.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// Provider of the route.
    #[schemars(length(max = 63))]
    pub provider: String,

    /// Kind of the target.
    #[schemars(length(max = 63))]
    pub target_kind: String,

    /// Name of the target.
    #[schemars(length(max = 253))]
    pub target: String,

    /// Name of the Service that clients call.
    #[schemars(length(max = 253))]
    pub service: String,

    /// Whether clients are led to the primary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub clients_moved: bool,

    /// Whether the primary was made for this layout and has not served yet: it may be made anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub primary_is_new: bool,

    /// Whether Services and routes were given back, for a Canary that is being deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub given_back: bool,

    /// The phase before the traffic moved here, to which the Canary returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Phase>,
}

/// Whether the target runs, and the replicas of the primary.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Whether the target runs.
    pub target: TargetScale,

    /// Replicas of the primary when status was last written: one that was lost is made again with as
    /// many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<i64>,

    /// Replicas that a primary needs in order to take over from the canary that is being promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<i64>,
}

/// Whether the target runs.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetScale {
    /// As its owner has it: the application still runs on it.
    #[default]
    AsItIs,
    /// It runs: it is the canary.
    Up,
    /// It is at zero replicas.
    Zero,
}

/// An object that is stored otherwise than it was sent.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    /// Group and version of the object.
    #[schemars(length(max = 253))]
    pub api_version: String,

    /// Kind of the object.
    #[schemars(length(max = 63))]
    pub kind: String,

    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,

    /// Hash of what was sent.
    #[schemars(length(max = 256))]
    pub sent: String,

    /// Hash of what the API server stored.
    #[schemars(length(max = 256))]
    pub stored: String,

    /// Hash of the pod template that was sent, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub sent_template: Option<String>,

    /// Hash of the pod template that was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub stored_template: Option<String>,
}

/// Repairs of an object that somebody else changes again and again.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repairs {
    /// Kind and name of the object.
    #[schemars(length(max = 320))]
    pub object: String,

    /// Repairs in a row. Each waits twice as long as the one before.
    pub count: i64,

    /// When it was last repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub at: Option<Time>,
}

/// What one pass said it would do before it did it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Number of the step; each is one more than the one before.
    #[schemars(range(min = 0))]
    pub number: i64,

    /// When the step was written here.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,

    /// Events that tell of the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub events: Vec<StepEvent>,

    /// Objects that the step writes, as they were before it. One that is still at its
    /// resourceVersion has not been written, and the next pass does it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub objects: Vec<StepObject>,
}

/// An Event that tells of a step.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEvent {
    /// Whether all is well: Normal or Warning.
    pub r#type: EventType,

    /// Text of the Event.
    #[schemars(length(max = 1024))]
    pub message: String,

    /// The Event is posted once the route shows the weight of the step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub when_shown: bool,
}

/// Type of an Event.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    #[default]
    Normal,
    Warning,
}

/// An object that a step writes, as it was before.
#[derive(
    JsonSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct StepObject {
    /// Group and version of the object.
    #[schemars(length(max = 253))]
    pub api_version: String,

    /// Kind of the object.
    #[schemars(length(max = 63))]
    pub kind: String,

    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,

    /// resourceVersion of the object before the step; empty when there was no such object.
    #[schemars(length(max = 128))]
    pub resource_version: String,
}

/// The last answer of a check.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckStatus {
    /// Name of the check.
    #[schemars(length(max = 253))]
    pub metric: String,

    /// What the answer means. Only fail counts as a failed check; noData, tooLittleData and error
    /// hold the weight where it is.
    pub verdict: Verdict,

    /// The number that was answered, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,

    /// The values that pass, for example >= 99.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub threshold: Option<String>,

    /// How many samples the number stands on, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<f64>,

    /// Why the verdict is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub why: Option<String>,
}

/// What the answer of a check means.
#[derive(
    JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Pass,
    Fail,
    #[default]
    NoData,
    TooLittleData,
    Error,
}

/// Counts over the life of a Canary.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// New versions promoted.
    #[serde(default)]
    #[schemars(transform = schema::without_default)]
    pub promotions: i64,

    /// Those of them that were promoted without an analysis, by skipAnalysis.
    #[serde(default)]
    #[schemars(transform = schema::without_default)]
    pub skipped: i64,

    /// New versions rolled back.
    #[serde(default)]
    #[schemars(transform = schema::without_default)]
    pub rollbacks: i64,

    /// Analyses by how long they took: one count for each bucket of the histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub analysis_seconds: Vec<i64>,

    /// Seconds that all analyses took together.
    #[serde(default)]
    #[schemars(transform = schema::without_default)]
    pub analysis_seconds_sum: f64,

    /// Repairs of what somebody else had changed, by Kind/field manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::counts")]
    pub drift: BTreeMap<String, i64>,
}
