//! Traefik: a `TraefikService` with the apex's name splits the traffic between the Services of the
//! primary and the canary. The user's routes lead to it.
//!
//! Traefik answers 404 to everything when one of the Services that are listed has no endpoints,
//! whatever its weight: a side without traffic is not listed.

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted, controller_uid};
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic, adopted, apex};

pub static TRAEFIK_SERVICE: Kind = Kind {
    group: "traefik.io",
    version: "v1alpha1",
    kind: "TraefikService",
    plural: "traefikservices",
};

static QUERIES: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum( rate( traefik_service_request_duration_seconds_bucket{
            service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd",
            code!~"5..", le="+Inf" }[{{ interval }}] ) )
        / sum( rate( traefik_service_request_duration_seconds_bucket{
            service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd",
            le="+Inf" }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( traefik_service_request_duration_seconds_bucket{
            service=~"{{ namespace }}-{{ target }}-canary-[0-9a-zA-Z-]+@kubernetescrd"
            }[{{ interval }}] ) ) by (le) ) * 1000"#,
    duration_scale: 1.0,
};

pub struct Traefik;

impl Router for Traefik {
    fn names(&self) -> &'static [&'static str] {
        &["traefik"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 1] = [&TRAEFIK_SERVICE];
        &KINDS
    }

    fn can(&self) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, _: &Canary, names: &Names) -> Vec<(Key, Role)> {
        vec![(key(names), Role::Adopted)]
    }

    fn weight_keys(&self, _: &Canary, names: &Names) -> Vec<Key> {
        vec![key(names)]
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let names = view.names;
        let Some(live) = view.object(&TRAEFIK_SERVICE, &names.apex) else {
            return Ok(None);
        };
        let Some(canary) = percent(names, services(live)) else {
            return Err(Problem(format!(
                "TraefikService {}.{} does not contain services with weights for {} and {}",
                names.apex, names.namespace, names.apex_primary, names.apex_canary
            )));
        };
        Ok(Some(Seen {
            traffic: Traffic::share(canary),
            programmed: Ok(()),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let object = if let Some(live) = view.object(&TRAEFIK_SERVICE, &view.names.apex) {
            edited(view, live, traffic.canary.min(100))
        } else {
            let services = split(view, &[], traffic.canary.min(100));
            let spec = json!({ "weighted": { "services": services } });
            apex::new_route(view, &TRAEFIK_SERVICE, &spec)
        };
        vec![wanted(view, object)]
    }

    fn give_back(&self, view: &View<'_>) -> Vec<Wanted> {
        // What has a controller is collected with the Canary.
        let live = view.object(&TRAEFIK_SERVICE, &view.names.apex);
        let live = live.filter(|live| controller_uid(live).is_none());
        let given_back = live.map(|live| {
            let mut object = adopted::given_back(live);
            let services = to_apex(view.names, services(&object));
            if let Some(services) = services {
                object["spec"]["weighted"]["services"] = json!(services);
            }
            wanted(view, object)
        });
        given_back.into_iter().collect()
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}

/// Whom an entry of the list leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The Service that leads to the primary: the list of a user's, before it is adopted.
    Apex,
    Primary,
    Canary,
}

fn key(names: &Names) -> Key {
    Key::new(&TRAEFIK_SERVICE, &names.apex)
}

fn wanted(view: &View<'_>, object: Value) -> Wanted {
    Wanted {
        key: key(view.names),
        rank: Rank::Route,
        object,
    }
}

fn services(object: &Value) -> &[Value] {
    let services = object["spec"]["weighted"]["services"].as_array();
    services.map_or(&[], Vec::as_slice)
}

fn side_of(names: &Names, entry: &Value) -> Option<Side> {
    let is_here = entry["namespace"]
        .as_str()
        .is_none_or(|it| it == names.namespace);
    let is_service = entry["kind"].as_str().is_none_or(|kind| kind == "Service");
    if !is_here || !is_service {
        return None;
    }
    let name = entry["name"].as_str()?;
    let sides = [
        (&names.apex_primary, Side::Primary),
        (&names.apex_canary, Side::Canary),
        (&names.apex, Side::Apex),
    ];
    sides
        .into_iter()
        .find(|(service, _)| *service == name)
        .map(|(_, side)| side)
}

/// No weight is one, says Traefik; none can be so large that sums overflow.
fn weight_of(entry: &Value) -> Option<u64> {
    match entry.get("weight") {
        None | Some(Value::Null) => Some(1),
        Some(weight) => weight.as_u64().map(|it| it.min(u64::from(u32::MAX))),
    }
}

/// Percent of what goes to our Services that goes to the canary; `None` if that cannot be told.
/// Rounded, but a side that has some of the traffic is never said to have none.
fn percent(names: &Names, services: &[Value]) -> Option<u8> {
    let (mut stable, mut canary) = (0, 0);
    for entry in services {
        match side_of(names, entry) {
            Some(Side::Canary) => canary += weight_of(entry)?,
            Some(Side::Apex | Side::Primary) => stable += weight_of(entry)?,
            None => {}
        }
    }
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

/// A side that the list lacks has what the user has given to the other one.
fn split(view: &View<'_>, ours: &[&Value], weight: u8) -> Vec<Value> {
    let names = view.names;
    let find = |side| {
        ours.iter()
            .copied()
            .find(|entry| side_of(names, entry) == Some(side))
    };
    let (primary, canary) = (find(Side::Primary), find(Side::Canary));
    let pattern = primary.or(canary).or(find(Side::Apex));
    let sides = [
        (primary, &names.apex_primary, 100 - weight),
        (canary, &names.apex_canary, weight),
    ];
    let listed = sides.into_iter().filter(|(.., share)| *share > 0);
    listed
        .map(|(own, name, share)| {
            let mut entry = own
                .or(pattern)
                .cloned()
                .unwrap_or_else(|| json!({ "name": name, "namespace": names.namespace }));
            entry["name"] = json!(name);
            entry["port"] = json!(apex::service(view).port);
            entry["weight"] = json!(share);
            entry
        })
        .collect()
}

fn edited(view: &View<'_>, live: &Value, weight: u8) -> Value {
    let names = view.names;
    let mut object = live.clone();
    apex::hold(view, live, &mut object);
    let is_ours = |entry: &&Value| side_of(names, entry).is_some();
    let list = services(live);
    let ours: Vec<_> = list.iter().filter(is_ours).collect();
    let at = list.iter().position(|entry| is_ours(&entry));
    // What is no object cannot stay: Traefik would read none of them.
    let others = |entries: &[Value]| -> Vec<Value> {
        let others = entries.iter().filter(|entry| !is_ours(entry));
        others.filter(|entry| entry.is_object()).cloned().collect()
    };
    let (before, after) = list.split_at(at.unwrap_or(list.len()));
    let mut services = others(before);
    services.extend(split(view, &ours, weight));
    services.extend(others(after));

    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    let mut weighted = live["spec"]["weighted"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    weighted.insert("services".to_owned(), json!(services));
    spec.insert("weighted".to_owned(), json!(weighted));
    let spec = json!(spec);
    if spec != live["spec"] {
        adopted::remember(live, &mut object);
    }
    object["spec"] = spec;
    object
}

/// The Services of primary and canary go with the Canary: a list that still has them leads to the
/// apex instead. `None` where it has none of them.
fn to_apex(names: &Names, services: &[Value]) -> Option<Vec<Value>> {
    let is_ours = |entry: &Value| {
        let side = side_of(names, entry);
        matches!(side, Some(Side::Primary | Side::Canary))
    };
    let ours = services.iter().filter(|entry| is_ours(entry));
    let weight: u64 = ours.filter_map(weight_of).sum();
    let first = services.iter().position(is_ours)?;
    let mut services: Vec<_> = services.to_vec();
    services[first]["name"] = json!(names.apex);
    services[first]["weight"] = json!(weight.max(1));
    services.retain(|entry| !is_ours(entry));
    Some(services)
}
