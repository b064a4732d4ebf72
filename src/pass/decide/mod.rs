//! The decision: from a snapshot, and what others answered, to the next status. Total and
//! pure: no clock, no I/O, no `Result`.
//!
//! What comes first is done first, and the code is in this order:
//!
//! | | what | where |
//! |---|---|---|
//! | 1 | deletion: the target serves again, what was adopted is given back, the Canary goes | [`ending`] |
//! | 2 | suspended: nothing is touched, and no clock runs | here |
//! | 3 | taking traffic off, and to the side that has pods: a dead canary, a dead primary, a deadline, the threshold, failing checks and hooks, a hook that calls the release back, a revision that is no longer asked for | [`taking_off`] |
//! | – | a Canary that is not valid, or whose objects could not be read, does not get further | [`unusable`] |
//! | 4 | finishing what the last claim named | [`claims::unfinished`] |
//! | 5 | a new revision and its approval, a target that was set back, objects of other names | [`analysis`], [`mod@rest`], [`hooks`] |
//! | 6 | readiness of primary and canary | [`analysis`] |
//! | 7 | the interval, and a gate that has opened | [`analysis`], [`hooks`] |
//! | 8 | hooks, checks, gates, and the next step of the strategy | [`judging`], [`analysis`], [`promotion`] |
//! | 9 | drift: repaired in the claim of whatever else is done, else by a claim of its own | [`claims`] |
//!
//! A step that is due is never put off by a repair, and a repair is never put off by a step.

mod analysis;
mod claims;
mod ending;
mod healing;
mod hooks;
mod judging;
mod promotion;
mod records;
mod rest;
mod rollback;
mod route;
pub mod rules;
mod taking_off;
mod unusable;
mod words;

use words::conditions;
pub use words::conditions::{ROUTE_BEHIND, WRITE_REFUSED, forget_refusal, is_unwell, set_health};

use crate::api::status::{EventType, Phase};
use crate::pass::questions::{Answers, Question};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::{Decision, Step};

use claims::Claim;
use claims::outstanding::Outstanding;

/// What is the next status? Where that depends on what others say, and `answers` does not hold it, the
/// decision is to ask.
pub fn decide(snapshot: &Snapshot, answers: &Answers) -> Decision {
    let outstanding = Outstanding::of(snapshot);
    deletion(snapshot, &outstanding)
        .or_else(|| suspended(snapshot, &outstanding))
        .or_else(|| taking_off::decide(snapshot, &outstanding, answers))
        .or_else(|| unusable::decide(snapshot, &outstanding))
        .or_else(|| taking_over(snapshot, &outstanding))
        .unwrap_or_else(|| in_phase(snapshot, &outstanding, answers))
}

fn deletion(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if !snapshot.is_being_deleted() {
        return None;
    }
    if !has_finalizer(snapshot) {
        return Some(rest("the Canary is being deleted"));
    }
    Some(ending::terminating(snapshot, outstanding))
}

/// Suspended means untouched. Where a release is under way its clocks stand still: status notes
/// since when, and nothing else is written.
fn suspended(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let is_suspended = snapshot.canary.spec.suspend == Some(true);
    let stored = snapshot.canary.status.as_ref();
    let is_noted = stored.is_some_and(|status| status.suspended_since.is_some());
    let has_clocks = snapshot.status.step.is_some()
        && matches!(
            snapshot.phase(),
            Some(Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting)
        );
    match (is_suspended, is_noted) {
        (true, false) if has_clocks => {
            let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(snapshot.now);
            let claim = Claim::new(snapshot)
                .edit(|status| status.suspended_since = Some(now))
                .word_only();
            Some(claim.into_decision(outstanding, "suspended"))
        }
        (true, _) => Some(rest("suspended")),
        (false, true) => {
            let claim = Claim::new(snapshot).word_only();
            Some(claim.into_decision(
                outstanding,
                "resumed; the time meanwhile counts for nothing",
            ))
        }
        (false, false) => None,
    }
}

/// A Canary comes into our hands: its finalizer is as it should be, and its status is ours.
fn taking_over(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let wants_finalizer = snapshot.canary.spec.revert_on_deletion == Some(true);
    if wants_finalizer != has_finalizer(snapshot) {
        let reason = if wants_finalizer {
            "the finalizer is put on, since spec.revertOnDeletion is set"
        } else {
            "the finalizer is taken off, since spec.revertOnDeletion is not set"
        };
        let step = Step::Finalizer {
            present: wants_finalizer,
        };
        return Some(decision(step, reason));
    }
    if snapshot.status.step.is_none() && snapshot.phase().is_some() {
        let reason = "the status of another controller is adopted";
        return Some(Claim::new(snapshot).into_decision(outstanding, reason));
    }
    None
}

fn has_finalizer(snapshot: &Snapshot) -> bool {
    let finalizers = snapshot.canary.metadata.finalizers.iter().flatten();
    finalizers
        .into_iter()
        .any(|finalizer| finalizer == crate::pass::FINALIZER)
}

fn in_phase(snapshot: &Snapshot, outstanding: &Outstanding, answers: &Answers) -> Decision {
    match snapshot.phase() {
        None => rest::start(snapshot, outstanding, answers),
        Some(Phase::Initializing) => rest::initializing(snapshot, outstanding),
        Some(
            Phase::Initialized
            | Phase::Succeeded
            | Phase::Failed
            | Phase::Waiting
            | Phase::Terminated,
        ) => rest::at_rest(snapshot, outstanding, answers),
        Some(Phase::Progressing | Phase::WaitingPromotion) => {
            analysis::progressing(snapshot, outstanding, answers)
        }
        Some(Phase::Promoting) => promotion::promoting(snapshot, outstanding),
        Some(Phase::Finalising) => promotion::finalising(snapshot, outstanding),
        Some(Phase::Terminating) => ending::not_terminating(snapshot, outstanding),
    }
}

fn rest(reason: &str) -> Decision {
    decision(Step::Rest, reason)
}

fn wait(reason: &str) -> Decision {
    decision(Step::Wait, reason)
}

fn ask(questions: Vec<Question>) -> Decision {
    decision(Step::Ask(questions), "")
}

fn decision(step: Step, reason: &str) -> Decision {
    Decision {
        step,
        reason: reason.to_owned(),
        problems: Vec::new(),
    }
}

/// The kind of an Event that says what happened rather than what is wrong.
const NORMAL: EventType = EventType::Normal;
