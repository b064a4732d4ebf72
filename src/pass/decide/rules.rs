//! The rules by which answers become a step: a function of what the Canary asks for, how far the
//! release is, and what the checks said. A record holds just these, so that `davy replay` decides
//! again by the same function.

use crate::api::analysis::OnNoData;
use crate::api::record;
use crate::api::status::Verdict;
use crate::pass::terms::{Strategy, Terms};

/// What a release is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub strategy: Strategy,
    /// Copies of requests come before the first weight.
    pub mirror: bool,
    /// Failed checks that roll back.
    pub threshold: i64,
    /// Checks without an answer that are borne.
    pub error_threshold: i64,
    pub on_no_data: OnNoData,
    /// Every check that does not pass counts against `threshold`.
    pub flagger_counting: bool,
}

/// How far a release is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub weight: u8,
    pub iterations: i64,
    pub mirrored: bool,
    pub failed_checks: i64,
    pub held_checks: i64,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many checks have failed, fewer than roll back.
    Count(i64),
    /// So many checks have failed, and that is enough.
    RollBack(i64),
    /// So many checks stayed without an answer; the weight is held.
    Hold(i64),
    /// So many checks stayed without an answer, and that is not borne.
    GiveUp(i64),
    /// Copies of requests, and no weight yet.
    Mirror,
    Weight(u8),
    Iteration(i64),
    /// After the last iteration.
    AllToCanary,
    /// Every iteration has passed; one more look before the promotion.
    LastLook,
    Promote,
}

impl From<&Terms> for Rules {
    fn from(terms: &Terms) -> Self {
        Self {
            strategy: terms.strategy.clone(),
            mirror: terms.mirror,
            threshold: terms.threshold,
            error_threshold: terms.error_threshold,
            on_no_data: terms.on_no_data,
            flagger_counting: terms.flagger_counting,
        }
    }
}

impl From<&record::Terms> for Rules {
    fn from(terms: &record::Terms) -> Self {
        Self {
            strategy: if terms.matches {
                Strategy::Matches {
                    total: terms.iterations,
                }
            } else if terms.iterations > 0 {
                Strategy::Iterations {
                    total: terms.iterations,
                    shifts_traffic: terms.shifts_traffic,
                }
            } else {
                Strategy::Weights(terms.weights.clone())
            },
            mirror: terms.mirror,
            threshold: terms.threshold,
            error_threshold: terms.error_threshold,
            on_no_data: terms.on_no_data,
            flagger_counting: terms.flagger_counting,
        }
    }
}

impl Rules {
    /// Whether a check with this verdict counts as failed.
    pub fn counts(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Pass | Verdict::Pending => false,
            Verdict::Fail => true,
            Verdict::NoData | Verdict::TooLittleData | Verdict::Error => self.flagger_counting,
        }
    }

    /// Whether a check with this verdict, that does not count, holds the weight.
    pub fn holds(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Pass | Verdict::Fail | Verdict::Pending => false,
            Verdict::NoData | Verdict::TooLittleData | Verdict::Error => true,
        }
    }

    /// What follows from these verdicts, of all checks of one pass.
    pub fn next(&self, position: Position, verdicts: &[Verdict]) -> Next {
        if verdicts.iter().any(|verdict| self.counts(*verdict)) {
            let failed = position.failed_checks.max(0).saturating_add(1);
            return if failed >= self.threshold {
                Next::RollBack(failed)
            } else {
                Next::Count(failed)
            };
        }
        if verdicts.iter().any(|verdict| self.holds(*verdict)) {
            let held = position.held_checks.max(0).saturating_add(1);
            let others = [Verdict::Error, Verdict::Pending];
            let is_only_missing = !verdicts.iter().any(|verdict| others.contains(verdict));
            return match self.on_no_data {
                _ if held < self.error_threshold => Next::Hold(held),
                OnNoData::Fail => Next::GiveUp(held),
                OnNoData::Pass if is_only_missing => self.advance(position),
                OnNoData::Pass | OnNoData::Hold => Next::Hold(held),
            };
        }
        // A webhook that is at work, or a gate: nothing is missing that would count.
        if verdicts.contains(&Verdict::Pending) {
            return Next::Hold(position.held_checks.max(0));
        }
        self.advance(position)
    }

    /// The next step of the strategy.
    pub fn advance(&self, position: Position) -> Next {
        let Position {
            weight,
            iterations,
            mirrored,
            ..
        } = position;
        match &self.strategy {
            Strategy::Weights(_) if self.mirror && weight == 0 && !mirrored => Next::Mirror,
            Strategy::Weights(weights) => {
                let next = weights.iter().copied().find(|next| *next > weight);
                next.map_or(Next::Promote, Next::Weight)
            }
            // Requests that were taken off the canary come back with an iteration, and it is not
            // promoted without them.
            Strategy::Matches { total } if iterations < *total || weight < 100 => {
                Next::Iteration((iterations.max(0) + 1).min(*total))
            }
            Strategy::Iterations { total, .. } if iterations < *total => {
                Next::Iteration(iterations.max(0) + 1)
            }
            Strategy::Iterations {
                shifts_traffic: true,
                ..
            } if weight < 100 => Next::AllToCanary,
            Strategy::Iterations { total, .. } if iterations == *total => Next::LastLook,
            Strategy::Matches { .. } | Strategy::Iterations { .. } => Next::Promote,
        }
    }
}
