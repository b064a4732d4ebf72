//! Other `VirtualServices` that route the same requests: Istio takes one of them, and does not say
//! which.

use serde_json::Value;

use crate::objects::{VIRTUAL_SERVICE, View};
use crate::routers::apex;
use crate::routers::istio::{made, rules};

/// Stands for all sidecars.
const MESH: &str = "mesh";

/// Whether `other` is a VirtualService of the canary's namespace, but not its own, that has one of its
/// hosts on one of its gateways.
pub(super) fn is_rival(view: &View<'_>, other: &Value) -> bool {
    let names = view.names;
    let is_another = other["kind"] == VIRTUAL_SERVICE.kind
        && other["metadata"]["namespace"] == *names.namespace
        && other["metadata"]["name"] != *names.apex;
    if !is_another {
        return false;
    }
    let ours = gateways_of_route(view);
    let theirs = gateways(&other["spec"], &names.namespace);
    let hosts = made::hosts(view);
    strings(&other["spec"]["hosts"])
        .any(|theirs| hosts.iter().any(|host| is_same_host(view, host, theirs)))
        && ours.iter().any(|gateway| theirs.contains(gateway))
}

/// The apex has a short name and several long ones; other hosts have one, in any case.
fn is_same_host(view: &View<'_>, ours: &str, theirs: &str) -> bool {
    let names = view.names;
    ours.eq_ignore_ascii_case(theirs)
        || (rules::is_host_of(ours, &names.apex, &names.namespace)
            && rules::is_host_of(theirs, &names.apex, &names.namespace))
}

/// The gateways of the route: those that the Canary names, and what others have put there.
fn gateways_of_route(view: &View<'_>) -> Vec<String> {
    let namespace = &view.names.namespace;
    let live = view.object(&VIRTUAL_SERVICE, &view.names.apex);
    let given = made::gateways(apex::service(view)).unwrap_or_default();
    let is_given = !apex::service(view).gateways.is_empty();
    let mut gateways = match live {
        Some(live) => self::gateways(&live["spec"], namespace),
        None => Vec::new(),
    };
    if is_given || live.is_none() {
        gateways.extend(
            given
                .into_iter()
                .map(|gateway| full_name(gateway, namespace)),
        );
    }
    gateways
}

/// The gateways of a VirtualService; none is all sidecars.
fn gateways(spec: &Value, namespace: &str) -> Vec<String> {
    let gateways: Vec<_> = strings(&spec["gateways"])
        .map(|gateway| full_name(gateway, namespace))
        .collect();
    if gateways.is_empty() {
        vec![MESH.to_owned()]
    } else {
        gateways
    }
}

/// A gateway as `namespace/name`: Istio takes the name alone, and the host name of a Service too.
fn full_name(gateway: &str, namespace: &str) -> String {
    if gateway == MESH || gateway.contains('/') {
        return gateway.to_owned();
    }
    let mut parts = gateway.split('.');
    let name = parts.next().unwrap_or_default();
    format!("{}/{name}", parts.next().unwrap_or(namespace))
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    let entries = list.as_array().into_iter().flatten();
    entries.filter_map(Value::as_str)
}
