//! Who splits the traffic: one file per mesh, ingress or gateway, and the table of them. A router
//! turns a weight into objects and objects into a weight; it decides nothing.
//!
//! All else follows from the table: what is listed, the rights and the shipped Roles, the
//! definitions of a rehearsal, the built-in checks, and what an error says is known. A new router
//! is its file, its line in `ROUTERS`, and a folder of `fixtures/routers`.

use serde_json::Value;

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Role, View, Wanted};

mod ab_test;
mod adopted;
mod apex;
pub mod apisix;
mod beside;
pub mod contour;
pub mod gateway;
pub mod gloo;
pub mod istio;
pub mod kubernetes;
pub mod nginx;
pub mod queries;
mod refused;
pub mod skipper;
pub mod smi;
pub mod traefik;

pub use queries::BuiltInQueries;

/// What a status asks of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Percent of the requests in question that go to the canary, 0 to 100.
    pub canary: u8,
    /// Whether those in question are only the ones that `spec.analysis.match` describes, and all
    /// others are the primary's. False where the canary gets nothing: there is one way to be off.
    pub matched: bool,
    /// Whether the canary gets copies of requests, of which nobody gets the answers; of how many, the
    /// Canary says.
    pub mirror: bool,
}

impl Traffic {
    /// Everything goes to the canary.
    pub const ALL: Self = Self {
        canary: 100,
        matched: false,
        mirror: false,
    };

    /// So much of all requests.
    pub fn share(canary: u8) -> Self {
        Self {
            canary,
            ..Self::default()
        }
    }

    /// So much of the requests that match.
    pub fn of_matched(canary: u8) -> Self {
        Self {
            canary,
            matched: canary > 0,
            mirror: false,
        }
    }

    /// Without the copies: what the canary answers.
    #[must_use]
    pub fn answered(self) -> Self {
        Self {
            mirror: false,
            ..self
        }
    }

    /// Whether some request reaches the canary by this that does not by `other`. Of two each may
    /// exceed the other: a tenth of all requests, and all of those that match.
    pub fn exceeds(self, other: Self) -> bool {
        let is_wider = self.canary > 0 && !self.matched && other.matched;
        self.canary > other.canary || is_wider || (self.mirror && !other.mirror)
    }

    /// Whether this takes requests from the canary that it has by `other`, and gives it none.
    pub fn only_takes_from(self, other: Self) -> bool {
        other.exceeds(self) && !self.exceeds(other)
    }

    /// What the canary gets where some of its requests go by one and some by the other: no less than
    /// by either.
    #[must_use]
    pub fn either(self, other: Self) -> Self {
        let is_of_matched = |it: Self| it.canary == 0 || it.matched;
        let canary = self.canary.max(other.canary);
        Self {
            canary,
            matched: canary > 0 && is_of_matched(self) && is_of_matched(other),
            mirror: self.mirror || other.mirror,
        }
    }

    /// What the canary gets by both.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        let canary = self.canary.min(other.canary);
        Self {
            canary,
            matched: canary > 0 && (self.matched || other.matched),
            mirror: self.mirror && other.mirror,
        }
    }
}

/// What a route shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub traffic: Traffic,
    /// Whether the data plane has what the route says, or why not, as the controller of the route
    /// says; `Ok` where a controller says nothing.
    pub programmed: Result<(), String>,
}

/// What a router can do. What it cannot is refused, by the field of the Canary that asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something that a router can do or cannot"
)]
pub struct Capabilities {
    /// Shift weights step by step; without it only blue/green makes sense.
    pub weights: bool,
    /// Tell requests apart, for A/B tests.
    pub matches: bool,
    /// Send a copy of the requests to the canary.
    pub mirror: bool,
    /// Keep clients on the side that answered them first.
    pub affinity: bool,
}

impl Capabilities {
    /// Shifting weights, and nothing else.
    pub const WEIGHTS: Self = Self {
        weights: true,
        matches: false,
        mirror: false,
        affinity: false,
    };

    /// What the Canary's analysis asks for and this router cannot do.
    fn problems(self, canary: &Canary, provider: &str) -> Vec<Problem> {
        let Some(analysis) = canary.spec.analysis() else {
            return Vec::new();
        };
        let fields = [
            ("match", self.matches, !analysis.r#match.is_empty()),
            ("mirror", self.mirror, analysis.mirror == Some(true)),
            (
                "sessionAffinity",
                self.affinity,
                analysis.session_affinity.is_some(),
            ),
        ];
        let refused = fields.into_iter().filter(|(_, can, asked)| *asked && !can);
        refused
            .map(|(field, ..)| {
                let why = format!("provider \"{provider}\" does not act on it in this version");
                ab_test::of_analysis(canary, field, why)
            })
            .collect()
    }
}

/// A routing provider.
///
/// Every method is pure: it sees the Canary, the names that follow from it, and the objects that
/// [`Router::reads`] names, as far as they are there. The objects were written by anybody and may
/// be anything, so that no method panics on one, or takes its shape for granted.
pub trait Router: Sync {
    /// The values of `spec.provider` that name this router. What stands before a `:` is the name of
    /// its folder of fixtures.
    fn names(&self) -> &'static [&'static str];

