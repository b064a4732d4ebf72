//! Taking traffic off, and giving it to the side that has pods. It needs nothing but the route and
//! the pods of the side that gets it: no missing, refused or unreadable other object delays it.

use crate::api::checks::WebhookType;
use crate::api::status::{Phase, Verdict};
use crate::pass::questions::{Answered, Answers};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;
use crate::routers::Traffic;
use crate::workloads::Readiness;

use super::analysis::{self, Due};
use super::claims::outstanding::{Outstanding, route_writer};
use super::claims::{Claim, Reason, wait_of};
use super::{ask, hooks, judging, promotion, rollback, route, words};

pub(super) fn decide(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &Answers,
) -> Option<Decision> {
    let phase = snapshot.phase()?;
    if phase == Phase::Terminating || phase == Phase::Initializing {
        return None;
    }
    let is_analysis = matches!(phase, Phase::Progressing | Phase::WaitingPromotion);
    dead_primary(snapshot, outstanding)
        .or_else(|| dead_canary(snapshot, outstanding))
        .or_else(|| {
            is_analysis
                .then(|| analysis(snapshot, outstanding, answers))
                .flatten()
        })
        .or_else(|| route::above(snapshot, outstanding))
        .or_else(|| route::below(snapshot, outstanding))
}

/// The primary has no pods at all, and the canary has: nothing else can serve. When the primary is
/// back, the canary has again what it had.
fn dead_primary(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if !snapshot.router.can().weights {
        return None;
    }
    let before = snapshot
        .status
        .traffic
        .as_ref()
        .and_then(|traffic| traffic.before);
    // A promotion ends by leading all traffic to the primary.
    if let Some(before) = before
        && snapshot.primary_can_carry()
        && snapshot.canary_available() > 0
        && snapshot.phase() != Some(Phase::Promoting)
    {
        // No more than it has: where somebody took it off meanwhile, it takes checks to rise again.
        let before = crate::pass::snapshot::percent(Some(before)).min(snapshot.weight());
        let claim = Claim::new(snapshot)
            .weight(before)
            .edit(|status| {
                if let Some(traffic) = &mut status.traffic {
                    traffic.before = None;
                }
            })
            .normal(words::primary_is_back(&snapshot.names, before))
            .steps();
        return Some(claim.into_decision(
            outstanding,
            "the primary has ready pods again and takes its share back",
        ));
    }
    let is_dead = snapshot.primary_available() == 0;
    if !is_dead || !snapshot.canary_is_up() || !may_serve_all(snapshot) {
        return None;
    }
    if snapshot.shown() == Traffic::ALL && snapshot.wanted() == Traffic::ALL {
        return None;
    }
    let had = i64::from(snapshot.status_weight());
    let claim = Claim::new(snapshot)
        .traffic(Traffic::ALL)
        .edit(|status| {
            let traffic = status.traffic.get_or_insert_default();
            traffic.before = Some(traffic.before.unwrap_or(had));
        })
        .warning(words::primary_is_dead(&snapshot.names))
        .steps();
    Some(claim.into_decision(
        outstanding,
        "the primary has no ready pods, and the canary takes all traffic",
    ))
}

/// Whether the canary may get what the primary cannot serve: it was analysed, or it is on its way
/// and nothing speaks against it; a lost primary leaves no other choice.
fn may_serve_all(snapshot: &Snapshot) -> bool {
    let revision = snapshot.revision();
    let is_good = snapshot.status.failed_checks.unwrap_or(0) == 0
        && snapshot
            .status
            .checks
            .iter()
            .all(|check| check.verdict != Verdict::Fail);
    match snapshot.phase() {
        Some(Phase::Progressing | Phase::WaitingPromotion) => {
            let is_lost = snapshot.primary().is_none();
            snapshot.is_applied(&revision) && is_good && (is_lost || snapshot.status_weight() > 0)
        }
        Some(Phase::Promoting) => snapshot.is_applied(&revision),
        Some(Phase::Failed) => snapshot.is_healing() && snapshot.is_applied(&revision),
        Some(Phase::Finalising | Phase::Succeeded | Phase::Initialized) => {
            snapshot.is_promoted(&revision)
        }
        _ => false,
    }
}

