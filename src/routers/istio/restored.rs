//! The VirtualService as it was before the Canary, for the user who keeps it when the Canary goes.

use serde_json::{Value, json};

use crate::objects::View;
use crate::routers::adopted;
use crate::routers::istio::rules::{self, LISTS, Side};

pub(super) fn virtual_service(view: &View<'_>, live: &Value) -> Value {
    let mut object = adopted::given_back(live);
    let spec = to_apex(view, object["spec"].take());
    rules::set(&mut object, "spec", spec);
    object
}

/// The Services of primary and canary go with the Canary. A route that still leads to them, because
/// its user wrote it so, leads to the apex instead: it would lead nowhere otherwise.
fn to_apex(view: &View<'_>, mut spec: Value) -> Value {
    for list in LISTS {
        let rules = spec.get_mut(list).and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            if let Some(route) = rule.get_mut("route").and_then(Value::as_array_mut) {
                merge_into_apex(view, route);
            }
        }
    }
    spec
}

fn merge_into_apex(view: &View<'_>, route: &mut Vec<Value>) {
    let is_ours = |entry: &Value| {
        let side = rules::side_of(view.names, entry);
        matches!(side, Some(Side::Primary | Side::Canary))
    };
    let ours = route.iter().filter(|entry| is_ours(entry));
    let weight: u64 = ours.map(rules::weight_of).sum();
    let mut is_first = true;
    route.retain_mut(|entry| {
        if !is_ours(entry) {
            return true;
        }
        if let Some(destination) = entry.get_mut("destination") {
            rules::set(destination, "host", json!(view.names.apex));
        }
        if weight > 0 {
            rules::set(entry, "weight", json!(weight));
        }
        std::mem::take(&mut is_first)
    });
}
