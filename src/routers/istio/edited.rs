//! The objects that are there already, with what must be different changed: the weights, and those
//! fields that the Canary speaks of. Everything else is the user's.

use serde_json::{Map, Value, json};

use crate::api::service::CanaryService;
use crate::objects::{View, controller_uid};
use crate::routers::istio::rules::{LISTS, Side};
use crate::routers::istio::{fields, made, matches, mirror, rules};
use crate::routers::{Traffic, adopted, apex};

pub(super) fn virtual_service(view: &View<'_>, live: &Value, traffic: Traffic) -> Value {
    let mut object = live.clone();
    apex::hold(view, live, &mut object);

    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    set_hosts_and_gateways(view, live, &mut spec);
    let mut spec = Value::Object(spec);
    split(view, &mut spec, live, traffic);

    if without_weights(&spec) != without_weights(&live["spec"]) {
        adopted::remember(live, &mut object);
    }
    rules::set(&mut object, "spec", spec);
    object
}

/// One without a controller that is for another host is somebody else's, and stays as it is.
pub(super) fn destination_rule(view: &View<'_>, live: &Value, host: &str) -> Value {
    let mut object = live.clone();
    if is_of_others(view, live, host) {
        return object;
    }
    let mut spec = Value::Object(live["spec"].as_object().cloned().unwrap_or_default());
    if !is_for(view, live, host) {
        rules::set(&mut spec, "host", json!(host));
    }
    fields::forget(&mut spec, &fields::forgotten(view));
    if let Some(policy) = &apex::service(view).traffic_policy {
        let policy = Map::from_iter([("trafficPolicy".to_owned(), policy.clone())]);
        fields::hold(view, &mut spec, &policy);
    }
    rules::set(&mut object, "spec", spec);
    object
}

/// Whether nobody controls the DestinationRule and it is for another host than the Service of its name.
pub(super) fn is_of_others(view: &View<'_>, live: &Value, host: &str) -> bool {
    controller_uid(live).is_none() && !is_for(view, live, host)
}

fn is_for(view: &View<'_>, live: &Value, host: &str) -> bool {
    let live = live["spec"]["host"].as_str();
    live.is_some_and(|live| rules::is_host_of(live, host, &view.names.namespace))
}

/// The hosts that the route must have; none where they are the user's. `live` is the route, if it is
/// there.
pub(super) fn hosts<'a>(view: &View<'a>, live: Option<&Value>) -> Vec<&'a str> {
    let is_users = live.is_some_and(|live| {
        controller_uid(live).is_none() && !strings(&live["spec"]["hosts"]).is_empty()
    });
    if is_users && apex::service(view).hosts.is_empty() {
        return Vec::new();
    }
    made::hosts(view)
}

/// The gateways that are the Canary's: those that it names, or else that which Davy gives to a route
/// of its own making.
pub(super) fn gateways<'a>(view: &View<'a>, live: Option<&Value>) -> Vec<&'a str> {
    let service = apex::service(view);
    let is_users = live.is_some_and(|live| controller_uid(live).is_none());
    if is_users && service.gateways.is_empty() {
        return Vec::new();
    }
    made::gateways(service).unwrap_or_default()
}

/// What the Canary names is there, what it named before and names no more is not, and what others
/// have added stays. The order means nothing to Istio, and is left as it is.
fn set_hosts_and_gateways(view: &View<'_>, live: &Value, spec: &mut Map<String, Value>) {
    let service = apex::service(view);
    let is_delegate = service.delegation == Some(true);
    let (hosts, gateways) = if is_delegate {
        (Vec::new(), Vec::new())
    } else {
        let named: Vec<_> = service.gateways.iter().map(String::as_str).collect();
        let hosts = held(view, live, "hosts", &hosts(view, Some(live)));
        let has_hosts = !hosts.is_empty();
        let made = made::hosts(view);
        (
            if has_hosts { hosts } else { made },
            held(view, live, "gateways", &named),
        )
    };
    if strings(&live["spec"]["hosts"]) != hosts {
        let hosts = json!(hosts);
        spec.insert("hosts".to_owned(), hosts);
    }
    if spec
        .get("gateways")
        .is_some_and(|gateways| !gateways.is_array())
    {
        spec.remove("gateways");
    }
    // To Istio no gateway is the mesh.
    if gateways.is_empty() && (is_delegate || !strings(&live["spec"]["gateways"]).is_empty()) {
        spec.remove("gateways");
    } else if strings(&live["spec"]["gateways"]) != gateways {
        let gateways = json!(gateways);
        spec.insert("gateways".to_owned(), gateways);
    }
}

