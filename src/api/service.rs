//! `spec.service`: the Services and routes that lead to the workload.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::schema::{self, gateway, istio};

/// The Services and routes that lead to the workload.
///
/// What only routes understand is JSON here, so that it arrives in them as it was written.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "!has(self.delegation) || !self.delegation || ((!has(self.hosts) || size(self.hosts) == 0) && (!has(self.gateways) || size(self.gateways) == 0))",
        "with delegation, hosts and gateways belong to the VirtualService that delegates",
    ),
]))]
pub struct CanaryService {
    /// Name of the apex Service, and the first part of the names of the other two and of the route.
    /// Default: name of the target. When it changes, the objects of the old name stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub name: Option<String>,

    /// Port of the Services and of the routes to them.
    #[schemars(range(min = 0, max = 65535))]
    pub port: i64,

    /// Name of that port. Default http.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub port_name: Option<String>,

    /// Number or name of the container's port. Default: port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::port_number_or_name")]
    pub target_port: Option<IntOrString>,

    /// Protocol that the port speaks, as in a Service, for example http, grpc or
    /// kubernetes.io/h2c. With tcp, provider istio routes connections instead of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub app_protocol: Option<String>,

    /// Which endpoints a Service prefers, as in a Service. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::one_of(&["PreferClose", "PreferSameZone", "PreferSameNode"]))]
    pub traffic_distribution: Option<String>,

    /// Give the Services all other ports of the workload's containers too. Those of the proxies of
    /// service meshes, such as istio-proxy and linkerd-proxy, are left out. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_discovery: Option<bool>,

    /// Make Services without an address of their own. It counts when they are made, and changes
    /// none that is there. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headless: Option<bool>,

    /// How long a request may take, for example 15s. For providers istio, gatewayapi:v1 and
    /// contour. Default: no limit but the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub timeout: Option<String>,

    /// How long one try of a request may take, for example 5s. For provider gatewayapi:v1. Default:
    /// no limit but the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub backend_timeout: Option<String>,

    /// Gateways that the VirtualService is bound to, for example istio-system/public; mesh stands
    /// for all sidecars. For provider istio. Default: mesh alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub gateways: Vec<String>,

    /// Parents of the HTTPRoute, as in its parentRefs: Gateways, or a Service in a mesh. Provider
    /// gatewayapi needs at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "gateway::parent_references")]
    pub gateway_refs: Vec<Value>,

    /// Host names that the route answers to. For provider istio the apex Service is always among
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub hosts: Vec<String>,

    /// Make a VirtualService without hosts and gateways, which another VirtualService delegates to.
    /// For provider istio. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<bool>,

    /// How connections to primary and canary are made, as in a DestinationRule: kubectl explain
    /// destinationrules.spec.trafficPolicy. For provider istio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "istio::traffic_policy")]
    pub traffic_policy: Option<Value>,

    /// Which requests the route is for; one of the list must fit. As in a VirtualService: kubectl
    /// explain virtualservices.spec.http.match. Provider gatewayapi understands uri, method,
    /// headers and queryParams, contour only the uri prefix of the first. Default: all requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "istio::route_matches")]
    pub r#match: Vec<Value>,

    /// What a request's path (uri) and host (authority) are changed to. For providers istio and
    /// gatewayapi; for the latter, type ReplacePrefixMatch changes only the part that was matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "istio::rewrite")]
    pub rewrite: Option<Value>,

    /// How often (attempts), for how long each (perTryTimeout) and after what (retryOn) a request
    /// is tried again. For providers istio and contour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "istio::retries")]
    pub retries: Option<Value>,

    /// Headers to set, add and remove in requests and responses. For providers istio and
    /// gatewayapi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "istio::headers")]
    pub headers: Option<Value>,

    /// Services that get a copy of every request for good, whatever the canary does. For provider
    /// gatewayapi.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "gateway::mirrors")]
    pub mirror: Vec<Value>,

    /// Which origins may call from a browser, as in a VirtualService: kubectl explain
    /// virtualservices.spec.http.corsPolicy. For providers istio and gatewayapi:v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "istio::cors_policy")]
    pub cors_policy: Option<Value>,

    /// Name of the mesh. For provider appmesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub mesh_name: Option<String>,

    /// Services that the workload calls: host names, or ARNs of virtual services. For provider
    /// appmesh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub backends: Vec<String>,

    /// Labels and annotations of the apex Service and of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apex: Option<ServiceMetadata>,

    /// Labels and annotations of the primary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<ServiceMetadata>,

    /// Labels and annotations of the canary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<ServiceMetadata>,

    /// Labels and annotations that somebody else puts on the Services and that are left there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmanaged_metadata: Option<UnmanagedMetadata>,
}

/// Labels and annotations of a Service.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,

    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Keys of labels and annotations that somebody else puts on the Services.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedMetadata {
    /// Keys of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub labels: Vec<String>,

    /// Keys of annotations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub annotations: Vec<String>,
}
