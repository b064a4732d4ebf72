//! Which rules of a VirtualService split the canary's traffic, and how they split it.

use serde_json::{Map, Value, json};

use crate::objects::{Names, View, controller_uid};
use crate::routers::istio::{made, matches, mirror};
use crate::routers::{Traffic, apex};

/// The lists whose rules can lead to the canary. The one that does not fit the Canary's protocol
/// counts too: a Canary that was changed from one to the other has left its weights there.
pub(super) const LISTS: [&str; 2] = ["http", "tcp"];

/// Whom a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Apex,
    Primary,
    Canary,
}

/// A rule in one of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) list: &'static str,
    pub(super) index: usize,
}

/// What of the managed traffic goes to the canary; the most where rules differ, because the canary
/// must not be scaled down under any of them. `None` if no weight can be made out.
pub(super) fn traffic(view: &View<'_>, live: &Value) -> Option<Traffic> {
    let percent = |place: Place| {
        let rule = &live["spec"][place.list][place.index];
        percent_of(view.names, destinations(rule))
    };
    let tests = matches::tests(view, live);
    let current = tests.current().map(Place::http);
    let of_matched = current.map_or(Some(0), percent)?;
    let others = tests.others().map(Place::http);
    let of_all: Vec<_> = places(view, live).into_iter().chain(others).collect();
    let is_mirrored = |place: &Place| mirror::is_on(view, &live["spec"][place.list][place.index]);
    let is_mirrored = of_all.iter().chain(&current).any(is_mirrored);
    let of_all = of_all.into_iter().map(percent);
    let of_all = of_all.collect::<Option<Vec<_>>>()?.into_iter().max();
    let traffic = Traffic::of_matched(of_matched).either(Traffic::share(of_all.unwrap_or(0)));
    Some(Traffic {
        mirror: is_mirrored,
        ..traffic
    })
}

impl Place {
    pub(super) fn http(index: usize) -> Self {
        Self {
            list: "http",
            index,
        }
    }
}

/// The rules for all requests that are ours to split: those with both hosts, else one that has either of them,
/// else all that lead to the apex and are to be taken over. A rule of the user's that pins some
/// requests to one side stays his as long as there is another one that splits.
pub(super) fn places(view: &View<'_>, live: &Value) -> Vec<Place> {
    let spec = &live["spec"];
    let list = made::list(apex::service(view));
    let has =
        |place: &Place, side: Side| leads_to(view.names, &spec[place.list][place.index], side);
    let all = LISTS.into_iter().flat_map(|list| {
        let count = spec[list].as_array().map_or(0, Vec::len);
        (0..count).map(move |index| Place { list, index })
    });
    let tests = matches::tests(view, live);
    let is_test = |place: &Place| place.list == "http" && tests.has(place.index);
    let all: Vec<_> = all.filter(|place| !is_test(place)).collect();
    let (mut found, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|place| has(place, Side::Primary) && has(place, Side::Canary));
    let rest: Vec<_> = rest
        .into_iter()
        .filter(|place| place.list == list)
        .collect();
    let half = rest
        .iter()
        .filter(|place| has(place, Side::Primary) || has(place, Side::Canary));
    let half: Vec<_> = half.copied().collect();
    if found.iter().any(|place| place.list == list) {
        // Flagger's A/B test ends in a rule that leads to the primary alone. Without the test's
        // conditions in the Canary, splitting only theirs would pass the insiders off as everyone.
        let is_ours = controller_uid(live).is_some();
        let is_described = |place: &Place| is_main(view, spec, *place);
        if is_ours && !found.iter().any(is_described) {
            found.extend(half.into_iter().find(is_described));
        }
    } else if let Some(place) = main_place(view, spec, &half) {
        found.push(place);
    } else {
        found.extend(rest.into_iter().filter(|place| has(place, Side::Apex)));
    }
    found
}

