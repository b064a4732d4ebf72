//! What the controllers of the parents say of the route, and which other routes take its requests.

use serde_json::{Value, json};

use crate::objects::View;
use crate::routers::apex::service;
use crate::routers::gateway::{HTTP_ROUTE, list, made, rules, with_defaults};

/// Whether every parent that says anything of the route has accepted it as it is now, and found its
/// Services.
pub(super) fn programmed(live: &Value) -> Result<(), String> {
    let generation = live["metadata"]["generation"].as_i64().unwrap_or(0);
    let parents: Vec<_> = list(&live["spec"]["parentRefs"])
        .iter()
        .map(with_defaults)
        .collect();
    let said = list(&live["status"]["parents"]).iter();
    // What an earlier parent said is not about this route.
    for said in said.filter(|said| parents.contains(&with_defaults(&said["parentRef"]))) {
        let name = said["parentRef"]["name"].as_str().unwrap_or_default();
        let wanted = [
            ("Accepted", "True"),
            ("ResolvedRefs", "True"),
            ("PartiallyInvalid", "False"),
        ];
        for (kind, wanted) in wanted {
            let conditions = list(&said["conditions"]).iter();
            let mut conditions = conditions.filter(|condition| condition["type"] == kind);
            let Some(condition) = conditions.next() else {
                continue;
            };
            if condition["observedGeneration"]
                .as_i64()
                .is_some_and(|observed| observed < generation)
            {
                return Err(format!("parent {name} has not seen its last change yet"));
            }
            if condition["status"] != wanted {
                let text = |field: &str| condition[field].as_str().unwrap_or_default();
                return Err(format!(
                    "parent {name} says {kind} {}: {} {}",
                    text("status"),
                    text("reason"),
                    text("message")
                ));
            }
        }
    }
    Ok(())
}

/// Whether `other` is an `HTTPRoute` of the canary's namespace, but not its own, that has one of
/// its conditions for one of its hosts at one of its parents: the older of the two gets the
/// requests.
pub(super) fn is_rival(view: &View<'_>, other: &Value) -> bool {
    let names = view.names;
    let service = service(view);
    let is_another = other["kind"] == HTTP_ROUTE.kind
        && other["metadata"]["namespace"] == *names.namespace
        && other["metadata"]["name"] != *names.apex;
    if !is_another {
        return false;
    }
    let whole = |parent: &Value| {
        let mut parent = with_defaults(parent);
        if parent["namespace"].is_null() {
            parent["namespace"] = json!(names.namespace);
        }
        parent
    };
    let theirs: Vec<_> = list(&other["spec"]["parentRefs"])
        .iter()
        .map(whole)
        .collect();
    let has_parent = service
        .gateway_refs
        .iter()
        .any(|parent| theirs.contains(&whole(parent)));
    let hosts = list(&other["spec"]["hostnames"]);
    let is_ours = |host: &Value| {
        let host = host.as_str().unwrap_or_default();
        service.hosts.iter().any(|it| it.eq_ignore_ascii_case(host))
    };
    let has_host = match (service.hosts.is_empty(), hosts.is_empty()) {
        (false, false) => hosts.iter().any(is_ours),
        (ours, theirs) => ours && theirs,
    };
    let conditions = rules::conditions(&made::rule(view, 0));
    let mut rules = list(&other["spec"]["rules"]).iter();
    let has_condition = rules.any(|rule| {
        let theirs = rules::conditions(rule);
        theirs
            .iter()
            .any(|condition| conditions.contains(condition))
    });
    has_parent && has_host && has_condition
}
