//! `status.named`: what a Canary named on its Services and its route, so that what is taken out of it
//! can be told from what others put there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a Canary names on its Services and its route.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Fields of the route, for example /timeout or /headers/request/set/x-canary, and entries of its
    /// lists, for example /hosts=app.example.com.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)))]
    pub route: Vec<String>,

    /// Names of the ports of the Services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    pub ports: Vec<String>,

    /// Fields of the Services: appProtocol, trafficDistribution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub service: Vec<String>,

    /// Of the apex Service and the route.
    #[serde(default, skip_serializing_if = "NamedMetadata::is_empty")]
    pub apex: NamedMetadata,

    /// Of the primary's Service.
    #[serde(default, skip_serializing_if = "NamedMetadata::is_empty")]
    pub primary: NamedMetadata,

    /// Of the canary's Service.
    #[serde(default, skip_serializing_if = "NamedMetadata::is_empty")]
    pub canary: NamedMetadata,
}

/// Keys of labels and annotations that a Canary names.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedMetadata {
    /// Keys of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 317)))]
    pub labels: Vec<String>,

    /// Keys of annotations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 317)))]
    pub annotations: Vec<String>,
}

impl NamedMetadata {
    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}
