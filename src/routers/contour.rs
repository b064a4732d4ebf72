//! Contour: an `HTTPProxy` with the apex's name splits the traffic between the Services of the
//! primary and the canary. It has no host of its own: the user's `HTTPProxy` includes it.

use serde_json::{Map, Value, json};

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted};
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic, apex};

pub static HTTP_PROXY: Kind = Kind {
    group: "projectcontour.io",
    version: "v1",
    kind: "HTTPProxy",
    plural: "httpproxies",
};

/// How long a connection may be idle where the Canary bounds the response.
const IDLE: &str = "5m";

static QUERIES: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum( rate( envoy_cluster_upstream_rq{
            envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+",
            envoy_response_code!~"5.*" }[{{ interval }}] ) )
        / sum( rate( envoy_cluster_upstream_rq{
            envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+",
            }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( envoy_cluster_upstream_rq_time_bucket{
            envoy_cluster_name=~"{{ namespace }}_{{ service }}-canary_[0-9a-zA-Z-]+",
            }[{{ interval }}] ) ) by (le) )"#,
    duration_scale: 1.0,
};

pub struct Contour;

impl Router for Contour {
    fn names(&self) -> &'static [&'static str] {
        &["contour"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 1] = [&HTTP_PROXY];
        &KINDS
    }

    fn can(&self) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, _: &Canary, names: &Names) -> Vec<(Key, Role)> {
        vec![(key(names), Role::Owned)]
    }

    fn weight_keys(&self, _: &Canary, names: &Names) -> Vec<Key> {
        vec![key(names)]
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let names = view.names;
        let Some(live) = view.object(&HTTP_PROXY, &names.apex) else {
            return Ok(None);
        };
        let routes = list(&live["spec"]["routes"]);
        let shares = places(names, routes).into_iter();
        let shares = shares.map(|place| percent(names, list(&routes[place]["services"])));
        // The most where routes differ: the canary must not be scaled down under any of them.
        let canary = shares.collect::<Option<Vec<_>>>().ok_or_else(|| {
            Problem(format!(
                "HTTPProxy {}.{} has weights for {} and {} that are no numbers",
                names.apex, names.namespace, names.apex_primary, names.apex_canary
            ))
        })?;
        let canary = canary.into_iter().max().unwrap_or(0);
        Ok(Some(Seen {
            traffic: Traffic::share(canary),
            programmed: programmed(live),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let weight = traffic.canary.min(100);
        let object = match view.object(&HTTP_PROXY, &view.names.apex) {
            Some(live) => edited(view, live, weight),
            None => apex::new_route(
                view,
                &HTTP_PROXY,
                &json!({ "routes": [made(view, weight)] }),
            ),
        };
        vec![Wanted {
            key: key(view.names),
            rank: Rank::Route,
            object,
        }]
    }

    /// The fields of the route that the Canary names now, and those that it named and that are
    /// there.
    fn fields(&self, view: &View<'_>) -> Vec<String> {
        let mut fields = named(view);
        let live = view.object(&HTTP_PROXY, &view.names.apex);
        let routes = live.map_or(&[][..], |live| list(&live["spec"]["routes"]));
        let is_shown = |field: &&str| {
            let mut places = places(view.names, routes).into_iter();
            places.any(|place| routes[place].pointer(field).is_some())
        };
        let before: Vec<_> = before(view).filter(is_shown).map(str::to_owned).collect();
        fields.extend(before);
        fields.sort();
        fields.dedup();
        fields
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}

const CONDITIONS: &str = "conditions";
const TIMEOUTS: &str = "timeoutPolicy";
const RETRIES: &str = "retryPolicy";

fn key(names: &Names) -> Key {
    Key::new(&HTTP_PROXY, &names.apex)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Contour says by one condition whether it has taken the object as it is now.
fn programmed(live: &Value) -> Result<(), String> {
    let generation = live["metadata"]["generation"].as_i64().unwrap_or(0);
    let mut conditions = list(&live["status"]["conditions"]).iter();
    let Some(valid) = conditions.find(|condition| condition["type"] == "Valid") else {
        return Ok(());
    };
    let observed = valid["observedGeneration"].as_i64();
    if observed.is_some_and(|observed| observed < generation) {
        return Err("Contour has not seen its last change yet".to_owned());
    }
    // Nobody includes it yet: then nobody's requests come by it.
    let is_orphaned = live["status"]["currentStatus"] == "orphaned";
    if valid["status"] == "False" && !is_orphaned {
        let why = live["status"]["description"].as_str().unwrap_or_default();
        return Err(format!("Contour says that it is not valid: {why}"));
    }
    Ok(())
}

fn is_of(entry: &Value, service: &str) -> bool {
    entry["name"] == *service
}

/// The routes that lead to the primary or the canary.
fn places(names: &Names, routes: &[Value]) -> Vec<usize> {
    let leads_to_us =
        |entry: &Value| is_of(entry, &names.apex_primary) || is_of(entry, &names.apex_canary);
    let is_ours = |place: &usize| list(&routes[*place]["services"]).iter().any(leads_to_us);
    (0..routes.len()).filter(is_ours).collect()
}

/// No weight is none, says Contour, and where nobody has any all have the same.
fn weight_of(entry: &Value) -> Option<u64> {
    match entry.get("weight") {
        None | Some(Value::Null) => Some(0),
        Some(weight) => weight.as_u64().map(|it| it.min(u64::from(u32::MAX))),
    }
}

/// Rounded, but a side that has some of the traffic is never said to have none.
fn percent(names: &Names, services: &[Value]) -> Option<u8> {
    let weights = services.iter().map(weight_of).collect::<Option<Vec<_>>>()?;
    let is_even = weights.iter().all(|weight| *weight == 0);
    let sum = |name: &str| -> u64 {
        let entries = services.iter().zip(&weights);
        let ours = entries.filter(|(entry, _)| is_of(entry, name));
        ours.map(|(_, weight)| if is_even { 1 } else { *weight })
            .sum()
    };
    let (primary, canary) = (sum(&names.apex_primary), sum(&names.apex_canary));
    if canary == 0 {
        return Some(0);
    }
    let most = if primary > 0 { 99 } else { 100 };
    let all = primary + canary;
    u8::try_from(((canary * 100 + all / 2) / all).clamp(1, most)).ok()
}

/// The route that splits the traffic, field by field what Flagger makes.
fn made(view: &View<'_>, weight: u8) -> Value {
    let names = view.names;
    let mut route = json!({
        CONDITIONS: [{ "prefix": prefix(view).unwrap_or("/") }],
        "services": [
            service(view, &names.apex_primary, 100 - weight),
            service(view, &names.apex_canary, weight),
        ],
    });
    for (field, policy) in policies(view) {
        route[field] = policy;
    }
    route
}

/// A side without traffic has no weight: so Flagger writes it, and Contour takes both for 0.
fn service(view: &View<'_>, name: &str, weight: u8) -> Value {
    let port = apex::service(view).port;
    let address = format!("{name}.{}.svc.cluster.local:{port}", view.names.namespace);
    let mut service = json!({
        "name": name,
        "port": port,
        // A Linkerd proxy of Contour's goes by it.
        "requestHeadersPolicy": { "set": [{ "name": "l5d-dst-override", "value": address }] },
    });
    if weight > 0 {
        service["weight"] = json!(weight);
    }
    service
}

fn prefix<'a>(view: &View<'a>) -> Option<&'a str> {
    let first = apex::service(view).r#match.first()?;
    first["uri"]["prefix"].as_str()
}

fn policies(view: &View<'_>) -> Vec<(&'static str, Value)> {
    let service = apex::service(view);
    let timeout = service.timeout.as_ref().filter(|it| !it.is_empty());
    let timeout = timeout.map(|it| (TIMEOUTS, json!({ "response": it, "idle": IDLE })));
    let retries = service.retries.as_ref().map(|retries| {
        let mut policy = Map::new();
        if let Some(count) = retries.get("attempts") {
            policy.insert("count".to_owned(), count.clone());
        }
        if let Some(time) = retries.get("perTryTimeout") {
            policy.insert("perTryTimeout".to_owned(), time.clone());
        }
        // An empty entry is refused by the API server.
        let on = retries["retryOn"].as_str().unwrap_or_default().split(',');
        let on: Vec<_> = on.map(str::trim).filter(|it| !it.is_empty()).collect();
        if !on.is_empty() {
            policy.insert("retryOn".to_owned(), json!(on));
        }
        (RETRIES, json!(policy))
    });
    timeout.into_iter().chain(retries).collect()
}

fn named(view: &View<'_>) -> Vec<String> {
    let mut named: Vec<_> = prefix(view)
        .map(|_| format!("/{CONDITIONS}"))
        .into_iter()
        .collect();
    for (field, policy) in policies(view) {
        let leaves = policy.as_object().into_iter().flatten();
        named.extend(leaves.map(|(leaf, _)| format!("/{field}/{leaf}")));
    }
    named
}

fn before<'a>(view: &View<'a>) -> impl Iterator<Item = &'a str> {
    let status = view.canary.status.as_ref();
    let named = status.and_then(|status| status.named.as_ref());
    named
        .into_iter()
        .flat_map(|it| &it.route)
        .map(String::as_str)
}

