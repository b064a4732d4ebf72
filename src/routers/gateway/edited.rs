//! The route that is there already, with what must be different changed: the weights, and those
//! fields that the Canary speaks of. Everything else is the user's.

use serde_json::{Value, json};

use crate::objects::{View, controller_uid};
use crate::routers::gateway::rules::Side;
use crate::routers::gateway::{fields, filters, list, made, matches, rules, set, with_defaults};
use crate::routers::{Traffic, adopted, apex};

pub(super) fn http_route(view: &View<'_>, live: &Value, traffic: Traffic) -> Value {
    let mut object = live.clone();
    apex::hold(view, live, &mut object);
    let service = apex::service(view);
    let mut spec = json!(live["spec"].as_object().cloned().unwrap_or_default());
    let hosts: Vec<_> = service.hosts.iter().map(|host| json!(host)).collect();
    hold_list(view, live, &mut spec, "hostnames", &hosts);
    let parents: Vec<_> = service.gateway_refs.iter().map(with_defaults).collect();
    hold_list(view, live, &mut spec, "parentRefs", &parents);

    let mut route: Vec<_> = list(&spec["rules"]).to_vec();
    // What is no rule cannot stay: nobody would read the others.
    route.retain(Value::is_object);
    set(&mut spec, "rules", json!(route));
    split(
        view,
        &spec,
        &mut route,
        controller_uid(live).is_some(),
        traffic,
    );
    set(&mut spec, "rules", json!(route));
    if spec != live["spec"] {
        adopted::remember(live, &mut object);
    }
    set(&mut object, "spec", spec);
    object
}

fn split(view: &View<'_>, spec: &Value, route: &mut Vec<Value>, is_ours: bool, traffic: Traffic) {
    let test = made::test(view, traffic.canary);
    let weight = if traffic.matched { 0 } else { traffic.canary };
    let places = rules::places(view, spec, is_ours);
    let tests = matches::tests(view, spec, is_ours);
    let main = rules::main_place(view, spec, &places);
    for place in &places {
        let rule = &mut route[*place];
        // Beside a test a rule that leads to the primary, or to the apex, is as it should be.
        if test.is_none() || weight > 0 || rules::leads_to(view.names, rule, Side::Canary) {
            rules::split(view, rule, weight);
        }
        if Some(*place) == main {
            hold_fields(view, rule, made::of_service(apex::service(view)));
        }
        filters::mirror(view, rule, traffic.mirror);
    }
    if let (Some(test), Some(place)) = (&test, tests.place()) {
        rules::split(view, &mut route[place], traffic.canary);
        hold_fields(view, &mut route[place], Some(test["matches"].clone()));
        filters::mirror(view, &mut route[place], false);
    }
    let missing = test.filter(|_| tests.place().is_none());
    tests.arrange(route, missing.clone().zip(places.first().copied()));
    if main.is_none() {
        let index = insert(route, made::base(view, traffic));
        if let (Some(test), None) = (missing, places.first()) {
            route.insert(index, test);
        }
    }
}

/// No rule leads to this Canary: of two with the same conditions the first gets the requests. Where
/// it is then.
fn insert(route: &mut Vec<Value>, made: Value) -> usize {
    let conditions = rules::conditions(&made);
    let has_one = |rule: &Value| {
        let theirs = rules::conditions(rule);
        theirs
            .iter()
            .any(|condition| conditions.contains(condition))
    };
    let at = route.iter().position(has_one).unwrap_or(route.len());
    route.insert(at, made);
    at
}

/// What the Canary says of the rule that splits the traffic; what it said before and says no more
/// goes.
fn hold_fields(view: &View<'_>, rule: &mut Value, conditions: Option<Value>) {
    let service = apex::service(view);
    rules::set_port(view.names, rule, service.port);
    let forgotten = fields::forgotten(view);
    let is_forgotten = |field: &str| forgotten.contains(&field);
    if let Some(conditions) = conditions {
        set(rule, "matches", conditions);
    } else if is_forgotten(fields::MATCHES) || list(&rule["matches"]).is_empty() {
        set(rule, "matches", json!([{ "path": made::any_path() }]));
    }

    let gone: Vec<_> = forgotten
        .iter()
        .filter_map(|field| field.strip_prefix(fields::FILTERS))
        .collect();
    let live = list(&rule["filters"]);
    let filters = filters::held(view, live, &gone);
    if filters != live {
        set_or_remove(rule, "filters", json!(filters), filters.is_empty());
    }

    let mut timeouts = rule["timeouts"].as_object().cloned().unwrap_or_default();
    for field in forgotten
        .iter()
        .filter_map(|field| field.strip_prefix(fields::TIMEOUTS))
    {
        timeouts.remove(field);
    }
    timeouts.extend(made::timeouts(view));
    if rule["timeouts"]
        .as_object()
        .is_none_or(|live| *live != timeouts)
    {
        set_or_remove(rule, "timeouts", json!(timeouts), timeouts.is_empty());
    }
}

/// A list of the route with the entries of the Canary, without those that were the Canary's; but
/// what the user had on an adopted route is the user's, whatever the Canary has said of it.
fn hold_list(view: &View<'_>, live: &Value, spec: &mut Value, field: &str, wanted: &[Value]) {
    let forgotten = fields::forgotten(view);
    let original = adopted::original_spec(live).unwrap_or_default();
    let original = list(&original[field]);
    let is_gone = |entry: &Value| {
        let named = fields::entry(field, entry);
        forgotten.contains(&&*named) && !original.contains(entry)
    };
    let mut held: Vec<_> = list(&live["spec"][field]).to_vec();
    held.retain(|entry| !is_gone(entry));
    for entry in wanted {
        let is_there = |held: &Value| fields::is_same(field, held, entry);
        if !held.iter().any(is_there) {
            held.push(entry.clone());
        }
    }
    let is_no_list = !live["spec"][field].is_array() && !held.is_empty();
    if held != list(&live["spec"][field]) || is_no_list {
        set_or_remove(spec, field, json!(held), held.is_empty());
    }
}

fn set_or_remove(object: &mut Value, field: &str, value: Value, is_empty: bool) {
    if !is_empty {
        set(object, field, value);
    } else if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}