/// Traffic on a canary that has no pods, or is gone.
fn dead_canary(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let is_before_the_copy = promotion::is_ahead_of_update(snapshot);
    let is_analysis = matches!(
        snapshot.phase(),
        Some(Phase::Progressing | Phase::WaitingPromotion)
    );
    if !(is_analysis || is_before_the_copy)
        || !(snapshot.has_traffic() || snapshot.status_weight() > 0)
        || snapshot.canary_available() > 0
        || !snapshot.primary_can_carry()
    {
        return None;
    }
    if let Some(decision) = is_analysis
        .then(|| rollout_deadline(snapshot, outstanding))
        .flatten()
    {
        return Some(decision);
    }
    let text = match snapshot.canary_readiness() {
        Readiness::Ready => "it has no available pods".to_owned(),
        Readiness::Waiting(why) | Readiness::Exceeded(why) => why,
    };
    let text = words::canary_not_ready(snapshot, &text);
    let claim = Claim::enter(snapshot, Phase::Progressing)
        .weight(0)
        .starting_again()
        .waits(Reason::Rollout)
        .edit(|status| {
            if let Some(traffic) = &mut status.traffic {
                (traffic.before, traffic.ahead_of_update) = (None, false);
            }
        })
        .warning(text)
        .steps();
    let reason = "the canary has no ready pods: its traffic goes back";
    Some(claim.into_decision(outstanding, reason))
}

/// What ends an analysis, or counts against it.
fn analysis(snapshot: &Snapshot, outstanding: &Outstanding, answers: &Answers) -> Option<Decision> {
    if let Some(decision) = superseded(snapshot, outstanding) {
        return Some(decision);
    }
    if let Some(decision) = rollout_deadline(snapshot, outstanding)
        .or_else(|| primary_deadline(snapshot, outstanding))
        .or_else(|| unfinished_deadline(snapshot, outstanding))
        .or_else(|| threshold(snapshot, outstanding))
        .or_else(|| fought_over(snapshot, outstanding))
        .or_else(|| called_back(snapshot, outstanding, answers))
    {
        return Some(decision);
    }
    match analysis::are_checks_due(snapshot, outstanding, answers) {
        Due::Yes => {}
        Due::Ask(questions) => return Some(ask(questions)),
        Due::No => {
            // Where there is nothing to ask that could lift it, the deadline ends it.
            return cannot_be_lifted(snapshot)
                .then(|| evidence_deadline(snapshot, outstanding))
                .flatten();
        }
    }
    let answers = match analysis::evidence(snapshot, answers) {
        Answered::All(answers) => answers,
        Answered::NotYet(questions) => return Some(ask(questions)),
    };
    judging::failing(snapshot, outstanding, &answers).or_else(|| {
        let is_evidence = judging::is_evidence(snapshot, &answers);
        (!is_evidence || cannot_be_lifted(snapshot))
            .then(|| evidence_deadline(snapshot, outstanding))
            .flatten()
    })
}

/// With traffic on it, a revision that is no longer asked for loses it before anything else.
fn superseded(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if !snapshot.problems.is_empty() || !snapshot.unreachable.is_empty() {
        return None;
    }
    if analysis::is_new_revision(snapshot) {
        return Some(analysis::restart(snapshot, outstanding));
    }
    analysis::is_set_back(snapshot).then(|| analysis::set_back(snapshot, outstanding))
}

/// The pods of the canary are not ready, and have not got further for longer than they may.
fn rollout_deadline(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let (why, is_exceeded) = match snapshot.canary_readiness() {
        Readiness::Ready => return None,
        Readiness::Exceeded(why) => (why, true),
        Readiness::Waiting(why) => (why, false),
    };
    let waited = snapshot.waited(wait_of(snapshot, Reason::Rollout));
    let deadline = snapshot.terms.progress_deadline();
    let is_past = waited.is_some_and(|waited| waited >= deadline)
        && !analysis::has_progressed(snapshot, Reason::Rollout);
    if !is_exceeded && !is_past {
        return None;
    }
    let text = if snapshot.target().is_none() {
        words::target_missing(snapshot)
    } else {
        words::canary_not_ready(snapshot, &why)
    };
    Some(rollback::roll_back(
        snapshot,
        outstanding,
        Vec::new(),
        &text,
    ))
}

