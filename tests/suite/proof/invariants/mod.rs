//! What may never happen: a history of committed writes is judged one write at a time, by
//! properties that are named as in the list of invariants. Nothing here uses the code that it
//! judges, hashes of templates and configs aside. A history may come from the cluster in memory
//! or from a watch of a real API server.

pub(crate) mod crashes;
mod disturbed;
mod ledger;
pub(crate) mod passes;
mod promotion;
mod release;
pub(crate) mod route;
mod steps;
#[cfg(test)]
mod tests;
mod traffic;
pub(crate) mod watched;
mod workload;

use std::sync::Arc;

use davy::simulate::cluster::{self, Key};
use jiff::Timestamp;
use serde_json::Value;

use ledger::{Ledger, Moment};

/// One committed write, whoever recorded it.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// The field manager.
    pub(crate) manager: Arc<str>,
    pub(crate) verb: Verb,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
    pub(crate) at: Timestamp,
    /// Which pass made it, where that is known.
    pub(crate) pass: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Create,
    Update,
    Delete,
}

/// What can be read as a committed write.
pub(crate) trait Committed {
    fn committed(&self) -> Write;
}

impl Committed for cluster::Write {
    fn committed(&self) -> Write {
        Write {
            manager: self.manager.clone(),
            verb: match self.verb {
                cluster::Verb::Create => Verb::Create,
                cluster::Verb::Update | cluster::Verb::UpdateStatus => Verb::Update,
                cluster::Verb::Delete => Verb::Delete,
            },
            key: self.key.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            at: self.at,
            pass: None,
        }
    }
}

/// An invariant that was broken, and the write that broke it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) why: String,
    pub(crate) write: String,
}

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}; broken by {}",
            self.invariant, self.why, self.write
        )
    }
}

type Invariant = fn(&Moment<'_>) -> Result<(), String>;

/// What is judged at each write, by name. T9, T10 and P10 are about mirrors, matches and paused
/// autoscalers, which this version refuses or does not have.
const INVARIANTS: &[(&str, Invariant)] = &[
    ("t1_weight_is_gated", traffic::t1_weight_is_gated),
    ("t2_weights_sum_to_100", traffic::t2_weights_sum_to_100),
    ("t3_one_step_at_a_time", traffic::t3_one_step_at_a_time),
    (
        "t4_canary_is_ready_for_more",
        traffic::t4_canary_is_ready_for_more,
    ),
    (
        "t5_primary_is_ready_for_more",
        traffic::t5_primary_is_ready_for_more,
    ),
    ("t6_edits_move_no_weight", traffic::t6_edits_move_no_weight),
    (
        "t7_lowered_is_not_raised_back",
        traffic::t7_lowered_is_not_raised_back,
    ),
    (
        "t8_new_revision_starts_at_zero",
        traffic::t8_new_revision_starts_at_zero,
    ),
    (
        "t11_only_our_own_objects",
        traffic::t11_only_our_own_objects,
    ),
    ("s1_one_step_a_pass", steps::s1_one_step_a_pass),
    ("s2_one_step_an_interval", steps::s2_one_step_an_interval),
    (
        "s3_numbers_rise_by_one_on_evidence",
        steps::s3_numbers_rise_by_one_on_evidence,
    ),
    (
        "s4_never_again_after_a_later_step",
        steps::s4_never_again_after_a_later_step,
    ),
    (
        "s5_late_writes_have_no_effect",
        steps::s5_late_writes_have_no_effect,
    ),
    (
        "s5_a_first_claim_names_what_is_there",
        steps::s5_a_first_claim_names_what_is_there,
    ),
    (
        "s6_a_step_is_observed_before_the_next",
        steps::s6_a_step_is_observed_before_the_next,
    ),
    (
        "s7_a_lost_claim_leaves_nothing",
        steps::s7_a_lost_claim_leaves_nothing,
    ),
    (
        "s8_contested_canaries_rest",
        steps::s8_contested_canaries_rest,
    ),
    (
        "s9_failed_checks_count_up_by_one",
        steps::s9_failed_checks_count_up_by_one,
    ),
    (
        "c5_everything_made_can_be_found",
        crashes::c5_everything_made_can_be_found,
    ),
    (
        "p1_no_traffic_without_pods",
        promotion::p1_no_traffic_without_pods,
    ),
    (
        "p1_connections_drain_first",
        promotion::p1_connections_drain_first,
    ),
    (
        "p2_only_what_was_analysed_is_copied",
        promotion::p2_only_what_was_analysed_is_copied,
    ),
    (
        "p3_no_way_back_to_a_new_primary",
        promotion::p3_no_way_back_to_a_new_primary,
    ),
    ("p4_succeeded_is_true", promotion::p4_succeeded_is_true),
    (
        "p5_failed_has_no_traffic_or_says_why",
        promotion::p5_failed_has_no_traffic_or_says_why,
    ),
    (
        "p6_primary_is_never_scaled_down",
        promotion::p6_primary_is_never_scaled_down,
    ),
    (
        "p7_rollback_takes_one_step",
        promotion::p7_rollback_takes_one_step,
    ),
    (
        "p8_rollback_stays_a_rollback",
        promotion::p8_rollback_stays_a_rollback,
    ),
    (
        "p9_nothing_is_analysed_twice",
        promotion::p9_nothing_is_analysed_twice,
    ),
    (
        "p11_nothing_left_pointing_nowhere",
        promotion::p11_nothing_left_pointing_nowhere,
    ),
];

/// What is judged besides where others write between passes and not in the middle of one.
const BETWEEN_PASSES: &[(&str, Invariant)] = &[
    (
        "n1_services_lead_to_ready_pods",
        disturbed::n1_services_lead_to_ready_pods,
    ),
    (
        "n3_only_what_was_analysed_gains",
        disturbed::n3_only_what_was_analysed_gains,
    ),
    (
        "n5_nothing_of_others_is_written",
        disturbed::n5_nothing_of_others_is_written,
    ),
];

/// Judges a history, write by write. A clone goes on by itself.
#[derive(Clone)]
pub(crate) struct Checker {
    ledger: Ledger,
    /// Judged besides [`INVARIANTS`].
    besides: &'static [(&'static str, Invariant)],
}

