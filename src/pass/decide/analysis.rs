//! Progressing: a new revision gets traffic step by step while its checks pass.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::checks::WebhookType;
use crate::api::status::{Phase, TargetScale};
use crate::pass::questions::{Answer, Answered, Answers, Question};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;
use crate::pass::terms::Strategy;
use crate::routers::Traffic;
use crate::workloads::Readiness;

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim, Reason, wait_of};
use super::judging::{failing, is_evidence, passing, position, statuses, unasked};
use super::rules::{Next, Rules};
use super::{ask, conditions, hooks, promotion, rest, taking_off, wait, words};

/// New is what was neither promoted last nor is on the primary already. A failed revision is held
/// back, and so is the one that is being analysed.
pub(super) fn is_new_revision(snapshot: &Snapshot) -> bool {
    let revision = snapshot.revision();
    if snapshot.target().is_none() || snapshot.is_on_primary() {
        return false;
    }
    let is_promoted = snapshot.is_promoted(&revision);
    match snapshot.phase() {
        Some(Phase::Initialized | Phase::Succeeded | Phase::Waiting) => !is_promoted,
        // The primary has another template than the one that was promoted: more than a restart.
        Some(Phase::Finalising) => !is_promoted || !is_promoted_on_primary(snapshot),
        Some(Phase::Failed) => !is_promoted && !snapshot.is_applied(&revision),
        Some(Phase::Progressing | Phase::WaitingPromotion) => {
            !snapshot.is_applied(&revision) && !is_promoted_on_primary(snapshot)
        }
        Some(Phase::Promoting) => {
            !snapshot.is_applied(&revision)
                && (promotion::is_before_the_copy(snapshot)
                    || !snapshot.is_copied(&snapshot.status))
        }
        None | Some(Phase::Initializing | Phase::Terminating | Phase::Terminated) => false,
    }
}

/// Whether the target was set back to what was promoted last: there is nothing left to find out.
pub(super) fn is_set_back(snapshot: &Snapshot) -> bool {
    snapshot.target().is_some()
        && snapshot.primary().is_some()
        && (snapshot.is_on_primary() || is_promoted_on_primary(snapshot))
}

/// Whether the primary still is what was promoted last, as far as others let it: restarted, or
/// changed before this analysis began, which was reported then.
fn is_promoted_on_primary(snapshot: &Snapshot) -> bool {
    let status = &snapshot.status;
    snapshot.is_promoted(&snapshot.revision())
        && (snapshot.is_on_restarted_primary()
            || snapshot.is_stored_as(
                status.primary_spec.as_deref(),
                snapshot.primary_hash().as_deref(),
            ))
}

/// A new revision at rest: its pods come up, the traffic stays where it is.
pub(super) fn begin(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    approved: Vec<String>,
) -> Decision {
    let claim = fresh(snapshot)
        .edit(|status| status.primary_spec = snapshot.primary_hash())
        .normals(approved)
        .normal(words::scaling_up(&snapshot.names))
        .warnings(&unasked(snapshot));
    let claim = match snapshot.rivals.first() {
        Some(rival) => claim.warning(words::rival(&snapshot.names, rival)),
        None => claim,
    };
    claim.into_decision(outstanding, "new revision detected, scaling up the canary")
}

/// A new revision during an analysis: nothing that was found out about the old one counts.
pub(super) fn restart(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    fresh(snapshot)
        .normal(words::restarting(&snapshot.names))
        .into_decision(
            outstanding,
            "new revision detected, the analysis starts over",
        )
}

fn fresh(snapshot: &Snapshot) -> Claim<'_> {
    Claim::enter(snapshot, Phase::Progressing)
        .weight(0)
        .fresh_counts()
        .checks(Vec::new())
        .applied(&snapshot.revision())
        .target(TargetScale::Up)
        .steps()
        .edit(|status| {
            status.previous_spec = None;
            if let Some(traffic) = &mut status.traffic {
                (traffic.before, traffic.lowered) = (None, None);
                traffic.ahead_of_update = false;
            }
            // Without an analysis there is no time that one took.
            status.analysis_since = (!snapshot.terms.skip_analysis).then_some(Time(snapshot.now));
        })
}

/// What is left once no traffic has to be taken off.
pub(super) fn progressing(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &Answers,
) -> Decision {
    if let Some(decision) = rest::moving(snapshot, outstanding) {
        return decision;
    }
    // A step that is due repairs in its own claim.
    if !matches!(are_checks_due(snapshot, outstanding, answers), Due::Yes)
        && let Some(decision) = claims::unfinished(snapshot, outstanding)
    {
        return decision;
    }
    if let Some(decision) = not_ready(snapshot, outstanding) {
        return decision;
    }
    if snapshot.terms.skip_analysis {
        return promotion::promote(snapshot, outstanding, Vec::new(), Vec::new());
    }
    match due(snapshot, answers) {
        Due::Yes => {}
        Due::Ask(questions) => return ask(questions),
        Due::No => {
            return ready_again(snapshot, outstanding).unwrap_or_else(|| wait(&not_due(snapshot)));
        }
    }
    let evidence = match evidence(snapshot, answers) {
        Answered::All(evidence) => evidence,
        Answered::NotYet(questions) => return ask(questions),
    };
    // With traffic on the canary that was looked at before everything else.
    if !is_started(snapshot)
        && let Some(decision) = failing(snapshot, outstanding, &evidence).or_else(|| {
            (!is_evidence(snapshot, &evidence))
                .then(|| taking_off::evidence_deadline(snapshot, outstanding))
                .flatten()
        })
    {
        return decision;
    }
    passing(snapshot, outstanding, &evidence, answers)
}

