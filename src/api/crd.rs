//! The CustomResourceDefinitions that the types describe.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::api::alert_provider::AlertProvider;
use crate::api::canary::Canary;
use crate::api::metric_template::MetricTemplate;

/// The definitions to install, Canary first.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![Canary::crd(), MetricTemplate::crd(), AlertProvider::crd()]
}
