//! The last step of a canary and its evidence, and the counts over its life.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::checks::WebhookType;
use crate::api::schema;

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
    /// hold the weight where it is, and so does pending: a webhook that has not consented yet.
    pub verdict: Verdict,

    /// For a webhook, its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<WebhookType>,

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
    Pending,
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

    /// Entries of the outbox that were not this Canary's, and were dropped.
    #[serde(default, skip_serializing_if = "crate::api::record::is_zero")]
    #[schemars(transform = schema::without_default)]
    pub dropped: i64,

    /// Repairs of what somebody else had changed, by Kind/field manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::counts")]
    pub drift: BTreeMap<String, i64>,
}
