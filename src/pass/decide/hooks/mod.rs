//! Hooks in a decision: which are asked when, what their answers count for, and the gates that hold
//! a release until they consent. A gate that is closed stops neither checks nor deadlines.

pub(super) mod approval;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::checks::WebhookType;
use crate::api::status::{PendingHook, Phase, Verdict};
use crate::pass::questions::{Answer, Answered, Answers, HookCall, status_of};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;
use crate::webhooks::call::Subject;
use crate::webhooks::reply;
use crate::webhooks::{Hook, texts};

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim, Reason};
use super::rules::Next;
use super::{records, wait};

/// What a hook has said.
pub(super) struct Heard<'a> {
    pub(super) hook: &'a Hook,
    pub(super) is_consent: bool,
    /// As the answer to a check.
    pub(super) answer: Answer,
}

/// What the hooks of these types say, in the Canary's order, or the questions.
pub(super) fn asked<'a>(
    snapshot: &'a Snapshot,
    answers: &Answers,
    kinds: &[WebhookType],
) -> Answered<Vec<Heard<'a>>> {
    let hooks = snapshot.hooks.iter();
    let meant: Vec<_> = hooks.filter(|hook| kinds.contains(&hook.kind)).collect();
    let calls: Vec<_> = meant.iter().map(|hook| call(snapshot, hook)).collect();
    match answers.to_hooks(&calls) {
        Answered::NotYet(questions) => Answered::NotYet(questions),
        Answered::All(replies) => Answered::All(
            meant
                .into_iter()
                .zip(&replies)
                .map(|(hook, reply)| heard(snapshot, hook, reply))
                .collect(),
        ),
    }
}

/// The same question is asked by the same key for as long as it has no answer.
fn call(snapshot: &Snapshot, hook: &Hook) -> HookCall {
    let pending = note_of(snapshot, hook).cloned();
    let phase = match hook.kind {
        WebhookType::ConfirmRollout | WebhookType::Rollback => snapshot.phase(),
        _ => None,
    };
    let names = &snapshot.names;
    let subject = Subject {
        namespace: names.namespace.clone(),
        name: names.canary.clone(),
        uid: names.uid.clone(),
        phase: phase.unwrap_or(Phase::Progressing),
        checksum: records::checksum(&snapshot.status),
        step: pending
            .as_ref()
            .map_or(snapshot.step_number(), |note| note.step),
    };
    HookCall {
        hook: hook.clone(),
        subject,
        pending,
    }
}

/// What earlier passes noted of a hook.
fn note_of<'a>(snapshot: &'a Snapshot, hook: &Hook) -> Option<&'a PendingHook> {
    let mut notes = snapshot.status.hooks.iter();
    notes.find(|note| note.id == hook.id)
}

fn heard<'a>(snapshot: &Snapshot, hook: &'a Hook, reply: &reply::Answer) -> Heard<'a> {
    let names = &snapshot.names;
    let halt = match reply {
        reply::Answer::Consent => None,
        reply::Answer::Pending(_, why) if !hook.is_gate() => Some(texts::pending(names, hook, why)),
        reply::Answer::Refusal(why) | reply::Answer::Pending(_, why) => {
            Some(texts::halted(names, hook, why))
        }
    };
    let note = match reply {
        reply::Answer::Pending(note, _) => Some(note.clone()),
        reply::Answer::Refusal(_) if hook.is_gate() => {
            Some(note_of(snapshot, hook).cloned().unwrap_or(PendingHook {
                id: hook.id.clone(),
                step: snapshot.step_number(),
                since: Time(snapshot.now),
                attempts: 0,
                location: None,
            }))
        }
        _ => None,
    };
    let is_consent = *reply == reply::Answer::Consent;
    Heard {
        hook,
        is_consent,
        answer: Answer {
            status: status_of(hook, reply),
            halt,
            passed: texts::passed(hook).filter(|_| is_consent),
            note,
        },
    }
}

/// What is to be remembered of hooks that have not consented.
pub(super) fn notes(answers: &[Answer]) -> Vec<PendingHook> {
    let notes = answers.iter();
    notes.filter_map(|answer| answer.note.clone()).collect()
}

/// What is said of hooks that have consented.
pub(super) fn passed(answers: &[Answer]) -> impl Iterator<Item = String> + '_ {
    answers.iter().filter_map(|answer| answer.passed.clone())
}

