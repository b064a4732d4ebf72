//! `AlertProvider`: a channel that news of releases is sent to.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::metric_template::SecretReference;
use crate::api::schema;

/// A channel that news of releases is sent to.
#[derive(
    CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "flagger.app",
    version = "v1beta1",
    kind = "AlertProvider",
    plural = "alertproviders",
    namespaced,
    status = "AlertProviderStatus",
    derive = "PartialEq",
    doc = "AlertProvider is a channel that news of releases is sent to.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::rules(&[
    (
        "has(self.address) != has(self.secretRef)",
        "exactly one of address and secretRef says where messages go",
    ),
]))]
pub struct AlertProviderSpec {
    /// Which chat system it is; webhook is any program that takes CloudEvents, grafana one that gets
    /// an annotation for each piece of news.
    #[schemars(transform = schema::one_of(&["slack", "msteams", "discord", "rocket", "gchat", "webhook", "grafana"]))]
    pub r#type: String,

    /// Address of the incoming webhook. Who knows it can write to the channel, so secretRef is the
    /// better place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub address: Option<String>,

    /// Channel that is written to. For slack, discord and rocket. Default general.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub channel: Option<String>,

    /// Name that messages are sent under. For slack, discord and rocket. Default flagger.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub username: Option<String>,

    /// Address of the HTTP proxy on the way. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub proxy: Option<String>,

    /// The Secret with the address of the incoming webhook, in the namespace of the AlertProvider.
    /// Its keys: address; for slack and grafana token, which is sent as a bearer token; for webhook
    /// signingKey, by which messages are signed as Standard Webhooks says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// Never written; Flagger declares it, so it stays.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertProviderStatus {}
