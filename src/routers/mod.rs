//! Who splits the traffic: one file per mesh, ingress or gateway, and the table of them.
//! A router turns a weight into objects and objects into a weight; it decides nothing.

use serde_json::Value;

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, View, Wanted};

pub mod istio;
pub mod kubernetes;

/// The traffic as the routing objects show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Percent of the traffic that goes to the canary, 0..=100.
    pub canary_weight: u8,
    /// Why the route does not show its weight to the data plane yet, if its controller says so.
    pub unsettled: Option<String>,
}

/// A routing provider.
pub trait Router: Sync {
    /// The values of `spec.provider` that name this router.
    fn names(&self) -> &'static [&'static str];

    /// Whether weights can be shifted step by step; without it only blue/green makes sense.
    fn has_weights(&self) -> bool;

    /// Every object that the router reads or writes for this canary.
    fn keys(&self, names: &Names) -> Vec<Key>;

    /// The objects that hold the weights. Without them nothing can be shifted, and a rollback writes
    /// them first and alone: nothing else of a route may delay it. Empty where there are no weights.
    fn weight_keys(&self, names: &Names) -> Vec<Key>;

    /// Fields of the manifest that this router does not act on, or that exclude each other.
    fn problems(&self, canary: &Canary) -> Vec<Problem>;

    /// What the route shows now; `None` while it does not exist. An unreadable route is a problem.
    fn traffic(&self, view: &View<'_>) -> Result<Option<Traffic>, Problem>;

    /// The routing objects as they should be with `weight` percent on the canary. What a user put
    /// there and the Canary does not speak of stays as it is; what the Canary spoke of before, as far
    /// as `status.named` knows it, and speaks of no more goes. The answer is complete whatever the
    /// route is like: one that [`Router::traffic`] cannot read is repaired.
    fn render(&self, view: &View<'_>, weight: u8) -> Vec<Wanted>;

    /// The routing objects as they were before the Canary, for those that outlive it.
    fn restore(&self, view: &View<'_>) -> Vec<Wanted>;

    /// What the Canary names on the routing objects now, and what of `status.named.route` they still
    /// show: what the next claim is to keep there, in words that only this router reads.
    fn fields(&self, _view: &View<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Whether `other`, an object of one of the router's kinds, claims the traffic of this canary as
    /// well: the same hosts on the same gateways. The canary's own objects are no rivals.
    fn is_rival(&self, _view: &View<'_>, _other: &Value) -> bool {
        false
    }

    /// Objects that have the names of the canary's own and no controller, and are about something
    /// else: they are not written, and each is a problem that says what it is.
    fn conflicts(&self, _view: &View<'_>) -> Vec<Problem> {
        Vec::new()
    }
}

/// Every router, by the names that a Canary may give.
static ROUTERS: &[&dyn Router] = &[&istio::Istio, &kubernetes::Kubernetes];

/// Every name that `spec.provider` may give.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROUTERS.iter().flat_map(|router| router.names()).copied()
}

/// The router for this canary; an unknown or unbuilt provider is a problem that names the known.
pub fn router(view_provider: &str) -> Result<&'static dyn Router, Problem> {
    ROUTERS
        .iter()
        .copied()
        .find(|router| router.names().contains(&view_provider))
        .ok_or_else(|| {
            let known: Vec<_> = names().collect();
            Problem::field(
                "spec.provider",
                format!(
                    "\"{view_provider}\" is not supported; known are {}",
                    known.join(", ")
                ),
            )
        })
}

/// The router that splits nothing: it stands in for one that is not known, where a Canary is only to
/// be told so.
pub fn splitting_nothing() -> &'static dyn Router {
    &kubernetes::Kubernetes
}

/// Every kind that routers read or write, once.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let keys = ROUTERS
        .iter()
        .flat_map(|router| router.keys(&Names::default()));
    keys.map(|key| key.kind)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
}

/// What no router of this version does: it shifts weights, and does not tell requests apart.
fn analysis_problems(canary: &Canary, provider: &str) -> Vec<Problem> {
    let spec = &canary.spec;
    // The first Flagger's name for it, as the user wrote it.
    let analyses = [
        ("analysis", &spec.analysis),
        ("canaryAnalysis", &spec.canary_analysis),
    ];
    let mut given = analyses
        .into_iter()
        .filter_map(|(name, analysis)| Some((name, analysis.as_ref()?)));
    let Some((name, analysis)) = given.next() else {
        return Vec::new();
    };
    let fields = [
        ("match", !analysis.r#match.is_empty()),
        ("mirror", analysis.mirror == Some(true)),
        ("sessionAffinity", analysis.session_affinity.is_some()),
    ];
    let set = fields.into_iter().filter(|(_, is_set)| *is_set);
    set.map(|(field, _)| {
        let why = format!("provider \"{provider}\" does not act on it in this version");
        Problem::field(&format!("spec.{name}.{field}"), why)
    })
    .collect()
}