/// A list of the route with the entries of the Canary, without those that were the Canary's; but what
/// the user had on an adopted route is the user's, whatever the Canary has said of it.
fn held<'a>(view: &View<'_>, live: &'a Value, list: &str, wanted: &[&'a str]) -> Vec<&'a str> {
    let forgotten = fields::forgotten(view);
    let gone = fields::forgotten_entries(&forgotten, list);
    let original = adopted::original_spec(live).unwrap_or_default();
    let original = strings(&original[list]);
    let is_apex = |host: &str| rules::is_host_of(host, &view.names.apex, &view.names.namespace);
    let is_gone =
        |entry: &&str| gone.contains(entry) && !wanted.contains(entry) && !original.contains(entry);
    let mut held = strings(&live["spec"][list]);
    held.retain(|entry| !is_gone(entry));
    for entry in wanted {
        let is_there = |held: &&str| held == entry || (is_apex(held) && is_apex(entry));
        if !held.iter().any(is_there) {
            held.push(entry);
        }
    }
    held
}

fn strings(list: &Value) -> Vec<&str> {
    let entries = list.as_array().into_iter().flatten();
    entries.filter_map(Value::as_str).collect()
}

fn split(view: &View<'_>, spec: &mut Value, live: &Value, traffic: Traffic) {
    let made = made::base(view, traffic);
    let test = made::test(view, traffic.canary);
    let weight = if traffic.matched { 0 } else { traffic.canary };
    let places = rules::places(view, live);
    let tests = matches::tests(view, live);
    let main = rules::main_place(view, spec, &places);
    let port = rules::destinations(&made)[0]["destination"].get("port");
    let forgotten = fields::forgotten(view);
    for place in &places {
        let Some(rule) = spec.pointer_mut(&format!("/{}/{}", place.list, place.index)) else {
            continue;
        };
        // Beside a test a rule that leads to the primary, or to the apex, is as it should be.
        if test.is_none() || weight > 0 || rules::leads_to(view.names, rule, Side::Canary) {
            rules::split(view.names, rule, weight);
        }
        if port.is_some() || forgotten.contains(&fields::PORT) {
            rules::set_port(view.names, rule, port);
        }
        if Some(*place) == main {
            fields::forget(rule, &forgotten);
            set_fields(view, rule, &made);
        }
        if place.list == "http" {
            mirror::set(view, rule, traffic.mirror);
        }
    }
    if let Some(test) = &test
        && let Some(index) = tests.place()
        && let Some(rule) = spec.pointer_mut(&format!("/http/{index}"))
    {
        rules::split(view.names, rule, traffic.canary);
        if port.is_some() || forgotten.contains(&fields::PORT) {
            rules::set_port(view.names, rule, port);
        }
        fields::forget(rule, &forgotten);
        set_fields(view, rule, test);
        mirror::set(view, rule, false);
    }
    let missing = test.filter(|_| tests.place().is_none());
    let first = places.iter().find(|place| place.list == "http");
    let before = missing.clone().zip(first.map(|place| place.index));
    if let Some(http) = spec.get_mut("http").and_then(Value::as_array_mut) {
        tests.arrange(http, before);
    }
    if main.is_none() {
        let index = insert(apex::service(view), spec, made);
        if let (Some(test), None) = (missing, first)
            && let Some(http) = spec.get_mut("http").and_then(Value::as_array_mut)
        {
            http.insert(index, test);
        }
    }
}

fn set_fields(view: &View<'_>, rule: &mut Value, made: &Value) {
    let mut fields = made.as_object().cloned().unwrap_or_default();
    for field in ["route", "mirror", "mirrorPercentage"] {
        fields.remove(field);
    }
    fields::hold(view, rule, &fields);
}

/// No rule leads to this Canary: a new one goes before the first that takes every request, or else
/// it would never be reached. Where it is then.
fn insert(service: &CanaryService, spec: &mut Value, made: Value) -> usize {
    let list = made::list(service);
    let mut rules = spec[list].as_array().cloned().unwrap_or_default();
    // What is no rule cannot stay: Istio would read none of them.
    let leads_somewhere = |route: &Value| {
        let destinations = route.as_array();
        destinations.is_some_and(|destinations| destinations.iter().all(Value::is_object))
    };
    rules.retain(|rule| rule.is_object() && rule.get("route").is_none_or(leads_somewhere));
    let is_general = |rule: &Value| rule["match"].as_array().is_none_or(Vec::is_empty);
    let index = rules.iter().position(is_general).unwrap_or(rules.len());
    rules.insert(index, made);
    rules::set(spec, list, Value::Array(rules));
    index
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