fn edited(view: &View<'_>, live: &Value, weight: u8) -> Value {
    let mut object = live.clone();
    apex::hold(view, live, &mut object);
    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    let mut routes: Vec<_> = list(&live["spec"]["routes"]).to_vec();
    // What is no route cannot stay: Contour would read none of them.
    routes.retain(Value::is_object);
    let places = places(view.names, &routes);
    let wanted = json!([{ "prefix": prefix(view).unwrap_or("/") }]);
    let described = places
        .iter()
        .find(|place| routes[**place][CONDITIONS] == wanted);
    let main = described.or(places.last()).copied();
    for place in places {
        split(view, &mut routes[place], weight);
        if Some(place) == main {
            hold(view, &mut routes[place]);
        }
    }
    if main.is_none() {
        routes.push(made(view, weight));
    }
    spec.insert("routes".to_owned(), json!(routes));
    object["spec"] = json!(spec);
    object
}

/// Makes the route lead to both Services with this weight on the canary. One that shows it already
/// stays as it is, whatever its numbers add up to.
fn split(view: &View<'_>, route: &mut Value, weight: u8) {
    let names = view.names;
    let mut services: Vec<_> = list(&route["services"]).to_vec();
    let sides = [
        (&names.apex_primary, 100 - weight),
        (&names.apex_canary, weight),
    ];
    let is_whole = sides
        .iter()
        .all(|(name, _)| services.iter().any(|entry| is_of(entry, name)));
    if is_whole && percent(names, &services) == Some(weight) {
        return;
    }
    for (name, mut share) in sides {
        if !services.iter().any(|entry| is_of(entry, name)) {
            services.push(service(view, name, 0));
        }
        for entry in services.iter_mut().filter(|entry| is_of(entry, name)) {
            if let Some(fields) = entry.as_object_mut() {
                fields.remove("weight");
                if share > 0 {
                    fields.insert("weight".to_owned(), json!(share));
                }
            }
            share = 0;
        }
    }
    route["services"] = json!(services);
}

