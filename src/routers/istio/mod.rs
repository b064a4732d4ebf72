//! Istio: a VirtualService with the apex's name splits the traffic between the hosts of the
//! primary and the canary, each of which has a DestinationRule.

use serde_json::Value;

use crate::api::canary::Canary;
use crate::objects::{
    DESTINATION_RULE, Key, Kind, Names, Problem, Rank, Role, VIRTUAL_SERVICE, View, Wanted,
    controller_uid,
};
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic};

mod edited;
mod fields;
mod made;
mod matches;
mod mirror;
mod queries;
mod restored;
mod rivals;
mod rules;

pub use queries::QUERIES;

pub struct Istio;

impl Router for Istio {
    fn names(&self) -> &'static [&'static str] {
        &["istio"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 2] = [&DESTINATION_RULE, &VIRTUAL_SERVICE];
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
        [
            Key::new(&DESTINATION_RULE, &names.apex_canary),
            Key::new(&DESTINATION_RULE, &names.apex_primary),
            Key::new(&VIRTUAL_SERVICE, &names.apex),
        ]
        .map(|key| (key, Role::Adopted))
        .into()
    }

    fn weight_keys(&self, _: &Canary, names: &Names) -> Vec<Key> {
        vec![Key::new(&VIRTUAL_SERVICE, &names.apex)]
    }

    fn problems(&self, canary: &Canary) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some(service) = &canary.spec.service else {
            return problems;
        };
        if !service.mirror.is_empty() {
            let why = "provider \"istio\" does not act on it; it is for the Gateway API";
            problems.push(Problem::field("spec.service.mirror", why));
        }
        problems.extend(matches::problems(canary, service));
        if service.delegation == Some(true)
            && !(service.hosts.is_empty() && service.gateways.is_empty())
        {
            let names = Names::of(canary);
            problems.push(Problem(format!(
                "VirtualService {}.{} cannot have hosts and gateways when delegation enabled",
                names.apex, names.namespace
            )));
        }
        problems
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let Some(route) = view.object(&VIRTUAL_SERVICE, &view.names.apex) else {
            return Ok(None);
        };
        let traffic = rules::traffic(view, route).ok_or_else(|| {
            let Names {
                apex,
                namespace,
                apex_primary,
                apex_canary,
                ..
            } = view.names;
            Problem(format!(
                "VirtualService {apex}.{namespace} does not contain routes for {apex_primary} and \
                 {apex_canary}"
            ))
        })?;
        Ok(Some(Seen {
            traffic,
            programmed: Ok(()),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let names = view.names;
        let traffic = Traffic {
            canary: traffic.canary.min(100),
            ..traffic
        };
        let mut wanted: Vec<_> = [&names.apex_canary, &names.apex_primary]
            .into_iter()
            .map(|host| {
                let object = match view.object(&DESTINATION_RULE, host) {
                    Some(live) => edited::destination_rule(view, live, host),
                    None => made::destination_rule(view, host),
                };
                Wanted {
                    key: Key::new(&DESTINATION_RULE, host),
                    rank: Rank::Route,
                    object,
                }
            })
            .collect();
        let object = match view.object(&VIRTUAL_SERVICE, &names.apex) {
            Some(live) => edited::virtual_service(view, live, traffic),
            None => made::virtual_service(view, traffic),
        };
        let key = Key::new(&VIRTUAL_SERVICE, &names.apex);
        wanted.push(Wanted {
            key,
            rank: Rank::Route,
            object,
        });
        wanted
    }

    fn give_back(&self, view: &View<'_>) -> Vec<Wanted> {
        // What has a controller is collected with the Canary.
        let route = view.object(&VIRTUAL_SERVICE, &view.names.apex);
        let adopted = route.filter(|route| controller_uid(route).is_none());
        let restored = adopted.map(|route| Wanted {
            key: Key::new(&VIRTUAL_SERVICE, &view.names.apex),
            rank: Rank::Route,
            object: restored::virtual_service(view, route),
        });
        restored.into_iter().collect()
    }

    fn fields(&self, view: &View<'_>) -> Vec<String> {
        fields::named(view)
    }

    fn is_rival(&self, view: &View<'_>, other: &Value) -> bool {
        rivals::is_rival(view, other)
    }

    fn obstacles(&self, view: &View<'_>) -> Vec<Problem> {
        let hosts = [&view.names.apex_canary, &view.names.apex_primary];
        let rules = hosts.into_iter().filter_map(|host| {
            let rule = view.object(&DESTINATION_RULE, host)?;
            edited::is_of_others(view, rule, host).then_some((host, rule))
        });
        rules
            .map(|(host, rule)| {
                let namespace = &view.names.namespace;
                let theirs = rule["spec"]["host"].as_str().unwrap_or_default();
                Problem(format!(
                    "DestinationRule {namespace}/{host} is for host \"{theirs}\" and not for \
                     {host}: it is not touched, and the canary needs one of that name"
                ))
            })
            .collect()
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}
