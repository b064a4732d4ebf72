//! `spec.analysis.metrics` and `spec.analysis.webhooks`: what a new version must pass.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema::{self, DURATION};

/// A number that must stay in its range.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Name of the check. Two are built in for every provider: request-success-rate, the percentage
    /// of requests not answered with a 5xx status, and request-duration, the 99th percentile in
    /// milliseconds, for nginx and skipper the average; flagger.app/v1alpha1 calls them
    /// istio_requests_total and istio_request_duration_seconds_bucket. Both look at the canary alone.
    /// A metric of another name is not checked without templateRef or query, and an Event says so.
    #[schemars(length(max = 253))]
    pub name: String,

    /// The time that the query looks back, for example 1m. Default 1m.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION), length(max = 64))]
    pub interval: Option<String>,

    /// Older form of thresholdRange, which counts when both are given: the least value that passes
    /// for the success rate, the greatest for everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,

    /// The values that pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_range: Option<ThresholdRange>,

    /// A query for the Prometheus of the built-in checks. Older form of templateRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub query: Option<String>,

    /// The MetricTemplate with the query, and with the system that answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateReference>,

    /// Values that the query calls by {{ variables.key }}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub template_variables: BTreeMap<String, String>,
}

/// The values that pass, both bounds included.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "!has(self.min) || !has(self.max) || self.min <= self.max",
        "min is greater than max, so no value could pass",
    ),
]))]
pub struct ThresholdRange {
    /// Least value that passes. Default: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,

    /// Greatest value that passes. Default: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A MetricTemplate, which may be in another namespace.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// Name of the MetricTemplate.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Namespace of the MetricTemplate. Default: that of the Canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// A service that is asked or told at a certain point of a release.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// When the hook is called, and what a refusal means. confirm-rollout: before a release; it
    /// waits. pre-rollout: before the canary gets traffic; a failed check. rollout: at each step; a
    /// failed check. confirm-traffic-increase: before each raise; it waits. confirm-promotion:
    /// before the promotion; it waits. post-rollout: after success or failure; nothing. rollback: at
    /// each step; here consent means to roll back. event: for each Event; nothing. Default rollout.
    #[serde(default)]
    #[schemars(transform = schema::without_default)]
    pub r#type: WebhookType,

    /// Name of the hook, for people.
    #[schemars(length(max = 253))]
    pub name: String,

    /// Address that is called with POST. A status from 200 to 202 is consent.
    #[schemars(length(max = 2048))]
    pub url: String,

    /// How long a call may take, for example 30s. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION), length(max = 64))]
    pub timeout: Option<String>,

    /// How often a call that could not be made, or was answered with 429 or 5xx, is tried again.
    /// Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retries: Option<i64>,

    /// Sent along as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,

    /// Send no alert when this hook makes a release wait. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute_alert: Option<bool>,

    /// Accept any certificate. Default false.
    #[serde(rename = "disableTLS", skip_serializing_if = "Option::is_none")]
    pub disable_tls: Option<bool>,
}

/// When a webhook is called, in the order of a release.
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
#[schemars(transform = schema::or_empty)]
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
