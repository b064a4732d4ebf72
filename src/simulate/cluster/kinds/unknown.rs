//! Kinds, and versions of kinds, that neither the server nor a definition brings.

use std::sync::Arc;

use serde_json::json;

use super::super::object;
use super::super::schema::Schema;
use super::{Kind, Kinds, Version};

impl Kinds {
    /// Serves a kind, or one more version of it, that neither the server nor a CRD brought: it takes
    /// any field, and nothing acts on it. Only a kind with a schema of its own keeps its versions.
    ///
    /// # Errors
    /// Which versions of the kind are served.
    pub(in super::super) fn serve(&mut self, api_version: &str, kind: &str) -> Result<(), String> {
        let (group, version) = object::group_and_version(api_version);
        let known = self.find(group, kind);
        if known
            .as_ref()
            .is_some_and(|known| known.version(version).is_some())
        {
            return Ok(());
        }
        let served = match known {
            None => Kind {
                group: group.to_owned(),
                kind: kind.to_owned(),
                plural: plural(kind),
                singular: kind.to_lowercase(),
                short_names: Vec::new(),
                namespaced: !CLUSTER_WIDE.contains(&kind),
                versions: vec![formless(version)],
                storage: version.to_owned(),
                custom: !self
                    .iter()
                    .any(|of_group| of_group.group == group && !of_group.custom),
            },
            Some(known) if known.has_schema() => {
                let versions: Vec<_> = known.versions.iter().map(|known| &*known.name).collect();
                return Err(format!(
                    "{api_version} {kind} is not served; of {} there is {}",
                    known.resource(),
                    versions.join(", ")
                ));
            }
            Some(known) => {
                let mut known = Kind::clone(&known);
                known.versions.push(formless(version));
                known
            }
        };
        self.insert(served);
        Ok(())
    }
}

/// Kinds without a namespace that a cluster's manifests commonly hold.
const CLUSTER_WIDE: &[&str] = &[
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "GatewayClass",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// A version in which every field is kept.
fn formless(name: &str) -> Version {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    Version {
        name: name.to_owned(),
        schema: Some(Arc::new(Schema::of(&anything))),
        has_status: true,
        scale: None,
    }
}

/// How Kubernetes makes a resource's name from its kind: `NetworkPolicy` is `networkpolicies`,
/// `Gateway` is `gateways`.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    if kind == "endpoints" {
        return kind;
    }
    let ends_with = |ends: &[&str]| ends.iter().any(|end| kind.ends_with(end));
    match kind.strip_suffix('y') {
        Some(stem) if !ends_with(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends_with(&["s", "x", "z", "ch", "sh"]) => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}
