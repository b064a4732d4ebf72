//! APISIX: beside the user's `ApisixRoute`, which leads to the apex, stands one for the same
//! requests that comes before it and splits them between the Services of the primary and the canary.
//!
//! The user's route is only read. What the canary's has of it follows it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Role, View, Wanted};
use crate::routers::beside::{Beside, percent};
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic};

pub static APISIX_ROUTE: Kind = Kind {
    group: "apisix.apache.org",
    version: "v2",
    kind: "ApisixRoute",
    plural: "apisixroutes",
};

/// Of the rules that a request matches, APISIX takes the one with the highest priority; a rule
/// without any has 0. Flagger's number.
const PRIORITY: i64 = 10_000;

/// The weight of a backend that names none.
const WEIGHT: u64 = 100;

static BESIDE: Beside = Beside {
    provider: "apisix",
    kind: &APISIX_ROUTE,
    field: "routeRef",
    reference: |canary| canary.spec.route_ref.as_ref(),
    name: |names, users| format!("{users}-{}-canary", names.apex),
    own: &[],
};

// The route is called after the apex: Flagger asks by the target's name, and has no data where the
// two differ.
static QUERIES: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum( rate( apisix_http_status{
            route=~"{{ namespace }}_{{ route }}-{{ service }}-canary_.+",
            code!~"5.." }[{{ interval }}] ) )
        / sum( rate( apisix_http_status{
            route=~"{{ namespace }}_{{ route }}-{{ service }}-canary_.+"
            }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( apisix_http_latency_bucket{ type=~"request",
            route=~"{{ namespace }}_{{ route }}-{{ service }}-canary_.+"
            }[{{ interval }}] ) ) by (le) )"#,
    duration_scale: 1.0,
};

pub struct Apisix;

