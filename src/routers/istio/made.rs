//! The objects as they are made where there are none yet: field by field what Flagger makes.

use serde_json::{Map, Value, json};

use crate::api::service::CanaryService;
use crate::objects::{DESTINATION_RULE, VIRTUAL_SERVICE, View};
use crate::routers::Traffic;
use crate::routers::apex::{self, service};
use crate::routers::istio::{matches, mirror};

pub(super) fn virtual_service(view: &View<'_>, traffic: Traffic) -> Value {
    let service = service(view);
    let test = test(view, traffic.canary).into_iter();
    let rules: Vec<_> = test.chain([base(view, traffic)]).collect();
    let mut spec = json!({ "hosts": hosts(view), list(service): rules });
    if let Some(gateways) = gateways(service) {
        spec["gateways"] = json!(gateways);
    }
    apex::new_route(view, &VIRTUAL_SERVICE, &spec)
}

pub(super) fn destination_rule(view: &View<'_>, host: &str) -> Value {
    let mut spec = json!({ "host": host });
    if let Some(policy) = &service(view).traffic_policy {
        spec["trafficPolicy"] = policy.clone();
    }
    apex::new_object(view, &DESTINATION_RULE, host, &spec)
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

/// The rule of an A/B test, where the Canary asks for one.
pub(super) fn test(view: &View<'_>, weight: u8) -> Option<Value> {
    let conditions = matches::conditions(view)?;
    let mut test = rule(view, weight);
    test["match"] = conditions;
    Some(test)
}

/// The rule for all requests, beside which there may be one for those that match: it leads to the
/// primary alone then.
pub(super) fn base(view: &View<'_>, traffic: Traffic) -> Value {
    let is_primarys = traffic.matched || traffic.canary == 0;
    let mut base = rule(view, if is_primarys { 0 } else { traffic.canary });
    if is_primarys
        && matches::conditions(view).is_some()
        && let Some(route) = base["route"].as_array_mut()
    {
        route.truncate(1);
    }
    if traffic.mirror {
        mirror::set(view, &mut base, true);
    }
    base
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

pub(super) fn is_tcp(service: &CanaryService) -> bool {
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
