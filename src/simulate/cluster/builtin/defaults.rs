//! The defaults of built-in kinds, as a real API server fills them in.

use serde_json::{Map, Value, json};

use super::super::object::{child, default, map, text};
use super::pods;

pub(super) fn deployment(object: &mut Value) {
    let spec = child(object, "spec");
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    let strategy = map(spec.entry("strategy").or_insert_with(|| json!({})));
    default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = map(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
        default(rolling, "maxUnavailable", "25%");
        default(rolling, "maxSurge", "25%");
    }
    template(spec);
}

pub(super) fn replica_set(object: &mut Value) {
    let spec = child(object, "spec");
    default(spec, "replicas", 1);
    template(spec);
}

pub(super) fn daemon_set(object: &mut Value) {
    let spec = child(object, "spec");
    default(spec, "revisionHistoryLimit", 10);
    let strategy = map(spec.entry("updateStrategy").or_insert_with(|| json!({})));
    default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = map(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
        default(rolling, "maxUnavailable", 1);
        default(rolling, "maxSurge", 0);
    }
    template(spec);
}

pub(super) fn job(spec: &mut Map<String, Value>) {
    default(spec, "parallelism", 1);
    default(spec, "completions", 1);
    default(spec, "backoffLimit", 6);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    template(spec);
}

pub(super) fn cron_job(object: &mut Value) {
    let spec = child(object, "spec");
    default(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    let job = map(spec.entry("jobTemplate").or_insert_with(|| json!({})));
    default(job, "metadata", json!({}));
    template(map(job.entry("spec").or_insert_with(|| json!({}))));
}

fn template(spec: &mut Map<String, Value>) {
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let metadata = child(template, "metadata");
    // Typed maps: an empty one is as good as none.
    metadata.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
    pods::spec(child(template, "spec"));
}

pub(super) fn service(object: &mut Value) {
    let spec = child(object, "spec");
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        default(
            spec,
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": 10_800}}),
        );
    }
    let service_type = spec["type"].as_str().unwrap_or_default().to_owned();
    if service_type == "ExternalName" {
        return;
    }
    default(spec, "internalTrafficPolicy", "Cluster");
    if matches!(&*service_type, "NodePort" | "LoadBalancer") {
        default(spec, "externalTrafficPolicy", "Cluster");
    }
    if service_type == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let port = map(port);
        default(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        default(port, "targetPort", number);
    }
}

pub(super) fn secret(object: &mut Value) {
    let texts = map(object).remove("stringData");
    if let Some(Value::Object(texts)) = texts {
        let data = child(object, "data");
        for (key, text) in texts {
            data.insert(
                key,
                base64(text.as_str().unwrap_or_default().as_bytes()).into(),
            );
        }
    }
    default(map(object), "type", "Opaque");
}

pub(super) fn event(object: &mut Value) {
    let event = map(object);
    default(event, "source", json!({}));
    for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        event.entry(field).or_insert(Value::Null);
    }
    default(event, "reportingComponent", "");
    default(event, "reportingInstance", "");
}

pub(super) fn endpoint_slice(object: &mut Value) {
    let slice = map(object);
    for port in slice
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(map(port), "name", "");
        default(map(port), "protocol", "TCP");
    }
    for endpoint in slice
        .get_mut("endpoints")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(map(endpoint), "conditions", json!({}));
    }
}

pub(super) fn autoscaler(object: &mut Value) {
    let spec = child(object, "spec");
    default(spec, "minReplicas", 1);
    default(
        spec,
        "metrics",
        json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]),
    );
    if let Some(behavior) = spec.get_mut("behavior") {
        let up = child(behavior, "scaleUp");
        default(up, "stabilizationWindowSeconds", 0);
        default(up, "selectPolicy", "Max");
        default(
            up,
            "policies",
            json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]),
        );
        let down = child(behavior, "scaleDown");
        default(down, "selectPolicy", "Max");
        default(
            down,
            "policies",
            json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
        );
    }
}

pub(super) fn definition(object: &mut Value) {
    let kind = text(object, "/spec/names/kind").to_owned();
    let spec = child(object, "spec");
    default(spec, "conversion", json!({"strategy": "None"}));
    let names = map(spec.entry("names").or_insert_with(|| json!({})));
    default(names, "singular", kind.to_lowercase());
    default(names, "listKind", format!("{kind}List"));
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            if index <= chunk.len() {
                text.push(char::from(
                    LETTERS[(bits >> (18 - 6 * index) & 63) as usize],
                ));
            } else {
                text.push('=');
            }
        }
    }
    text
}
