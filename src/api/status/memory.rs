//! What a pass needs to know of the passes before it: clocks, traffic, the layout, what the API server
//! made of writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::analysis::OnNoData;
use crate::api::checks::Metric;
use crate::api::schema;

use super::Phase;

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

    /// Whether canaryWeight is a percentage of the requests that spec.analysis.match describes, and
    /// the primary has all others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub matched: bool,

    /// Whether the canary gets copies of requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub mirrored: bool,

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
    pub primary_replicas: Option<i64>,

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

/// A webhook that was called and has not consented yet: each pass asks it again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingHook {
    /// Type and name of the webhook.
    #[schemars(length(max = 128))]
    pub id: String,

    /// Number of the step before the first call: all calls of the question bear it in their key.
    #[schemars(range(min = 0))]
    pub step: i64,

    /// When it was first called.
    #[schemars(schema_with = "schema::time")]
    pub since: Time,

    /// Retries so far.
    #[serde(default, skip_serializing_if = "crate::api::record::is_zero")]
    #[schemars(range(min = 0), transform = schema::without_default)]
    pub attempts: i64,

    /// Where it tells how far it is, after an answer of 202 that named the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub location: Option<String>,
}
