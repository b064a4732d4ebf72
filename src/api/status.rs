//! `status` of a Canary: Flagger's fields, and what a pass needs to know of the passes before it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use serde_json::Value;

use crate::api::schema;

/// What should be, and what the last passes saw.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Where the release is.
    #[serde(
        default,
        deserialize_with = "empty_is_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub phase: Option<Phase>,

    /// Percentage of the traffic that the canary gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_weight: Option<i64>,

    /// Checks that have failed in this analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_checks: Option<i64>,

    /// Iterations done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<i64>,

    /// Hash of the template that was last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_applied_spec: Option<String>,

    /// Hash of the template that was last promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_promoted_spec: Option<String>,

    /// Checksums of the ConfigMaps and Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,

    /// The canary's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_cookie: Option<String>,

    /// The canary's cookie of the last release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_session_affinity_cookie: Option<String>,

    /// The primary's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_session_affinity_cookie: Option<String>,

    /// When this status was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,

    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<CanaryCondition>,

    /// Generation of the Canary that this status was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Why the release is where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// Since when the analysis is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub held_since: Option<Time>,

    /// Checks of this analysis that had no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_checks: Option<i64>,

    /// Hash of the template that the primary should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_spec: Option<String>,

    /// Hash of the primary's template before the promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_spec: Option<String>,

    /// Checksums of the ConfigMaps and Secrets that were last promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_configs: Option<BTreeMap<String, String>>,

    /// The resourceVersions that the checksums were taken at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_versions: Option<BTreeMap<String, String>>,

    /// The last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,

    /// The last answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckStatus>,

    /// What is still to be delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::free_list")]
    pub outbox: Vec<Value>,

    /// Counts over the life of the Canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,

    /// The first Flagger's name for `phase`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,

    /// The first Flagger's name for `lastAppliedSpec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_revision: Option<String>,
}

/// Where a release is.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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
    /// What it is about.
    pub r#type: String,

    /// Whether it is so.
    pub status: ConditionStatus,

    /// One word that says why.
    #[serde(default)]
    pub reason: String,

    /// A sentence that says why.
    #[serde(default)]
    pub message: String,

    /// When the condition was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_update_time: Option<Time>,

    /// When its status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// What one pass claimed to do.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Counts the steps of this Canary.
    pub number: i64,

    /// When it was claimed.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,

    /// Events of the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<StepEvent>,

    /// Objects that the step writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<StepObject>,
}

/// An Event of a step.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEvent {
    /// Normal or Warning.
    pub r#type: EventType,

    /// Text.
    pub message: String,
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
    /// Group and version.
    pub api_version: String,

    /// Kind.
    pub kind: String,

    /// Name.
    pub name: String,

    /// Its resourceVersion; empty when it did not exist.
    pub resource_version: String,
}

/// The last answer of a check.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckStatus {
    /// Name of the check.
    pub metric: String,

    /// What the answer means.
    pub verdict: Verdict,

    /// The number that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,

    /// The range that it was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,

    /// How many samples the number stands on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<f64>,

    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// Promotions.
    #[serde(default)]
    pub promotions: i64,

    /// Rollbacks.
    #[serde(default)]
    pub rollbacks: i64,

    /// Analyses by duration, one count per histogram bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analysis_seconds: Vec<i64>,

    /// Seconds of all analyses together.
    #[serde(default)]
    pub analysis_seconds_sum: f64,
}
