//! The route as it is made where there is none yet: field by field what Flagger makes, with the
//! defaults of the API server written out.

use serde_json::{Map, Value, json};

use crate::api::canary::Canary;
use crate::api::service::CanaryService;
use crate::objects::{Problem, View};
use crate::routers::Traffic;
use crate::routers::apex::{self, service};
use crate::routers::gateway::{HTTP_ROUTE, filters, matches, with_defaults};

pub(super) fn http_route(view: &View<'_>, traffic: Traffic) -> Value {
    let service = service(view);
    let parents: Vec<_> = service.gateway_refs.iter().map(with_defaults).collect();
    let test = test(view, traffic.canary).into_iter();
    let rules: Vec<_> = test.chain([base(view, traffic)]).collect();
    let mut spec = json!({ "parentRefs": parents, "rules": rules });
    if !service.hosts.is_empty() {
        spec["hostnames"] = json!(service.hosts);
    }
    apex::new_route(view, &HTTP_ROUTE, &spec)
}

/// The rule that splits the traffic.
pub(super) fn rule(view: &View<'_>, weight: u8) -> Value {
    let service = service(view);
    let mut rule = json!({
        "matches": of_service(service).unwrap_or_else(|| json!([{ "path": any_path() }])),
        "backendRefs": [
            backend(view, &view.names.apex_primary, 100 - weight),
            backend(view, &view.names.apex_canary, weight),
        ],
    });
    let filters: Vec<_> = filters::of(view);
    if !filters.is_empty() {
        rule["filters"] = json!(filters);
    }
    let timeouts = timeouts(view);
    if !timeouts.is_empty() {
        rule["timeouts"] = json!(timeouts);
    }
    rule
}

/// The rule of an A/B test, where the Canary asks for one.
pub(super) fn test(view: &View<'_>, weight: u8) -> Option<Value> {
    let conditions = matches::conditions(view)?;
    let mut test = rule(view, weight);
    test["matches"] = conditions;
    Some(test)
}

/// The rule for all requests. Beside one for those that match it leads to the primary alone.
pub(super) fn base(view: &View<'_>, traffic: Traffic) -> Value {
    let weight = if traffic.matched { 0 } else { traffic.canary };
    let mut base = rule(view, weight);
    if weight == 0
        && matches::conditions(view).is_some()
        && let Some(backends) = base["backendRefs"].as_array_mut()
    {
        backends.truncate(1);
    }
    filters::mirror(view, &mut base, traffic.mirror);
    base
}

pub(super) fn backend(view: &View<'_>, name: &str, weight: u8) -> Value {
    json!({
        "group": "",
        "kind": "Service",
        "name": name,
        "port": service(view).port,
        "weight": weight,
    })
}

pub(super) fn any_path() -> Value {
    json!({ "type": "PathPrefix", "value": "/" })
}

/// Whether the Canary says gatewayapi:v1beta1, which knows neither timeouts nor CORS: what Flagger
/// does not write there is not turned on by a change of hands.
pub(super) fn is_beta(view: &View<'_>) -> bool {
    let own = view.canary.spec.provider.as_deref();
    let provider = own.filter(|it| !it.is_empty());
    provider.unwrap_or(&view.policy.mesh_provider) == "gatewayapi:v1beta1"
}

pub(super) fn timeouts(view: &View<'_>) -> Map<String, Value> {
    let service = service(view);
    let fields = [
        ("request", &service.timeout),
        ("backendRequest", &service.backend_timeout),
    ];
    fields
        .into_iter()
        .filter(|_| !is_beta(view))
        .filter_map(|(name, time)| {
            let time = time.as_ref().filter(|time| !time.is_empty())?;
            Some((name.to_owned(), json!(time)))
        })
        .collect()
}

/// The conditions of the Canary; `None` where it names none.
pub(super) fn of_service(service: &CanaryService) -> Option<Value> {
    (!service.r#match.is_empty()).then(|| conditions(&service.r#match))
}

/// Istio's conditions as those of a rule.
pub(super) fn conditions(conditions: &[Value]) -> Value {
    let conditions = conditions.iter().map(|condition| {
        // What cannot be said is a problem of the Canary, and then nothing of it is rendered.
        let mut made = translated(condition, "").unwrap_or_default();
        made.entry("path").or_insert_with(any_path);
        Value::Object(made)
    });
    conditions.collect()
}

/// What of the service cannot be said in an `HTTPRoute`, or is missing.
pub(super) fn problems(canary: &Canary) -> Vec<Problem> {
    let Some(service) = &canary.spec.service else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if service.gateway_refs.is_empty() {
        let why = "GatewayRefs must be specified when using Gateway API as a provider.";
        problems.push(Problem::field("spec.service.gatewayRefs", why));
    }
    for (index, condition) in service.r#match.iter().enumerate() {
        let path = format!("spec.service.match[{index}]");
        problems.extend(translated(condition, &path).err());
    }
    problems.extend(filters::problems(service));
    problems
}

/// An Istio condition as one of the Gateway API. A condition that is left out would have the route
/// take more requests than the Canary says: it is refused.
pub(super) fn translated(condition: &Value, path: &str) -> Result<Map<String, Value>, Problem> {
    let mut made = Map::new();
    for (field, value) in condition.as_object().into_iter().flatten() {
        let field_path = format!("{path}.{field}");
        match &**field {
            "uri" => {
                let kinds = [
                    ("prefix", "PathPrefix"),
                    ("exact", "Exact"),
                    ("regex", "RegularExpression"),
                ];
                made.insert("path".to_owned(), text_match(value, &kinds, &field_path)?);
            }
            "method" => {
                let exact = text_match(value, &[("exact", "Exact")], &field_path)?;
                made.insert(field.clone(), exact["value"].clone());
            }
            "headers" | "queryParams" => {
                made.insert(field.clone(), named_matches(value, &field_path)?);
            }
            "name" => {}
            _ => return Err(Problem::field(&field_path, "an HTTPRoute cannot say it")),
        }
    }
    Ok(made)
}

fn named_matches(values: &Value, path: &str) -> Result<Value, Problem> {
    let kinds = [("exact", "Exact"), ("regex", "RegularExpression")];
    let values = values.as_object().into_iter().flatten();
    values
        .map(|(name, value)| {
            let mut made = text_match(value, &kinds, &format!("{path}.{name}"))?;
            made["name"] = json!(name);
            Ok(made)
        })
        .collect()
}

fn text_match(value: &Value, kinds: &[(&str, &str)], path: &str) -> Result<Value, Problem> {
    let found = kinds.iter().find_map(|(field, kind)| {
        let text = value[field].as_str()?;
        Some(json!({ "type": kind, "value": text }))
    });
    found.ok_or_else(|| {
        let known: Vec<_> = kinds.iter().map(|(field, _)| *field).collect();
        let why = format!("an HTTPRoute can say {} only", known.join(" or "));
        Problem::field(path, why)
    })
}