/// The primary cannot carry traffic for longer than the analysis may be held. One that was put to
/// zero serves nobody: that ends nothing.
fn primary_deadline(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if snapshot.primary_can_carry() || snapshot.primary_is_put_to_zero() {
        return None;
    }
    // Without a primary the canary is the only way out.
    snapshot.primary()?;
    let waited = snapshot.waited(wait_of(snapshot, Reason::Primary))?;
    let deadline = snapshot.terms.hold_deadline;
    if waited < deadline {
        return None;
    }
    let reason = format!("the primary was not ready for {deadline:#}");
    Some(rollback::roll_back(
        snapshot,
        outstanding,
        Vec::new(),
        &reason,
    ))
}

/// What a claim named could not be written for longer than a rollout may take.
fn unfinished_deadline(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let step = snapshot.status.step.as_ref()?;
    let since = snapshot.now.duration_since(step.time.0);
    if outstanding.unfinished.is_empty() || since < snapshot.terms.progress_deadline() {
        return None;
    }
    let objects: Vec<_> = outstanding
        .unfinished
        .iter()
        .map(ToString::to_string)
        .collect();
    let reason = format!(
        "step {} could not be finished: {}",
        step.number,
        objects.join(", ")
    );
    Some(rollback::roll_back(
        snapshot,
        outstanding,
        Vec::new(),
        &reason,
    ))
}

/// As many checks have failed as roll back, if only because somebody has lowered the threshold.
fn threshold(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let failed = snapshot.status.failed_checks.unwrap_or(0);
    if failed < snapshot.terms.threshold || failed <= 0 {
        return None;
    }
    let text = format!("the threshold is {} by now", snapshot.terms.threshold);
    Some(rollback::roll_back_failed(
        snapshot,
        outstanding,
        Vec::new(),
        &[text],
        failed,
    ))
}

/// A hook says that the release is to be rolled back. Only an explicit yes does that.
fn called_back(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &Answers,
) -> Option<Decision> {
    if snapshot.terms.skip_analysis {
        return None;
    }
    match hooks::asked(snapshot, answers, &[WebhookType::Rollback]) {
        Answered::NotYet(questions) => Some(ask(questions)),
        Answered::All(heard) => {
            let said = heard.into_iter().find(|heard| heard.is_consent)?;
            let passed = said.answer.passed;
            Some(rollback::roll_back_by_hook(snapshot, outstanding, passed))
        }
    }
}

/// Another tool takes the traffic off as often as checks may fail: it will not let the release be.
fn fought_over(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let lowered = snapshot
        .status
        .traffic
        .as_ref()
        .and_then(|traffic| traffic.lowered)?;
    if lowered < snapshot.terms.threshold.max(3) {
        return None;
    }
    let by = route_writer(snapshot);
    let by = by.as_deref().unwrap_or("somebody else");
    let reason = format!("the canary's weight was lowered {lowered} times by {by}");
    Some(rollback::roll_back(
        snapshot,
        outstanding,
        Vec::new(),
        &reason,
    ))
}

/// Whether no answer of a check would let the analysis go on.
fn cannot_be_lifted(snapshot: &Snapshot) -> bool {
    !snapshot.problems.is_empty()
        || !snapshot.unreachable.is_empty()
        || !snapshot.current().problems.is_empty()
}

/// There was no evidence for longer than the analysis may be held.
pub(super) fn evidence_deadline(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
) -> Option<Decision> {
    let waited = snapshot.waited(wait_of(snapshot, Reason::Evidence))?;
    let deadline = snapshot.terms.hold_deadline;
    if waited < deadline {
        return None;
    }
    let why = snapshot.status.reason.as_deref().unwrap_or("unknown");
    let reason = format!("the analysis was held for {deadline:#}: {why}");
    Some(rollback::roll_back(
        snapshot,
        outstanding,
        Vec::new(),
        &reason,
    ))
}
