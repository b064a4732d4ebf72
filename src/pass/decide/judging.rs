//! What the answers of the checks lead to: fail counts, anything but pass holds, pass goes on.

use crate::api::status::{CheckStatus, Verdict};
use crate::pass::questions::{Answer, Answers};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;

use super::analysis::advance;
use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim, Reason, wait_of};
use super::rollback::{roll_back, roll_back_failed};
use super::rules::{Next, Position, Rules};
use super::{hooks, wait};

/// What failing checks lead to: one is counted, enough of them roll back, and so do answers that
/// never come where that is asked for.
pub(super) fn failing(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &[Answer],
) -> Option<Decision> {
    let rules = Rules::from(&snapshot.terms);
    let checks = statuses(answers);
    let next = rules.next(position(snapshot), &verdicts(answers));
    let failed_texts = || texts(answers, &|verdict| rules.counts(verdict));
    match next {
        Next::RollBack(failed) => Some(roll_back_failed(
            snapshot,
            outstanding,
            checks,
            &failed_texts(),
            failed,
        )),
        Next::Count(failed) => {
            let texts = failed_texts();
            let reason = format!(
                "{} ({failed} of {} failed checks)",
                texts.join("; "),
                rules.threshold
            );
            let claim = Claim::new(snapshot)
                .edit(|status| status.failed_checks = Some(failed))
                .checks(checks)
                .hooks(hooks::notes(answers))
                .steps()
                .warnings(&texts);
            Some(claim.into_decision(outstanding, &reason))
        }
        Next::GiveUp(held) => {
            let text = texts(answers, &|verdict| rules.holds(verdict)).join("; ");
            let reason = format!("no evidence in {held} passes: {text}");
            Some(roll_back(snapshot, outstanding, checks, &reason))
        }
        _ => None,
    }
}

/// Whether these answers tell anything.
pub(super) fn is_evidence(snapshot: &Snapshot, answers: &[Answer]) -> bool {
    let rules = Rules::from(&snapshot.terms);
    !matches!(
        rules.next(position(snapshot), &verdicts(answers)),
        Next::Hold(_)
    )
}

/// No check has failed: what is missing holds the weight, and else the release goes on.
pub(super) fn passing(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    evidence: &[Answer],
    answers: &Answers,
) -> Decision {
    let rules = Rules::from(&snapshot.terms);
    let is_pending = |verdict: &Verdict| *verdict == Verdict::Pending;
    match rules.next(position(snapshot), &verdicts(evidence)) {
        Next::Hold(_) if !verdicts(evidence).iter().any(|it| rules.holds(*it)) => {
            hooks::held_by_hooks(snapshot, outstanding, evidence)
        }
        Next::Hold(held) => {
            let meant = |verdict| rules.holds(verdict) || is_pending(&verdict);
            let texts = texts(evidence, &meant);
            held_by_checks(snapshot, outstanding, evidence, held, &texts)
        }
        _ => advance(snapshot, outstanding, evidence, answers),
    }
}

pub(super) fn statuses(answers: &[Answer]) -> Vec<CheckStatus> {
    answers.iter().map(|answer| answer.status.clone()).collect()
}

fn verdicts(answers: &[Answer]) -> Vec<Verdict> {
    answers.iter().map(|answer| answer.status.verdict).collect()
}

/// What is said of the checks with such a verdict.
fn texts(answers: &[Answer], is_meant: &dyn Fn(Verdict) -> bool) -> Vec<String> {
    let meant = answers
        .iter()
        .filter(|answer| is_meant(answer.status.verdict));
    let mut texts: Vec<_> = meant.filter_map(|answer| answer.halt.clone()).collect();
    // Two checks that went wrong alike are one piece of news.
    texts.dedup();
    texts
}

pub(super) fn position(snapshot: &Snapshot) -> Position {
    let status = &snapshot.status;
    Position {
        weight: snapshot.status_weight(),
        iterations: status.iterations.unwrap_or(0),
        mirrored: snapshot.wanted().mirror,
        failed_checks: status.failed_checks.unwrap_or(0),
        held_checks: status.held_checks.unwrap_or(0),
    }
}

/// No evidence is neither success nor a bad release. It has a budget of its own; what happens
/// when that is spent is for the user to say, and by default the weight is held.
fn held_by_checks(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    evidence: &[Answer],
    held: i64,
    texts: &[String],
) -> Decision {
    let text = &*texts.join("; ");
    let said =
        snapshot.status.held_checks.is_some() && wait_of(snapshot, Reason::Evidence).is_some();
    if said && held > snapshot.terms.error_threshold {
        // The budget is spent and it was said: only the deadline moves now.
        return claims::unfinished(snapshot, outstanding).unwrap_or_else(|| wait(text));
    }
    let claim = Claim::new(snapshot)
        .warnings(texts)
        .checks(statuses(evidence))
        .hooks(hooks::notes(evidence))
        .waits(Reason::Evidence)
        .edit(|status| status.held_checks = Some(held))
        .steps();
    claim.into_decision(outstanding, text)
}

/// What a release is told that its analysis leaves out.
pub(super) fn unasked(snapshot: &Snapshot) -> Vec<String> {
    if snapshot.terms.skip_analysis {
        Vec::new()
    } else {
        snapshot.unasked.clone()
    }
}