    /// Every kind of object that this router reads or writes, for whatever Canary.
    fn kinds(&self) -> &'static [&'static Kind];

    fn can(&self) -> Capabilities;

    /// Every object that the router reads or writes for this Canary, and whose it is: an object of
    /// the user's own is only read, whatever `render` answers. All are in the Canary's namespace.
    fn reads(&self, canary: &Canary, names: &Names) -> Vec<(Key, Role)>;

    /// The objects that hold the weights. Without them nothing can be shifted, and a rollback
    /// writes them first and alone: nothing else of a route may delay it. Empty where there are no
    /// weights.
    fn weight_keys(&self, canary: &Canary, names: &Names) -> Vec<Key>;

    /// What the route shows now; `None` while it does not exist. A route of which no weight can be
    /// told, or that sends requests to the canary by another rule than `Traffic` can say, is a
    /// problem: the canary is then taken to have traffic, and the route is repaired. Where an A/B
    /// test leads others to the canary than those that match, all are said to be led there.
    fn observe(&self, view: &View<'_>) -> Result<Option<Seen>, Problem>;

    /// The routing objects as they should be. What a user put there and the Canary does not speak
    /// of stays as it is; what the Canary spoke of before, as far as `status.named` knows it, and
    /// speaks of no more goes.
    ///
    /// Nothing is asked for that the router [`Router::can`] not do, and requests that match only where
    /// the Canary says which those are.
    ///
    /// # Guarantees
    /// The answer is complete whatever the route is like, one that [`Router::observe`] cannot read
    /// included. Once it is written, `observe` shows this traffic, also when of its objects only
    /// those that hold the weights were written, and `render` answers the same again. An object is
    /// left out only where something that it is made from is missing, which [`Router::obstacles`]
    /// then says.
    fn render(&self, view: &View<'_>, traffic: Traffic) -> Vec<Wanted>;

    /// The routing objects as they were before the Canary, for those that outlive it: the adopted
    /// ones.
    fn give_back(&self, _view: &View<'_>) -> Vec<Wanted> {
        Vec::new()
    }

    /// Fields of the manifest that exclude each other, are missing, or are for another provider.
    /// What [`Router::can`] says need not be said again.
    fn problems(&self, _canary: &Canary) -> Vec<Problem> {
        Vec::new()
    }

    /// What among the objects keeps the route from being as it should be: one of the user's own
    /// that is missing or does not lead to the apex, or one under a name of ours that is about
    /// something else and so is not written. The Canary does not advance meanwhile.
    fn obstacles(&self, _view: &View<'_>) -> Vec<Problem> {
        Vec::new()
    }

    /// What the Canary names on the routing objects now, and what of `status.named.route` they
    /// still show: what the next claim is to keep there, in words that only this router reads.
    fn fields(&self, _view: &View<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Whether `other`, an object of one of the router's kinds in the Canary's namespace, claims
    /// the traffic of this canary as well: the same hosts on the same gateways. The canary's own
    /// objects are no rivals.
    fn is_rival(&self, _view: &View<'_>, _other: &Value) -> bool {
        false
    }

    /// The field of the Canary that the routing objects have their names from.
    fn named_by(&self) -> &'static str {
        "spec.service.name"
    }

    /// The built-in checks, as this data plane counts requests; `None` where it does not.
    fn queries(&self) -> Option<&'static BuiltInQueries>;
}

/// Every router, by the names that a Canary may give.
static ROUTERS: &[&dyn Router] = &[
    &apisix::Apisix,
    &contour::Contour,
    &gateway::GatewayApi,
    &gloo::Gloo,
    &istio::Istio,
    &kubernetes::Kubernetes,
    &nginx::Nginx,
    &skipper::Skipper,
    &smi::LINKERD,
    &smi::SMI_V1ALPHA1,
    &smi::SMI_V1ALPHA2,
    &smi::SMI_V1ALPHA3,
    &traefik::Traefik,
];

/// Every name that `spec.provider` may give.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROUTERS.iter().flat_map(|router| router.names()).copied()
}

/// The router for this canary; an unknown provider is a problem that names the known, and one
/// that is refused for good says what does instead.
pub fn router(provider: &str) -> Result<&'static dyn Router, Problem> {
    ROUTERS
        .iter()
        .copied()
        .find(|router| router.names().contains(&provider))
        .ok_or_else(|| {
            refused::problem(provider).unwrap_or_else(|| {
                let known = names().collect::<Vec<_>>().join(", ");
                let why = format!("\"{provider}\" is not supported; known are {known}");
                Problem::field("spec.provider", why)
            })
        })
}

/// The router that splits nothing: it stands in for one that is not known, where a Canary is only
/// to be told so.
pub fn splitting_nothing() -> &'static dyn Router {
    &kubernetes::Kubernetes
}

/// Every kind that routers read or write, once.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let kinds = ROUTERS.iter().flat_map(|router| router.kinds()).copied();
    kinds.collect::<std::collections::BTreeSet<_>>().into_iter()
}

/// What of the manifest a router does not act on, lacks, or finds to exclude each other.
pub fn problems(router: &dyn Router, canary: &Canary, provider: &str) -> Vec<Problem> {
    let mut problems = router.can().problems(canary, provider);
    problems.extend(router.problems(canary));
    problems
}

/// A provider without its version: `gatewayapi` for `gatewayapi:v1`.
pub fn base_name(provider: &str) -> &str {
    provider.split_once(':').map_or(provider, |(base, _)| base)
}
