//! The `RouteTable`: what it shows, and with another weight. Routes and destinations of others stay.

use serde_json::{Value, json};

use super::{ROUTE_TABLE, SIDES, Side};
use crate::objects::{Names, View};
use crate::routers::apex;
use crate::routers::beside::percent;

/// Percent of the requests that go to the canary; `None` if that cannot be told. The most where
/// routes differ: the canary must not be scaled down under any of them.
pub(super) fn canary_percent(names: &Names, live: &Value) -> Option<u8> {
    let ours = routes(live).iter().filter(|route| is_ours(names, route));
    let shares = ours.map(|route| share(names, destinations(route)));
    let shares = shares.collect::<Option<Vec<_>>>()?;
    Some(shares.into_iter().max().unwrap_or(0))
}

/// What Gloo says of the table: in the status itself, or for each of its controllers there.
pub(super) fn programmed(live: &Value) -> Result<(), String> {
    let status = &live["status"];
    let several = status["statuses"].as_object().into_iter().flatten();
    let mut statuses = std::iter::once(status).chain(several.map(|(_, status)| status));
    // By its name, or by its number in older versions.
    let is_rejected = |status: &&Value| status["state"] == "Rejected" || status["state"] == 2;
    match statuses.find(is_rejected) {
        None => Ok(()),
        Some(status) => {
            let why = status["reason"].as_str().unwrap_or_default();
            Err(format!("Gloo rejects it: {}", why.trim()))
        }
    }
}

pub(super) fn rendered(view: &View<'_>, weight: u8) -> Value {
    match view.object(&ROUTE_TABLE, &view.names.apex) {
        Some(live) => edited(view, live, weight),
        None => apex::new_route(
            view,
            &ROUTE_TABLE,
            &json!({ "routes": [made(view, weight)] }),
        ),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn routes(table: &Value) -> &[Value] {
    list(&table["spec"]["routes"])
}

fn destinations(route: &Value) -> &[Value] {
    list(&route["routeAction"]["multi"]["destinations"])
}

fn is_ours(names: &Names, route: &Value) -> bool {
    let mut destinations = destinations(route).iter();
    destinations.any(|entry| side_of(names, entry).is_some())
}

/// Whom a destination leads to. An Upstream for another port counts: the Canary named that before.
fn side_of(names: &Names, entry: &Value) -> Option<Side> {
    let upstream = &entry["destination"]["upstream"];
    let name = upstream["name"].as_str()?;
    if upstream["namespace"] != *names.namespace {
        return None;
    }
    SIDES.into_iter().find(|side| {
        let port = name.strip_prefix(&*side.upstreams(names));
        port.is_some_and(|port| port.parse::<u16>().is_ok())
    })
}

/// Percent of what the two get that goes to the canary; `None` if that cannot be told. No weight is
/// none, says Gloo.
fn share(names: &Names, destinations: &[Value]) -> Option<u8> {
    let (mut primary, mut canary) = (0_u64, 0_u64);
    for entry in destinations {
        let weight = || match entry.get("weight") {
            None | Some(Value::Null) => Some(0),
            Some(weight) => weight.as_u64(),
        };
        match side_of(names, entry) {
            Some(Side::Primary) => primary = primary.saturating_add(weight()?),
            Some(Side::Canary) => canary = canary.saturating_add(weight()?),
            None => {}
        }
    }
    percent(primary, canary)
}

fn made(view: &View<'_>, weight: u8) -> Value {
    let destinations = split(view, &[], weight);
    json!({
        "inheritablePathMatchers": true,
        "routeAction": { "multi": { "destinations": destinations } },
    })
}

/// Two destinations, each with what others have put on it. A side without traffic has no weight: so
/// Flagger writes it.
fn split(view: &View<'_>, ours: &[&Value], weight: u8) -> Vec<Value> {
    let names = view.names;
    let sides = [(Side::Primary, 100 - weight), (Side::Canary, weight)];
    let split = sides.map(|(side, weight)| {
        let mut ours = ours.iter();
        let own = ours.find(|entry| side_of(names, entry) == Some(side));
        let mut entry = own.map_or_else(|| json!({}), |own| (*own).clone());
        entry["destination"]["upstream"] = json!({
            "name": side.upstream(names, apex::service(view).port),
            "namespace": names.namespace,
        });
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("weight");
            if weight > 0 {
                fields.insert("weight".to_owned(), json!(weight));
            }
        }
        entry
    });
    split.into()
}

fn edited(view: &View<'_>, live: &Value, weight: u8) -> Value {
    let names = view.names;
    let mut object = live.clone();
    apex::hold(view, live, &mut object);
    // What is no route cannot stay: Gloo would read none of them.
    let mut routes: Vec<_> = routes(live)
        .iter()
        .filter(|it| it.is_object())
        .cloned()
        .collect();
    let mut is_there = false;
    for route in routes.iter_mut().filter(|route| is_ours(names, route)) {
        is_there = true;
        let live = destinations(route);
        let (ours, others): (Vec<_>, Vec<_>) = live
            .iter()
            .partition(|entry| side_of(names, entry).is_some());
        let mut destinations = split(view, &ours, weight);
        destinations.extend(others.into_iter().cloned());
        route["routeAction"]["multi"]["destinations"] = json!(destinations);
        // Without a path it is an A/B test's, under which no other request is routed at all.
        let paths = ["prefix", "exact", "regex", "connectMatcher"];
        let matchers = route.get_mut("matchers").and_then(Value::as_array_mut);
        let is_gone = matchers.is_some_and(|matchers| {
            matchers.retain(|matcher| paths.iter().any(|path| matcher.get(path).is_some()));
            matchers.is_empty()
        });
        if is_gone && let Some(fields) = route.as_object_mut() {
            fields.remove("matchers");
        }
    }
    if !is_there {
        routes.push(made(view, weight));
    }
    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    spec.insert("routes".to_owned(), json!(routes));
    object["spec"] = json!(spec);
    object
}
