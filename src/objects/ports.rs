//! The ports of the Services: the Canary's own, and the container's others where they are asked
//! for.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::api::service::CanaryService;

/// Containers of a mesh: their ports are not the application's.
const SIDECARS: [&str; 2] = ["istio-proxy", "envoy"];

/// The ports of a new Service, in the order of containers and their ports.
pub(super) fn of(service: &CanaryService, target: &Value) -> Vec<Value> {
    let name = service
        .port_name
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or("http");
    let target_port = target_port(service);
    let mut first = json!({
        "name": name,
        "protocol": "TCP",
        "port": service.port,
        "targetPort": target_port,
    });
    if let Some(protocol) = service
        .app_protocol
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        first["appProtocol"] = json!(protocol);
    }
    let mut ports = vec![first];
    if service.port_discovery == Some(true) {
        discover(
            &mut ports,
            &target_port,
            &target["spec"]["template"]["spec"]["containers"],
        );
    }
    ports
}

/// A live Service's ports with those of the same name edited, so that node ports and unknown
/// fields stay; in the live order, because order means nothing and a change of it is a write.
pub(super) fn merged(live: &Value, wanted: &[Value]) -> Vec<Value> {
    let live = live.as_array().map_or(&[][..], Vec::as_slice);
    let mut places: Vec<(usize, Value)> = wanted
        .iter()
        .enumerate()
        .map(|(index, port)| match position(live, wanted, port) {
            Some(place) => (place, edited(&live[place], port)),
            None => (live.len() + index, port.clone()),
        })
        .collect();
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, port)| port).collect()
}

/// The live port of that name; else the one of that number, if nothing else asks for it by name:
/// the only port of a Service may be without one.
fn position(live: &[Value], wanted: &[Value], port: &Value) -> Option<usize> {
    let by_name = live
        .iter()
        .position(|candidate| candidate["name"] == port["name"]);
    by_name.or_else(|| {
        live.iter().position(|candidate| {
            candidate["port"] == port["port"]
                && !wanted
                    .iter()
                    .any(|other| other["name"] == candidate["name"])
        })
    })
}

fn edited(live: &Value, wanted: &Value) -> Value {
    let mut port = live.clone();
    for field in ["name", "protocol", "port", "targetPort", "appProtocol"] {
        match wanted.get(field) {
            Some(value) => port[field] = value.clone(),
            None => drop(port.as_object_mut().and_then(|fields| fields.remove(field))),
        }
    }
    port
}

/// The port that pods listen on: `targetPort`, or `port` where that is not set.
fn target_port(service: &CanaryService) -> Value {
    match &service.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => json!(number),
        Some(IntOrString::String(name)) if !name.is_empty() && name != "0" => json!(name),
        _ => json!(service.port),
    }
}

/// Adds the container ports that the first one does not lead to already. An API server takes no
/// two ports of one number or name, so neither is made.
fn discover(ports: &mut Vec<Value>, target_port: &Value, containers: &Value) {
    for container in containers.as_array().into_iter().flatten() {
        let container_name = container["name"].as_str().unwrap_or_default();
        if SIDECARS.contains(&container_name) {
            continue;
        }
        for (index, port) in container["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let number = &port["containerPort"];
            let named = port["name"].as_str().filter(|name| !name.is_empty());
            let is_target = target_port == number || named.is_some_and(|name| target_port == name);
            if is_target || is_taken(ports, "port", number) {
                continue;
            }
            let name = named
                .filter(|name| !is_taken(ports, "name", &json!(name)))
                .map_or_else(|| format!("tcp-{container_name}-{index}"), str::to_owned);
            ports.push(json!({
                "name": name,
                "protocol": "TCP",
                "port": number,
                "targetPort": number,
            }));
        }
    }
}

fn is_taken(ports: &[Value], field: &str, value: &Value) -> bool {
    ports.iter().any(|port| port[field] == *value)
}
