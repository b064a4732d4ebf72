//! `spec.analysis`: in which steps a new version gets its traffic, and what it must pass.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::checks::{Metric, Webhook};
use crate::api::schema::{self, DURATION, istio};

/// In which steps a new version gets its traffic, and what it must pass.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Time from one step to the next, for example 30s or 1m30s. At least 10s; less counts as 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION), length(max = 64))]
    pub interval: Option<String>,

    /// How often all checks must pass before the promotion. With match, requests that fit go to the
    /// canary meanwhile. 0 is as if it were left out; without weights, which provider kubernetes
    /// does not have, that is 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub iterations: Option<i64>,

    /// Failed checks at which the new version is rolled back. They are counted over the whole
    /// analysis; a good check takes none back. 0 counts as 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub threshold: Option<i64>,

    /// Percentage of the traffic at which the new version is promoted. With stepWeights, the last of
    /// them counts instead. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_weight: Option<i64>,

    /// Percentage of the traffic that each step adds, up to 100. 0 is as if it were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub step_weight: Option<i64>,

    /// Percentages of the traffic that the steps take the canary to, for example 1, 5, 20, 50. One
    /// that is not greater than those before it is passed over, and more than 100 counts as 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(range(min = 0)))]
    pub step_weights: Vec<i64>,

    /// Percentage of the traffic that each step gives back to the primary once it runs the new
    /// version. Default 0: all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub step_weight_promotion: Option<i64>,

    /// Percentage of the primary's pods that must be ready. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub primary_ready_threshold: Option<i64>,

    /// Percentage of the canary's pods that must be ready. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub canary_ready_threshold: Option<i64>,

    /// Send the canary copies of requests, whose answers nobody gets, before it gets any of its own;
    /// with iterations, through all of them. For providers istio and gatewayapi; not with match.
    /// What a request does is done twice. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<bool>,

    /// Percentage of the requests that are copied. For provider istio. Default 0: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub mirror_weight: Option<i64>,

    /// Which requests the canary gets; one of the list must fit. By headers, by queryParams, or by
    /// the sourceLabels of the calling pod (istio). Meant for use with iterations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "istio::analysis_matches")]
    pub r#match: Vec<Value>,

    /// Numbers that must stay in their ranges. All are asked at every step, and all must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub metrics: Vec<Metric>,

    /// Services that are asked or told at certain points of a release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub webhooks: Vec<Webhook>,

    /// Where news of a release goes. Default: where the installation says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub alerts: Vec<AlertReference>,

    /// Keeps a user who was once answered by the canary on it for the rest of the release. For
    /// providers istio and gatewayapi, with stepWeight or stepWeights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,

    /// Checks without an answer (no data, too little data, an error) after which onNoData says what
    /// follows. Until then they keep the weight where it is, and are not failed checks. 0 counts as
    /// 1. Default: the same as threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub error_threshold: Option<i64>,

    /// What follows when errorThreshold is reached: hold keeps the weight, sends an alert, and rolls
    /// back at holdDeadline; fail rolls back at once; pass goes on as if the checks had passed.
    /// Default hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_no_data: Option<OnNoData>,

    /// How long an analysis may be held before it is rolled back, for example 30m. 0s sets no such
    /// deadline: it is held until there is evidence. Default 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION), length(max = 64))]
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
    /// Name of the alert, for people.
    #[schemars(length(max = 253))]
    pub name: String,

    /// Least severity that is sent: info sends everything, warn sends also errors, error sends
    /// failures only. Default info.
    #[serde(default)]
    #[schemars(transform = schema::without_default)]
    pub severity: Severity,

    /// The AlertProvider that sends it.
    pub provider_ref: ProviderReference,
}

/// How bad a piece of news is, the least first.
#[derive(
    JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::or_empty)]
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
    /// Name of the AlertProvider.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Namespace of the AlertProvider. Default: that of the Canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// Cookies that keep a user on the version that first answered.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "!has(self.primaryCookieName) || self.primaryCookieName != self.cookieName",
        "cookieName and primaryCookieName must differ",
    ),
]))]
pub struct SessionAffinity {
    /// Name of the cookie that the canary sets.
    #[schemars(length(max = 253))]
    pub cookie_name: String,

    /// Name of the cookie that the primary sets, to keep its users on it until the next step.
    /// Default: none is set, and each request to the primary may go to the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub primary_cookie_name: Option<String>,

    /// Seconds that the canary's cookie lives. 0 counts as 86400, a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("default" = 86400))]
    pub max_age: Option<i64>,

    /// The cookies' attribute Domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub domain: Option<String>,

    /// The cookies' attribute HttpOnly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_only: Option<bool>,

    /// The cookies' attribute Partitioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioned: Option<bool>,

    /// The cookies' attribute Path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub path: Option<String>,

    /// The cookies' attribute SameSite.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::one_of(&["Strict", "Lax", "None"]))]
    pub same_site: Option<String>,

    /// The cookies' attribute Secure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<bool>,
}
