//! Progressing: a new revision gets traffic step by step while its checks pass.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{CanaryStatus, CheckStatus, Phase, Verdict};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::{Answer, Answers, Decision, Step};
use crate::workloads::Readiness;

use super::claims::{self, Claim, Gap};
use super::rules::{Next, Position, Rules};
use super::{conditions, wait, words};

/// New is what was neither promoted last nor is on the primary already. A failed revision is held
/// back, and so is the one that is being analysed.
pub(super) fn is_new_revision(snapshot: &Snapshot) -> bool {
    let revision = snapshot.revision();
    if snapshot.target().is_none() || snapshot.primary().is_none() || snapshot.is_on_primary() {
        return false;
    }
    match snapshot.phase() {
        Some(Phase::Initialized | Phase::Succeeded | Phase::Waiting) => {
            !snapshot.is_promoted(&revision)
        }
        Some(Phase::Finalising) => true,
        Some(Phase::Failed | Phase::Progressing | Phase::WaitingPromotion) => {
            !snapshot.is_applied(&revision)
        }
        Some(Phase::Promoting) => {
            !snapshot.is_applied(&revision) && !snapshot.is_copied(&snapshot.status)
        }
        None | Some(Phase::Initializing | Phase::Terminating | Phase::Terminated) => false,
    }
}

/// A new revision at rest: its pods come up, the traffic stays where it is.
pub(super) fn begin(snapshot: &Snapshot, gap: &Gap) -> Decision {
    fresh(snapshot)
        .normal(words::scaling_up(&snapshot.names))
        .because(gap, "new revision detected, scaling up the canary")
}

/// A new revision during an analysis: nothing that was found out about the old one counts.
pub(super) fn restart(snapshot: &Snapshot, gap: &Gap) -> Decision {
    fresh(snapshot)
        .normal(words::restarting(&snapshot.names))
        .because(gap, "new revision detected, the analysis starts over")
}

fn fresh(snapshot: &Snapshot) -> Claim<'_> {
    Claim::enter(snapshot, Phase::Progressing)
        .weight(0)
        .fresh_counts()
        .checks(Vec::new())
        .applied(&snapshot.revision())
        .edit(|status| {
            status.previous_spec = None;
            // Without an analysis there is no time that one took.
            status.analysis_since = (!snapshot.terms.skip_analysis).then_some(Time(snapshot.now));
        })
}

pub(super) fn progressing(snapshot: &Snapshot, gap: &Gap, answers: Option<&Answers>) -> Decision {
    if is_new_revision(snapshot) {
        return restart(snapshot, gap);
    }
    if snapshot.is_on_primary() {
        return set_back(snapshot, gap);
    }
    if let Some(decision) = overdue(snapshot, gap) {
        return decision;
    }
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    if let Some(decision) = not_ready(snapshot, gap) {
        return decision;
    }
    if snapshot.terms.skip_analysis {
        return super::promotion::promote(snapshot, gap, Vec::new());
    }
    if !snapshot.is_due() {
        return wait("the interval has not passed");
    }
    let started = snapshot.status_weight() > 0 || snapshot.status.iterations.unwrap_or(0) > 0;
    if !started {
        return advance(snapshot, gap, Vec::new());
    }
    match answers {
        None => Decision {
            step: Step::Ask,
            reason: String::new(),
        },
        Some(Answers::Checks(answers)) => judge(snapshot, gap, answers),
        Some(Answers::Providers(_)) => wait("the checks were not asked"),
    }
}

/// The target was set back to what the primary runs: there is nothing left to find out.
fn set_back(snapshot: &Snapshot, gap: &Gap) -> Decision {
    if !snapshot.primary_can_carry() && snapshot.weight() > 0 {
        return claims::unfinished(snapshot, gap)
            .unwrap_or_else(|| wait("the target was set back; the primary is not ready yet"));
    }
    Claim::enter_because(snapshot, Phase::Finalising, Some(conditions::REVERTING))
        .weight(0)
        .fresh_counts()
        .promoted(&snapshot.revision())
        .edit(|status| status.analysis_since = None)
        .normal(words::reverting(&snapshot.names))
        .because(
            gap,
            "the target was set back to the promoted revision, the analysis ends",
        )
}

