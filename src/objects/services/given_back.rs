//! The apex Service that a user made before there was a Canary, as it was then.

use serde_json::{Map, Value, json};

use super::{Role, named, named_before, names_port, original, ports, service};
use crate::objects::metadata::{self, FLUX, ORIGINAL_CONFIGURATION, Ownership};
use crate::objects::selector::{self, Selector};
use crate::objects::{View, Wanted};

/// The apex Service given back to the user who made it: it selects what it did, as far as that is
/// known, and the target's pods where it is not; its ports are as they were, beside those that others
/// have added since; Flux may have it again, and nothing of our notes is left. One that is given back
/// already equals the live one. `None` if it is not a user's.
///
/// `target` is the workload that was released, where it is still there.
pub fn give_back(view: &View<'_>, target: Option<&Value>) -> Option<Wanted> {
    let key = Role::Apex.key(view.names);
    let live = view.object(key.kind, &key.name)?;
    if metadata::ownership(live, view.names) != Ownership::Nobodys {
        return None;
    }
    let object = match selector(view, live, target) {
        Some(selector) => given_back(view, live, target, selector),
        None => live.clone(),
    };
    Some(Wanted {
        key,
        rank: Role::Apex.rank(),
        object,
    })
}

/// What the Service selected. `None` where nothing tells, and it does not lead to the primary either:
/// then there is nothing to give back. What leads to the primary because its user wrote it so leads
/// to the target, for the primary goes with the Canary.
fn selector(view: &View<'_>, live: &Value, target: Option<&Value>) -> Option<Map<String, Value>> {
    if let Some(selector) = original::selector(live) {
        return Some(selector::to_target(view, &selector).unwrap_or(selector));
    }
    let now = live["spec"]["selector"].as_object()?;
    let to_target = selector::to_target(view, now)?;
    let of_target = target.and_then(|target| Selector::of(view, target).ok());
    Some(of_target.map_or(to_target, |selector| selector.canary_labels()))
}

fn given_back(
    view: &View<'_>,
    live: &Value,
    target: Option<&Value>,
    selector: Map<String, Value>,
) -> Value {
    let mut object = live.clone();
    let ports = Value::Array(given_back_ports(view, live, target));
    let selector = (!selector.is_empty()).then_some(Value::Object(selector));
    set(&mut object["spec"], "ports", Some(ports));
    set(&mut object["spec"], "selector", selector);
    let distribution = format!("/spec/{}", named::TRAFFIC_DISTRIBUTION);
    if names_distribution(view) && original::is_known(live) {
        let value = original::field(live, &distribution);
        set(&mut object["spec"], named::TRAFFIC_DISTRIBUTION, value);
    }
    let mut annotations = metadata::annotations(live);
    annotations.remove(ORIGINAL_CONFIGURATION);
    for (key, _) in FLUX {
        let pointer = format!("/metadata/annotations/{}", key.replace('/', "~1"));
        match original::field(live, &pointer) {
            Some(value) => annotations.insert(key.to_owned(), value),
            None => annotations.remove(key),
        };
    }
    metadata::set_annotations(&mut object, annotations);
    object
}

/// The user's ports, with the node ports that they have, and what is neither theirs nor the Canary's.
fn given_back_ports(view: &View<'_>, live: &Value, target: Option<&Value>) -> Vec<Value> {
    let now = ports::list(&live["spec"]["ports"]);
    let original = original::ports(live);
    if original.is_empty() {
        return now.to_vec();
    }
    let mut given_back: Vec<_> = original.iter().map(|port| completed(port, now)).collect();
    let ours = our_ports(view, target);
    for port in now {
        let is_there = given_back.iter().any(|it| {
            ports::is_same_number(it, port) || (it["name"] == port["name"] && !it["name"].is_null())
        });
        let is_ours = ours.iter().any(|it| ports::is_same_number(it, port))
            || named_before(view).is_some_and(|named| names_port(named, port));
        if !is_there && !is_ours {
            given_back.push(port.clone());
        }
    }
    ports::name_all(&mut given_back);
    given_back
}

/// A port of a manifest as the API server keeps it: with its defaults, and the node port that the
/// live one has.
fn completed(port: &Value, now: &[Value]) -> Value {
    let mut completed = port.clone();
    let same = now.iter().find(|it| ports::is_same_number(it, port));
    let node_port = same.and_then(|live| live.get("nodePort"));
    let defaults = [
        ("protocol", Some(json!(ports::protocol(port)))),
        ("targetPort", port.get("port").cloned()),
        ("nodePort", node_port.cloned()),
    ];
    for (field, default) in defaults {
        if completed[field].is_null() {
            set(&mut completed, field, default);
        }
    }
    completed
}

/// The ports that the Canary asks for, of the target and of the primary.
fn our_ports(view: &View<'_>, target: Option<&Value>) -> Vec<Value> {
    let Ok(service) = service(view) else {
        return Vec::new();
    };
    let target_port = ports::target_port(service);
    let primary = view.workload(&view.names.primary);
    let workloads = target.into_iter().chain(primary);
    workloads
        .flat_map(|workload| ports::of(service, workload, &target_port))
        .collect()
}

/// Whether the Canary sets `trafficDistribution`, or did.
fn names_distribution(view: &View<'_>) -> bool {
    let service = view.canary.spec.service.as_ref();
    service.is_some_and(|service| service.traffic_distribution.is_some())
        || super::was_named(view, named::TRAFFIC_DISTRIBUTION)
}

/// Sets a field, or removes it.
fn set(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) => object[field] = value,
        None => drop(
            object
                .as_object_mut()
                .and_then(|fields| fields.remove(field)),
        ),
    }
}
