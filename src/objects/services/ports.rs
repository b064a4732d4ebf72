//! The ports of the Services: the Canary's own, the container's others where they are asked for, and
//! what else is on a Service that is there.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::containers::{self, ContainerPort};
use crate::api::service::CanaryService;

/// No port of a Service may have a longer name.
const NAME_MAX: usize = 63;

/// The ports that the Canary asks for, its own first, then those that are discovered in the order of
/// containers and their ports. `target_port` is that of the first.
pub(super) fn of(service: &CanaryService, workload: &Value, target_port: &Value) -> Vec<Value> {
    let mut first = json!({
        "name": given_name(service).unwrap_or("http"),
        "protocol": "TCP",
        "port": service.port,
        "targetPort": target_port,
    });
    if let Some(protocol) = app_protocol(service) {
        first["appProtocol"] = json!(protocol);
    }
    let mut ports = vec![first];
    if service.port_discovery == Some(true) {
        for port in containers::ports(workload) {
            ports.extend(discovered(&ports, &port));
        }
    }
    ports
}

/// The port that pods listen on: `targetPort`, or `port` where that is not set.
pub(super) fn target_port(service: &CanaryService) -> Value {
    match &service.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => json!(number),
        Some(IntOrString::String(name)) if !name.is_empty() && name != "0" => json!(name),
        _ => json!(service.port),
    }
}

/// The `targetPort` of a Service to the primary. A Canary whose `targetPort` follows a new revision
/// names a port that the primary's pods do not have yet: until they do, the Service leads to the one
/// that it leads to now.
pub(super) fn target_port_of_primary(
    service: &CanaryService,
    primary: &Value,
    target: Option<&Value>,
    live: &Value,
) -> Value {
    let named = target_port(service);
    let is_ahead = !containers::declare(primary, &named)
        && target.is_some_and(|target| containers::declare(target, &named));
    let now = list(live)
        .iter()
        .find(|port| port["port"] == service.port)
        .map(|port| &port["targetPort"]);
    match now {
        Some(now) if is_ahead && containers::declare(primary, now) => now.clone(),
        _ => named,
    }
}

/// `appProtocol` of the Canary's port, if there is one.
pub(super) fn app_protocol(service: &CanaryService) -> Option<&str> {
    let protocol = service.app_protocol.as_deref();
    protocol.filter(|protocol| !protocol.is_empty())
}

/// The ports of a Service that Davy made: those that the Canary asks for, edited where they are, so
/// that node ports and unknown fields stay, in the live order, because order means nothing and a
/// change of it is a write. Others stay where `is_others` knows them for somebody else's.
pub(super) fn owned(
    live: &Value,
    wanted: &[Value],
    is_others: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let live = list(live);
    let find = |index: usize| {
        let port = &wanted[index];
        by_name(live, &port["name"]).or_else(|| unnamed_by_number(live, wanted, port))
    };
    let edit = |_: usize, live: &Value, port: &Value| {
        let fields = ["name", "protocol", "port", "targetPort", "appProtocol"];
        edited(live, port, &fields)
    };
    merged(live, wanted, find, edit, is_others)
}

/// The ports of a Service that a user made: all that were there, with their names, protocols and
/// numbers, lead where the Canary says, and those that it asks for beyond them are added. `is_others`
/// tells of a port that the Canary does not ask for whether it stays.
pub(super) fn adopted(
    service: &CanaryService,
    workload: &Value,
    live: &Value,
    wanted: &[Value],
    is_others: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let live = list(live);
    let is_named = given_name(service).is_some();
    let mut wanted = wanted.to_vec();
    if !is_named && by_number(live, &wanted[0]).is_none() && is_taken(live, &wanted[0]) {
        wanted[0]["name"] = json!(format!("http-{}", service.port));
    }
    let find = |index: usize| {
        let port = &wanted[index];
        match (index, is_named) {
            (0, false) => by_number(live, port),
            _ => by_name(live, &port["name"]).or_else(|| unnamed_by_number(live, &wanted, port)),
        }
    };
    let edit = |index: usize, live: &Value, port: &Value| match index {
        0 if is_named => edited(live, port, &["name", "port", "targetPort", "appProtocol"]),
        0 => edited(live, port, &["port", "targetPort", "appProtocol"]),
        // It has the user's number, and leads to a port of the pods by a number or a name.
        _ if containers::declare(workload, &live["targetPort"]) => live.clone(),
        _ => edited(live, port, &["targetPort"]),
    };
    let mut ports = merged(live, &wanted, find, edit, is_others);
    name_all(&mut ports);
    ports
}

/// The live ports without the `appProtocol` of the Canary's port, which the Canary gave it and gives no
/// more.
pub(super) fn without_app_protocol(service: &CanaryService, live: &Value) -> Value {
    let mut live = live.clone();
    let ports = live.as_array_mut().into_iter().flatten();
    for port in ports.filter(|port| port["port"] == service.port && protocol(port) == "TCP") {
        drop(
            port.as_object_mut()
                .and_then(|port| port.remove("appProtocol")),
        );
    }
    live
}

