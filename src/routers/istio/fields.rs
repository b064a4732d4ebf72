//! The fields that the Canary names on the VirtualService and the `DestinationRules`, as status
//! keeps them: held as the Canary has them, taken off when it has them no more. An entry is a JSON pointer,
//! `/timeout` or `/headers/request/set/x-canary`, or an entry of a list, `/hosts=app.example.com`.

use json_patch::jsonptr::{Pointer, PointerBuf};
use serde_json::{Map, Value, json};

use crate::objects::{DESTINATION_RULE, VIRTUAL_SERVICE, View};
use crate::routers::istio::{edited, made, matches, rules};
use crate::routers::{ab_test, apex};

/// The number of the port that our destinations lead to, where it is needed.
pub(super) const PORT: &str = "/route/destination/port";

/// The conditions of an A/B test, by their hash.
const TEST: &str = "/analysis/match=";

/// What the Canary names now, and what it named before and the objects still show.
pub(super) fn named(view: &View<'_>) -> Vec<String> {
    let mut named = now(view);
    let before = before(view).into_iter().flatten();
    let shown: Vec<_> = before
        .filter(|field| !named.contains(field) && is_shown(view, field))
        .cloned()
        .collect();
    named.extend(shown);
    named
}

/// What the Canary named before; `None` where status knows nothing of it.
pub(super) fn before<'a>(view: &View<'a>) -> Option<&'a [String]> {
    Some(&view.canary.status.as_ref()?.named.as_ref()?.route)
}

/// What the Canary named before and names no more.
pub(super) fn forgotten<'a>(view: &View<'a>) -> Vec<&'a str> {
    let now = now(view);
    let before = before(view).into_iter().flatten();
    before
        .filter(|field| !now.contains(field))
        .map(String::as_str)
        .collect()
}

/// Sets the fields that `wanted` has, and leaves what is beside them. Where status knows what was
/// named, that goes for fields of fields too; where it does not, a field is replaced as a whole, for
/// what is in it may be what the Canary said before.
pub(super) fn hold(view: &View<'_>, object: &mut Value, wanted: &Map<String, Value>) {
    let is_known = before(view).is_some();
    for (field, value) in wanted {
        match object.get_mut(field).filter(|_| is_known) {
            Some(live) => merge(live, value),
            None => rules::set(object, field, value.clone()),
        }
    }
}

/// Takes fields off, and what they leave empty.
pub(super) fn forget(object: &mut Value, fields: &[&str]) {
    for field in fields {
        if let Ok(pointer) = Pointer::parse(field) {
            let tokens: Vec<_> = pointer
                .tokens()
                .map(|it| it.decoded().into_owned())
                .collect();
            remove(object, &tokens);
        }
    }
}

/// The entries of a list that were the Canary's and are not any more.
pub(super) fn forgotten_entries<'a>(forgotten: &[&'a str], list: &str) -> Vec<&'a str> {
    let prefix = entry(list, "");
    forgotten
        .iter()
        .filter_map(|field| field.strip_prefix(&prefix))
        .collect()
}

/// The tests that were the Canary's and are not any more, by the hashes of their conditions.
pub(super) fn forgotten_tests<'a>(forgotten: &[&'a str]) -> Vec<&'a str> {
    let forgotten = forgotten.iter();
    forgotten
        .filter_map(|field| field.strip_prefix(TEST))
        .collect()
}

fn now(view: &View<'_>) -> Vec<String> {
    let rule = made::rule(view, 0);
    let mut named = Vec::new();
    for (field, value) in rule.as_object().into_iter().flatten() {
        if field != "route" {
            leaves(
                &PointerBuf::from_tokens([field.as_str()]),
                value,
                &mut named,
            );
        }
    }
    if made::port(apex::service(view)).is_some() {
        named.push(PORT.to_owned());
    }
    if let Some(conditions) = matches::conditions(view) {
        named.push(format!("{TEST}{}", ab_test::id(&conditions)));
    }
    if let Some(policy) = &apex::service(view).traffic_policy {
        leaves(
            &PointerBuf::from_tokens([TRAFFIC_POLICY]),
            policy,
            &mut named,
        );
    }
    let live = view.object(&VIRTUAL_SERVICE, &view.names.apex);
    let hosts = edited::hosts(view, live).into_iter();
    named.extend(hosts.map(|host| entry("hosts", host)));
    let gateways = edited::gateways(view, live).into_iter();
    named.extend(gateways.map(|gateway| entry("gateways", gateway)));
    named
}

const TRAFFIC_POLICY: &str = "trafficPolicy";

fn entry(list: &str, value: &str) -> String {
    format!("/{list}={value}")
}

fn leaves(path: &PointerBuf, value: &Value, found: &mut Vec<String>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        None => found.push(path.to_string()),
        Some(fields) => {
            for (field, value) in fields {
                let mut path = path.clone();
                path.push_back(field.as_str());
                leaves(&path, value, found);
            }
        }
    }
}

fn is_shown(view: &View<'_>, field: &str) -> bool {
    let has = |object: &Value| object.pointer(field).is_some();
    let rules = [&view.names.apex_primary, &view.names.apex_canary];
    let mut policies = rules
        .into_iter()
        .filter_map(|host| view.object(&DESTINATION_RULE, host));
    if policies.any(|rule| has(&rule["spec"])) {
        return true;
    }
    let Some(route) = view.object(&VIRTUAL_SERVICE, &view.names.apex) else {
        return false;
    };
    for list in ["hosts", "gateways"] {
        if let Some(value) = field.strip_prefix(&entry(list, "")) {
            let live = route["spec"][list].as_array();
            return live.is_some_and(|live| live.contains(&json!(value)));
        }
    }
    let tests = matches::tests(view, route);
    if let Some(id) = field.strip_prefix(TEST) {
        let mut tests = tests.all().map(|index| &route["spec"]["http"][index]);
        return tests.any(|test| ab_test::id(&test["match"]) == id);
    }
    let mut rules = rules::places(view, route)
        .into_iter()
        .map(|place| &route["spec"][place.list][place.index]);
    match field {
        PORT => rules.any(|rule| rules::has_port(view.names, rule)),
        _ => rules.any(has),
    }
}

fn merge(live: &mut Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (field, value) in wanted {
                match live.get_mut(field) {
                    Some(live) => merge(live, value),
                    None => drop(live.insert(field.clone(), value.clone())),
                }
            }
        }
        (live, wanted) => live.clone_from(wanted),
    }
}

/// Whether the object is empty now.
fn remove(object: &mut Value, tokens: &[String]) -> bool {
    let Some(fields) = object.as_object_mut() else {
        return false;
    };
    let Some((first, rest)) = tokens.split_first() else {
        return false;
    };
    let Some(inner) = fields.get_mut(first) else {
        return false;
    };
    if rest.is_empty() || remove(inner, rest) {
        fields.remove(first);
    }
    fields.is_empty()
}
