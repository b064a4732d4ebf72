//! What a Canary names on its Services and its route, for status to keep: by that, what is taken out
//! of the Canary can be told from what others have put on them.

use serde_json::Value;

use super::{Role, ports, service};
use crate::api::named::{Named, NamedMetadata};
use crate::api::service::CanaryService;
use crate::objects::{View, metadata};

/// The field of a Service's spec.
pub(super) const TRAFFIC_DISTRIBUTION: &str = "trafficDistribution";

/// The field of a Service's port.
pub(super) const APP_PROTOCOL: &str = "appProtocol";

/// No list of status is longer, as its definition says, and no entry.
const ENTRIES_MAX: usize = 256;
const PORT_MAX: usize = 63;
const KEY_MAX: usize = 317;
const FIELD_MAX: usize = 512;

/// What a claim notes as named: what the Canary names now, and what status has noted before and the
/// objects still show. So a pass that is killed between the claim and the write leaves the next one
/// what it needs to finish.
///
/// `route` is what the router answers for the same view, by the same rule: `Router::fields`.
pub fn of(view: &View<'_>, route: Vec<String>) -> Named {
    Named {
        route: bounded(route.into_iter(), FIELD_MAX),
        ports: named_ports(view),
        service: fields(view),
        apex: metadata(view, Role::Apex),
        primary: metadata(view, Role::Primary),
        canary: metadata(view, Role::Canary),
    }
}

fn named_ports(view: &View<'_>) -> Vec<String> {
    let names = [&view.names.target, &view.names.primary];
    let workloads = names.into_iter().filter_map(|name| view.workload(name));
    let now = service(view).into_iter().flat_map(|service| {
        let target_port = ports::target_port(service);
        let ports = workloads
            .clone()
            .map(move |it| ports::of(service, it, &target_port));
        ports
            .flatten()
            .filter_map(|port| Some(port["name"].as_str()?.to_owned()))
    });
    let before = before(view).map(|named| named.ports.clone());
    let is_live = |name: &String| live_ports(view).any(|port| port["name"] == **name);
    let before = before.into_iter().flatten().filter(is_live);
    bounded(now.chain(before), PORT_MAX)
}

fn fields(view: &View<'_>) -> Vec<String> {
    let service = view.canary.spec.service.as_ref();
    let is_named = |field: &str| service.is_some_and(|service| sets(service, field));
    let was_named = |field: &str| super::was_named(view, field);
    let is_live = |field: &str| {
        live_ports(view).any(|port| port.get(field).is_some())
            || live_services(view).any(|service| service["spec"].get(field).is_some())
    };
    [APP_PROTOCOL, TRAFFIC_DISTRIBUTION]
        .into_iter()
        .filter(|field| is_named(field) || (was_named(field) && is_live(field)))
        .map(str::to_owned)
        .collect()
}

fn sets(service: &CanaryService, field: &str) -> bool {
    match field {
        APP_PROTOCOL => ports::app_protocol(service).is_some(),
        _ => service.traffic_distribution.is_some(),
    }
}

fn metadata(view: &View<'_>, role: Role) -> NamedMetadata {
    let service = view.canary.spec.service.as_ref();
    let given = service.and_then(|service| role.metadata(service));
    let before = before(view).map(|named| role.named(named));
    // The route bears what the apex bears.
    let name = role.key(view.names).name;
    let live: Vec<&Value> = view
        .objects
        .iter()
        .filter(|(key, _)| key.name == name && key.kind.kind != view.canary.spec.target_ref.kind)
        .map(|(_, object)| &**object)
        .collect();
    let labels = given
        .into_iter()
        .flat_map(|given| given.labels.keys().cloned());
    let had = before
        .into_iter()
        .flat_map(|before| before.labels.iter().cloned());
    let is_live = |key: &String| live.iter().any(|it| metadata::labels(it).contains_key(key));
    let labels = bounded(labels.chain(had.filter(is_live)), KEY_MAX);

    let annotations = given
        .into_iter()
        .flat_map(|given| given.annotations.keys().cloned());
    let had = before
        .into_iter()
        .flat_map(|before| before.annotations.iter().cloned());
    let is_live = |key: &String| {
        live.iter()
            .any(|it| metadata::annotations(it).contains_key(key))
    };
    let annotations = bounded(annotations.chain(had.filter(is_live)), KEY_MAX);
    NamedMetadata {
        labels,
        annotations,
    }
}

fn before<'a>(view: &View<'a>) -> Option<&'a Named> {
    super::named_before(view)
}

fn live_services<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Value> {
    let view = *view;
    [Role::Apex, Role::Primary, Role::Canary]
        .into_iter()
        .filter_map(move |role| {
            let key = role.key(view.names);
            view.object(key.kind, &key.name)
        })
}

fn live_ports<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Value> {
    live_services(view).flat_map(|service| ports::list(&service["spec"]["ports"]))
}

/// Each entry once, in order. What is too long or too much for status is left out: it would not be
/// taken back, but a claim that the API server refuses would stop everything.
fn bounded(entries: impl Iterator<Item = String>, length_max: usize) -> Vec<String> {
    let mut entries: Vec<_> = entries
        .filter(|entry| entry.chars().count() <= length_max)
        .collect();
    entries.sort();
    entries.dedup();
    entries.truncate(ENTRIES_MAX);
    entries
}