impl Checker {
    /// `ours` is the field manager whose writes are judged; everybody else may do anything.
    pub(crate) fn new(ours: &'static str) -> Self {
        Self {
            ledger: Ledger::new(ours),
            besides: &[],
        }
    }

    /// Others write between passes only, from now on.
    pub(crate) fn is_disturbed_between_passes(&mut self) {
        self.besides = BETWEEN_PASSES;
    }

    /// Everything that this write breaks. Writes must come in the order of their commits.
    pub(crate) fn write(&mut self, write: &Write) -> Vec<Broken> {
        let mut broken = Vec::new();
        let claims = self.ledger.claims_of(write);
        for moment in self.ledger.moments(write, claims.as_ref()) {
            for (invariant, holds) in INVARIANTS.iter().chain(self.besides) {
                if let Err(why) = holds(&moment) {
                    broken.push(Broken {
                        invariant,
                        why,
                        write: in_words(write),
                    });
                }
            }
        }
        if let Some(why) = self.ledger.stray(write) {
            let invariant = "t11_only_our_own_objects";
            broken.push(Broken {
                invariant,
                why,
                write: in_words(write),
            });
        }
        self.ledger.keep(write, claims);
        broken
    }
}

/// The write for the one who looks for what went wrong: who, what, and what changed.
pub(crate) fn in_words(write: &Write) -> String {
    let Write {
        manager,
        verb,
        key,
        at,
        pass,
        ..
    } = write;
    let pass = pass
        .map(|pass| format!(" in pass {pass}"))
        .unwrap_or_default();
    let before = write.before.as_deref().cloned().unwrap_or_default();
    let after = write.after.as_deref().cloned().unwrap_or_default();
    let changes: Vec<String> = json_patch::diff(&before, &after)
        .0
        .iter()
        .map(ToString::to_string)
        .filter(|change| !change.contains("managedFields"))
        .collect();
    let changes: String = changes.join(" ").chars().take(2_000).collect();
    format!("{manager}{pass} at {at}: {verb:?} {key}: {changes}")
}
