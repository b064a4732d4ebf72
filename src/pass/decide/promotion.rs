//! From the passed analysis to the primary that runs it: copy, shift back, drain, and what
//! happens when the primary does not become ready with it.

use crate::api::status::{CanaryStatus, CheckStatus, Phase};
use crate::pass::snapshot::{Revision, Snapshot};
use crate::pass::step::Decision;
use crate::routers::Traffic;
use crate::workloads::Readiness;

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim, Reason, wait_of};
use super::{analysis, conditions, healing, rest, rollback, wait, words};

/// The analysis has passed. A primary that loses its pods while it is updated gives its traffic to
/// the canary first.
pub(super) fn promote(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    checks: Vec<CheckStatus>,
    approved: Vec<String>,
) -> Decision {
    if !update_empties_primary(snapshot) {
        return copy(snapshot, outstanding, checks, approved);
    }
    let claim = Claim::enter(snapshot, Phase::Promoting)
        .traffic(Traffic::ALL)
        .hooks(Vec::new())
        .normals(approved)
        .normal(words::all_to_canary())
        .edit(|status| {
            status.traffic.get_or_insert_default().ahead_of_update = true;
            status.held_checks = None;
        });
    claim.answered(checks).into_decision(
        outstanding,
        "the analysis has passed; an update leaves the primary without pods, and the canary takes \
         all traffic before",
    )
}

/// The primary gets exactly the template that was analysed, and remembers the one it had.
fn copy(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    checks: Vec<CheckStatus>,
    approved: Vec<String>,
) -> Decision {
    // The requests that match are some, and the primary has pods for all others already.
    let shown = snapshot.shown();
    let needed = snapshot.router.can().weights && shown.canary > 0 && !shown.matched;
    let needed = needed.then(|| snapshot.target_replicas());
    let claim = Claim::enter(snapshot, Phase::Promoting)
        .hooks(Vec::new())
        .normals(approved)
        .normal(words::copying(&snapshot.names))
        .edit(|status| {
            status.primary_spec = snapshot.copy_hash();
            status.previous_spec = snapshot.primary_hash();
            status.held_checks = None;
            status.waits = None;
            status.scale.get_or_insert_default().needed = needed;
            if let Some(traffic) = &mut status.traffic {
                (traffic.ahead_of_update, traffic.before) = (false, None);
            }
        });
    claim.answered(checks).into_decision(
        outstanding,
        "the analysis has passed, the primary gets the new template",
    )
}

/// Whether the primary's update takes all its pods away at once, while the canary could serve.
fn update_empties_primary(snapshot: &Snapshot) -> bool {
    let replicas = snapshot.primary_replicas();
    snapshot.router.can().weights
        && Traffic::ALL.exceeds(snapshot.shown())
        && snapshot.canary_is_up()
        && snapshot.target().is_some_and(|target| {
            replicas > 0 && snapshot.workload.update_empties(target, replicas)
        })
}

/// The canary gets all traffic, and nothing is copied yet.
pub(super) fn is_ahead_of_update(snapshot: &Snapshot) -> bool {
    let traffic = snapshot.status.traffic.as_ref();
    snapshot.phase() == Some(Phase::Promoting)
        && traffic.is_some_and(|traffic| traffic.ahead_of_update)
}

/// Whether the primary still has what it had before this promotion.
pub(super) fn is_before_the_copy(snapshot: &Snapshot) -> bool {
    is_ahead_of_update(snapshot)
        || (snapshot.status.previous_spec.is_some() && !snapshot.is_copied(&snapshot.status))
}

