//! `Canary`: a workload and how a new version of it takes over the traffic.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::analysis::Analysis;
use crate::api::service::CanaryService;
use crate::api::status::CanaryStatus;

/// What is released, how traffic reaches it, and how a new version is judged.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "Canary",
    plural = "canaries",
    category = "all",
    namespaced,
    status = "CanaryStatus",
    derive = "PartialEq",
    doc = "Canary takes new versions of a workload to all of its traffic step by step, and back when they fail.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Weight", type_ = "string", json_path = ".status.canaryWeight"),
    printcolumn(
        name = "Suspended",
        type_ = "boolean",
        json_path = ".spec.suspend",
        priority = 1
    ),
    printcolumn(
        name = "FailedChecks",
        type_ = "string",
        json_path = ".status.failedChecks",
        priority = 1
    ),
    printcolumn(
        name = "Interval",
        type_ = "string",
        json_path = ".spec.analysis.interval",
        priority = 1
    ),
    printcolumn(
        name = "Mirror",
        type_ = "boolean",
        json_path = ".spec.analysis.mirror",
        priority = 1
    ),
    printcolumn(
        name = "StepWeight",
        type_ = "string",
        json_path = ".spec.analysis.stepWeight",
        priority = 1
    ),
    printcolumn(
        name = "StepWeights",
        type_ = "string",
        json_path = ".spec.analysis.stepWeights",
        priority = 1
    ),
    printcolumn(
        name = "MaxWeight",
        type_ = "string",
        json_path = ".spec.analysis.maxWeight",
        priority = 1
    ),
    printcolumn(
        name = "LastTransitionTime",
        type_ = "string",
        json_path = ".status.lastTransitionTime"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct CanarySpec {
    /// The workload to release.
    pub target_ref: ObjectReference,

    /// The autoscaler of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaler_ref: Option<AutoscalerReference>,

    /// The Ingress that leads to the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_ref: Option<ObjectReference>,

    /// The ApisixRoute that leads to the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_ref: Option<ObjectReference>,

    /// The Gloo Upstream to copy settings from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ref: Option<UpstreamReference>,

    /// The mesh, ingress or gateway that splits the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,

    /// Address of the Prometheus server for the built-in checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_server: Option<String>,

    /// How traffic reaches the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<CanaryService>,

    /// How a new version is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,

    /// The name that `flagger.app/v1alpha1` has for `analysis`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_analysis: Option<Analysis>,

    /// Seconds that a workload may take to become ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i64>,

    /// Promote a new version as soon as it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_analysis: Option<bool>,

    /// Give the target its traffic back when this Canary is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert_on_deletion: Option<bool>,

    /// Leave everything as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// An object in the Canary's namespace.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Group and version.
    pub api_version: String,

    /// Kind.
    pub kind: String,

    /// Name.
    pub name: String,
}

/// A Gloo Upstream, which may be in another namespace.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamReference {
    /// Group and version.
    pub api_version: String,

    /// Kind.
    pub kind: String,

    /// Name.
    pub name: String,

    /// Namespace; the Canary's own when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The autoscaler of the target, which the primary gets a copy of.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerReference {
    /// Group and version.
    pub api_version: String,

    /// Kind.
    pub kind: String,

    /// Name.
    pub name: String,

    /// KEDA only: queries for the primary's triggers, by trigger name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub primary_scaler_queries: BTreeMap<String, String>,

    /// Bounds of the primary's autoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_scaler_replicas: Option<ScalerReplicas>,
}

/// Bounds of an autoscaler.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalerReplicas {
    /// Fewest replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i64>,

    /// Most replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i64>,
}
