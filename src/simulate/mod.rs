//! Rehearsal: scenario in, transcript out. The same pass as `davy run`, on a cluster in memory
//! and in virtual time. Nothing here decides about canaries.

pub mod cluster;
pub mod controllers;
pub mod expect;
mod hooks;
mod metrics;
pub mod play;
pub mod refusals;
pub mod route;
pub mod scenario;
mod systems;
pub mod transcript;
pub mod world;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::objects::Kind;
use crate::routers;
use cluster::Cluster;

/// Virtual time begins here: a date that tells nobody anything.
const BEGINNING: Timestamp = Timestamp::constant(1_000_000_000, 0);

/// A cluster in which every definition is installed that a rehearsal needs. Made once: the schema
/// of a Canary is large, and a clone costs nothing.
fn installed() -> Result<Cluster, String> {
    static INSTALLED: LazyLock<Result<Cluster, String>> = LazyLock::new(|| {
        let mut cluster = Cluster::new();
        for definition in [crate::api::crd::crds(), definitions()].concat() {
            cluster
                .apply(definition, "davy", BEGINNING)
                .map_err(|error| error.to_string())?;
        }
        Ok(cluster)
    });
    INSTALLED.clone()
}

/// Definitions, without a schema, of the kinds that routers write: a rehearsal is about traffic,
/// not about what another project's API server would refuse.
fn definitions() -> Vec<Value> {
    let mut versions: BTreeMap<(&str, &str, &str), Vec<Value>> = BTreeMap::new();
    let of_others = |kind: &&Kind| kind.group.contains('.') && kind.group != "networking.k8s.io";
    for kind in routers::kinds().filter(of_others) {
        let versions = versions.entry((kind.group, kind.kind, kind.plural));
        let versions = versions.or_default();
        versions.push(json!({
            "name": kind.version,
            "served": true,
            "storage": versions.is_empty(),
            "schema": { "openAPIV3Schema": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
            } },
        }));
    }
    versions
        .into_iter()
        .map(|((group, kind, plural), versions)| {
            json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": { "name": format!("{plural}.{group}") },
                "spec": {
                    "group": group,
                    "scope": "Namespaced",
                    "names": { "kind": kind, "plural": plural },
                    "versions": versions,
                },
            })
        })
        .collect()
}
