//! Copies of requests for the canary.

use serde_json::{Value, json};

use crate::objects::View;
use crate::routers::apex;
use crate::routers::istio::{made, rules};

/// Whether a rule copies requests to the canary, by either of the fields by which Istio knows it.
pub(super) fn is_on(view: &View<'_>, rule: &Value) -> bool {
    let mut mirrors = rule["mirrors"].as_array().into_iter().flatten();
    leads_to_canary(view, &rule["mirror"])
        || mirrors.any(|mirror| leads_to_canary(view, &mirror["destination"]))
}

/// Has a rule copy requests to the canary, as many as the Canary says, or none. A mirror of the
/// user's is left where it is when there are to be none.
pub(super) fn set(view: &View<'_>, rule: &mut Value, is_on: bool) {
    let Some(fields) = rule.as_object_mut() else {
        return;
    };
    if let Some(mirrors) = fields.get_mut("mirrors").and_then(Value::as_array_mut) {
        let before = mirrors.len();
        mirrors.retain(|mirror| !leads_to_canary(view, &mirror["destination"]));
        if mirrors.is_empty() && before > 0 {
            fields.remove("mirrors");
        }
    }
    if !is_on {
        if fields
            .get("mirror")
            .is_some_and(|mirror| leads_to_canary(view, mirror))
        {
            fields.remove("mirror");
            fields.remove("mirrorPercentage");
        }
        return;
    }
    let mut destination = json!({ "host": view.names.apex_canary });
    if let Some(port) = made::port(apex::service(view)) {
        destination["port"] = json!({ "number": port });
    }
    fields.insert("mirror".to_owned(), destination);
    let analysis = view.canary.spec.analysis();
    match analysis.and_then(|analysis| analysis.mirror_weight) {
        Some(weight) if weight > 0 => {
            let percentage = json!({ "value": weight });
            fields.insert("mirrorPercentage".to_owned(), percentage);
        }
        _ => drop(fields.remove("mirrorPercentage")),
    }
}

fn leads_to_canary(view: &View<'_>, destination: &Value) -> bool {
    let host = destination["host"].as_str().unwrap_or_default();
    rules::is_host_of(host, &view.names.apex_canary, &view.names.namespace)
}
