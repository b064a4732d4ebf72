//! `AlertProvider`: a channel that news of releases is sent to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::metric_template::SecretReference;

/// A channel that news of releases is sent to.
#[derive(
    CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "AlertProvider",
    plural = "alertproviders",
    category = "all",
    namespaced,
    status = "AlertProviderStatus",
    derive = "PartialEq",
    doc = "AlertProvider is a channel that news of releases is sent to.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type")
)]
#[serde(rename_all = "camelCase")]
pub struct AlertProviderSpec {
    /// Which chat system it is.
    pub r#type: String,

    /// Address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,

    /// Channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,

    /// Name of the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,

    /// HTTP proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,

    /// The Secret with the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// Never written.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertProviderStatus {}