pub(super) fn promoting(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    // Not copied yet, and another template is there: start over. Once it is copied, the healthy
    // side keeps the traffic, and the new one waits its turn.
    if analysis::is_new_revision(snapshot) {
        return analysis::restart(snapshot, outstanding);
    }
    if is_ahead_of_update(snapshot) {
        return ahead_of_update(snapshot, outstanding);
    }
    let copied = snapshot.is_copied(&snapshot.status);
    // Whoever wrote this phase, nothing was copied for it.
    if snapshot.status.previous_spec.is_none()
        && snapshot.primary().is_some()
        && snapshot.is_applied(&snapshot.revision())
        && !snapshot.is_on_primary()
        && !snapshot.is_on_restarted_primary()
    {
        return analysis::restart(snapshot, outstanding);
    }
    if let Some(step) = &snapshot.status.step
        && !copied
        && !outstanding.unfinished.is_empty()
        && snapshot.now.duration_since(step.time.0) >= snapshot.terms.progress_deadline()
    {
        let reason = format!("the template could not be copied in step {}", step.number);
        return rollback::roll_back(snapshot, outstanding, Vec::new(), &reason);
    }
    let readiness = snapshot.primary_readiness();
    let is_short = short_of_pods(snapshot);
    // What else could not be written does not keep the traffic from a primary that is ready.
    let is_ready = copied && readiness == Readiness::Ready;
    if is_ready
        && let Some(text) = &is_short
        && wait_of(snapshot, Reason::Primary).is_none()
    {
        return claims::hold(snapshot, outstanding, Reason::Primary, text);
    }
    let is_done = is_ready && is_short.is_none();
    if !is_done && let Some(decision) = claims::unfinished(snapshot, outstanding) {
        return decision;
    }
    let why = match readiness {
        Readiness::Ready => match is_short {
            None => return shift_back(snapshot, outstanding),
            Some(text) => return claims::hold(snapshot, outstanding, Reason::Primary, &text),
        },
        Readiness::Waiting(why) if !is_past_deadline(snapshot) => {
            return not_ready(snapshot, outstanding, &why);
        }
        Readiness::Waiting(why) | Readiness::Exceeded(why) => why,
    };
    healing::fail(snapshot, outstanding, &why)
}

/// The canary gets all traffic before the primary is updated in place.
fn ahead_of_update(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    if let Some(decision) = claims::unfinished(snapshot, outstanding) {
        return decision;
    }
    if !snapshot.canary_is_up() {
        let text = "the canary is not ready to take all traffic";
        return claims::hold(snapshot, outstanding, Reason::Rollout, text);
    }
    let drained = snapshot
        .moved_at()
        .is_none_or(|at| snapshot.now.duration_since(at) > snapshot.terms.drain());
    if Traffic::ALL.exceeds(snapshot.shown()) || !drained {
        return wait("connections to the primary drain");
    }
    copy(snapshot, outstanding, Vec::new(), Vec::new())
}

/// The primary's new pods are not ready. Progress is noted where it matters.
fn not_ready(snapshot: &Snapshot, outstanding: &Outstanding, why: &str) -> Decision {
    let text = words::primary_not_ready(snapshot, why);
    let is_late = snapshot
        .waited(wait_of(snapshot, Reason::Primary))
        .is_some_and(|waited| waited >= snapshot.terms.progress_deadline() / 2);
    if is_late && analysis::has_progressed(snapshot, Reason::Primary) {
        let claim = Claim::new(snapshot).progressed(Reason::Primary);
        return claim.into_decision(outstanding, &text);
    }
    claims::hold(snapshot, outstanding, Reason::Primary, &text)
}

fn is_past_deadline(snapshot: &Snapshot) -> bool {
    let waited = snapshot.waited(wait_of(snapshot, Reason::Primary));
    waited.is_some_and(|waited| waited >= snapshot.terms.progress_deadline())
        && !analysis::has_progressed(snapshot, Reason::Primary)
}

/// The primary is ready, and has fewer pods than the canary needed for the traffic: its autoscaler
/// brings more. Past the deadline it takes the traffic with those that it has.
fn short_of_pods(snapshot: &Snapshot) -> Option<String> {
    let needed = snapshot.status.scale.as_ref()?.needed?;
    let most = snapshot
        .autoscaler
        .and_then(|autoscaler| autoscaler.most(&snapshot.view()));
    let needed = most.map_or(needed, |most| needed.min(most));
    let available = snapshot.primary_available();
    if available >= needed || is_past_deadline(snapshot) {
        return None;
    }
    // Only an autoscaler brings more than are asked for.
    snapshot.autoscaler?;
    let why = format!("{available} of the {needed} pods that the traffic needs are available");
    Some(words::primary_not_ready(snapshot, &why))
}

