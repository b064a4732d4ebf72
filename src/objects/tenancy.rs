//! What strict tenancy refuses: hosts and gateways that the operator has not listed, and Services and
//! routes that nobody has said may be adopted. A Canary is written by whoever may write to one
//! namespace; a host or a gateway is shared by all.

use serde_json::Value;

use crate::objects::{Key, Objects, Problem, SERVICE, View, controller_uid};

/// Names, on a Service or route that no controller owns, the Canary which may take it over.
pub const ADOPTED_BY: &str = "flagger.app/adopted-by";

/// The gateway that stands for all sidecars.
const MESH: &str = "mesh";

/// What the operator says of a cluster that several teams share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenancy {
    /// Whether the rules below hold at all.
    pub strict: bool,
    /// Hosts that Canaries may name; `*.example.com` stands for all names below it, `*` for all.
    pub hosts: Vec<String>,
    /// Gateways that Canaries may name, as `namespace/name`; `*` stands for all.
    pub gateways: Vec<String>,
}

/// What a Canary asks for, or would adopt, that strict tenancy does not let it. Of `objects` those
/// count that are the canary's Services and routes.
pub fn problems(view: &View<'_>, objects: &Objects) -> Vec<Problem> {
    let is_ending = view.canary.metadata.deletion_timestamp.is_some();
    if !view.policy.tenancy.strict || is_ending {
        return Vec::new();
    }
    let mut problems = hosts(view);
    problems.extend(gateways(view));
    let adopted = objects
        .iter()
        .filter(|(key, object)| may_be_adopted(view, key) && controller_uid(object).is_none());
    for (key, object) in adopted {
        if object["metadata"]["annotations"][ADOPTED_BY] != *view.names.canary {
            problems.push(Problem(format!(
                "{} {}/{} has no controller, and no annotation {ADOPTED_BY}: {} by which this \
                 Canary may adopt it",
                key.kind.kind, view.names.namespace, key.name, view.names.canary
            )));
        }
    }
    problems
}

fn hosts(view: &View<'_>) -> Vec<Problem> {
    let service = view.canary.spec.service.iter();
    let hosts = service.flat_map(|service| service.hosts.iter().enumerate());
    let refused = hosts.filter(|(_, host)| !is_own(view, host) && !is_listed(view, host));
    refused
        .map(|(index, host)| {
            let field = format!("spec.service.hosts[{index}]");
            Problem::field(&field, unlisted(host, "DAVY_ALLOW_HOSTS"))
        })
        .collect()
}

/// Whether a host is a name of the canary's own Service.
fn is_own(view: &View<'_>, host: &str) -> bool {
    let (apex, namespace) = (&view.names.apex, &view.names.namespace);
    let rest = host.strip_prefix(&**apex);
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('.').is_some_and(|rest| {
                let rest = rest.strip_prefix(&**namespace);
                rest.is_some_and(|rest| ["", ".svc", ".svc.cluster.local"].contains(&rest))
            })
    })
}

fn is_listed(view: &View<'_>, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    view.policy.tenancy.hosts.iter().any(|listed| {
        let listed = listed.to_ascii_lowercase();
        let below = listed
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'));
        // A wildcard among a Canary's hosts is below no other name, unless it is that very one.
        listed == "*"
            || listed == host
            || below.is_some_and(|below| !host.contains('*') && host.ends_with(below))
    })
}

fn gateways(view: &View<'_>) -> Vec<Problem> {
    let namespace = &view.names.namespace;
    let is_listed = |gateway: &String| {
        let mut listed = view.policy.tenancy.gateways.iter();
        listed.any(|listed| listed == "*" || listed == gateway)
    };
    let mut problems = Vec::new();
    let Some(service) = &view.canary.spec.service else {
        return problems;
    };
    for (index, gateway) in service.gateways.iter().enumerate() {
        let whole = match gateway.split_once('/') {
            Some((".", name)) => format!("{namespace}/{name}"),
            Some(_) => gateway.clone(),
            None => format!("{namespace}/{gateway}"),
        };
        if gateway != MESH && !is_listed(&whole) {
            let field = format!("spec.service.gateways[{index}]");
            problems.push(Problem::field(
                &field,
                unlisted(&whole, "DAVY_ALLOW_GATEWAYS"),
            ));
        }
    }
    for (index, parent) in service.gateway_refs.iter().enumerate() {
        let whole = parent_name(parent, namespace);
        // In a mesh the parent is the Service itself.
        let is_own =
            parent["kind"] == SERVICE.kind && whole == format!("{namespace}/{}", view.names.apex);
        if !is_own && !is_listed(&whole) {
            let field = format!("spec.service.gatewayRefs[{index}]");
            problems.push(Problem::field(
                &field,
                unlisted(&whole, "DAVY_ALLOW_GATEWAYS"),
            ));
        }
    }
    problems
}

fn parent_name(parent: &Value, namespace: &str) -> String {
    let text = |field: &str| parent[field].as_str().filter(|text| !text.is_empty());
    let (space, name) = (text("namespace"), text("name"));
    format!(
        "{}/{}",
        space.unwrap_or(namespace),
        name.unwrap_or_default()
    )
}

fn unlisted(what: &str, setting: &str) -> String {
    format!("{what:?} is not in {setting}, and DAVY_TENANCY is strict")
}

/// Whether an object is one of the canary's Services or routes. Workloads, autoscalers and configs
/// are the user's, or must be ours already.
fn may_be_adopted(view: &View<'_>, key: &Key) -> bool {
    let names = view.names;
    let is_service = *key.kind == SERVICE
        && [&names.apex, &names.apex_primary, &names.apex_canary].contains(&&key.name);
    let is_route = !["", "apps", "autoscaling", "keda.sh"].contains(&key.kind.group);
    is_service || is_route
}
