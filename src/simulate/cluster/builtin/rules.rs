//! What the API server refuses of its own kinds, as far as a rollout can meet it.

use serde_json::{Value, json};

use super::super::answer::Cause;
use super::super::kinds::Kind;
use super::super::object::{list, number, text};

/// What is wrong with the object, or with changing `stored` into it.
pub(in super::super) fn violations(
    kind: &Kind,
    stored: Option<&Value>,
    object: &Value,
) -> Vec<Cause> {
    let mut found = Vec::new();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => workload(stored, object, &mut found),
        ("apps", "ControllerRevision")
            if stored.is_some_and(|stored| stored["data"] != object["data"]) =>
        {
            found.push(immutable("data", &object["data"]));
        }
        ("", "Service") => service(stored, object, &mut found),
        ("", "ConfigMap" | "Secret") => {
            let frozen = stored.is_some_and(|stored| {
                stored["immutable"] == true
                    && (stored["data"] != object["data"] || object["immutable"] != true)
            });
            if frozen {
                found.push(Cause::forbidden(
                    "data",
                    "field is immutable when `immutable` is set",
                ));
            }
        }
        ("", "Event") => {
            let involved = &object["involvedObject"]["namespace"];
            let own = text(object, "/metadata/namespace");
            if involved.as_str().unwrap_or("default") != own {
                found.push(Cause::invalid(
                    "involvedObject.namespace",
                    &json!(involved.as_str().unwrap_or_default()),
                    "does not match event.namespace",
                ));
            }
        }
        ("autoscaling", _) => autoscaler(object, &mut found),
        _ => {}
    }
    found
}

fn workload(stored: Option<&Value>, object: &Value, found: &mut Vec<Cause>) {
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    let selector = &object["spec"]["selector"];
    let wanted = selector["matchLabels"].as_object();
    match wanted {
        None if selector["matchExpressions"].is_null() => {
            found.push(Cause::required("spec.selector", ""));
        }
        wanted => {
            if wanted
                .into_iter()
                .flatten()
                .any(|(key, value)| labels[key] != *value)
            {
                let labels = if labels.is_null() { &json!({}) } else { labels };
                found.push(Cause::invalid(
                    "spec.template.metadata.labels",
                    labels,
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
    if let Some(replicas) = number(object, "/spec/replicas").filter(|replicas| *replicas < 0) {
        let why = "must be greater than or equal to 0";
        found.push(Cause::invalid("spec.replicas", &replicas, why));
    }
    if object["spec"]["strategy"]["type"] == "Recreate"
        && !object["spec"]["strategy"]["rollingUpdate"].is_null()
    {
        found.push(Cause::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    }
    if list(object, "/spec/template/spec/containers").is_empty() {
        found.push(Cause::required("spec.template.spec.containers", ""));
    }
    if stored.is_some_and(|stored| stored["spec"]["selector"] != *selector) {
        found.push(immutable("spec.selector", selector));
    }
}

fn service(stored: Option<&Value>, object: &Value, found: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let ports = list(object, "/spec/ports");
    if ports.is_empty() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        found.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        let earlier = &ports[..index];
        if name.is_empty() && ports.len() > 1 {
            found.push(Cause::required(format!("{path}.name"), ""));
        } else if earlier
            .iter()
            .any(|other| !name.is_empty() && text(other, "/name") == name)
        {
            found.push(duplicate(format!("{path}.name"), &json!(name)));
        }
        let same =
            |other: &&Value| other["port"] == port["port"] && other["protocol"] == port["protocol"];
        if earlier.iter().any(|other| same(&other)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                port["protocol"], port["port"]
            );
            found.push(duplicate(path, &shown));
        }
    }
    let address = |object: &Value| object["spec"]["clusterIPs"].clone();
    let moved = stored.is_some_and(|stored| {
        stored["spec"]["type"] != "ExternalName"
            && spec["type"] != "ExternalName"
            && address(stored) != address(object)
    });
    if moved {
        let why = "may not change once set";
        found.push(Cause::invalid("spec.clusterIPs[0]", &address(object), why));
    }
}

fn autoscaler(object: &Value, found: &mut Vec<Cause>) {
    let (min, max) = (
        number(object, "/spec/minReplicas"),
        number(object, "/spec/maxReplicas"),
    );
    let max = max.unwrap_or(0);
    if max < 1 {
        let why = "must be set and greater than 0";
        found.push(Cause::required("spec.maxReplicas", why));
    }
    if min.is_some_and(|min| max < min) {
        let why = "must be greater than or equal to `minReplicas`";
        found.push(Cause::invalid("spec.maxReplicas", &max, why));
    }
    if let Some(min) = min.filter(|min| *min < 1) {
        let why = "must be greater than or equal to 1";
        found.push(Cause::invalid("spec.minReplicas", &min, why));
    }
}

fn immutable(field: &str, value: &Value) -> Cause {
    Cause::invalid(field, value, "field is immutable")
}

fn duplicate(field: String, value: &impl std::fmt::Display) -> Cause {
    let message = format!("Duplicate value: {value}");
    Cause {
        reason: "FieldValueDuplicate",
        field,
        message,
    }
}
