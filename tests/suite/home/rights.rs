//! Rights as they are compared: those that a Role gives, and those that requests have asked for.
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::bed::audit::AuditEvent;

/// One right, or one request: verb, group, resource with its subresource.
pub(super) type Right = (String, String, String);

pub(super) fn right((verb, group, resource): (&str, &str, &str)) -> Right {
    (verb.to_owned(), group.to_owned(), resource.to_owned())
}

pub(super) fn asked(request: &AuditEvent) -> Right {
    let group = request.raw["objectRef"]["apiGroup"].as_str();
    let resource = match &*request.subresource {
        "" => request.resource.clone(),
        subresource => format!("{}/{subresource}", request.resource),
    };
    right((&request.verb, group.unwrap_or_default(), &resource))
}

/// The rights of the only Role among the manifests.
pub(super) fn shipped(manifests: &str) -> BTreeSet<Right> {
    let roles: Vec<Value> = serde_yaml::Deserializer::from_str(manifests)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole")
        .collect();
    let [role] = &roles[..] else {
        panic!("{} Roles", roles.len())
    };
    rights(role)
}

pub(super) fn rights(role: &Value) -> BTreeSet<Right> {
    let texts = |list: &Value| -> Vec<String> {
        serde_json::from_value(list.clone()).expect("a list of texts")
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    rights.insert((verb, group.clone(), resource.clone()));
                }
            }
        }
    }
    rights
}
