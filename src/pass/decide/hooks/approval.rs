//! The gate before a release: hooks of type `confirm-rollout` are asked before the canary of a new
//! revision is scaled up. Until they consent the phase is Waiting, and nothing is touched.

use crate::api::checks::WebhookType;
use crate::api::status::Phase;
use crate::pass::questions::{Answered, Answers};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;

use crate::pass::decide::claims::Claim;
use crate::pass::decide::claims::outstanding::Outstanding;
use crate::pass::decide::{analysis, ask, conditions, hooks, wait, words};

/// A new revision begins, or it begins to wait; nothing where it waits already.
pub(in crate::pass::decide) fn to_begin(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &Answers,
) -> Option<Decision> {
    let heard = match hooks::asked(snapshot, answers, &[WebhookType::ConfirmRollout]) {
        Answered::All(heard) => heard,
        Answered::NotYet(questions) => return Some(ask(questions)),
    };
    let closed: Vec<_> = heard.iter().filter(|gate| !gate.is_consent).collect();
    if closed.is_empty() {
        let passed = heard.into_iter().filter_map(|gate| gate.answer.passed);
        return Some(analysis::begin(snapshot, outstanding, passed.collect()));
    }
    if snapshot.phase() == Some(Phase::Waiting) {
        return None;
    }
    let answers: Vec<_> = closed.iter().map(|gate| gate.answer.clone()).collect();
    let texts: Vec<_> = answers.iter().filter_map(|it| it.halt.clone()).collect();
    let claim = Claim::enter(snapshot, Phase::Waiting)
        .hooks(hooks::notes(&answers))
        .warnings(&texts);
    Some(claim.into_decision(outstanding, &texts.join("; ")))
}

/// Nothing else is to be done while a new revision waits. One that was taken back waits no more.
pub(in crate::pass::decide) fn waiting(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    if analysis::is_new_revision(snapshot) {
        let reason = snapshot.status.reason.clone().unwrap_or_default();
        return wait(&reason);
    }
    let cause = Some(conditions::REVERT_DONE);
    Claim::enter_because(snapshot, Phase::Succeeded, cause)
        .fresh_counts()
        .applied(&snapshot.revision())
        .normal(words::withdrawn(&snapshot.names))
        .into_decision(
            outstanding,
            "the target is set back to the promoted revision, nothing waits any more",
        )
}
