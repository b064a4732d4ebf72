//! The canary's traffic: as status wants it, and as the route shows it.

use crate::api::canary::Canary;
use crate::api::status::CanaryStatus;
use crate::pass::snapshot::{Snapshot, percent};
use crate::pass::terms;
use crate::routers::Traffic;

impl Snapshot {
    /// Reads what the route shows from the objects of the snapshot. One that shows no weight is there
    /// to be repaired.
    pub fn read_route(&mut self) {
        let (seen, unreadable) = match self.router.observe(&self.view()) {
            Ok(seen) => (seen, None),
            Err(problem) => (None, Some(problem)),
        };
        self.route_traffic = seen.as_ref().map(|seen| seen.traffic);
        self.unsettled = seen.and_then(|seen| seen.programmed.err());
        self.unreadable_route = unreadable;
    }

    /// The canary's traffic as status wants it.
    pub fn wanted(&self) -> Traffic {
        wanted_traffic(&self.canary, &self.status)
    }

    /// The canary's traffic as the route shows it; without a route it gets none.
    pub fn shown(&self) -> Traffic {
        self.route_traffic.unwrap_or_default()
    }

    /// The canary's share as status wants it.
    pub fn status_weight(&self) -> u8 {
        self.wanted().canary
    }

    /// The canary's share as the route shows it.
    pub fn weight(&self) -> u8 {
        self.shown().canary
    }

    /// Whether requests may reach the canary, as far as can be told.
    pub fn has_traffic(&self) -> bool {
        self.shown() != Traffic::default() || self.unreadable_route.is_some()
    }
}

/// The traffic that the route should show. A share of the requests that match becomes none, and
/// never a share of all, once the Canary does not say any more which those are.
pub fn wanted_traffic(canary: &Canary, status: &CanaryStatus) -> Traffic {
    let weight = percent(status.wanted_weight.or(status.canary_weight));
    let memory = status.traffic.as_ref();
    let is_of_matched = memory.is_some_and(|traffic| traffic.matched);
    let traffic = match (is_of_matched, has_matches(canary)) {
        (false, _) => Traffic::share(weight),
        (true, true) => Traffic::of_matched(weight),
        (true, false) => Traffic::default(),
    };
    let analysis = terms::analysis(canary);
    let may_mirror = analysis.is_some_and(|analysis| analysis.mirror == Some(true));
    Traffic {
        mirror: may_mirror && memory.is_some_and(|traffic| traffic.mirrored),
        ..traffic
    }
}

/// Whether the Canary says which requests its analysis is about.
pub fn has_matches(canary: &Canary) -> bool {
    let analysis = terms::analysis(canary);
    analysis.is_some_and(|analysis| !analysis.r#match.is_empty())
}