/// Whether a step of the analysis is due, or what has to be asked to know.
pub(super) enum Due {
    Yes,
    No,
    Ask(Vec<Question>),
}

/// After the interval, and at once where a gate has opened.
fn due(snapshot: &Snapshot, answers: &Answers) -> Due {
    if snapshot.is_due() {
        return Due::Yes;
    }
    match hooks::has_opened(snapshot, answers) {
        Answered::All(true) => Due::Yes,
        Answered::All(false) => Due::No,
        Answered::NotYet(questions) => Due::Ask(questions),
    }
}

fn not_due(snapshot: &Snapshot) -> String {
    let reason = snapshot.status.reason.clone();
    let gated = reason.filter(|_| hooks::is_gated(snapshot));
    gated.unwrap_or_else(|| "the interval has not passed".to_owned())
}

/// What a step stands on: before the first one the hooks of type `pre-rollout`, then those of type
/// `rollout` and the checks.
pub(super) fn evidence(snapshot: &Snapshot, answers: &Answers) -> Answered<Vec<Answer>> {
    let (kind, checks) = if is_started(snapshot) {
        (WebhookType::Rollout, &*snapshot.checks)
    } else {
        (WebhookType::PreRollout, &[][..])
    };
    match (
        hooks::asked(snapshot, answers, &[kind]),
        answers.to_checks(checks),
    ) {
        (Answered::All(heard), Answered::All(checks)) => {
            let hooks = heard.into_iter().map(|heard| heard.answer);
            Answered::All(hooks.chain(checks).collect())
        }
        (hooks, checks) => {
            let mut questions = hooks.questions();
            questions.extend(checks.questions());
            Answered::NotYet(questions)
        }
    }
}

/// Whether traffic or an iteration was given already, or taken off by somebody: then it takes checks
/// to go on.
fn is_started(snapshot: &Snapshot) -> bool {
    let lowered = snapshot.status.traffic.as_ref();
    snapshot.wanted() != Traffic::default()
        || snapshot.status.iterations.unwrap_or(0) > 0
        || lowered.is_some_and(|traffic| traffic.lowered.is_some())
}

/// Whether checks are to be asked in this pass: an interval has passed since the route shows its
/// weight, whatever else is missing or has drifted, or a gate has opened since.
pub(super) fn are_checks_due(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &Answers,
) -> Due {
    let may_be = is_started(snapshot)
        && !snapshot.terms.skip_analysis
        && snapshot.unsettled.is_none()
        && !outstanding.is_route_unfinished(snapshot)
        && !outstanding.lowered;
    if may_be {
        due(snapshot, answers)
    } else {
        Due::No
    }
}

/// The target was set back to what was promoted: there is nothing left to find out.
pub(super) fn set_back(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    if !snapshot.primary_can_carry() && snapshot.weight() > 0 {
        return claims::unfinished(snapshot, outstanding)
            .unwrap_or_else(|| wait("the target was set back; the primary is not ready yet"));
    }
    Claim::enter_because(snapshot, Phase::Finalising, Some(conditions::REVERTING))
        .weight(0)
        .fresh_counts()
        .promoted(&snapshot.revision())
        .edit(|status| status.analysis_since = None)
        .normal(words::reverting(&snapshot.names))
        .into_decision(
            outstanding,
            "the target was set back to the promoted revision, the analysis ends",
        )
}

/// What readiness waits for. A primary that is short of pods and can carry its share holds nothing.
fn not_ready(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if let Some(why) = &snapshot.unsettled {
        return Some(claims::hold(snapshot, outstanding, Reason::Evidence, why));
    }
    // A primary that is past its deadline is what this revision may mend, and so is one that is
    // lost; one that is rolling out or scaling is worth waiting for.
    if let Readiness::Waiting(why) = snapshot.primary_readiness()
        && !snapshot.primary_can_carry()
        && snapshot.primary().is_some()
        && !snapshot.terms.skip_analysis
    {
        let text = words::primary_not_ready(snapshot, &why);
        return Some(claims::hold(snapshot, outstanding, Reason::Primary, &text));
    }
    let (Readiness::Waiting(why) | Readiness::Exceeded(why)) = snapshot.canary_readiness() else {
        return None;
    };
    let text = words::canary_not_ready(snapshot, &why);
    if has_progressed(snapshot, Reason::Rollout) && is_half_over(snapshot, Reason::Rollout) {
        let claim = Claim::new(snapshot).progressed(Reason::Rollout);
        return Some(claim.into_decision(outstanding, &text));
    }
    Some(claims::hold(snapshot, outstanding, Reason::Rollout, &text))
}