impl Router for Apisix {
    fn names(&self) -> &'static [&'static str] {
        &["apisix"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 1] = [&APISIX_ROUTE];
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
        let names = view.names;
        let traffic = BESIDE.observe(view, |live| {
            share(names, live).ok_or_else(|| {
                let (primary, canary) = (&names.apex_primary, &names.apex_canary);
                format!("has a rule without weights for {primary} and {canary}")
            })
        })?;
        let now = BESIDE.current(view.canary, names);
        let now = now.and_then(|name| view.object(&APISIX_ROUTE, &name));
        Ok(traffic.map(|traffic| Seen {
            traffic,
            programmed: now.map_or(Ok(()), programmed),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let weight = traffic.canary.min(100);
        let made = |users: Option<&Value>, live: Option<&Value>| {
            let spec = users.and_then(|users| of_users(view.names, users, weight));
            let spec = spec.or_else(|| split(view.names, live?, weight))?;
            BESIDE.object(view, users, live, spec)
        };
        // One of before takes no more requests than the user's route beside it, nor other ones.
        let retired = |live: &Value| {
            let mut object = live.clone();
            if let Some(spec) = split(view.names, live, 0) {
                object["spec"] = spec;
                let rules = object["spec"]["http"].as_array_mut().into_iter().flatten();
                for rule in rules.filter_map(Value::as_object_mut) {
                    rule.remove("priority");
                }
            }
            object
        };
        BESIDE.render(view, made, retired)
    }

    fn obstacles(&self, view: &View<'_>) -> Vec<Problem> {
        BESIDE.obstacles(view, |users| leads_to_apex(view.names, users))
    }

    fn fields(&self, view: &View<'_>) -> Vec<String> {
        BESIDE.fields(view)
    }

    /// Another route that comes before the user's for some of the same requests.
    fn is_rival(&self, view: &View<'_>, other: &Value) -> bool {
        let users = BESIDE.users(view.canary);
        let Some(live) = users.and_then(|users| view.object(&APISIX_ROUTE, users)) else {
            return false;
        };
        let name = other["metadata"]["name"].as_str().unwrap_or_default();
        let ours = BESIDE.canarys(view.canary, view.names);
        let is_first = |rule: &&Value| rule["priority"].as_i64() >= Some(PRIORITY);
        let to_apex = rules(live).iter();
        let to_apex = to_apex.filter(|rule| leads_to(rule, &[&view.names.apex]));
        other["kind"] == APISIX_ROUTE.kind
            && other["metadata"]["namespace"] == *view.names.namespace
            && users != Some(name)
            && !ours.iter().any(|ours| ours == name)
            && !requests(to_apex).is_disjoint(&requests(rules(other).iter().filter(is_first)))
    }

    fn named_by(&self) -> &'static str {
        "spec.routeRef.name"
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn rules(route: &Value) -> &[Value] {
    list(&route["spec"]["http"])
}

fn leads_to(rule: &Value, services: &[&String]) -> bool {
    let mut backends = list(&rule["backends"]).iter();
    backends.any(|backend| {
        services
            .iter()
            .any(|service| backend["serviceName"] == **service)
    })
}

fn sides(names: &Names) -> [&String; 2] {
    [&names.apex_primary, &names.apex_canary]
}

/// Percent of the requests that go to the canary, the most where rules differ; `None` if that cannot
/// be told.
fn share(names: &Names, route: &Value) -> Option<u8> {
    let rules = rules(route).iter();
    let shares = rules
        .filter(|rule| leads_to(rule, &sides(names)))
        .map(|rule| {
            let [primary, canary] = sides(names).map(|service| {
                let backends = list(&rule["backends"]).iter();
                let ours = backends.filter(|backend| backend["serviceName"] == **service);
                let weights = ours.map(|backend| match backend.get("weight") {
                    None | Some(Value::Null) => Some(WEIGHT),
                    Some(weight) => weight.as_u64(),
                });
                let weights = weights.collect::<Option<Vec<_>>>()?;
                Some(weights.into_iter().fold(0, u64::saturating_add))
            });
            percent(primary?, canary?)
        });
    let shares = shares.collect::<Option<Vec<_>>>()?;
    Some(shares.into_iter().max().unwrap_or(0))
}

/// The controller says by one condition whether APISIX has the route as it is now: version 1 by the
/// first, version 2 by the second.
fn programmed(live: &Value) -> Result<(), String> {
    let generation = live["metadata"]["generation"].as_i64().unwrap_or(0);
    let mut conditions = list(&live["status"]["conditions"]).iter();
    let is_about_it = |condition: &&Value| {
        condition["type"] == "ResourcesAvailable" || condition["type"] == "Accepted"
    };
    let Some(condition) = conditions.find(is_about_it) else {
        return Ok(());
    };
    let observed = condition["observedGeneration"].as_i64();
    if observed.is_some_and(|observed| observed < generation) {
        return Err("APISIX has not seen its last change yet".to_owned());
    }
    if condition["status"] == "False" {
        let why = condition["message"].as_str().unwrap_or_default();
        return Err(format!("APISIX does not take it: {why}"));
    }
    Ok(())
}

/// Whether a rule leads to the apex, and each that does to nothing else: what else there is in a
/// rule would get its share before or after the canary's, and neither is what the user asked for.
fn leads_to_apex(names: &Names, users: &Value) -> Result<(), String> {
    let mut to_apex = rules(users)
        .iter()
        .filter(|rule| leads_to(rule, &[&names.apex]))
        .peekable();
    if to_apex.peek().is_none() {
        return Err(format!(
            "has no rule in spec.http with backend {}",
            names.apex
        ));
    }
    let is_shared =
        |rule: &&Value| list(&rule["backends"]).len() > 1 || !list(&rule["upstreams"]).is_empty();
    match to_apex.find(is_shared) {
        None => Ok(()),
        Some(rule) => Err(format!(
            "has other backends beside {} in rule {} of spec.http",
            names.apex,
            rule["name"].as_str().unwrap_or_default()
        )),
    }
}

/// The spec of the user's route, of its rules those that lead to the apex, split; `None` where none
/// can be.
fn of_users(names: &Names, users: &Value, weight: u8) -> Option<Value> {
    leads_to_apex(names, users).ok()?;
    let mut spec = users["spec"].clone();
    let rules = rules(users).iter();
    let rules = rules.filter(|rule| leads_to(rule, &[&names.apex]));
    let rules: Vec<_> = rules.map(|rule| rule_split(names, rule, weight)).collect();
    spec["http"] = json!(rules);
    // A port can be listened on once.
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("stream");
    }
    Some(spec)
}

/// The spec of the canary's route with this weight, where there is none of the user's to make it
/// from; `None` where none of its rules leads to either.
fn split(names: &Names, live: &Value, weight: u8) -> Option<Value> {
    let rules = rules(live).iter();
    let rules: Vec<_> = rules
        .filter(|rule| leads_to(rule, &sides(names)))
        .map(|rule| rule_split(names, rule, weight))
        .collect();
    let mut spec = live["spec"].clone();
    spec["http"] = json!(rules);
    (!rules.is_empty()).then_some(spec)
}

/// The rule before all others, with two backends that are like its first.
fn rule_split(names: &Names, rule: &Value, weight: u8) -> Value {
    let pattern = list(&rule["backends"]).first();
    let pattern = pattern.cloned().unwrap_or_else(|| json!({}));
    let backends = [
        (&names.apex_primary, 100 - weight),
        (&names.apex_canary, weight),
    ]
    .map(|(service, weight)| {
        let mut backend = pattern.clone();
        backend["serviceName"] = json!(service);
        backend["weight"] = json!(weight);
        backend
    });
    let mut rule = rule.clone();
    rule["backends"] = json!(backends);
    let users = rule["priority"].as_i64().unwrap_or(0);
    if users < PRIORITY {
        rule["priority"] = json!(PRIORITY);
    }
    rule
}

/// The hosts and paths that rules are about.
fn requests<'a>(rules: impl Iterator<Item = &'a Value>) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_rule = rules.flat_map(|rule| {
        let any = [json!("*")];
        let hosts = match list(&rule["match"]["hosts"]) {
            [] => &any[..],
            hosts => hosts,
        };
        let paths = list(&rule["match"]["paths"]).iter().map(text);
        let paths: Vec<_> = paths.collect();
        let hosts: Vec<_> = hosts.iter().map(text).collect();
        hosts.into_iter().flat_map(move |host| {
            let paths = paths.clone().into_iter();
            paths.map(move |path| (host.clone(), path))
        })
    });
    of_rule.collect()
}
