//! `spec.analysis.metrics` and `spec.analysis.webhooks`: what a new version must pass.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number that must stay in its range.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Name of the check.
    pub name: String,

    /// The time that the query looks back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,

    /// Deprecated: one bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,

    /// The range of values that pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_range: Option<ThresholdRange>,

    /// Deprecated: a Prometheus query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,

    /// The MetricTemplate that holds the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateReference>,

    /// Values for the query's variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_variables: BTreeMap<String, String>,
}

/// The values that pass, both bounds included.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdRange {
    /// Least value that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,

    /// Greatest value that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A MetricTemplate, which may be in another namespace.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// Name.
    pub name: String,

    /// Namespace; the Canary's own when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A service that is asked or told at one point of a release.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// When it is called.
    #[serde(default)]
    pub r#type: WebhookType,

    /// Name of the hook.
    pub name: String,

    /// Address that is called.
    pub url: String,

    /// Time limit of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,

    /// Further tries after a failed call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,

    /// Sent along.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,

    /// Send no alert for this hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute_alert: Option<bool>,

    /// Accept any certificate.
    #[serde(rename = "disableTLS", skip_serializing_if = "Option::is_none")]
    pub disable_tls: Option<bool>,
}

/// When a webhook is called.
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
#[serde(rename_all = "kebab-case")]
pub enum WebhookType {
    ConfirmRollout,
    PreRollout,
    #[default]
    #[serde(alias = "")]
    Rollout,
    ConfirmTrafficIncrease,
    ConfirmPromotion,
    PostRollout,
    Rollback,
    Event,
}