/// Whether a rollout has come further than ever since its clock runs.
pub(super) fn has_progressed(snapshot: &Snapshot, reason: Reason) -> bool {
    let best = wait_of(snapshot, reason).and_then(|wait| wait.best);
    best.is_some_and(|best| claims::progress(snapshot, reason).is_some_and(|now| now > best))
}

/// Progress is noted where it matters: when the deadline comes near.
fn is_half_over(snapshot: &Snapshot, reason: Reason) -> bool {
    let waited = snapshot.waited(wait_of(snapshot, reason));
    waited.is_some_and(|waited| waited >= snapshot.terms.progress_deadline() / 2)
}

/// Pods that were waited for are ready: noted, so that what happens much later is not held against
/// this rollout's deadline.
fn ready_again(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let waits = snapshot.status.waits.as_ref()?;
    let is_noted = |reason: Reason| reason.of(waits).is_none_or(|wait| wait.gone.is_some());
    if is_noted(Reason::Rollout) && is_noted(Reason::Primary) {
        return None;
    }
    let claim = Claim::new(snapshot)
        .waits_no_more(Reason::Rollout)
        .waits_no_more(Reason::Primary);
    Some(claim.into_decision(outstanding, "primary and canary are ready"))
}

/// The next step of the strategy, if the gates before it are open.
pub(super) fn advance(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    evidence: &[Answer],
    answers: &Answers,
) -> Decision {
    let next = Rules::from(&snapshot.terms).advance(position(snapshot));
    let kinds = hooks::gates_before(snapshot, next);
    let gates = match hooks::asked(snapshot, answers, &kinds) {
        Answered::All(gates) => gates,
        Answered::NotYet(questions) => return ask(questions),
    };
    if gates.iter().any(|gate| !gate.is_consent) {
        return hooks::hold_at_gate(snapshot, outstanding, evidence, &gates);
    }
    let opened = gates.into_iter().map(|gate| gate.answer);
    let all: Vec<_> = evidence.iter().cloned().chain(opened).collect();
    let checks = statuses(&all);
    let names = &snapshot.names;
    let (weight, done) = (
        snapshot.status_weight(),
        snapshot.status.iterations.unwrap_or(0),
    );
    // Adopted in WaitingPromotion, it goes on as what it is.
    let mut claim = Claim::enter(snapshot, Phase::Progressing)
        .checks(checks.clone())
        .hooks(Vec::new())
        .has_evidence()
        .waits_no_more(Reason::Rollout)
        .waits_no_more(Reason::Primary)
        .steps();
    if let Some(gap) = snapshot.gap_in_passes() {
        claim = claim.warning(words::gap_in_passes(names, gap));
    }
    if weight == 0 && done <= 0 {
        if snapshot.terms.weights_unsupported {
            for text in words::weights_unsupported() {
                claim = claim.warning(text);
            }
        }
        if !is_started(snapshot) {
            claim = claim.normal(words::starting(names));
        }
    }
    claim = claim.normals(hooks::passed(&all));
    match next {
        Next::Mirror => claim
            .weight(0)
            .mirroring()
            .normal(words::weight(names, 0))
            .into_decision(outstanding, "requests are copied to the canary"),
        Next::Weight(next) => {
            let text = words::weight(names, next);
            let reason = format!("canary weight {next}");
            claim
                .weight(next)
                .normal(text)
                .into_decision(outstanding, &reason)
        }
        Next::Iteration(next) => {
            let total = snapshot.terms.iterations();
            let text = words::iteration(names, next, total);
            let reason = format!("iteration {next} of {total}");
            let claim = match snapshot.terms.strategy {
                Strategy::Matches { .. } => claim.weight(100),
                Strategy::Iterations { .. } if snapshot.terms.mirror => claim.mirroring(),
                Strategy::Iterations { .. } | Strategy::Weights(_) => claim,
            };
            claim
                .iterations(next)
                .normal(text)
                .into_decision(outstanding, &reason)
        }
        Next::AllToCanary => {
            let text = if snapshot.wanted().mirror {
                words::all_to_canary_after_mirroring()
            } else {
                words::all_to_canary()
            };
            let claim = claim
                .traffic(Traffic::ALL)
                .iterations(snapshot.terms.iterations() + 1)
                .normal(text);
            claim.into_decision(outstanding, "all traffic to the canary")
        }
        Next::LastLook => claim
            .iterations(snapshot.terms.iterations() + 1)
            .into_decision(outstanding, "every iteration has passed"),
        // Advancing neither counts nor holds.
        _ => {
            let approved = hooks::passed(&all).collect();
            promotion::promote(snapshot, outstanding, checks, approved)
        }
    }
}
