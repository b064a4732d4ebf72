//! A canary that cannot get further: its manifest is not valid, or something that it needs is gone
//! or could not be read. With traffic on it that is no evidence, whose clock runs; without, it is
//! refused. A release that only has to end goes on.

use crate::api::status::{ConditionStatus, Phase, TargetScale};
use crate::objects::Problem;
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim, Reason};
use super::{conditions, promotion, rest, wait, words};

pub(super) fn decide(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if let Some(why) = snapshot.pending.first() {
        return Some(wait(why));
    }
    let mut problems = snapshot.problems.clone();
    problems.extend(snapshot.current().problems.iter().cloned());
    problems.dedup();
    if problems.is_empty() && snapshot.unreachable.is_empty() {
        return is_said(snapshot).then(|| valid_again(snapshot, outstanding));
    }
    let ends = match snapshot.phase() {
        Some(Phase::Promoting) => !promotion::is_before_the_copy(snapshot),
        Some(Phase::Finalising) => true,
        Some(Phase::Failed) => snapshot.is_healing(),
        _ => false,
    };
    if ends {
        return None;
    }
    let texts = problems.iter().map(ToString::to_string);
    let text = texts
        .chain(snapshot.unreachable.iter().cloned())
        .collect::<Vec<_>>()
        .join("; ");
    let is_analysis = matches!(
        snapshot.phase(),
        Some(Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting)
    );
    let mut decision = if is_analysis {
        held(snapshot, outstanding, &problems, &text)
    } else if let Some(decision) = scaled_down(snapshot, outstanding) {
        decision
    } else {
        refused(snapshot, outstanding, &problems, &text)
    };
    decision.problems = if problems.is_empty() {
        snapshot.unreachable.iter().cloned().map(Problem).collect()
    } else {
        problems
    };
    Some(decision)
}

/// In an analysis: nothing advances, and the clock of missing evidence runs.
fn held(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    problems: &[Problem],
    text: &str,
) -> Decision {
    let runs = claims::wait_of(snapshot, Reason::Evidence).is_some_and(|wait| wait.gone.is_none());
    if runs && (conditions::says(snapshot, text) || problems.is_empty()) {
        return wait(text);
    }
    Claim::new(snapshot)
        .waits(Reason::Evidence)
        .unwell(conditions::INVALID, &joined(problems))
        .warning(words::refused(&snapshot.names, text))
        .word_only()
        .into_decision(outstanding, text)
}

/// The canary of a release that has ended goes to zero, whatever is wrong with the next one.
fn scaled_down(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let is_rest = matches!(snapshot.phase(), Some(Phase::Failed | Phase::Succeeded));
    let has_pods = snapshot.target_scale() == TargetScale::Up && snapshot.target_replicas() > 0;
    (is_rest && has_pods)
        .then(|| rest::scale_down(snapshot, outstanding))
        .flatten()
}

/// At rest: nothing is touched, and it is said once.
fn refused(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    problems: &[Problem],
    text: &str,
) -> Decision {
    if problems.is_empty() || conditions::says(snapshot, text) {
        return wait(text);
    }
    Claim::new(snapshot)
        .unwell(conditions::INVALID, &joined(problems))
        .warning(words::refused(&snapshot.names, text))
        .word_only()
        .into_decision(outstanding, text)
}

fn joined(problems: &[Problem]) -> String {
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Whether status says that the Canary is not valid.
fn is_said(snapshot: &Snapshot) -> bool {
    conditions::ready(&snapshot.status).is_some_and(|ready| {
        ready.status == ConditionStatus::False && ready.reason == conditions::INVALID
    })
}

fn valid_again(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    Claim::new(snapshot)
        .has_evidence()
        .into_decision(outstanding, "the Canary is valid again")
}
