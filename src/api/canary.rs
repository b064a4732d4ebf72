//! `Canary`: a workload and how a new version of it takes over the traffic.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::analysis::Analysis;
use crate::api::schema;
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
    doc = "Canary moves the traffic of a workload to its new version step by step, and back when the new version fails."
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "has(self.analysis) || has(self.canaryAnalysis) || (has(self.skipAnalysis) && self.skipAnalysis)",
        "analysis is missing; to promote new versions without one, set skipAnalysis",
    ),
    // The analysis is checked from here, because its name of v1alpha1 and v1alpha3 asks for less.
    (
        "!has(self.analysis) || (has(self.analysis.interval) && has(self.analysis.threshold))",
        "analysis needs interval and threshold",
    ),
    (
        "!has(self.analysis) || [has(self.analysis.iterations), has(self.analysis.stepWeight), has(self.analysis.stepWeights)].exists_one(given, given)",
        "exactly one of iterations, stepWeight and stepWeights says how the traffic is moved",
    ),
    (
        "(has(self.service) && self.service.port > 0) || self.targetRef.apiVersion.startsWith('serving.knative.dev/')",
        "service.port is missing; only a Knative Service can do without",
    ),
    (
        "!has(self.provider) || (self.provider == 'knative') == self.targetRef.apiVersion.startsWith('serving.knative.dev/')",
        "provider knative and a targetRef to a Service of serving.knative.dev/v1 need each other",
    ),
    (
        "!has(self.autoscalerRef) || !self.targetRef.apiVersion.startsWith('serving.knative.dev/')",
        "a Knative Service scales itself and takes no autoscalerRef",
    ),
    (
        "!has(self.provider) || !self.provider.startsWith('gatewayapi:') || (has(self.service) && has(self.service.gatewayRefs) && size(self.service.gatewayRefs) > 0)",
        "provider gatewayapi needs at least one of service.gatewayRefs",
    ),
    (
        "!has(self.provider) || !(self.provider in ['nginx', 'skipper']) || has(self.ingressRef)",
        "providers nginx and skipper need ingressRef",
    ),
    (
        "!has(self.provider) || self.provider != 'apisix' || has(self.routeRef)",
        "provider apisix needs routeRef",
    ),
]))]
pub struct CanarySpec {
    /// The workload to release: a Deployment or DaemonSet of apps/v1, a core Service, or a Service
    /// of serving.knative.dev/v1. It becomes the canary: it runs only while a new version is
    /// judged, and a copy of it, called like it with -primary behind, serves otherwise.
    #[schemars(transform = schema::kinds(&["DaemonSet", "Deployment", "Service"]))]
    pub target_ref: ObjectReference,

    /// The autoscaler of the target. The primary gets a copy of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaler_ref: Option<AutoscalerReference>,

    /// The Ingress that leads to the service. Providers nginx and skipper make the canary's own from
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::kinds(&["Ingress"]))]
    pub ingress_ref: Option<ObjectReference>,

    /// The ApisixRoute that leads to the service. Provider apisix makes the canary's own from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::kinds(&["ApisixRoute"]))]
    pub route_ref: Option<ObjectReference>,

    /// The Upstream whose settings provider gloo copies to those of the primary and the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ref: Option<UpstreamReference>,

    /// The mesh, ingress or gateway that divides the traffic. Default: what the installation says,
    /// istio when it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::one_of(PROVIDERS))]
    pub provider: Option<String>,

    /// Address of the Prometheus that answers the built-in checks and the query of a metric, for
    /// example http://prometheus.monitoring:9090. Default: what the installation says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub metrics_server: Option<String>,

    /// The Services and routes that lead to the workload. Three Services are made: the apex, which
    /// users call and which leads to the primary, and one each with -primary and -canary behind its
    /// name. Needed for all but Knative Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<CanaryService>,

    /// How a new version is judged, and in which steps it gets its traffic. Exactly one of
    /// stepWeight, stepWeights and iterations is given. The first two raise the canary's share of the
    /// traffic: a canary release. With iterations it is checked that many times beside the traffic
    /// and then gets all of it: a blue/green release; or it gets the requests of match meanwhile: an
    /// A/B test. interval and threshold must be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,

    /// What flagger.app/v1alpha1 and v1alpha3 call analysis. It may do without interval; then each
    /// pass takes a step. Where it has more than one of iterations, stepWeight and stepWeights, the
    /// first of them counts that is not 0. When both are there, analysis counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_analysis: Option<Analysis>,

    /// Seconds that the pods of a new version may take to become ready. Then it is rolled back. 0 is
    /// as if it were left out. Default 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub progress_deadline_seconds: Option<i64>,

    /// Promote a new version as soon as its pods are ready, with no checks and no steps. Default
    /// false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_analysis: Option<bool>,

    /// When the Canary is deleted, scale the target up and lead its traffic back to it before the
    /// primary goes. Otherwise the target stays at zero replicas. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert_on_deletion: Option<bool>,

    /// Leave everything as it is: no step, no repair, no rollback. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

impl CanarySpec {
    /// The analysis under today's name, or the first Flagger's.
    pub fn analysis(&self) -> Option<&Analysis> {
        self.analysis.as_ref().or(self.canary_analysis.as_ref())
    }
}

/// What `spec.provider` may be.
const PROVIDERS: &[&str] = &[
    "apisix",
    "appmesh",
    "appmesh:v1beta2",
    "contour",
    "gatewayapi:v1",
    "gatewayapi:v1beta1",
    "gloo",
    "istio",
    "knative",
    "kubernetes",
    "kuma",
    "linkerd",
    "nginx",
    "osm",
    "skipper",
    "smi:v1alpha1",
    "smi:v1alpha2",
    "smi:v1alpha3",
    "traefik",
];

/// An object in the namespace of the Canary.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Group and version of the object, for example apps/v1.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,

    /// Kind of the object.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,

    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// An Upstream, which may be in another namespace.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamReference {
    /// Group and version of the object: gloo.solo.io/v1.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,

    /// Kind of the object: Upstream.
    #[schemars(transform = schema::one_of(&["Upstream"]))]
    pub kind: String,

    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Namespace of the object. Default: that of the Canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// The autoscaler of the target, and how the primary's copy differs from it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerReference {
    /// Group and version of the object. HorizontalPodAutoscalers are read and written as
    /// autoscaling/v2 and ScaledObjects as keda.sh/v1alpha1, whatever is given here.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,

    /// Kind of the object.
    #[schemars(transform = schema::one_of(&["HorizontalPodAutoscaler", "ScaledObject"]))]
    pub kind: String,

    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// ScaledObject only: the queries of the primary's triggers, by the name of the trigger. Where
    /// none is given, the query is the target's with the name of the primary in place of the
    /// target's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub primary_scaler_queries: BTreeMap<String, String>,

    /// Bounds of the primary's replicas. Default: those of the target's autoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_scaler_replicas: Option<ScalerReplicas>,
}

/// Bounds of an autoscaler.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "minReplicas is greater than maxReplicas",
    ),
]))]
pub struct ScalerReplicas {
    /// Fewest replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_replicas: Option<i64>,

    /// Most replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i64>,
}
