//! Built-in kinds have no schema at hand, but types: what cannot be read as one is refused, and a
//! field that the type does not have is dropped, as the API server does.

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Secret, Service},
    discovery::v1::EndpointSlice,
    networking::v1::Ingress,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::super::kinds::Kind;

/// Drops what the type of this kind does not know, and names it.
///
/// # Errors
/// Why the object is not of its type.
pub(super) fn prune(kind: &Kind, object: &mut Value) -> Result<Vec<String>, String> {
    let known = match kind.kind.as_str() {
        "Deployment" => round_trip::<Deployment>(object),
        "ReplicaSet" => round_trip::<ReplicaSet>(object),
        "DaemonSet" => round_trip::<DaemonSet>(object),
        "ControllerRevision" => round_trip::<ControllerRevision>(object),
        "HorizontalPodAutoscaler" => round_trip::<HorizontalPodAutoscaler>(object),
        "Job" => round_trip::<Job>(object),
        "CronJob" => round_trip::<CronJob>(object),
        "ConfigMap" => round_trip::<ConfigMap>(object),
        "Secret" => round_trip::<Secret>(object),
        "Service" => round_trip::<Service>(object),
        "EndpointSlice" => round_trip::<EndpointSlice>(object),
        "Ingress" => round_trip::<Ingress>(object),
        _ => return Ok(Vec::new()),
    }?;
    let mut dropped = Vec::new();
    keep_known(object, &known, "", &mut dropped);
    Ok(dropped)
}

fn round_trip<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, String> {
    let typed = T::deserialize(object).map_err(|error| format!("json: {error}"))?;
    serde_json::to_value(&typed).map_err(|error| error.to_string())
}

/// Keeps the fields of `value` that `known` has too. The values stay as they were sent: the types
/// write some of them in another way.
fn keep_known(value: &mut Value, known: &Value, path: &str, dropped: &mut Vec<String>) {
    match (value, known) {
        (Value::Object(fields), Value::Object(known)) => {
            let path_of = |name: &str| {
                if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                }
            };
            fields.retain(|name, value| {
                let keep = known.contains_key(name) || value.is_null();
                if !keep {
                    dropped.push(path_of(name));
                }
                keep
            });
            for (name, value) in fields {
                if let Some(known) = known.get(name) {
                    keep_known(value, known, &path_of(name), dropped);
                }
            }
        }
        (Value::Array(items), Value::Array(known)) => {
            for (index, (item, known)) in items.iter_mut().zip(known).enumerate() {
                keep_known(item, known, &format!("{path}[{index}]"), dropped);
            }
        }
        _ => {}
    }
}
