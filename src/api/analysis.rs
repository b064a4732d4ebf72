//! `spec.analysis`: the steps of a release and what a new version must pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::checks::{Metric, Webhook};
use crate::api::schema;

/// The steps of a release and what a new version must pass.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Time between two steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,

    /// Number of checks before promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<i64>,

    /// Failed checks that roll back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,

    /// Weight at which the canary is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_weight: Option<i64>,

    /// Weight added by each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_weight: Option<i64>,

    /// Weights of the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_weights: Vec<i64>,

    /// Weight that each step gives back to the primary after its promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_weight_promotion: Option<i64>,

    /// Percentage of the primary's pods that must be ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_ready_threshold: Option<i64>,

    /// Percentage of the canary's pods that must be ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_ready_threshold: Option<i64>,

    /// Mirror requests to the canary before it gets any of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<bool>,

    /// Percentage of requests to mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror_weight: Option<i64>,

    /// Requests that go to the canary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::free_list")]
    pub r#match: Vec<Value>,

    /// Metric checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,

    /// Hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,

    /// Alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertReference>,

    /// Keeps a user on the version that first answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,

    /// Checks without an answer that an analysis may have before it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<i64>,

    /// What follows when checks stay without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_no_data: Option<OnNoData>,

    /// How long an analysis may be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_deadline: Option<String>,
}

/// What follows when checks stay without an answer.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnNoData {
    #[default]
    Hold,
    Fail,
    Pass,
}

/// Where news of a release goes.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertReference {
    /// Name of the alert.
    pub name: String,

    /// Least severity that is sent.
    #[serde(default)]
    pub severity: Severity,

    /// The AlertProvider.
    pub provider_ref: ProviderReference,
}

/// How bad news is.
#[derive(
    JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    #[default]
    #[serde(alias = "")]
    Info,
    Warn,
    Error,
}

/// An AlertProvider, which may be in another namespace.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderReference {
    /// Name.
    pub name: String,

    /// Namespace; the Canary's own when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Cookies that keep a user on the version that first answered.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// Name of the canary's cookie.
    pub cookie_name: String,

    /// Name of the primary's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_cookie_name: Option<String>,

    /// Life of the cookie in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<i64>,

    /// Attribute `Domain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,

    /// Attribute `HttpOnly`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_only: Option<bool>,

    /// Attribute `Partitioned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioned: Option<bool>,

    /// Attribute `Path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,

    /// Attribute `SameSite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_site: Option<String>,

    /// Attribute `Secure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<bool>,
}
