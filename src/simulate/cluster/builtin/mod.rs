//! What the API server knows of its own kinds: defaults, what it allots, when the generation moves.

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::object::{child, default, list, map, text};

mod defaults;
mod pods;
mod rules;
mod table;
mod typed;

pub(super) use self::rules::violations;
pub(super) use self::table::BUILTIN;

/// Fills in defaults and drops unknown fields, which it names. Doing it twice changes nothing.
///
/// # Errors
/// Why the object is not of its kind.
pub(super) fn fill(kind: &Kind, object: &mut Value) -> Result<Vec<String>, String> {
    if kind.kind != "ControllerRevision" {
        drop_nulls(object);
    }
    let dropped = typed::prune(kind, object)?;
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => defaults::service(object),
        ("", "Secret") => defaults::secret(object),
        ("", "Event") => defaults::event(object),
        ("", "Pod") => pods::spec(child(object, "spec")),
        ("apps", "Deployment") => defaults::deployment(object),
        ("apps", "ReplicaSet") => defaults::replica_set(object),
        ("apps", "DaemonSet") => defaults::daemon_set(object),
        ("autoscaling", "HorizontalPodAutoscaler") => defaults::autoscaler(object),
        ("discovery.k8s.io", "EndpointSlice") => defaults::endpoint_slice(object),
        ("batch", "Job") => defaults::job(child(object, "spec")),
        ("batch", "CronJob") => defaults::cron_job(object),
        ("apiextensions.k8s.io", _) => defaults::definition(object),
        _ => {}
    }
    Ok(dropped)
}

/// What a new object gets besides its defaults. `number` is that of the write.
pub(super) fn begin(kind: &Kind, object: &mut Value, number: u64) {
    let name = text(object, "/metadata/name").to_owned();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            let metadata = child(object, "metadata");
            let labels = map(metadata.entry("labels").or_insert_with(|| json!({})));
            labels.insert("kubernetes.io/metadata.name".into(), name.into());
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        ("", "Service") => {
            allot(child(object, "spec"), number);
            object["status"] = json!({"loadBalancer": {}});
        }
        ("", "Pod") => object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"}),
        ("networking.k8s.io", "Ingress") => object["status"] = json!({"loadBalancer": {}}),
        ("apps", "ReplicaSet") => object["status"] = json!({"replicas": 0}),
        ("apps", "DaemonSet") => {
            let metadata = child(object, "metadata");
            let annotations = map(metadata.entry("annotations").or_insert_with(|| json!({})));
            annotations.insert(
                "deprecated.daemonset.template.generation".into(),
                "1".into(),
            );
            object["status"] = json!({
                "currentNumberScheduled": 0,
                "desiredNumberScheduled": 0,
                "numberMisscheduled": 0,
                "numberReady": 0,
            });
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            object["status"] = json!({"desiredReplicas": 0, "currentMetrics": null});
        }
        ("apps", "Deployment") | ("batch", "Job" | "CronJob") => object["status"] = json!({}),
        ("apiextensions.k8s.io", _) => {
            object["status"] = json!({
                "conditions": [
                    {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"},
                    {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"},
                ],
                "acceptedNames": object["spec"]["names"],
                "storedVersions": list(object, "/spec/versions")
                    .iter()
                    .filter(|version| version["storage"] == true)
                    .map(|version| version["name"].clone())
                    .collect::<Vec<_>>(),
            });
        }
        _ => {}
    }
}

/// What an update that does not name them leaves as they are: the addresses and ports that were
/// allotted.
pub(super) fn carry(kind: &Kind, stored: &Value, object: &mut Value) {
    if kind.is("apps", "DaemonSet") {
        count_template(stored, object);
    }
    if !kind.is("", "Service") || text(object, "/spec/type") == "ExternalName" {
        return;
    }
    let old = &stored["spec"];
    let spec = child(object, "spec");
    for field in [
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "ipFamilyPolicy",
        "healthCheckNodePort",
    ] {
        if let (None, Some(kept)) = (spec.get(field), old.get(field)) {
            spec.insert(field.into(), kept.clone());
        }
    }
    // Patched alone, the list follows the single address, and the check that it may not change sees
    // it.
    if spec.get("clusterIP") != old.get("clusterIP")
        && spec.get("clusterIPs") == old.get("clusterIPs")
    {
        let address = spec.get("clusterIP").cloned().unwrap_or_default();
        spec.insert("clusterIPs".into(), json!([address]));
    }
    let exposed = matches!(
        spec.get("type").and_then(Value::as_str),
        Some("NodePort" | "LoadBalancer")
    );
    let number = super::object::number(stored, "/spec/ports/0/port")
        .unwrap_or(0)
        .unsigned_abs();
    allot_ports(spec, exposed, number);
    if !exposed {
        spec.remove("externalTrafficPolicy");
    }
}

/// A `DaemonSet` counts the changes of its template in an annotation.
fn count_template(stored: &Value, object: &mut Value) {
    const COUNT: &str = "deprecated.daemonset.template.generation";
    let counted = stored["metadata"]["annotations"][COUNT]
        .as_str()
        .unwrap_or("1");
    let moved = u64::from(stored["spec"]["template"] != object["spec"]["template"]);
    let counted = counted.parse::<u64>().unwrap_or(1) + moved;
    let annotations = child(object, "metadata")
        .entry("annotations")
        .or_insert_with(|| json!({}));
    map(annotations).insert(COUNT.into(), counted.to_string().into());
}

pub(super) fn has_generation(kind: &Kind) -> bool {
    kind.custom
        || matches!(
            kind.kind.as_str(),
            "Deployment"
                | "ReplicaSet"
                | "DaemonSet"
                | "Ingress"
                | "EndpointSlice"
                | "Pod"
                | "Job"
                | "CronJob"
                | "CustomResourceDefinition"
        )
}

pub(super) fn moves_generation(kind: &Kind, stored: &Value, object: &Value) -> bool {
    let differs = |path: &str| stored.pointer(path) != object.pointer(path);
    match kind.kind.as_str() {
        _ if !has_generation(kind) => false,
        // A Deployment is observed anew after a change of its annotations too.
        "Deployment" => differs("/spec") || differs("/metadata/annotations"),
        "EndpointSlice" => differs("/endpoints") || differs("/ports"),
        _ => differs("/spec"),
    }
}

/// Addresses and node ports are counted, so that the same requests give the same ones.
fn allot(spec: &mut Map<String, Value>, number: u64) {
    let service_type = spec
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if service_type == "ExternalName" {
        return;
    }
    let address = format!(
        "10.{}.{}.{}",
        96 + (number >> 16) % 16,
        number >> 8 & 255,
        number & 255
    );
    default(spec, "clusterIP", address);
    let address = spec["clusterIP"].clone();
    default(spec, "clusterIPs", json!([address]));
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", "SingleStack");
    allot_ports(
        spec,
        matches!(&*service_type, "NodePort" | "LoadBalancer"),
        number,
    );
}

fn allot_ports(spec: &mut Map<String, Value>, exposed: bool, number: u64) {
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for (port, index) in ports.into_iter().flatten().zip(0..) {
        if exposed {
            default(
                map(port),
                "nodePort",
                30_000 + (number * 16 + index) % 2_768,
            );
        } else {
            map(port).remove("nodePort");
        }
    }
}

/// To a built-in kind a null field is one that is not there.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