/// Deadlines come first, behind whatever the canary waits.
fn overdue(snapshot: &Snapshot, gap: &Gap) -> Option<Decision> {
    let now = snapshot.now;
    let step = snapshot.status.step.as_ref()?;
    let held = snapshot
        .status
        .held_since
        .as_ref()
        .map(|since| now.duration_since(since.0));
    if held.is_some_and(|held| held >= snapshot.terms.hold_deadline) {
        let reason = format!(
            "the analysis was held for {:#}: {}",
            snapshot.terms.hold_deadline,
            snapshot.status.reason.as_deref().unwrap_or("unknown")
        );
        return Some(roll_back(snapshot, gap, Vec::new(), &reason));
    }
    if !gap.open.is_empty() && now.duration_since(step.time.0) >= snapshot.terms.progress_deadline()
    {
        let objects: Vec<_> = gap.open.iter().map(ToString::to_string).collect();
        let reason = format!(
            "step {} could not be finished: {}",
            step.number,
            objects.join(", ")
        );
        return Some(roll_back(snapshot, gap, Vec::new(), &reason));
    }
    None
}

fn not_ready(snapshot: &Snapshot, gap: &Gap) -> Option<Decision> {
    if let Some(why) = &snapshot.unsettled {
        return Some(claims::hold(snapshot, gap, why.clone()));
    }
    // A primary that is past its deadline is what this revision may mend; one that is rolling
    // out or scaling is worth waiting for.
    if let Readiness::Waiting(why) = snapshot.primary_readiness()
        && !snapshot.terms.skip_analysis
    {
        let text = words::primary_not_ready(&snapshot.names, &why);
        return Some(claims::hold(snapshot, gap, text));
    }
    let (why, exceeded) = match snapshot.canary_readiness() {
        Readiness::Ready => return None,
        Readiness::Waiting(why) => {
            let exceeded = is_past_progress_deadline(snapshot, snapshot.target());
            (why, exceeded)
        }
        Readiness::Exceeded(why) => (why, true),
    };
    let text = words::canary_not_ready(snapshot.workload.word(), &snapshot.names, &why);
    if exceeded {
        return Some(roll_back(snapshot, gap, Vec::new(), &text));
    }
    if snapshot.canary_available() == 0
        && snapshot.status_weight() > 0
        && snapshot.primary_can_carry()
    {
        let claim = Claim::new(snapshot).weight(0).fresh_counts().warning(text);
        return Some(claim.because(gap, "the canary has no ready pods: its traffic goes back"));
    }
    Some(claims::hold(snapshot, gap, text))
}

/// Whether a rollout has been held for longer than the Canary allows without getting further.
pub(super) fn is_past_progress_deadline(
    snapshot: &Snapshot,
    object: Option<&serde_json::Value>,
) -> bool {
    let Some(held_since) = &snapshot.status.held_since else {
        return false;
    };
    let progressed = object.and_then(|object| snapshot.workload.progressed_at(object));
    let since = progressed.map_or(held_since.0, |at| at.max(held_since.0));
    snapshot.now.duration_since(since) >= snapshot.terms.progress_deadline()
}

/// The checks have answered: fail counts, anything but pass holds, pass goes on.
fn judge(snapshot: &Snapshot, gap: &Gap, answers: &[Answer]) -> Decision {
    let rules = Rules::from(&snapshot.terms);
    let checks: Vec<_> = answers.iter().map(|answer| answer.status.clone()).collect();
    let verdicts: Vec<_> = checks.iter().map(|check| check.verdict).collect();
    let text = |is_meant: &dyn Fn(Verdict) -> bool| {
        let meant = answers
            .iter()
            .find(|answer| is_meant(answer.status.verdict));
        meant
            .and_then(|answer| answer.halt.clone())
            .unwrap_or_default()
    };
    match rules.next(position(snapshot), &verdicts) {
        Next::RollBack(failed) => {
            let text = text(&|verdict| rules.counts(verdict));
            roll_back_failed(snapshot, gap, checks, &text, failed)
        }
        Next::Count(failed) => {
            let text = text(&|verdict| rules.counts(verdict));
            let reason = format!("{text} ({failed} of {} failed checks)", rules.threshold);
            let count = |status: &mut CanaryStatus| status.failed_checks = Some(failed);
            let claim = Claim::new(snapshot)
                .edit(count)
                .checks(checks)
                .warning(text);
            claim.because(gap, &reason)
        }
        Next::GiveUp(held) => {
            let text = text(&|verdict| rules.holds(verdict));
            let reason = format!("no evidence in {held} passes: {text}");
            roll_back(snapshot, gap, checks, &reason)
        }
        Next::Hold(held) => {
            let text = text(&|verdict| rules.holds(verdict));
            held_by_checks(snapshot, gap, checks, held, &text)
        }
        _ => advance(snapshot, gap, checks),
    }
}

