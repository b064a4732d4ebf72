//! What was seen of a scenario: one line for each thing that happened and for each pass.

use serde::Serialize;

use crate::api::status::Phase;
use crate::pass::report::{Handled, Outcome};
use crate::simulate::route::Route;
use crate::simulate::world::World;

/// What was seen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    pub name: String,
    pub about: String,
    pub lines: Vec<Line>,
    /// The texts of the Canary's Events, in order.
    pub events: Vec<String>,
    pub api_requests: u64,
    /// The route as it is at the end.
    pub route: Route,
    /// Why the script was not played to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    #[serde(skip)]
    pub world: Option<World>,
}

impl Transcript {
    /// The passes, in order.
    pub fn passes(&self) -> impl DoubleEndedIterator<Item = &Pass> {
        self.lines.iter().filter_map(|line| match line {
            Line::Pass(pass) => Some(&**pass),
            Line::Happened { .. } => None,
        })
    }
}

/// Something that happened, or a pass.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum Line {
    Happened { seconds: i64, event: String },
    Pass(Box<Pass>),
}

/// A pass, and what the cluster shows after it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// Counted from 1.
    pub pass: u32,
    /// Since the scenario began.
    pub seconds: i64,
    /// What the pass says that it did about the scenario's Canary.
    pub handled: Option<Handled>,
    /// Phase and weight as status has them afterwards; nothing where the Canary is gone.
    pub status: Option<StatusShown>,
    /// The route as it is afterwards.
    pub route: Route,
    /// The other Canaries of the scenario.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Handled>,
    /// What could not be delivered, and to whom.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<String>,
    pub killed: bool,
    /// Why there was no pass.
    pub error: Option<String>,
}

/// What a Canary's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StatusShown {
    pub phase: Option<Phase>,
    /// Percent of the traffic.
    pub weight: u8,
}

impl Pass {
    /// Everything that went wrong in the pass, in the words of whoever says so.
    pub fn errors(&self) -> Vec<String> {
        let handled = self.handled.iter().chain(&self.others);
        let failed = handled
            .filter(|handled| is_error(handled.outcome))
            .map(|handled| {
                let (canary, outcome) = (&handled.canary, handled.outcome.name());
                format!("{canary} {outcome}: {}", handled.reason)
            });
        let undelivered = self.undelivered.iter().cloned();
        self.error
            .iter()
            .cloned()
            .chain(failed)
            .chain(undelivered)
            .collect()
    }
}

/// Whether a canary was not handled.
pub(in crate::simulate) fn is_error(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Refused | Outcome::Failed | Outcome::NotReached
    )
}
