//! The Service Mesh Interface, and Linkerd by it: a `TrafficSplit` with the apex's name splits what
//! clients in the mesh send to the apex between the Services of the primary and the canary.

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Rank, Role, View, Wanted};
use crate::routers::beside::percent;
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic, apex, istio};

const fn traffic_split(version: &'static str) -> Kind {
    Kind {
        group: "split.smi-spec.io",
        version,
        kind: "TrafficSplit",
        plural: "trafficsplits",
    }
}

pub static V1ALPHA1: Kind = traffic_split("v1alpha1");
pub static V1ALPHA2: Kind = traffic_split("v1alpha2");
pub static V1ALPHA3: Kind = traffic_split("v1alpha3");

static QUERIES: BuiltInQueries = BuiltInQueries {
    success_rate: r#"
        sum( rate( response_total{ namespace="{{ namespace }}",
            deployment=~"{{ target }}", classification!="failure",
            direction="inbound" }[{{ interval }}] ) )
        / sum( rate( response_total{ namespace="{{ namespace }}",
            deployment=~"{{ target }}", direction="inbound" }[{{ interval }}] ) ) * 100"#,
    duration: r#"
        histogram_quantile( 0.99, sum( rate( response_latency_ms_bucket{
            namespace="{{ namespace }}", deployment=~"{{ target }}",
            direction="inbound" }[{{ interval }}] ) ) by (le) )"#,
    duration_scale: 1.0,
};

/// A version of the interface; the Canary's provider says which is written.
pub struct Smi {
    names: &'static [&'static str],
    kinds: &'static [&'static Kind],
    queries: &'static BuiltInQueries,
}

/// Linkerd's extension for the interface; the first version, as Flagger writes it.
pub static LINKERD: Smi = Smi {
    names: &["linkerd"],
    kinds: &[&V1ALPHA1],
    queries: &QUERIES,
};

/// Any other mesh. Flagger asks Istio's metrics, since the provider names no mesh.
pub static SMI_V1ALPHA1: Smi = Smi {
    names: &["smi:v1alpha1"],
    kinds: &[&V1ALPHA1],
    queries: &istio::QUERIES,
};

pub static SMI_V1ALPHA2: Smi = Smi {
    names: &["smi:v1alpha2"],
    kinds: &[&V1ALPHA2],
    queries: &istio::QUERIES,
};

pub static SMI_V1ALPHA3: Smi = Smi {
    names: &["smi:v1alpha3"],
    kinds: &[&V1ALPHA3],
    queries: &istio::QUERIES,
};

impl Router for Smi {
    fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        self.kinds
    }

    fn can(&self) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, _: &Canary, names: &Names) -> Vec<(Key, Role)> {
        vec![(self.key(names), Role::Owned)]
    }

    fn weight_keys(&self, _: &Canary, names: &Names) -> Vec<Key> {
        vec![self.key(names)]
    }

    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem> {
        let names = view.names;
        let Some(live) = self.live(view) else {
            return Ok(None);
        };
        let canary = share(names, backends(live)).ok_or_else(|| {
            Problem(format!(
                "TrafficSplit {}.{} does not contain weights for {} and {}",
                names.apex, names.namespace, names.apex_primary, names.apex_canary
            ))
        })?;
        Ok(Some(Seen {
            traffic: Traffic::share(canary),
            programmed: Ok(()),
        }))
    }

    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted> {
        let names = view.names;
        let mut object = match self.live(view) {
            Some(live) => live.clone(),
            None => apex::new_object(view, self.kind(), &names.apex, &json!({})),
        };
        let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
        spec.insert("service".to_owned(), json!(divided(view)));
        let backends = self.split(names, backends(&object), traffic.canary.min(100));
        spec.insert("backends".to_owned(), json!(backends));
        object["spec"] = json!(spec);
        vec![Wanted {
            key: self.key(names),
            rank: Rank::Route,
            object,
        }]
    }

    /// Another split of the same Service.
    fn is_rival(&self, view: &View<'_>, other: &Value) -> bool {
        other["kind"] == self.kind().kind
            && other["metadata"]["namespace"] == *view.names.namespace
            && other["metadata"]["name"] != *view.names.apex
            && other["spec"]["service"] == *divided(view)
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(self.queries)
    }
}

impl Smi {
    fn kind(&self) -> &'static Kind {
        self.kinds[0]
    }

    fn key(&self, names: &Names) -> Key {
        Key::new(self.kind(), &names.apex)
    }

    fn live<'a>(&self, view: &View<'a>) -> Option<&'a Value> {
        view.object(self.kind(), &view.names.apex)
    }

    /// A number; in the first version a quantity, which API servers keep as text.
    fn weight(&self, weight: u8) -> Value {
        if *self.kind() == V1ALPHA1 {
            json!(weight.to_string())
        } else {
            json!(weight)
        }
    }

    /// The backends with this weight on the canary. Two that show it already stay as they are,
    /// whatever their numbers add up to.
    fn split(&self, names: &Names, live: &[Value], weight: u8) -> Vec<Value> {
        // What is no backend cannot stay: the mesh would read none of them.
        let live = live.iter().filter(|backend| backend.is_object());
        let mut backends: Vec<_> = live.cloned().collect();
        let sides = [
            (&names.apex_canary, weight),
            (&names.apex_primary, 100 - weight),
        ];
        let is_of = |backend: &Value, service: &str| backend["service"] == *service;
        let count = |service: &str| backends.iter().filter(|it| is_of(it, service)).count();
        let is_whole = sides.iter().all(|(service, _)| count(service) == 1);
        if is_whole && share(names, &backends) == Some(weight) {
            return backends;
        }
        for (place, (service, weight)) in sides.into_iter().enumerate() {
            let at = backends.iter().position(|it| is_of(it, service));
            let mut backend =
                at.map_or_else(|| json!({ "service": service }), |at| backends[at].clone());
            backend["weight"] = self.weight(weight);
            backends.retain(|it| !is_of(it, service));
            backends.insert(at.unwrap_or(place).min(backends.len()), backend);
        }
        backends
    }
}

/// The Service whose traffic is divided.
fn divided<'a>(view: &View<'a>) -> &'a str {
    let host = apex::service(view).hosts.first();
    host.map_or(&view.names.apex, |host| host)
}

fn backends(split: &Value) -> &[Value] {
    split["spec"]["backends"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

/// Percent of what the two get that goes to the canary; `None` if that cannot be told.
fn share(names: &Names, backends: &[Value]) -> Option<u8> {
    let (mut primary, mut canary) = (0_u64, 0_u64);
    for backend in backends {
        if backend["service"] == *names.apex_primary {
            primary = primary.saturating_add(thousandths(&backend["weight"])?);
        } else if backend["service"] == *names.apex_canary {
            canary = canary.saturating_add(thousandths(&backend["weight"])?);
        }
    }
    percent(primary, canary)
}

/// A weight as a number, or as a quantity, of which `500m` is a half.
fn thousandths(weight: &Value) -> Option<u64> {
    let Some(text) = weight.as_str() else {
        return weight.as_u64()?.checked_mul(1000);
    };
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        None => text.parse::<u64>().ok()?.checked_mul(1000),
    }
}