/// The types of gates before what follows in an analysis.
pub(super) fn gates_before(snapshot: &Snapshot, next: Next) -> Vec<WebhookType> {
    let mut kinds = Vec::new();
    let is_weight = matches!(next, Next::Mirror | Next::Weight(_));
    let is_last = matches!(next, Next::AllToCanary | Next::LastLook | Next::Promote);
    let has_steps = snapshot.terms.iterations() == 0;
    if has_steps && snapshot.phase() != Some(Phase::WaitingPromotion) && (is_weight || is_last) {
        kinds.push(WebhookType::ConfirmTrafficIncrease);
    }
    if is_last {
        kinds.push(WebhookType::ConfirmPromotion);
    }
    kinds
}

/// The types of the gates of an analysis that were found closed.
fn closed(snapshot: &Snapshot) -> Vec<WebhookType> {
    let is_meant = |hook: &&Hook| {
        matches!(
            hook.kind,
            WebhookType::ConfirmTrafficIncrease | WebhookType::ConfirmPromotion
        ) && note_of(snapshot, hook).is_some()
    };
    let hooks = snapshot.hooks.iter().filter(is_meant);
    hooks.map(|hook| hook.kind).collect()
}

/// Whether an analysis waits for a gate.
pub(super) fn is_gated(snapshot: &Snapshot) -> bool {
    !closed(snapshot).is_empty()
}

/// Whether a gate that was closed has opened: what follows is due at once.
pub(super) fn has_opened(snapshot: &Snapshot, answers: &Answers) -> Answered<bool> {
    let kinds = closed(snapshot);
    if kinds.is_empty() {
        return Answered::All(false);
    }
    match asked(snapshot, answers, &kinds) {
        Answered::NotYet(questions) => Answered::NotYet(questions),
        Answered::All(heard) => Answered::All(heard.iter().all(|heard| heard.is_consent)),
    }
}

/// A gate is closed: the weight stays, and the next interval looks at the checks again.
pub(super) fn hold_at_gate(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    evidence: &[Answer],
    gates: &[Heard<'_>],
) -> Decision {
    let closed: Vec<_> = gates.iter().filter(|gate| !gate.is_consent).collect();
    let is_for_promotion = closed
        .iter()
        .all(|gate| gate.hook.kind == WebhookType::ConfirmPromotion);
    let claim = if is_for_promotion {
        Claim::enter(snapshot, Phase::WaitingPromotion)
    } else {
        Claim::new(snapshot)
    };
    let answers: Vec<_> = closed.iter().map(|gate| gate.answer.clone()).collect();
    let said: Vec<_> = closed
        .iter()
        .filter(|gate| note_of(snapshot, gate.hook).is_none())
        .filter_map(|gate| gate.answer.halt.clone())
        .collect();
    let texts: Vec<_> = answers.iter().filter_map(|it| it.halt.clone()).collect();
    let all = evidence.iter().chain(&answers);
    claim
        .checks(all.map(|answer| answer.status.clone()).collect())
        .has_evidence()
        .waits_no_more(Reason::Rollout)
        .waits_no_more(Reason::Primary)
        .hooks(notes(&answers))
        .steps()
        .warnings(&said)
        .into_decision(outstanding, &texts.join("; "))
}

/// Hooks that are at work hold the weight: they are asked again by each pass, and by nothing else
/// does time pass for them than by the deadline for evidence.
pub(super) fn held_by_hooks(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    evidence: &[Answer],
) -> Decision {
    let notes = notes(evidence);
    let pending = |answer: &&Answer| answer.status.verdict == Verdict::Pending;
    let texts: Vec<_> = evidence
        .iter()
        .filter(pending)
        .filter_map(|answer| answer.halt.clone())
        .collect();
    let text = texts.join("; ");
    if notes == snapshot.status.hooks {
        return claims::unfinished(snapshot, outstanding).unwrap_or_else(|| wait(&text));
    }
    let is_known = |note: &PendingHook| {
        let mut known = snapshot.status.hooks.iter();
        known.any(|known| known.id == note.id)
    };
    let claim = Claim::new(snapshot)
        .checks(evidence.iter().map(|it| it.status.clone()).collect())
        .waits(Reason::Evidence);
    let claim = if notes.iter().all(is_known) {
        claim
    } else {
        claim.warnings(&texts)
    };
    claim.hooks(notes).into_decision(outstanding, &text)
}