fn position(snapshot: &Snapshot) -> Position {
    let status = &snapshot.status;
    Position {
        weight: snapshot.status_weight(),
        iterations: status.iterations.unwrap_or(0),
        failed_checks: status.failed_checks.unwrap_or(0),
        held_checks: status.held_checks.unwrap_or(0),
    }
}

/// No evidence is neither success nor a bad release. It has a budget of its own; what happens
/// when that is spent is for the user to say, and by default the weight is held.
fn held_by_checks(
    snapshot: &Snapshot,
    gap: &Gap,
    checks: Vec<CheckStatus>,
    held: i64,
    text: &str,
) -> Decision {
    let said = snapshot.status.held_checks.is_some();
    if said && held > snapshot.terms.error_threshold {
        // The budget is spent and it was said: only the deadline moves now.
        return wait(text);
    }
    let now = Time(snapshot.now);
    let claim = Claim::new(snapshot)
        .checks(checks)
        .warning(text.to_owned())
        .edit(|status| {
            status.held_checks = Some(held);
            status.held_since.get_or_insert(now);
        });
    claim.because(gap, text)
}

/// The next step of the strategy.
fn advance(snapshot: &Snapshot, gap: &Gap, checks: Vec<CheckStatus>) -> Decision {
    let names = &snapshot.names;
    let (weight, done) = (
        snapshot.status_weight(),
        snapshot.status.iterations.unwrap_or(0),
    );
    // Adopted in WaitingPromotion, it goes on as what it is.
    let mut claim = Claim::enter(snapshot, Phase::Progressing)
        .checks(checks.clone())
        .edit(|status| status.held_checks = None);
    if weight == 0 && done <= 0 {
        if snapshot.terms.weights_unsupported {
            for text in words::weights_unsupported() {
                claim = claim.warning(text);
            }
        }
        claim = claim.normal(words::starting(names));
    }
    match Rules::from(&snapshot.terms).advance(position(snapshot)) {
        Next::Weight(next) => {
            let text = words::weight(names, next);
            let reason = format!("canary weight {next}");
            claim.weight(next).normal(text).because(gap, &reason)
        }
        Next::Iteration(next) => {
            let total = snapshot.terms.iterations();
            let text = words::iteration(names, next, total);
            let reason = format!("iteration {next} of {total}");
            claim.iterations(next).normal(text).because(gap, &reason)
        }
        Next::AllToCanary => {
            let claim = claim
                .weight(100)
                .iterations(snapshot.terms.iterations() + 1)
                .normal(words::all_to_canary());
            claim.because(gap, "all traffic to the canary")
        }
        Next::LastLook => claim
            .iterations(snapshot.terms.iterations() + 1)
            .because(gap, "every iteration has passed"),
        // Advancing neither counts nor holds.
        _ => super::promotion::promote(snapshot, gap, checks),
    }
}

fn roll_back_failed(
    snapshot: &Snapshot,
    gap: &Gap,
    checks: Vec<CheckStatus>,
    text: &str,
    failed: i64,
) -> Decision {
    let names = &snapshot.names;
    rollback_claim(snapshot, checks)
        .warning(text.to_owned())
        .warning(words::threshold_reached(names, failed))
        .warning(words::failed(names))
        .because(
            gap,
            &format!("rolled back after {failed} failed checks: {text}"),
        )
}

/// All traffic to the primary; the canary's pods go when their connections have drained.
pub(super) fn roll_back(
    snapshot: &Snapshot,
    gap: &Gap,
    checks: Vec<CheckStatus>,
    reason: &str,
) -> Decision {
    rollback_claim(snapshot, checks)
        .warning(words::failed(&snapshot.names))
        .because(gap, &format!("rolled back: {reason}"))
}

fn rollback_claim(snapshot: &Snapshot, checks: Vec<CheckStatus>) -> Claim<'_> {
    let claim = Claim::enter(snapshot, Phase::Failed)
        .weight(0)
        .fresh_counts()
        .edit(|status| status.previous_spec = None)
        .ended(|totals| totals.rollbacks += 1);
    if checks.is_empty() {
        claim
    } else {
        claim.checks(checks)
    }
}
