//! `MetricTemplate`: a query that the checks of many canaries can use.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;

/// A query, and the system that answers it.
#[derive(
    CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "MetricTemplate",
    plural = "metrictemplates",
    namespaced,
    status = "MetricTemplateStatus",
    derive = "PartialEq",
    doc = "MetricTemplate is a query that the checks of many canaries can use.",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider.type")
)]
#[serde(rename_all = "camelCase")]
pub struct MetricTemplateSpec {
    /// The system that answers the query.
    pub provider: MetricTemplateProvider,

    /// The query, a Go template in the system's own language. It may call name, namespace, target,
    /// service, ingress, route and interval, for example {{ target }}, and the check's
    /// templateVariables, for example {{ variables.key }}. The answer must be one number.
    #[schemars(length(max = 65536))]
    pub query: String,
}

/// A system that answers queries.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "has(self.address) || !(self.type in ['prometheus', 'graphite', 'influxdb', 'dynatrace', 'splunk'])",
        "a provider of this type needs address",
    ),
    (
        "has(self.region) || self.type != 'cloudwatch'",
        "provider cloudwatch needs region",
    ),
]))]
pub struct MetricTemplateProvider {
    /// Which system it is.
    #[schemars(transform = schema::one_of(TYPES))]
    pub r#type: String,

    /// Address of the system, for example http://prometheus.monitoring:9090. Default for datadog and
    /// newrelic: their public ones; for externalmetrics and keptn: the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub address: Option<String>,

    /// Headers that are sent along, for example X-Scope-OrgID. For prometheus.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,

    /// The Secret with the credentials, in the namespace of the MetricTemplate. Its keys:
    /// prometheus: token, or username and password; graphite: username and password; datadog:
    /// datadog_api_key and datadog_application_key; newrelic: newrelic_account_id and
    /// newrelic_query_key; influxdb: token and org; dynatrace: dynatrace_token; splunk:
    /// sf_token_key; stackdriver: project, and serviceAccountKey if need be; externalmetrics: token;
    /// cloudwatch, beyond Flagger: aws_access_key_id, aws_secret_access_key and, of a session,
    /// aws_session_token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// Region of the system. For cloudwatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,

    /// Accept any certificate, where DAVY_ALLOW_INSECURE_METRICS allows it. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// What `spec.provider.type` may be.
const TYPES: &[&str] = &[
    "cloudwatch",
    "datadog",
    "dynatrace",
    "externalmetrics",
    "graphite",
    "influxdb",
    "keptn",
    "newrelic",
    "prometheus",
    "splunk",
    "stackdriver",
];

/// A Secret in the namespace of the object that names it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Never written; Flagger declares it, so it stays.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricTemplateStatus {}
