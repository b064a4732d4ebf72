//! The kinds that every API server of this version has, as far as they are served here.

use super::super::kinds::{Kind, Scale, Version};

/// A row of the table.
pub(in super::super) struct Builtin {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    namespaced: bool,
    has_status: bool,
}

impl Builtin {
    pub(in super::super) fn kind(&self) -> Kind {
        let scale = matches!(self.kind, "Deployment" | "ReplicaSet").then(|| Scale {
            spec: "/spec/replicas".into(),
            status: "/status/replicas".into(),
            selector: String::new(),
        });
        Kind {
            group: self.group.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            short_names: self.short.split_whitespace().map(str::to_owned).collect(),
            namespaced: self.namespaced,
            versions: vec![Version {
                name: self.version.to_owned(),
                schema: None,
                has_status: self.has_status,
                scale,
            }],
            storage: self.version.to_owned(),
            custom: false,
        }
    }
}

macro_rules! builtin {
    ($($group:literal $version:literal $kind:literal $plural:literal $short:literal $namespaced:literal $status:literal;)*) => {
        &[$(Builtin {
            group: $group,
            version: $version,
            kind: $kind,
            plural: $plural,
            short: $short,
            namespaced: $namespaced,
            has_status: $status,
        }),*]
    };
}

/// Group, version, kind, plural, short names, namespaced, with a status of its own.
pub(in super::super) const BUILTIN: &[Builtin] = builtin! {
    "" "v1" "Namespace" "namespaces" "ns" false true;
    "" "v1" "Service" "services" "svc" true true;
    "" "v1" "ConfigMap" "configmaps" "cm" true false;
    "" "v1" "Secret" "secrets" "" true false;
    "" "v1" "ServiceAccount" "serviceaccounts" "sa" true false;
    "" "v1" "Event" "events" "ev" true false;
    "" "v1" "Pod" "pods" "po" true true;
    "apps" "v1" "Deployment" "deployments" "deploy" true true;
    "apps" "v1" "ReplicaSet" "replicasets" "rs" true true;
    "apps" "v1" "DaemonSet" "daemonsets" "ds" true true;
    "apps" "v1" "ControllerRevision" "controllerrevisions" "" true false;
    "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" "hpa" true true;
    "networking.k8s.io" "v1" "Ingress" "ingresses" "ing" true true;
    "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" "" true false;
    "coordination.k8s.io" "v1" "Lease" "leases" "" true false;
    "batch" "v1" "Job" "jobs" "" true true;
    "batch" "v1" "CronJob" "cronjobs" "cj" true true;
    "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" "crd crds" false true;
};
