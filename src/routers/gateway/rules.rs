//! Which rules of an `HTTPRoute` split the canary's traffic, and how they split it.

use serde_json::{Value, json};

use crate::objects::{Names, View, controller_uid};
use crate::routers::Traffic;
use crate::routers::gateway::{filters, list, made, matches, set};

/// Whom a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Apex,
    Primary,
    Canary,
}

/// What of the managed traffic goes to the canary; the most where rules differ, because the canary
/// must not be scaled down under any of them. `None` if no weight can be made out.
pub(super) fn traffic(view: &View<'_>, live: &Value) -> Option<Traffic> {
    let spec = &live["spec"];
    let is_ours = controller_uid(live).is_some();
    let percent = |index: usize| percent_of(view.names, backends(&spec["rules"][index]));
    let tests = matches::tests(view, spec, is_ours);
    let of_matched = tests.current().map_or(Some(0), percent)?;
    let mut of_all = places(view, spec, is_ours);
    of_all.extend(tests.others());
    let mut all = of_all.iter().copied().chain(tests.current());
    let is_mirrored = all.any(|index| filters::is_mirrored(view, &spec["rules"][index]));
    let of_all = of_all.into_iter().map(percent);
    let of_all = of_all.collect::<Option<Vec<_>>>()?.into_iter().max();
    let traffic = Traffic::of_matched(of_matched).either(Traffic::share(of_all.unwrap_or(0)));
    Some(Traffic {
        mirror: is_mirrored,
        ..traffic
    })
}

/// The rules for all requests that are ours to split, by their place: those with both Services, else one that has
/// either of them, else all that lead to the apex and are to be taken over. A rule of the user's
/// that pins some requests to one side stays his as long as there is another one that splits.
pub(super) fn places(view: &View<'_>, spec: &Value, is_ours: bool) -> Vec<usize> {
    let rules = list(&spec["rules"]);
    let tests = matches::tests(view, spec, is_ours);
    let has = |index: usize, side: Side| leads_to(view.names, &rules[index], side);
    let with = |sides: &[Side], all: bool| -> Vec<usize> {
        let is_found = |index: &usize| {
            let mut sides = sides.iter().map(|side| has(*index, *side));
            if all {
                sides.all(|it| it)
            } else {
                sides.any(|it| it)
            }
        };
        let all = (0..rules.len()).filter(|index| !tests.has(*index));
        all.filter(is_found).collect()
    };
    let pair = [Side::Primary, Side::Canary];
    let mut found = with(&pair, true);
    let either = with(&pair, false);
    if !found.is_empty() {
        // Flagger's A/B test ends in a rule that leads to the primary alone. Without the test's
        // conditions in the Canary, splitting only theirs would pass the insiders off as everyone.
        let is_described = |index: &usize| is_described(view, &rules[*index]);
        if is_ours && !found.iter().any(is_described) {
            found.extend(either.into_iter().find(is_described));
        }
        return found;
    }
    match main_place(view, spec, &either) {
        Some(place) => vec![place],
        None => with(&[Side::Apex], true),
    }
}

/// The rule that `spec.service` describes: the one with its conditions, else the last one.
pub(super) fn main_place(view: &View<'_>, spec: &Value, places: &[usize]) -> Option<usize> {
    let rules = list(&spec["rules"]);
    let described = places
        .iter()
        .find(|index| is_described(view, &rules[**index]));
    described.or(places.last()).copied()
}

/// Whether a rule has a backend of this side.
pub(super) fn leads_to(names: &Names, rule: &Value, side: Side) -> bool {
    let mut entries = backends(rule).iter();
    entries.any(|entry| side_of(names, entry) == Some(side))
}

/// Whether a rule has the conditions of `spec.service`.
pub(super) fn is_described(view: &View<'_>, rule: &Value) -> bool {
    conditions(rule) == conditions(&made::rule(view, 0))
}

/// The conditions of a rule, with none as what the API server makes of none.
pub(super) fn conditions(rule: &Value) -> Vec<Value> {
    match list(&rule["matches"]) {
        [] => vec![json!({ "path": made::any_path() })],
        matches => matches.to_vec(),
    }
}

/// Makes the rule lead to both Services with this weight on the canary. A rule that shows it
/// already stays as it is, whatever its numbers add up to.
pub(super) fn split(view: &View<'_>, rule: &mut Value, weight: u8) {
    let names = view.names;
    let mut route: Vec<_> = backends(rule).to_vec();
    take_over(names, &mut route);
    complete(view, &mut route);
    let shown = (
        sum_of(names, &route, Side::Primary),
        sum_of(names, &route, Side::Canary),
    );
    let is_shown = matches!(shown, (Some(primary), Some(canary))
        if primary + canary > 0 && canary * 100 == u64::from(weight) * (primary + canary));
    if !is_shown {
        for (wanted, mut share) in [(Side::Primary, 100 - weight), (Side::Canary, weight)] {
            let of_side = |entry: &&mut Value| side_of(names, entry) == Some(wanted);
            for backend in route.iter_mut().filter(of_side) {
                set(backend, "weight", json!(share));
                share = 0;
            }
        }
    }
    set(rule, "backendRefs", json!(route));
}

