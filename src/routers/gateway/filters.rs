//! The filters of a rule that the Canary speaks of, each known by what it is: `URLRewrite`, or
//! `RequestMirror shop/shadow`. Those that it does not speak of are the user's.

use serde_json::{Map, Value, json};

use crate::api::service::CanaryService;
use crate::objects::{Problem, View, duration};
use crate::routers::apex::service;
use crate::routers::gateway::{list, made};

/// The filters of the Canary, in Flagger's order.
pub(super) fn of(view: &View<'_>) -> Vec<Value> {
    let service = service(view);
    let mut filters = Vec::new();
    let headers = service.headers.clone().unwrap_or_default();
    for (side, kind, field) in [
        ("request", "RequestHeaderModifier", "requestHeaderModifier"),
        (
            "response",
            "ResponseHeaderModifier",
            "responseHeaderModifier",
        ),
    ] {
        let modifier = modifier(&headers[side]);
        if !modifier.is_empty() {
            filters.push(json!({ "type": kind, field: modifier }));
        }
    }
    filters.extend(rewrite(service));
    for mirror in &service.mirror {
        let mut mirror = mirror.clone();
        if let Some(backend) = mirror.get_mut("backendRef").and_then(Value::as_object_mut) {
            backend.entry("group").or_insert_with(|| json!(""));
            backend.entry("kind").or_insert_with(|| json!("Service"));
        }
        filters.push(json!({ "type": "RequestMirror", "requestMirror": mirror }));
    }
    if let Some(policy) = &service.cors_policy
        && !made::is_beta(view)
    {
        let cors = cors(policy);
        filters.push(json!({ "type": "CORS", "cors": cors }));
    }
    filters
}

/// By what a filter is known from others of its rule.
pub(super) fn id(filter: &Value) -> String {
    let kind = filter["type"].as_str().unwrap_or_default();
    if kind != "RequestMirror" {
        return kind.to_owned();
    }
    let backend = &filter["requestMirror"]["backendRef"];
    let text = |field: &str| backend[field].as_str().unwrap_or_default();
    format!("{kind} {}/{}", text("namespace"), text("name"))
}

/// The filters of a live rule with those of the Canary, and without those that were the Canary's.
pub(super) fn held(view: &View<'_>, live: &[Value], gone: &[&str]) -> Vec<Value> {
    let wanted = of(view);
    let mut filters: Vec<_> = live.to_vec();
    filters.retain(|filter| {
        let id = id(filter);
        let is_wanted = wanted.iter().any(|it| self::id(it) == id);
        is_wanted || !gone.contains(&&*id)
    });
    for filter in wanted {
        match filters.iter_mut().find(|live| id(live) == id(&filter)) {
            Some(live) => *live = filter,
            None => filters.push(filter),
        }
    }
    filters
}

/// Whether a rule copies requests to the canary.
pub(super) fn is_mirrored(view: &View<'_>, rule: &Value) -> bool {
    let mut filters = list(&rule["filters"]).iter();
    filters.any(|filter| is_canarys(view, filter))
}

/// Has a rule copy requests to the canary, or not.
pub(super) fn mirror(view: &View<'_>, rule: &mut Value, is_on: bool) {
    if is_on == is_mirrored(view, rule) {
        return;
    }
    let mut filters = list(&rule["filters"]).to_vec();
    filters.retain(|filter| !is_canarys(view, filter));
    if is_on {
        let backend = json!({
            "group": "",
            "kind": "Service",
            "name": view.names.apex_canary,
            "port": service(view).port,
        });
        filters
            .push(json!({ "type": "RequestMirror", "requestMirror": { "backendRef": backend } }));
    }
    if let Some(fields) = rule.as_object_mut() {
        if filters.is_empty() {
            fields.remove("filters");
        } else {
            fields.insert("filters".to_owned(), json!(filters));
        }
    }
}

/// Whether a filter copies requests to the canary.
fn is_canarys(view: &View<'_>, filter: &Value) -> bool {
    let id = id(filter);
    let names = view.names;
    ["", &names.namespace]
        .iter()
        .any(|namespace| id == format!("RequestMirror {namespace}/{}", names.apex_canary))
}

/// What of the service's CORS policy cannot be said.
pub(super) fn problems(service: &CanaryService) -> Vec<Problem> {
    let Some(policy) = &service.cors_policy else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    let origins = list(&policy["allowOrigins"]).iter().enumerate();
    for (index, _) in origins.filter(|(_, origin)| !origin["exact"].is_string()) {
        let field = format!("spec.service.corsPolicy.allowOrigins[{index}]");
        let why = "an HTTPRoute can say exact only";
        problems.push(Problem::field(&field, why));
    }
    if let Some(Err(why)) = policy["maxAge"].as_str().map(duration::parse) {
        problems.push(Problem::field("spec.service.corsPolicy.maxAge", why));
    }
    problems
}

fn modifier(headers: &Value) -> Map<String, Value> {
    let mut modifier = Map::new();
    for field in ["set", "add"] {
        let entries = headers[field].as_object().into_iter().flatten();
        let entries: Vec<_> = entries
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        if !entries.is_empty() {
            modifier.insert(field.to_owned(), json!(entries));
        }
    }
    if !list(&headers["remove"]).is_empty() {
        modifier.insert("remove".to_owned(), headers["remove"].clone());
    }
    modifier
}

fn rewrite(service: &CanaryService) -> Option<Value> {
    let rewrite = service.rewrite.as_ref()?;
    let text = |field: &str| rewrite[field].as_str().filter(|text| !text.is_empty());
    let mut made = Map::new();
    if let Some(uri) = text("uri") {
        let path = if text("type") == Some("ReplacePrefixMatch") {
            json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": uri })
        } else {
            json!({ "type": "ReplaceFullPath", "replaceFullPath": uri })
        };
        made.insert("path".to_owned(), path);
    }
    if let Some(authority) = text("authority") {
        made.insert("hostname".to_owned(), json!(authority));
    }
    (!made.is_empty()).then(|| json!({ "type": "URLRewrite", "urlRewrite": made }))
}

fn cors(policy: &Value) -> Map<String, Value> {
    let mut cors = Map::new();
    let exact = list(&policy["allowOrigins"]).iter();
    let exact = exact.filter_map(|origin| origin.get("exact").cloned());
    let origins: Vec<_> = list(&policy["allowOrigin"])
        .iter()
        .cloned()
        .chain(exact)
        .collect();
    cors.insert("allowOrigins".to_owned(), json!(origins));
    for field in ["allowMethods", "allowHeaders", "exposeHeaders"] {
        cors.insert(field.to_owned(), json!(list(&policy[field])));
    }
    cors.retain(|_, entries| !list(entries).is_empty());
    if policy["allowCredentials"] == true {
        cors.insert("allowCredentials".to_owned(), json!(true));
    }
    // The API server's default, so that a stored route is as it was sent.
    let max_age = policy["maxAge"]
        .as_str()
        .and_then(|it| duration::parse(it).ok());
    let seconds = max_age.map_or(5, |age| age.as_secs());
    cors.insert("maxAge".to_owned(), json!(seconds));
    cors
}