/// The rule that `spec.service` describes: the one with its conditions, else the last one, since
/// more special rules must stand before more general ones.
pub(super) fn main_place(view: &View<'_>, spec: &Value, places: &[Place]) -> Option<Place> {
    let list = made::list(apex::service(view));
    let mut fitting = places.iter().copied().filter(|place| place.list == list);
    let described = fitting.clone().find(|place| is_main(view, spec, *place));
    described.or_else(|| fitting.next_back())
}

fn is_main(view: &View<'_>, spec: &Value, place: Place) -> bool {
    place.list == made::list(apex::service(view))
        && is_described(view, &spec[place.list][place.index])
}

/// Whether a rule has the conditions of `spec.service`.
pub(super) fn is_described(view: &View<'_>, rule: &Value) -> bool {
    let conditions = |rule: &Value| rule["match"].as_array().filter(|m| !m.is_empty()).cloned();
    conditions(rule) == conditions(&made::rule(view, 0))
}

/// Whether a rule has a destination of this side.
pub(super) fn leads_to(names: &Names, rule: &Value, side: Side) -> bool {
    let mut entries = destinations(rule).iter();
    entries.any(|entry| side_of(names, entry) == Some(side))
}

/// Makes the rule lead to both hosts with this weight on the canary. A rule that shows it
/// already stays as it is, whatever its numbers add up to.
pub(super) fn split(names: &Names, rule: &mut Value, weight: u8) {
    let Some(route) = rule.get_mut("route").and_then(Value::as_array_mut) else {
        return;
    };
    take_over(names, route);
    complete(names, route);
    let primary = sum_of(names, route, Side::Primary);
    let canary = sum_of(names, route, Side::Canary);
    let weight = u64::from(weight);
    if primary + canary > 0 && canary * 100 == weight * (primary + canary) {
        return;
    }
    for (wanted, mut share) in [(Side::Primary, 100 - weight), (Side::Canary, weight)] {
        for destination in route
            .iter_mut()
            .filter(|entry| side_of(names, entry) == Some(wanted))
        {
            set(destination, "weight", json!(share));
            share = 0;
        }
    }
}

/// Sets the port of the destinations that share the traffic, or takes it off.
pub(super) fn set_port(names: &Names, rule: &mut Value, port: Option<&Value>) {
    let Some(route) = rule.get_mut("route").and_then(Value::as_array_mut) else {
        return;
    };
    for entry in route {
        if matches!(side_of(names, entry), Some(Side::Primary | Side::Canary))
            && let Some(destination) = entry.get_mut("destination")
        {
            match (port, destination.as_object_mut()) {
                (Some(port), _) => set(destination, "port", port.clone()),
                (None, Some(fields)) => drop(fields.remove("port")),
                (None, None) => {}
            }
        }
    }
}

/// Whether a destination that shares the traffic has a port.
pub(super) fn has_port(names: &Names, rule: &Value) -> bool {
    let mut ours = destinations(rule)
        .iter()
        .filter(|entry| matches!(side_of(names, entry), Some(Side::Primary | Side::Canary)));
    ours.any(|entry| entry["destination"].get("port").is_some())
}

pub(super) fn side_of(names: &Names, destination: &Value) -> Option<Side> {
    let host = destination["destination"]["host"].as_str()?;
    let sides = [
        (&names.apex, Side::Apex),
        (&names.apex_primary, Side::Primary),
        (&names.apex_canary, Side::Canary),
    ];
    let mut sides = sides.into_iter();
    sides
        .find(|(service, _)| is_host_of(host, service, &names.namespace))
        .map(|(_, side)| side)
}

pub(super) fn is_host_of(host: &str, service: &str, namespace: &str) -> bool {
    let Some(domain) = host.strip_prefix(service) else {
        return false;
    };
    let Some(domain) = domain.strip_prefix('.') else {
        return domain.is_empty();
    };
    let Some(domain) = domain.strip_prefix(namespace) else {
        return false;
    };
    domain.is_empty() || domain == ".svc" || domain.starts_with(".svc.")
}