/// What the Canary says of the route; what it said before and says no more goes.
fn hold(view: &View<'_>, route: &mut Value) {
    let names = view.names;
    let port = apex::service(view).port;
    let services = route.get_mut("services").and_then(Value::as_array_mut);
    for entry in services.into_iter().flatten() {
        for name in [&names.apex_primary, &names.apex_canary] {
            if is_of(entry, name) && entry["port"] != port {
                let new = service(view, name, 0);
                entry["port"] = new["port"].clone();
                entry["requestHeadersPolicy"] = new["requestHeadersPolicy"].clone();
            }
        }
    }
    let now = named(view);
    let forgotten: Vec<_> = before(view)
        .filter(|field| !now.iter().any(|it| it == field))
        .filter_map(|field| field.strip_prefix('/'))
        .collect();
    let prefix = prefix(view);
    if prefix.is_some() || forgotten.contains(&CONDITIONS) {
        let mut conditions: Vec<_> = list(&route[CONDITIONS]).to_vec();
        conditions.retain(|condition| condition.get("prefix").is_none());
        conditions.insert(0, json!({ "prefix": prefix.unwrap_or("/") }));
        if conditions.len() != list(&route[CONDITIONS]).len()
            || conditions
                .iter()
                .any(|it| !list(&route[CONDITIONS]).contains(it))
        {
            route[CONDITIONS] = json!(conditions);
        }
    }
    for (field, leaf) in forgotten.iter().filter_map(|it| it.split_once('/')) {
        let policy = route.get_mut(field).and_then(Value::as_object_mut);
        let is_empty = policy.is_some_and(|policy| {
            policy.remove(leaf);
            policy.is_empty()
        });
        if is_empty && let Some(fields) = route.as_object_mut() {
            fields.remove(field);
        }
    }
    for (field, policy) in policies(view) {
        let Some(live) = route.get_mut(field).and_then(Value::as_object_mut) else {
            route[field] = policy;
            continue;
        };
        live.extend(policy.as_object().cloned().unwrap_or_default());
    }
}
