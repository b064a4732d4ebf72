//! The Gateway API: an `HTTPRoute` with the apex's name splits the traffic between the Services of
//! the primary and the canary. Its parents are Gateways, or a Service in a mesh.
//!
//! Version v1 is written whatever the Canary says: every API server that has `HTTPRoutes` of
//! v1beta1 and is of Gateway API 1.0 or newer serves it.

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted, controller_uid};
use crate::routers::queries::APPLICATION;
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic, adopted};

mod edited;
mod fields;
mod filters;
mod made;
mod matches;
mod rules;
mod shown;

pub static HTTP_ROUTE: Kind = Kind {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "HTTPRoute",
    plural: "httproutes",
};

pub struct GatewayApi;

impl Router for GatewayApi {
    fn names(&self) -> &'static [&'static str] {
        &["gatewayapi:v1", "gatewayapi:v1beta1"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 1] = [&HTTP_ROUTE];
        &KINDS
    }

    fn can(&self) -> Capabilities {
        Capabilities {
            matches: true,
            mirror: true,
            ..Capabilities::WEIGHTS
        }
    }

    fn reads(&self, _: &Canary, names: &Names) -> Vec<(Key, Role)> {
        vec![(key(names), Role::Adopted)]
    }

    fn weight_keys(&self, _: &Canary, names: &Names) -> Vec<Key> {
        vec![key(names)]
    }

    fn problems(&self, canary: &Canary) -> Vec<Problem> {
        let mut problems = made::problems(canary);
        problems.extend(matches::problems(canary));
        problems
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let names = view.names;
        let Some(live) = view.object(&HTTP_ROUTE, &names.apex) else {
            return Ok(None);
        };
        let traffic = rules::traffic(view, live).ok_or_else(|| {
            Problem(format!(
                "HTTPRoute {}.{} does not contain weights for {} and {}",
                names.apex, names.namespace, names.apex_primary, names.apex_canary
            ))
        })?;
        Ok(Some(Seen {
            traffic,
            programmed: shown::programmed(live),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let traffic = Traffic {
            canary: traffic.canary.min(100),
            ..traffic
        };
        let object = match view.object(&HTTP_ROUTE, &view.names.apex) {
            Some(live) => edited::http_route(view, live, traffic),
            None => made::http_route(view, traffic),
        };
        vec![wanted(view, object)]
    }

    fn give_back(&self, view: &View<'_>) -> Vec<Wanted> {
        // What has a controller is collected with the Canary.
        let live = view.object(&HTTP_ROUTE, &view.names.apex);
        let live = live.filter(|live| controller_uid(live).is_none());
        let given_back = live.map(|live| {
            let mut object = adopted::given_back(live);
            if let Some(rules) = object.pointer_mut("/spec/rules") {
                rules::to_apex(view.names, rules);
            }
            wanted(view, object)
        });
        given_back.into_iter().collect()
    }

    fn fields(&self, view: &View<'_>) -> Vec<String> {
        fields::named(view)
    }

    fn is_rival(&self, view: &View<'_>, other: &Value) -> bool {
        shown::is_rival(view, other)
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&APPLICATION)
    }
}

fn key(names: &Names) -> Key {
    Key::new(&HTTP_ROUTE, &names.apex)
}

fn wanted(view: &View<'_>, object: Value) -> Wanted {
    Wanted {
        key: key(view.names),
        rank: Rank::Route,
        object,
    }
}

/// A list of an object; none where it is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Sets a field of what is an object.
fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// A reference to a parent as the API server stores it.
fn with_defaults(parent: &Value) -> Value {
    let mut parent = parent.clone();
    for (field, default) in [("group", "gateway.networking.k8s.io"), ("kind", "Gateway")] {
        if parent.get(field).is_none_or(Value::is_null) {
            set(&mut parent, field, json!(default));
        }
    }
    parent
}
