//! The objects that are there already, with what must be different changed: the weights, and those
//! fields that the Canary speaks of. Everything else is the user's.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::api::service::CanaryService;
use crate::objects::{View, controller_uid};
use crate::routers::istio::rules::{LISTS, Place};
use crate::routers::istio::{LAST_APPLIED, ORIGINAL_CONFIGURATION, made, rules};

pub(super) fn virtual_service(view: &View<'_>, live: &Value, weight: u8) -> Value {
    let service = made::service(view);
    let mut object = live.clone();
    let apex_labels = service.apex.iter().flat_map(|apex| &apex.labels);
    set_metadata(
        &mut object,
        "labels",
        apex_labels.map(|(key, value)| (&**key, &**value)),
    );
    set_metadata(&mut object, "annotations", made::annotations(service));

    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    set_hosts_and_gateways(view, &mut spec);
    let mut spec = Value::Object(spec);
    split(view, &mut spec, &rules::places(view, live), weight);

    // Once only: a later edit would keep what is ours already, and the user's spec would be lost.
    if controller_uid(live).is_none()
        && [LAST_APPLIED, ORIGINAL_CONFIGURATION]
            .iter()
            .all(|key| live["metadata"]["annotations"].get(*key).is_none())
        && without_weights(&spec) != without_weights(&live["spec"])
    {
        let original = live["spec"].to_string();
        set_metadata(
            &mut object,
            "annotations",
            [(ORIGINAL_CONFIGURATION, original.as_str())],
        );
    }
    rules::set(&mut object, "spec", spec);
    object
}

pub(super) fn destination_rule(view: &View<'_>, live: &Value, host: &str) -> Value {
    let mut object = live.clone();
    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    let is_right = spec
        .get("host")
        .and_then(Value::as_str)
        .is_some_and(|live| rules::is_host_of(live, host, &view.names.namespace));
    if !is_right {
        spec.insert("host".to_owned(), json!(host));
    }
    if let Some(policy) = &made::service(view).traffic_policy {
        spec.insert("trafficPolicy".to_owned(), policy.clone());
    }
    rules::set(&mut object, "spec", Value::Object(spec));
    object
}

fn set_metadata<'a>(
    object: &mut Value,
    field: &str,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut fields = object["metadata"][field]
        .as_object()
        .cloned()
        .unwrap_or_default();
    fields.extend(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value))),
    );
    if !fields.is_empty()
        && let Some(metadata) = object.get_mut("metadata")
    {
        rules::set(metadata, field, Value::Object(fields));
    }
}

/// Their order means nothing to Istio, and is left as it is.
fn set_hosts_and_gateways(view: &View<'_>, spec: &mut Map<String, Value>) {
    let service = made::service(view);
    let is_delegate = service.delegation == Some(true);
    let hosts = made::hosts(view);
    let live_hosts = strings(spec.get("hosts"));
    let is_given = is_delegate || !service.hosts.is_empty() || live_hosts.is_empty();
    if is_given && live_hosts != hosts.iter().copied().collect() {
        let hosts = json!(hosts);
        spec.insert("hosts".to_owned(), hosts);
    }
    let gateways: Vec<_> = service.gateways.iter().map(String::as_str).collect();
    if is_delegate {
        spec.remove("gateways");
    } else if !gateways.is_empty()
        && strings(spec.get("gateways")) != gateways.iter().copied().collect()
    {
        let gateways = json!(gateways);
        spec.insert("gateways".to_owned(), gateways);
    }
}

fn strings(list: Option<&Value>) -> BTreeSet<&str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn split(view: &View<'_>, spec: &mut Value, places: &[Place], weight: u8) {
    let made = made::rule(view, weight);
    let main = rules::main_place(view, spec, places);
    let port = rules::destinations(&made)[0]["destination"].get("port");
    for place in places {
        let Some(rule) = spec.pointer_mut(&format!("/{}/{}", place.list, place.index)) else {
            continue;
        };
        rules::split(view.names, rule, weight);
        if let Some(port) = port {
            rules::set_port(view.names, rule, port);
        }
        if Some(*place) == main {
            set_fields(rule, &made);
        }
    }
    if main.is_none() {
        insert(made::service(view), spec, made);
    }
}

fn set_fields(rule: &mut Value, made: &Value) {
    for (field, value) in made.as_object().into_iter().flatten() {
        if field != "route" {
            rules::set(rule, field, value.clone());
        }
    }
}

/// No rule leads to this Canary: a new one goes before the first that takes every request, or else
/// it would never be reached.
fn insert(service: &CanaryService, spec: &mut Value, made: Value) {
    let list = made::list(service);
    let mut rules = spec[list].as_array().cloned().unwrap_or_default();
    let is_general = |rule: &Value| rule["match"].as_array().is_none_or(Vec::is_empty);
    let index = rules.iter().position(is_general).unwrap_or(rules.len());
    rules.insert(index, made);
    rules::set(spec, list, Value::Array(rules));
}

fn without_weights(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in LISTS {
        let rules = spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        let routes = rules.filter_map(|rule| rule.get_mut("route").and_then(Value::as_array_mut));
        for destination in routes.flatten().filter_map(Value::as_object_mut) {
            destination.remove("weight");
        }
    }
    spec
}