pub(super) fn destinations(rule: &Value) -> &[Value] {
    rule["route"].as_array().map_or(&[], Vec::as_slice)
}

/// No weight is none; none can be larger than Istio's own type, so that sums cannot overflow.
pub(super) fn weight_of(destination: &Value) -> u64 {
    destination["weight"]
        .as_u64()
        .unwrap_or(0)
        .min(u64::from(u32::MAX))
}

pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

fn sum_of(names: &Names, destinations: &[Value], side: Side) -> u64 {
    let of_side = destinations
        .iter()
        .filter(|entry| side_of(names, entry) == Some(side));
    of_side.map(weight_of).sum()
}

fn percent_of(names: &Names, destinations: &[Value]) -> Option<u8> {
    let is_canary = |entry: &Value| side_of(names, entry) == Some(Side::Canary);
    if !destinations.iter().any(is_canary) {
        return Some(0);
    }
    // Istio asks for no weight where there is no choice.
    if destinations.len() == 1 {
        return Some(100);
    }
    if destinations
        .iter()
        .all(|destination| weight_of(destination) == 0)
    {
        return None;
    }
    let is_primary = |entry: &Value| side_of(names, entry) == Some(Side::Primary);
    let stable = if destinations.iter().any(is_primary) {
        Side::Primary
    } else {
        Side::Apex
    };
    Some(percent(
        sum_of(names, destinations, stable),
        sum_of(names, destinations, Side::Canary),
    ))
}

/// Rounded, but a side that has some of the traffic is never said to have none.
fn percent(primary: u64, canary: u64) -> u8 {
    let pair = primary + canary;
    if canary == 0 {
        return 0;
    }
    let most = if primary > 0 { 99 } else { 100 };
    u8::try_from(((canary * 100 + pair / 2) / pair).clamp(1, most)).unwrap_or(100)
}

/// Where the apex was, the primary and the canary are, with the headers that the apex had. The apex
/// leads to the primary, so beside a canary it stands for it.
fn take_over(names: &Names, route: &mut Vec<Value>) {
    let is_side = |entry: &Value, side| side_of(names, entry) == Some(side);
    let Some(index) = route.iter().position(|entry| is_side(entry, Side::Apex)) else {
        return;
    };
    if route.iter().any(|entry| is_side(entry, Side::Primary)) {
        return;
    }
    let mut primary = route[index].clone();
    if let Some(destination) = primary.get_mut("destination") {
        set(destination, "host", json!(names.apex_primary));
        // A subset belongs to the apex's DestinationRule; the primary's does not have it.
        if let Some(fields) = destination.as_object_mut() {
            fields.remove("subset");
        }
    }
    route.retain(|entry| !is_side(entry, Side::Apex));
    if !route.iter().any(|entry| is_side(entry, Side::Canary)) {
        let mut canary = primary.clone();
        if let Some(destination) = canary.get_mut("destination") {
            set(destination, "host", json!(names.apex_canary));
        }
        set(&mut canary, "weight", json!(0));
        route.insert(index, canary);
    }
    route.insert(index, primary);
}

/// Adds the destination that the rule lacks, after the pattern of the one that it has.
fn complete(names: &Names, route: &mut Vec<Value>) {
    let position = |side| {
        route
            .iter()
            .position(|entry| side_of(names, entry) == Some(side))
    };
    let (index, host, pattern) = match (position(Side::Primary), position(Side::Canary)) {
        (None, Some(canary)) => (canary, &names.apex_primary, canary),
        (Some(primary), None) => (primary + 1, &names.apex_canary, primary),
        (Some(_), Some(_)) | (None, None) => return,
    };
    let mut destination = Map::from_iter([("host".to_owned(), json!(host))]);
    if let Some(port) = route[pattern]["destination"].get("port") {
        destination.insert("port".to_owned(), port.clone());
    }
    route.insert(index, json!({ "destination": destination, "weight": 0 }));
}