/// Sets the port of the backends that share the traffic.
pub(super) fn set_port(names: &Names, rule: &mut Value, port: i64) {
    let backends = rule.get_mut("backendRefs").and_then(Value::as_array_mut);
    for backend in backends.into_iter().flatten() {
        if matches!(side_of(names, backend), Some(Side::Primary | Side::Canary)) {
            set(backend, "port", json!(port));
        }
    }
}

/// The Services of primary and canary go with the Canary: rules that still lead to them lead to the
/// apex instead.
pub(super) fn to_apex(names: &Names, rules: &mut Value) {
    for rule in rules.as_array_mut().into_iter().flatten() {
        let Some(route) = rule.get_mut("backendRefs").and_then(Value::as_array_mut) else {
            continue;
        };
        let is_ours = |entry: &Value| {
            let side = side_of(names, entry);
            matches!(side, Some(Side::Primary | Side::Canary))
        };
        let ours = route.iter().filter(|entry| is_ours(entry));
        let weight: u64 = ours.filter_map(weight_of).sum();
        let Some(first) = route.iter().position(is_ours) else {
            continue;
        };
        set(&mut route[first], "name", json!(names.apex));
        set(&mut route[first], "weight", json!(weight.max(1)));
        route.retain(|entry| !is_ours(entry));
    }
}

pub(super) fn side_of(names: &Names, backend: &Value) -> Option<Side> {
    let is = |field: &str, wanted: &str| backend[field].as_str().is_none_or(|it| it == wanted);
    if !(is("group", "") && is("kind", "Service") && is("namespace", &names.namespace)) {
        return None;
    }
    let name = backend["name"].as_str()?;
    let sides = [
        (&names.apex, Side::Apex),
        (&names.apex_primary, Side::Primary),
        (&names.apex_canary, Side::Canary),
    ];
    let mut sides = sides.into_iter();
    sides
        .find(|(service, _)| *service == name)
        .map(|(_, side)| side)
}

fn backends(rule: &Value) -> &[Value] {
    list(&rule["backendRefs"])
}

/// No weight is one, says the Gateway API; none can be so large that sums overflow.
fn weight_of(backend: &Value) -> Option<u64> {
    match backend.get("weight") {
        None | Some(Value::Null) => Some(1),
        Some(weight) => weight.as_u64().map(|it| it.min(u64::from(u32::MAX))),
    }
}

fn sum_of(names: &Names, backends: &[Value], side: Side) -> Option<u64> {
    let of_side = backends
        .iter()
        .filter(|entry| side_of(names, entry) == Some(side));
    of_side.map(weight_of).sum()
}

/// Rounded, but a side that has some of the traffic is never said to have none.
fn percent_of(names: &Names, backends: &[Value]) -> Option<u8> {
    let sum = |side| sum_of(names, backends, side);
    let (stable, canary) = (sum(Side::Primary)? + sum(Side::Apex)?, sum(Side::Canary)?);
    let all = stable + canary;
    if all == 0 {
        return None;
    }
    if canary == 0 {
        return Some(0);
    }
    let most = if stable > 0 { 99 } else { 100 };
    u8::try_from(((canary * 100 + all / 2) / all).clamp(1, most)).ok()
}

/// Where the apex was, the primary and the canary are, with what the user has given to the apex.
/// The apex leads to the primary, so beside a canary it stands for it.
fn take_over(names: &Names, route: &mut Vec<Value>) {
    let is_side = |entry: &Value, side| side_of(names, entry) == Some(side);
    let Some(index) = route.iter().position(|entry| is_side(entry, Side::Apex)) else {
        return;
    };
    if route.iter().any(|entry| is_side(entry, Side::Primary)) {
        return;
    }
    let mut primary = route[index].clone();
    set(&mut primary, "name", json!(names.apex_primary));
    route.retain(|entry| !is_side(entry, Side::Apex));
    route.insert(index.min(route.len()), primary);
}

/// Adds the backend that the rule lacks, after the pattern of the one that it has.
fn complete(view: &View<'_>, route: &mut Vec<Value>) {
    let names = view.names;
    let position = |route: &[Value], side| {
        let mut entries = route.iter();
        entries.position(|entry| side_of(names, entry) == Some(side))
    };
    for (side, name) in [
        (Side::Primary, &names.apex_primary),
        (Side::Canary, &names.apex_canary),
    ] {
        if position(route, side).is_some() {
            continue;
        }
        let other = position(route, Side::Primary).or_else(|| position(route, Side::Canary));
        let mut backend = made::backend(view, name, 0);
        if let Some(port) = other.and_then(|index| route[index].get("port")) {
            backend["port"] = port.clone();
        }
        let at = match side {
            Side::Primary => other.unwrap_or(route.len()),
            Side::Canary | Side::Apex => other.map_or(route.len(), |index| index + 1),
        };
        route.insert(at, backend);
    }
}