/// The name of the Canary's port, if it gives one.
fn given_name(service: &CanaryService) -> Option<&str> {
    service.port_name.as_deref().filter(|name| !name.is_empty())
}

/// The Service's port for a container's, unless there is one already. An API server takes no two of
/// one name, or of one number and protocol.
fn discovered(ports: &[Value], port: &ContainerPort<'_>) -> Option<Value> {
    let first = ports.first()?;
    let is_first = port.is(&first["targetPort"]) && first["protocol"] == port.protocol;
    let mut wanted = json!({
        "name": port.name,
        "protocol": port.protocol,
        "port": port.number,
        "targetPort": port.number,
    });
    if is_first || ports.iter().any(|other| is_same_number(other, &wanted)) {
        return None;
    }
    if port.name.is_none() || is_taken(ports, &wanted) {
        wanted["name"] = json!(generated_name(port));
    }
    Some(wanted)
}

/// Flagger's name for a port that has none, cut where the container's name leaves no room.
fn generated_name(port: &ContainerPort<'_>) -> String {
    let protocol = port.protocol.to_lowercase();
    let index = port.index.to_string();
    let room = NAME_MAX.saturating_sub(protocol.len() + index.len() + 2);
    let container: String = port.container.chars().take(room).collect();
    format!("{protocol}-{}-{index}", container.trim_end_matches('-'))
}

/// The live ports and the wanted ones as one list: what `find` finds is edited, what it does not find
/// is added, and what nothing asks for stays if `stays` says so and it is in nobody's way.
fn merged(
    live: &[Value],
    wanted: &[Value],
    find: impl Fn(usize) -> Option<usize>,
    edit: impl Fn(usize, &Value, &Value) -> Value,
    stays: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let mut ports: Vec<Option<Value>> = vec![None; live.len()];
    let mut added = Vec::new();
    for (index, port) in wanted.iter().enumerate() {
        match find(index).filter(|place| ports[*place].is_none()) {
            Some(place) => ports[place] = Some(edit(index, &live[place], port)),
            None => added.push(port.clone()),
        }
    }
    let mut asked_for: Vec<_> = ports.iter().flatten().cloned().collect();
    added.retain(|port| !asked_for.iter().any(|it| is_same_number(it, port)));
    for port in &mut added {
        if is_taken(&asked_for, port) {
            port["name"] = json!(number_as_name(port));
        }
        asked_for.push(port.clone());
    }
    for (place, port) in live.iter().enumerate() {
        let is_in_the_way =
            is_taken(&asked_for, port) || asked_for.iter().any(|it| is_same_number(it, port));
        if ports[place].is_none() && stays(port) && !is_in_the_way {
            ports[place] = Some(port.clone());
        }
    }
    ports.into_iter().flatten().chain(added).collect()
}

fn by_name(live: &[Value], name: &Value) -> Option<usize> {
    live.iter().position(|port| port["name"] == *name)
}

fn by_number(live: &[Value], wanted: &Value) -> Option<usize> {
    let same = live.iter().position(|port| is_same_number(port, wanted));
    same.or_else(|| live.iter().position(|port| port["port"] == wanted["port"]))
}

/// The port of that number, if nothing else asks for it by name.
fn unnamed_by_number(live: &[Value], wanted: &[Value], port: &Value) -> Option<usize> {
    live.iter().position(|candidate| {
        is_same_number(candidate, port) && !wanted.iter().any(|it| it["name"] == candidate["name"])
    })
}

fn edited(live: &Value, wanted: &Value, fields: &[&str]) -> Value {
    let mut port = live.clone();
    for field in fields {
        if let Some(value) = wanted.get(field) {
            port[field] = value.clone();
        }
    }
    // What is no port's name is none at all.
    if port["name"].as_str().is_none_or(str::is_empty) {
        port["name"] = wanted["name"].clone();
    }
    port
}

/// Each of several ports must have a name.
pub(super) fn name_all(ports: &mut [Value]) {
    if ports.len() < 2 {
        return;
    }
    for port in ports {
        if port["name"].as_str().is_none_or(str::is_empty) {
            port["name"] = json!(number_as_name(port));
        }
    }
}

fn number_as_name(port: &Value) -> String {
    format!("{}-{}", protocol(port).to_lowercase(), port["port"])
}

/// Whether the name of the port is one of these ports' already.
pub(super) fn is_taken(ports: &[Value], port: &Value) -> bool {
    ports
        .iter()
        .any(|other| !port["name"].is_null() && other["name"] == port["name"])
}

/// Whether no Service can have both ports.
pub(super) fn is_same_number(one: &Value, other: &Value) -> bool {
    one["port"] == other["port"] && protocol(one) == protocol(other)
}

/// TCP where the port says nothing, as Kubernetes has it.
pub(super) fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

/// `spec.ports` as a slice; empty when there are none.
pub(super) fn list(ports: &Value) -> &[Value] {
    ports.as_array().map_or(&[], Vec::as_slice)
}
