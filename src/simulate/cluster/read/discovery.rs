//! What a client asks before it knows anything: which groups, versions and kinds there are, and
//! whether the server is well.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::Cluster;
use super::super::answer::Answer;
use super::super::kinds::{Kind, Version};
use super::super::object::api_version;
use super::super::request::Request;

pub(in super::super) fn answer(cluster: &Cluster, request: &Request) -> Option<Answer> {
    if request.method != Method::GET {
        return None;
    }
    let parts: Vec<_> = request.path.iter().map(String::as_str).collect();
    let body = match parts.as_slice() {
        ["version"] => json!({
            "major": "1",
            "minor": "36",
            "gitVersion": "v1.36.3",
            "platform": "linux/amd64",
        }),
        ["healthz" | "readyz" | "livez"] => json!("ok"),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"]}),
        ["api", "v1"] => resources(cluster, "", "v1")?,
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups(cluster).into_values().collect::<Vec<_>>(),
        }),
        ["apis", name] => {
            let mut group = groups(cluster).remove(*name)?;
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        ["apis", group, version] => resources(cluster, group, version)?,
        _ => return None,
    };
    Some(Answer::json(StatusCode::OK, &body))
}

fn groups(cluster: &Cluster) -> BTreeMap<String, Value> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in cluster.kinds.iter().filter(|kind| !kind.group.is_empty()) {
        let of_group = versions.entry(&kind.group).or_default();
        for version in &kind.versions {
            if !of_group.contains(&version.name.as_str()) {
                of_group.push(&version.name);
            }
        }
    }
    versions
        .into_iter()
        .map(|(group, mut versions)| {
            versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
            let named = |version: &&str| {
                json!({"groupVersion": api_version(group, version), "version": version})
            };
            let named: Vec<_> = versions.iter().map(named).collect();
            let value = json!({"name": group, "versions": named, "preferredVersion": named[0]});
            (group.to_owned(), value)
        })
        .collect()
}

/// Stable before beta before alpha, then by number.
fn priority(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| text.parse().unwrap_or(0);
    let version = version.trim_start_matches('v');
    if let Some((major, minor)) = version.split_once("beta") {
        (1, digits(major), digits(minor))
    } else if let Some((major, minor)) = version.split_once("alpha") {
        (0, digits(major), digits(minor))
    } else {
        (2, digits(version), 0)
    }
}

fn resources(cluster: &Cluster, group: &str, version: &str) -> Option<Value> {
    let resources: Vec<_> = cluster
        .kinds
        .iter()
        .filter(|kind| kind.group == group)
        .filter_map(|kind| Some((kind, kind.version(version)?)))
        .flat_map(|(kind, version)| rows(kind, version))
        .collect();
    (!resources.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": api_version(group, version),
            "resources": resources,
        })
    })
}

fn rows(kind: &Kind, version: &Version) -> Vec<Value> {
    let part = |name: &str| {
        json!({
            "name": format!("{}/{name}", kind.plural),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": ["get", "patch", "update"],
        })
    };
    let mut rows = vec![json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update"],
        "shortNames": kind.short_names,
    })];
    if version.has_status {
        rows.push(part("status"));
    }
    if version.scale.is_some() {
        let mut scale = part("scale");
        scale["kind"] = json!("Scale");
        scale["group"] = json!("autoscaling");
        scale["version"] = json!("v1");
        rows.push(scale);
    }
    rows
}