/// The primary runs the new template and is ready: the traffic goes back to it.
fn shift_back(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    let names = &snapshot.names;
    let weight = snapshot.status_weight();
    let step = snapshot.terms.step_weight_promotion;
    let promoted = snapshot.applied_revision();
    // A canary without pods gives all back at once.
    let is_stepwise = step > 0 && snapshot.canary_available() > 0;
    if is_stepwise && weight > 0 && !snapshot.terms.skip_analysis {
        if !snapshot.is_due() {
            return wait("the interval has not passed");
        }
        let left = weight.saturating_sub(step);
        let text = words::primary_weight(names, 100 - left);
        let reason = format!("primary weight {}", 100 - left);
        if left > 0 {
            return Claim::new(snapshot)
                .weight(left)
                .normal(text)
                .steps()
                .waits_no_more(Reason::Primary)
                .into_decision(outstanding, &reason);
        }
        return finalise(snapshot, &promoted)
            .normal(text)
            .into_decision(outstanding, &reason);
    }
    if snapshot.terms.skip_analysis && snapshot.weight() == 0 {
        return succeed(snapshot, outstanding, &promoted, words::skipped(names));
    }
    let claim = finalise(snapshot, &promoted);
    let claim = if snapshot.router.can().weights {
        claim.normal(words::all_to_primary())
    } else {
        claim
    };
    claim.into_decision(
        outstanding,
        "the primary is ready with the new template, all traffic goes to it",
    )
}

fn finalise<'a>(snapshot: &'a Snapshot, promoted: &Revision) -> Claim<'a> {
    Claim::enter(snapshot, Phase::Finalising)
        .weight(0)
        .fresh_counts()
        .edit(forget_previous)
        .promoted(promoted)
        .edit(|status| {
            if let Some(traffic) = &mut status.traffic {
                traffic.before = None;
            }
        })
}

pub(super) fn forget_previous(status: &mut CanaryStatus) {
    status.previous_spec = None;
}

/// The primary has the traffic back. It keeps it only while it has pods: the canary stays up until
/// then.
pub(super) fn finalising(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    // Also when a late copy has landed: target and primary unlike means that there is something
    // to find out.
    if analysis::is_new_revision(snapshot) {
        return analysis::restart(snapshot, outstanding);
    }
    if let Some(decision) = claims::unfinished(snapshot, outstanding) {
        return decision;
    }
    if let Readiness::Waiting(why) | Readiness::Exceeded(why) = snapshot.primary_readiness()
        && !snapshot.primary_can_carry()
    {
        let text = words::primary_not_ready(snapshot, &why);
        return claims::hold(snapshot, outstanding, Reason::Primary, &text);
    }
    if snapshot.status_weight() > 0 {
        let claim = Claim::new(snapshot).weight(0);
        return claim.into_decision(outstanding, "the primary is ready and takes all traffic");
    }
    if snapshot.weight() > 0 {
        // Not ours to write any more: somebody else has to.
        let problems: Vec<_> = snapshot.problems.iter().map(ToString::to_string).collect();
        let text = format!(
            "the route still gives the canary {} %: {}",
            snapshot.weight(),
            problems.join("; ")
        );
        return rest::loudly(snapshot, outstanding, &text);
    }
    if !snapshot.is_drained() {
        return wait("connections to the canary drain");
    }
    let promoted = Revision {
        spec: snapshot
            .status
            .last_promoted_spec
            .clone()
            .unwrap_or_default(),
        configs: snapshot.status.promoted_configs.clone().unwrap_or_default(),
    };
    if conditions::reason(&snapshot.status) == conditions::REVERTED {
        let cause = Some(conditions::REVERT_DONE);
        return Claim::enter_because(snapshot, Phase::Succeeded, cause)
            .weight(0)
            .fresh_counts()
            .promoted(&promoted)
            .target(rest::zero_if_drained(snapshot))
            .edit(|status| status.stepped_at = None)
            .normal(words::reverted(&snapshot.names))
            .into_decision(
                outstanding,
                "the analysis has ended, the canary goes to zero",
            );
    }
    succeed(
        snapshot,
        outstanding,
        &promoted,
        words::promoted(&snapshot.names),
    )
}

fn succeed(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    revision: &Revision,
    text: String,
) -> Decision {
    Claim::enter(snapshot, Phase::Succeeded)
        .weight(0)
        .fresh_counts()
        .promoted(revision)
        .target(rest::zero_if_drained(snapshot))
        .edit(forget_previous)
        .edit(forget_needed)
        .ended(|totals| {
            totals.promotions = totals.promotions.saturating_add(1);
            let skipped = i64::from(snapshot.terms.skip_analysis);
            totals.skipped = totals.skipped.saturating_add(skipped);
        })
        .normal(text)
        .into_decision(outstanding, "promotion finished, the canary goes to zero")
}

pub(super) fn forget_needed(status: &mut CanaryStatus) {
    if let Some(scale) = &mut status.scale {
        scale.needed = None;
    }
}
