//! What the Canary names on the route, as status keeps it: held as the Canary has it, taken off
//! when it has it no more. `/hostnames=app.example.com`, `/parentRefs={…}`, `/matches`,
//! `/timeouts/request`, `/filters=URLRewrite`.

use serde_json::{Value, json};

use crate::objects::{View, controller_uid};
use crate::routers::ab_test;
use crate::routers::apex::service;
use crate::routers::gateway::{HTTP_ROUTE, filters, list, made, matches, rules, with_defaults};

/// The conditions of an A/B test, by their hash.
const TEST: &str = "/analysis/match=";
pub(super) const MATCHES: &str = "/matches";
pub(super) const FILTERS: &str = "/filters=";
pub(super) const TIMEOUTS: &str = "/timeouts/";

/// What the Canary names now, and what it named before and the route still shows.
pub(super) fn named(view: &View<'_>) -> Vec<String> {
    let mut named = now(view);
    let shown: Vec<_> = before(view)
        .filter(|field| !named.iter().any(|it| it == field) && is_shown(view, field))
        .map(str::to_owned)
        .collect();
    named.extend(shown);
    named
}

/// What the Canary named before and names no more.
pub(super) fn forgotten<'a>(view: &View<'a>) -> Vec<&'a str> {
    let now = now(view);
    before(view)
        .filter(|field| !now.iter().any(|it| it == field))
        .collect()
}

/// The tests that were the Canary's and are not any more, by the hashes of their conditions.
pub(super) fn forgotten_tests<'a>(forgotten: &[&'a str]) -> Vec<&'a str> {
    let forgotten = forgotten.iter();
    forgotten
        .filter_map(|field| field.strip_prefix(TEST))
        .collect()
}

/// An entry of a list as status keeps it.
pub(super) fn entry(list: &str, value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("/{list}={text}"),
        None => format!("/{list}={}", with_defaults(value)),
    }
}

/// Whether two entries of a list are one: host names in any case, parents with their defaults.
pub(super) fn is_same(list: &str, one: &Value, other: &Value) -> bool {
    entry(list, one).eq_ignore_ascii_case(&entry(list, other))
}

fn before<'a>(view: &View<'a>) -> impl Iterator<Item = &'a str> {
    let status = view.canary.status.as_ref();
    let named = status.and_then(|status| status.named.as_ref());
    named
        .into_iter()
        .flat_map(|it| &it.route)
        .map(String::as_str)
}

fn now(view: &View<'_>) -> Vec<String> {
    let service = service(view);
    let hosts = service
        .hosts
        .iter()
        .map(|host| format!("/hostnames={host}"));
    let parents = service.gateway_refs.iter();
    let parents = parents.map(|parent| entry("parentRefs", parent));
    let matches = (!service.r#match.is_empty()).then(|| MATCHES.to_owned());
    let test = matches::conditions(view).map(|it| format!("{TEST}{}", ab_test::id(&it)));
    let timeouts = made::timeouts(view).into_iter();
    let timeouts = timeouts.map(|(field, _)| format!("{TIMEOUTS}{field}"));
    let filters = filters::of(view).into_iter();
    let filters = filters.map(|filter| format!("{FILTERS}{}", filters::id(&filter)));
    let all = hosts.chain(parents).chain(matches).chain(test);
    let all = all.chain(timeouts);
    all.chain(filters).collect()
}

fn is_shown(view: &View<'_>, field: &str) -> bool {
    let Some(live) = view.object(&HTTP_ROUTE, &view.names.apex) else {
        return false;
    };
    let spec = &live["spec"];
    for name in ["hostnames", "parentRefs"] {
        if list(&spec[name]).iter().any(|it| entry(name, it) == field) {
            return true;
        }
    }
    let is_ours = controller_uid(live).is_some();
    if let Some(id) = field.strip_prefix(TEST) {
        let tests = matches::tests(view, spec, is_ours);
        let mut tests = tests
            .all()
            .map(|index| rules::conditions(&spec["rules"][index]));
        return tests.any(|conditions| ab_test::id(&json!(conditions)) == id);
    }
    let places = rules::places(view, spec, is_ours);
    let mut rules = places.into_iter().map(|index| &spec["rules"][index]);
    if let Some(id) = field.strip_prefix(FILTERS) {
        return rules.any(|rule| {
            list(&rule["filters"])
                .iter()
                .any(|it| filters::id(it) == id)
        });
    }
    if let Some(timeout) = field.strip_prefix(TIMEOUTS) {
        return rules.any(|rule| rule["timeouts"].get(timeout).is_some());
    }
    // A route without conditions has that of the API server.
    let any_path = [json!({ "path": made::any_path() })];
    field == MATCHES && rules.any(|rule| rules::conditions(rule) != any_path)
}
