//! `spec.service`: how traffic reaches the workload.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::schema;

/// The Services and routes that are made for the workload.
///
/// What is given as JSON here is passed on to the routes as it is.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryService {
    /// Name of the apex Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Port of the Services.
    pub port: i64,

    /// Name of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,

    /// Port of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub target_port: Option<IntOrString>,

    /// Application protocol of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,

    /// Which endpoints are preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,

    /// Add the container's other ports to the Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_discovery: Option<bool>,

    /// Make Services without a cluster address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headless: Option<bool>,

    /// Time limit of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,

    /// Time limit of a request to one backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_timeout: Option<String>,

    /// Istio gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,

    /// Parents of the HTTPRoute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::free_list")]
    pub gateway_refs: Vec<Value>,

    /// Host names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,

    /// Make a VirtualService for another one to delegate to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<bool>,

    /// Istio traffic policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub traffic_policy: Option<Value>,

    /// Conditions of the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::free_list")]
    pub r#match: Vec<Value>,

    /// Rewrite of path and host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub rewrite: Option<Value>,

    /// Retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub retries: Option<Value>,

    /// Header changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub headers: Option<Value>,

    /// Gateway API request mirrors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::free_list")]
    pub mirror: Vec<Value>,

    /// Cross-origin policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub cors_policy: Option<Value>,

    /// App Mesh: name of the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh_name: Option<String>,

    /// App Mesh: backends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<String>,

    /// Metadata of the apex Service and of most routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apex: Option<ServiceMetadata>,

    /// Metadata of the primary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<ServiceMetadata>,

    /// Metadata of the canary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<ServiceMetadata>,

    /// Metadata that others set on the Services and that stays.
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

/// Keys of labels and annotations that others own.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedMetadata {
    /// Keys of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,

    /// Keys of annotations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
}
