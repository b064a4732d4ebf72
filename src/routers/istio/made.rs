//! The objects as they are made where there are none yet: field by field what Flagger makes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::api::service::CanaryService;
use crate::objects::metadata::FLUX;
use crate::objects::{DESTINATION_RULE, Kind, VIRTUAL_SERVICE, View, owner_reference};

/// Keys that contain it steer Flux at the user's own object and are not copied from there.
const FLUX_DOMAIN: &str = "toolkit.fluxcd.io";

static NO_SERVICE: LazyLock<CanaryService> = LazyLock::new(CanaryService::default);

pub(super) fn virtual_service(view: &View<'_>, weight: u8) -> Value {
    let service = service(view);
    let mut metadata = metadata(view, &view.names.apex);
    metadata.insert("annotations".to_owned(), json!(annotations(service)));
    let labels = labels(view);
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), json!(labels));
    }
    let mut spec = json!({ "hosts": hosts(view), list(service): [rule(view, weight)] });
    if let Some(gateways) = gateways(service) {
        spec["gateways"] = json!(gateways);
    }
    object(&VIRTUAL_SERVICE, &metadata, &spec)
}

pub(super) fn destination_rule(view: &View<'_>, host: &str) -> Value {
    let mut spec = json!({ "host": host });
    if let Some(policy) = &service(view).traffic_policy {
        spec["trafficPolicy"] = policy.clone();
    }
    object(&DESTINATION_RULE, &metadata(view, host), &spec)
}

/// The rule that splits the traffic, with the fields that the Canary speaks of and no others.
pub(super) fn rule(view: &View<'_>, weight: u8) -> Value {
    let service = service(view);
    let mut rule = if is_tcp(service) {
        tcp_fields(service)
    } else {
        http_fields(service)
    };
    let destination = |host: &str, weight: u8| {
        let mut destination = json!({ "host": host });
        if let Some(port) = port(service) {
            destination["port"] = json!({ "number": port });
        }
        json!({ "destination": destination, "weight": weight })
    };
    let route = [
        destination(&view.names.apex_primary, 100 - weight),
        destination(&view.names.apex_canary, weight),
    ];
    rule.insert("route".to_owned(), json!(route));
    Value::Object(rule)
}

pub(super) fn service<'a>(view: &View<'a>) -> &'a CanaryService {
    view.canary.spec.service.as_ref().unwrap_or(&NO_SERVICE)
}

/// The list of a VirtualService that holds the rule.
pub(super) fn list(service: &CanaryService) -> &'static str {
    if is_tcp(service) { "tcp" } else { "http" }
}

/// A VirtualService that others delegate to must have no hosts.
pub(super) fn hosts<'a>(view: &View<'a>) -> Vec<&'a str> {
    let service = service(view);
    if service.delegation == Some(true) {
        return Vec::new();
    }
    let apex = view.names.apex.as_str();
    let mut hosts: Vec<_> = service.hosts.iter().map(String::as_str).collect();
    if !hosts.iter().any(|host| *host == apex || *host == "*") {
        hosts.push(apex);
    }
    hosts
}

pub(super) fn annotations(service: &CanaryService) -> BTreeMap<&str, &str> {
    let apex = service.apex.iter().flat_map(|apex| &apex.annotations);
    let mut annotations: BTreeMap<_, _> = apex
        .filter(|(key, _)| !key.contains(FLUX_DOMAIN))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    annotations.extend(FLUX);
    annotations
}

/// Whoever gives the apex labels finds the selector's label beside them in what Flagger makes.
fn labels<'a>(view: &View<'a>) -> BTreeMap<&'a str, &'a str> {
    let Some(apex) = &service(view).apex else {
        return BTreeMap::new();
    };
    let given = apex
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let mut labels: BTreeMap<_, _> = given.collect();
    let target = view.workload(&view.names.target);
    let selector = target.map(|target| &target["spec"]["selector"]["matchLabels"]);
    let mut known = view.policy.selector_labels.iter();
    let label = known.find(|label| selector.is_some_and(|selector| selector.get(label).is_some()));
    labels.extend(label.map(|label| (label.as_str(), view.names.apex.as_str())));
    labels
}

fn object(kind: &Kind, metadata: &Map<String, Value>, spec: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": metadata,
        "spec": spec,
    })
}

fn metadata(view: &View<'_>, name: &str) -> Map<String, Value> {
    Map::from_iter([
        ("name".to_owned(), json!(name)),
        ("namespace".to_owned(), json!(view.names.namespace)),
        (
            "ownerReferences".to_owned(),
            json!([owner_reference(view.names)]),
        ),
    ])
}

/// A VirtualService that others delegate to must have none; `None` then.
pub(super) fn gateways(service: &CanaryService) -> Option<Vec<&str>> {
    if service.delegation == Some(true) {
        return None;
    }
    let given: Vec<_> = service.gateways.iter().map(String::as_str).collect();
    Some(if given.is_empty() {
        vec!["mesh"]
    } else {
        given
    })
}

/// A gateway does not know which port was meant once the Services have several.
pub(super) fn port(service: &CanaryService) -> Option<i64> {
    let through_gateway = service
        .gateways
        .first()
        .is_some_and(|gateway| gateway != "mesh");
    let is_needed = service.port_discovery == Some(true)
        && (through_gateway || service.delegation == Some(true));
    is_needed.then_some(service.port)
}

fn is_tcp(service: &CanaryService) -> bool {
    service
        .app_protocol
        .as_ref()
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
}

fn tcp_fields(service: &CanaryService) -> Map<String, Value> {
    let ports = service.r#match.iter().filter_map(|entry| entry.get("port"));
    let conditions: Vec<_> = ports.map(|port| json!({ "port": port })).collect();
    let given = (!conditions.is_empty()).then(|| ("match".to_owned(), json!(conditions)));
    given.into_iter().collect()
}

fn http_fields(service: &CanaryService) -> Map<String, Value> {
    let conditions = (!service.r#match.is_empty()).then(|| json!(service.r#match));
    let timeout = service
        .timeout
        .as_ref()
        .filter(|timeout| !timeout.is_empty());
    // `type` is the Gateway API's, and a strict API server refuses what it does not know.
    let rewrite = service
        .rewrite
        .as_ref()
        .map(|rewrite| without(rewrite, "type", |_| true));
    // It says the same as none, and Flagger writes none: a route of Flagger's shows no drift.
    let cors_policy = service
        .cors_policy
        .as_ref()
        .map(|policy| without(policy, "allowCredentials", |value| value == false));
    let fields = [
        ("match", conditions),
        ("rewrite", rewrite.filter(|rewrite| *rewrite != json!({}))),
        ("timeout", timeout.map(|timeout| json!(timeout))),
        ("retries", service.retries.clone()),
        ("corsPolicy", cors_policy),
        ("headers", service.headers.clone()),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn without(value: &Value, key: &str, unwanted: impl Fn(&Value) -> bool) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut()
        && fields.get(key).is_some_and(unwanted)
    {
        fields.remove(key);
    }
    value
}
