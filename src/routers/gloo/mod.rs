//! Gloo: a `RouteTable` with the apex's name, to which the user's `VirtualService` delegates, splits
//! the traffic between two Upstreams, which are the Services of the primary and the canary.
//!
//! Their settings are those of the Upstream that the Canary names; it is only read.

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted};
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic};

mod table;
mod upstreams;

pub static ROUTE_TABLE: Kind = Kind {
    group: "gateway.solo.io",
    version: "v1",
    kind: "RouteTable",
    plural: "routetables",
};

pub static UPSTREAM: Kind = Kind {
    group: "gloo.solo.io",
    version: "v1",
    kind: "Upstream",
    plural: "upstreams",
};

// The Upstreams are called after the apex: Flagger asks by the target's name, and has no data where
// the two differ.
static QUERIES: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum( rate( envoy_cluster_upstream_rq{
            envoy_cluster_name=~"{{ namespace }}-{{ service }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+",
            envoy_response_code!~"5.*" }[{{ interval }}] ) )
        / sum( rate( envoy_cluster_upstream_rq{
            envoy_cluster_name=~"{{ namespace }}-{{ service }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+",
            }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( envoy_cluster_upstream_rq_time_bucket{
            envoy_cluster_name=~"{{ namespace }}-{{ service }}-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+",
            }[{{ interval }}] ) ) by (le) )"#,
    duration_scale: 1.0,
};

pub struct Gloo;

impl Router for Gloo {
    fn names(&self) -> &'static [&'static str] {
        &["gloo"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        static KINDS: [&Kind; 2] = [&ROUTE_TABLE, &UPSTREAM];
        &KINDS
    }

    fn can(&self) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, canary: &Canary, names: &Names) -> Vec<(Key, Role)> {
        let port = canary.spec.service.as_ref().map_or(0, |it| it.port);
        let users = upstreams::users(canary);
        let users = users.map(|name| (Key::new(&UPSTREAM, name), Role::UsersOwn));
        let ours = SIDES.map(|side| side.upstream(names, port));
        let ours = ours.map(|name| (Key::new(&UPSTREAM, name), Role::Owned));
        let table = (key(names), Role::Owned);
        users.into_iter().chain(ours).chain([table]).collect()
    }

    fn weight_keys(&self, _: &Canary, names: &Names) -> Vec<Key> {
        vec![key(names)]
    }

    fn problems(&self, canary: &Canary) -> Vec<Problem> {
        let reference = canary.spec.upstream_ref.as_ref();
        let namespace = reference.and_then(|it| it.namespace.as_deref());
        let elsewhere = namespace
            .filter(|it| !it.is_empty() && Some(*it) != canary.metadata.namespace.as_deref());
        let problem = elsewhere.map(|namespace| {
            let why = format!(
                "\"{namespace}\" is not the namespace of the Canary, and no other is read; the \
                 settings may be those of an Upstream beside the Canary, which routes nothing"
            );
            Problem::field("spec.upstreamRef.namespace", why)
        });
        problem.into_iter().collect()
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let names = view.names;
        let Some(live) = view.object(&ROUTE_TABLE, &names.apex) else {
            return Ok(None);
        };
        let canary = table::canary_percent(names, live).ok_or_else(|| {
            Problem(format!(
                "RouteTable {}.{} does not contain destinations with weights for {} and {}",
                names.apex, names.namespace, names.apex_primary, names.apex_canary
            ))
        })?;
        Ok(Some(Seen {
            traffic: Traffic::share(canary),
            programmed: table::programmed(live),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let table = Wanted {
            key: key(view.names),
            rank: Rank::Route,
            object: table::rendered(view, traffic.canary.min(100)),
        };
        upstreams::rendered(view)
            .into_iter()
            .chain([table])
            .collect()
    }

    fn obstacles(&self, view: &View<'_>) -> Vec<Problem> {
        let missing = upstreams::missing(view);
        let problem = missing.map(|name| {
            let why = format!("Upstream {}/{name} does not exist", view.names.namespace);
            Problem::field("spec.upstreamRef", why)
        });
        problem.into_iter().collect()
    }

    fn fields(&self, view: &View<'_>) -> Vec<String> {
        upstreams::fields(view)
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&QUERIES)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Primary,
    Canary,
}

const SIDES: [Side; 2] = [Side::Primary, Side::Canary];

impl Side {
    /// Flagger's name for the Upstream.
    fn upstream(self, names: &Names, port: impl std::fmt::Display) -> String {
        format!("{}{port}", self.upstreams(names))
    }

    /// What Upstreams of this side begin with, whatever the port.
    fn upstreams(self, names: &Names) -> String {
        let side = match self {
            Self::Primary => "primary",
            Self::Canary => "canary",
        };
        format!("{}-{}-{side}upstream-", names.namespace, names.apex)
    }

    fn service(self, names: &Names) -> &str {
        match self {
            Self::Primary => &names.apex_primary,
            Self::Canary => &names.apex_canary,
        }
    }
}

fn key(names: &Names) -> Key {
    Key::new(&ROUTE_TABLE, &names.apex)
}
