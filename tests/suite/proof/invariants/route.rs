//! What a route does with the traffic, read without Davy's own readers.

use serde_json::{Value, json};

/// A kind of object that divides the traffic of a Canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteKind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> RouteKind {
    RouteKind {
        group,
        version,
        kind,
        plural,
    }
}

const VIRTUAL_SERVICE: RouteKind = kind(
    "networking.istio.io",
    "v1",
    "VirtualService",
    "virtualservices",
);
const HTTP_ROUTE: RouteKind = kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes");
const HTTP_PROXY: RouteKind = kind("projectcontour.io", "v1", "HTTPProxy", "httpproxies");
const INGRESS: RouteKind = kind("networking.k8s.io", "v1", "Ingress", "ingresses");
const TRAEFIK_SERVICE: RouteKind = kind(
    "traefik.io",
    "v1alpha1",
    "TraefikService",
    "traefikservices",
);

/// By which an Ingress is a canary's, and has a share of the requests.
pub(crate) const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
pub(crate) const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

impl Default for RouteKind {
    fn default() -> Self {
        VIRTUAL_SERVICE
    }
}

impl RouteKind {
    /// The kind that a provider divides traffic with.
    pub(crate) fn of(provider: &str) -> Self {
        match provider.split(':').next().unwrap_or_default() {
            "gatewayapi" => HTTP_ROUTE,
            "contour" => HTTP_PROXY,
            "nginx" => INGRESS,
            "traefik" => TRAEFIK_SERVICE,
            _ => VIRTUAL_SERVICE,
        }
    }

    /// The name of the route of a canary with this spec, whose clients use this Service.
    pub(crate) fn name(self, spec: &Value, apex: &str) -> String {
        if self == INGRESS {
            let users = spec["ingressRef"]["name"].as_str().unwrap_or_default();
            return format!("{users}-canary");
        }
        apex.to_owned()
    }

    /// Whether what the route does not take goes on to the Service that clients use.
    pub(super) fn leaves_the_rest_to_the_apex(self) -> bool {
        self == INGRESS
    }

    /// Whether a field of the route's spec follows from the Canary.
    pub(super) fn has_from_the_canary(self, field: &str) -> bool {
        let fields: &[&str] = match self.kind {
            // The canary's Ingress is the user's with another backend.
            "Ingress" => return true,
            "HTTPRoute" => &["parentRefs", "hostnames", "rules"],
            "HTTPProxy" => &["routes"],
            "TraefikService" => &["weighted"],
            _ => &["hosts", "gateways", "http", "tcp"],
        };
        fields.contains(&field)
    }
}

/// The two sides of a split, by the names of their Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) primary: String,
    pub(super) canary: String,
}

/// The weights of one rule that splits traffic between both sides: none where it is no whole number.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) primary: Vec<Option<u64>>,
    pub(super) canary: Vec<Option<u64>>,
}

/// Every rule that leads to both sides.
pub(super) fn splits(route: &Value, sides: &Sides) -> Vec<Split> {
    let spec = &route["spec"];
    let destinations = |rules: &[&Value], field: &str, name: &str, absent: Value| {
        let rules = rules.iter().filter_map(|rules| rules.as_array()).flatten();
        let splits = rules.map(|rule| split(&rule[field], name, &absent, sides));
        splits.collect::<Vec<_>>()
    };
    let mut splits = match route["kind"].as_str().unwrap_or_default() {
        "HTTPRoute" => destinations(&[&spec["rules"]], "backendRefs", "/name", json!(1)),
        "HTTPProxy" => destinations(&[&spec["routes"]], "services", "/name", json!(0)),
        "TraefikService" => {
            // A side without traffic is not listed.
            let split = split(&spec["weighted"]["services"], "/name", &json!(1), sides);
            let is_split = !split.primary.is_empty() || !split.canary.is_empty();
            return is_split.then_some(split).into_iter().collect();
        }
        "Ingress" => return share(route).into_iter().collect(),
        _ => {
            let rules = [&spec["http"], &spec["tcp"]];
            destinations(&rules, "route", "/destination/host", Value::Null)
        }
    };
    splits.retain(|split| !split.primary.is_empty() && !split.canary.is_empty());
    splits
}

/// The weights in a list of destinations, which are told apart by their names; `absent` is what one
/// without a weight has.
fn split(destinations: &Value, name: &str, absent: &Value, sides: &Sides) -> Split {
    let of = |side: &str| {
        let entries = destinations.as_array().into_iter().flatten();
        let of_side = entries.filter(|entry| {
            let host = entry.pointer(name).and_then(Value::as_str);
            host.unwrap_or_default().split('.').next() == Some(side)
        });
        let weights = of_side.map(|entry| entry.get("weight").unwrap_or(absent).as_u64());
        weights.collect()
    };
    Split {
        primary: of(&sides.primary),
        canary: of(&sides.canary),
    }
}

/// What the canary's Ingress takes, and what it leaves.
fn share(ingress: &Value) -> Option<Split> {
    let annotations = &ingress["metadata"]["annotations"];
    if annotations[CANARY] != "true" {
        return None;
    }
    let number = |name: &str| annotations[name].as_str()?.parse::<u64>().ok();
    let total = number("nginx.ingress.kubernetes.io/canary-weight-total").unwrap_or(100);
    let weight = number(CANARY_WEIGHT);
    Some(Split {
        primary: vec![Some(total.saturating_sub(weight.unwrap_or(0)))],
        canary: vec![weight],
    })
}

/// The canary's share in percent: the most of all rules.
pub(super) fn canary_percent(route: &Value, sides: &Sides) -> u8 {
    let sum = |weights: &[Option<u64>]| weights.iter().flatten().sum::<u64>();
    let percents = splits(route, sides).into_iter().map(|split| {
        let (primary, canary) = (sum(&split.primary), sum(&split.canary));
        (canary * 100).checked_div(primary + canary).unwrap_or(0)
    });
    percents
        .max()
        .and_then(|percent| u8::try_from(percent).ok())
        .unwrap_or(0)
}
