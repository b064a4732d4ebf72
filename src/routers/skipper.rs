//! Skipper: beside the user's Ingress, which leads to the apex, stands one for the same requests
//! that comes before it and splits them, by annotations, between the Services of the primary and the
//! canary. While the canary has nothing it is switched off, and the user's Ingress counts.
//!
//! The user's Ingress is only read. What the canary's has of it follows it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Role, View, Wanted, metadata};
use crate::routers::beside::{Beside, percent};
use crate::routers::nginx::INGRESS;
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic};

const WEIGHTS: &str = "zalando.org/backend-weights";
const PREDICATE: &str = "zalando.org/skipper-predicate";

/// Of two routes for the same requests, Skipper takes the one with the greater weight.
const FIRST: &str = "Weight(100)";
/// Matches no request.
const OFF: &str = "False()";

static BESIDE: Beside = Beside {
    provider: "skipper",
    kind: &INGRESS,
    field: "ingressRef",
    reference: |canary| canary.spec.ingress_ref.as_ref(),
    name: |_, users| format!("{users}-canary"),
    own: &[WEIGHTS, PREDICATE],
};

// The `_id` variables are what Skipper makes of a name: all but word characters is `_`.
static QUERIES: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_{{ namespace_id
        }}__{{ ingress_id }}_canary__.*__{{ service_id
        }}_canary(_[0-9]+)?",code!~"5..",le="+Inf"}[{{ interval }}]))
        / sum(rate(skipper_response_duration_seconds_bucket{route=~"kube(ew)?_{{ namespace_id
        }}__{{ ingress_id }}_canary__.*__{{ service_id
        }}_canary(_[0-9]+)?",le="+Inf"}[{{ interval }}])) * 100"#,
    duration: r#"
        sum(rate(skipper_serve_route_duration_seconds_sum{route=~"kube(ew)?_{{ namespace_id
        }}__{{ ingress_id }}_canary__.*__{{ service_id }}_canary(_[0-9]+)?"}[{{ interval }}]))
        / sum(rate(skipper_serve_route_duration_seconds_count{route=~"kube(ew)?_{{ namespace_id
        }}__{{ ingress_id }}_canary__.*__{{ service_id }}_canary(_[0-9]+)?"}[{{ interval }}]))
        * 1000"#,
    duration_scale: 1.0,
};

pub struct Skipper;

impl Router for Skipper {
    fn names(&self) -> &'static [&'static str] {
        &["skipper"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 1] = [&INGRESS];
        &KINDS
    }

    fn can(&self) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, canary: &Canary, names: &Names) -> Vec<(Key, Role)> {
        BESIDE.reads(canary, names)
    }

    fn weight_keys(&self, canary: &Canary, names: &Names) -> Vec<Key> {
        BESIDE.weight_keys(canary, names)
    }

    fn problems(&self, canary: &Canary) -> Vec<Problem> {
        BESIDE.problems(canary)
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let traffic = BESIDE.observe(view, |live| share(view.names, live))?;
        Ok(traffic.map(|traffic| Seen {
            traffic,
            programmed: Ok(()),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let names = view.names;
        let weight = traffic.canary.min(100);
        let made = |users: Option<&Value>, live: Option<&Value>| {
            let spec = users.and_then(|users| split(&users["spec"], names, &[&names.apex]));
            let spec = spec.or_else(|| {
                let live = &live?["spec"];
                Some(split(live, names, &sides(names)).unwrap_or_else(|| live.clone()))
            })?;
            let mut object = BESIDE.object(view, users, live, spec)?;
            // The user's own predicates hold for the canary's requests as well.
            let predicates = users.or(live).and_then(predicates).unwrap_or_default();
            annotate(names, &mut object, predicates, weight);
            Some(object)
        };
        let retired = |live: &Value| {
            let mut object = live.clone();
            annotate(names, &mut object, predicates(live).unwrap_or_default(), 0);
            object
        };
        BESIDE.render(view, made, retired)
    }

    fn obstacles(&self, view: &View<'_>) -> Vec<Problem> {
        let names = view.names;
        BESIDE.obstacles(view, |users| {
            match split(&users["spec"], names, &[&names.apex]) {
                Some(_) => Ok(()),
                None => Err(format!("has no path with backend {}", names.apex)),
            }
        })
    }

    fn fields(&self, view: &View<'_>) -> Vec<String> {
        BESIDE.fields(view)
    }

    /// Another Ingress that comes before the user's for some of the same requests.
    fn is_rival(&self, view: &View<'_>, other: &Value) -> bool {
        let names = view.names;
        let users = BESIDE.users(view.canary);
        let Some(live) = users.and_then(|users| view.object(&INGRESS, users)) else {
            return false;
        };
        let name = other["metadata"]["name"].as_str().unwrap_or_default();
        let ours = BESIDE.canarys(view.canary, names);
        let is_first = |predicate: &&str| predicate.starts_with("Weight(");
        let predicates = predicates(other).unwrap_or_default();
        other["kind"] == INGRESS.kind
            && other["metadata"]["namespace"] == *names.namespace
            && users != Some(name)
            && !ours.iter().any(|ours| ours == name)
            && predicates.iter().any(is_first)
            && !paths(live, Some(&names.apex)).is_disjoint(&paths(other, None))
    }

    fn named_by(&self) -> &'static str {
        "spec.ingressRef.name"
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}

fn sides(names: &Names) -> [&String; 2] {
    [&names.apex_primary, &names.apex_canary]
}

/// The predicates of an Ingress, all of which a request must meet; `None` where it has none.
fn predicates(ingress: &Value) -> Option<Vec<&str>> {
    let text = ingress["metadata"]["annotations"][PREDICATE].as_str()?;
    let predicates = text.split("&&").map(str::trim);
    Some(predicates.filter(|it| !it.is_empty()).collect())
}

/// Percent of the requests that an Ingress of the canary's sends to it, or why that cannot be told.
fn share(names: &Names, live: &Value) -> Result<u8, String> {
    if predicates(live).is_some_and(|predicates| predicates.contains(&OFF)) {
        return Ok(0);
    }
    let [primary, canary] = sides(names).map(|service| paths(live, Some(service)));
    if let Some((host, path)) = canary.difference(&primary).next() {
        return Err(format!("leads to the canary alone at {host}{path}"));
    }
    let text = live["metadata"]["annotations"][WEIGHTS].as_str();
    let text = text.ok_or_else(|| format!("has no annotation {WEIGHTS}"))?;
    let no_weights = || {
        let [primary, canary] = sides(names);
        format!("has no weights for {primary} and {canary} in annotation {WEIGHTS}: {text:?}")
    };
    let weights: Value = serde_json::from_str(text).map_err(|_| no_weights())?;
    let [primary, canary] = sides(names).map(|service| match weights.get(service) {
        None => Some(0),
        Some(weight) => thousandths(weight),
    });
    let both = primary.zip(canary).ok_or_else(no_weights)?;
    percent(both.0, both.1).ok_or_else(no_weights)
}

/// A weight is any number; only what the two have to each other counts.
fn thousandths(weight: &Value) -> Option<u64> {
    let weight = weight.as_f64().filter(|weight| *weight >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and what is too large is the largest"
    )]
    let thousandths = (weight * 1000.0).ceil() as u64;
    Some(thousandths)
}

/// Sets the annotations that say where requests go.
fn annotate(names: &Names, object: &mut Value, others: Vec<&str>, weight: u8) {
    let [primary, canary] = sides(names);
    let weights = json!({ (canary.as_str()): weight, (primary.as_str()): 100 - weight });
    let switch = if weight == 0 { OFF } else { FIRST };
    let others = others.into_iter().filter(|it| *it != FIRST && *it != OFF);
    let predicates: Vec<_> = std::iter::once(switch).chain(others).collect();
    let mut annotations = metadata::annotations(object);
    annotations.insert(WEIGHTS.to_owned(), json!(weights.to_string()));
    annotations.insert(PREDICATE.to_owned(), json!(predicates.join(" && ")));
    metadata::set_annotations(object, annotations);
}

/// The spec of an Ingress with, for each path to one of these Services, one to the primary and one
/// to the canary, and nothing else; `None` where there is no such path.
fn split(spec: &Value, names: &Names, services: &[&String]) -> Option<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for rule in spec["rules"].as_array().into_iter().flatten() {
        let paths = rule["http"]["paths"].as_array().into_iter().flatten();
        let mut split: Vec<Value> = Vec::new();
        for path in paths.filter(|path| services.iter().any(|it| is_to(path, it))) {
            for side in sides(names) {
                let mut path = path.clone();
                path["backend"]["service"]["name"] = json!(side);
                if !split.contains(&path) {
                    split.push(path);
                }
            }
        }
        if !split.is_empty() {
            let mut rule = rule.clone();
            rule["http"]["paths"] = json!(split);
            rules.push(rule);
        }
    }
    if rules.is_empty() {
        return None;
    }
    let mut spec = spec.clone();
    spec["rules"] = json!(rules);
    // The user's counts: what no path matches is not the canary's.
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("defaultBackend");
    }
    Some(spec)
}

fn is_to(path: &Value, service: &str) -> bool {
    path["backend"]["service"]["name"] == *service
}

/// The hosts and paths of an Ingress, or of those only that lead to this Service.
fn paths(ingress: &Value, service: Option<&str>) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = ingress["spec"]["rules"].as_array().into_iter().flatten();
    rules
        .flat_map(|rule| {
            let paths = rule["http"]["paths"].as_array().into_iter().flatten();
            let paths = paths.filter(|path| service.is_none_or(|service| is_to(path, service)));
            paths.map(move |path| (text(&rule["host"]), text(&path["path"])))
        })
        .collect()
}
