//! From the passed analysis to the primary that runs it: copy, shift back, drain, and what
//! happens when the primary does not become ready with it.

use crate::api::status::{CanaryStatus, CheckStatus, Phase};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;
use crate::workloads::Readiness;

use super::claims::{self, Claim, Gap};
use super::{analysis, conditions, wait, words};

/// The primary gets exactly the template that was analysed, and remembers the one it had.
pub(super) fn promote(snapshot: &Snapshot, gap: &Gap, checks: Vec<CheckStatus>) -> Decision {
    let claim = Claim::enter(snapshot, Phase::Promoting)
        .normal(words::copying(&snapshot.names))
        .edit(|status| {
            status.primary_spec = snapshot.copy_hash();
            status.previous_spec = snapshot.primary_hash();
            status.held_checks = None;
        });
    let claim = if checks.is_empty() {
        claim
    } else {
        claim.checks(checks)
    };
    claim.because(
        gap,
        "the analysis has passed, the primary gets the new template",
    )
}

pub(super) fn promoting(snapshot: &Snapshot, gap: &Gap) -> Decision {
    // Not copied yet, and another template is there: start over. Once it is copied, the healthy
    // side keeps the traffic, and the new one waits its turn.
    if analysis::is_new_revision(snapshot) {
        return analysis::restart(snapshot, gap);
    }
    let copied = snapshot.is_copied(&snapshot.status);
    if let Some(step) = &snapshot.status.step
        && !copied
        && !gap.open.is_empty()
        && snapshot.now.duration_since(step.time.0) >= snapshot.terms.progress_deadline()
    {
        let reason = format!("the template could not be copied in step {}", step.number);
        return analysis::roll_back(snapshot, gap, Vec::new(), &reason);
    }
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    let why = match snapshot.primary_readiness() {
        Readiness::Ready => return shift_back(snapshot, gap),
        Readiness::Waiting(why)
            if !analysis::is_past_progress_deadline(snapshot, snapshot.primary()) =>
        {
            return claims::hold(
                snapshot,
                gap,
                words::primary_not_ready(&snapshot.names, &why),
            );
        }
        Readiness::Waiting(why) | Readiness::Exceeded(why) => why,
    };
    fail(snapshot, gap, &why)
}

/// The primary runs the new template and is ready: the traffic goes back to it.
fn shift_back(snapshot: &Snapshot, gap: &Gap) -> Decision {
    let names = &snapshot.names;
    let weight = snapshot.status_weight();
    let step = snapshot.terms.step_weight_promotion;
    let promoted = crate::pass::snapshot::Revision {
        spec: snapshot
            .status
            .last_applied_spec
            .clone()
            .unwrap_or_default(),
        configs: snapshot.status.tracked_configs.clone().unwrap_or_default(),
    };
    if step > 0 && weight > 0 && !snapshot.terms.skip_analysis {
        if !snapshot.is_due() {
            return wait("the interval has not passed");
        }
        let left = weight.saturating_sub(step);
        let text = words::primary_weight(names, 100 - left);
        let reason = format!("primary weight {}", 100 - left);
        if left > 0 {
            let claim = Claim::new(snapshot).weight(left).normal(text);
            return claim
                .edit(|status| status.held_since = None)
                .because(gap, &reason);
        }
        let claim = Claim::enter(snapshot, Phase::Finalising)
            .weight(0)
            .fresh_counts();
        return claim
            .edit(forget_previous)
            .promoted(&promoted)
            .normal(text)
            .because(gap, &reason);
    }
    if snapshot.terms.skip_analysis && snapshot.weight() == 0 {
        return succeed(snapshot, gap, &promoted, words::skipped(names));
    }
    let claim = Claim::enter(snapshot, Phase::Finalising)
        .weight(0)
        .fresh_counts();
    let claim = claim.edit(forget_previous).promoted(&promoted);
    let claim = if snapshot.router.has_weights() {
        claim.normal(words::all_to_primary())
    } else {
        claim
    };
    claim.because(
        gap,
        "the primary is ready with the new template, all traffic goes to it",
    )
}

fn forget_previous(status: &mut CanaryStatus) {
    status.previous_spec = None;
}

pub(super) fn finalising(snapshot: &Snapshot, gap: &Gap) -> Decision {
    // Also when a late copy has landed: target and primary unlike means that there is something
    // to find out.
    if analysis::is_new_revision(snapshot) {
        return analysis::restart(snapshot, gap);
    }
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    if !snapshot.is_drained() {
        return wait("connections to the canary drain");
    }
    let revision = snapshot.revision();
    if conditions::reason(&snapshot.status) == conditions::REVERTED {
        let cause = Some(conditions::REVERT_DONE);
        return Claim::enter_because(snapshot, Phase::Succeeded, cause)
            .weight(0)
            .promoted(&revision)
            .normal(words::reverted(&snapshot.names))
            .because(gap, "the analysis has ended, the canary goes to zero");
    }
    succeed(snapshot, gap, &revision, words::promoted(&snapshot.names))
}

fn succeed(
    snapshot: &Snapshot,
    gap: &Gap,
    revision: &crate::pass::snapshot::Revision,
    text: String,
) -> Decision {
    Claim::enter(snapshot, Phase::Succeeded)
        .weight(0)
        .fresh_counts()
        .promoted(revision)
        .edit(forget_previous)
        .ended(|totals| {
            totals.promotions += 1;
            totals.skipped += i64::from(snapshot.terms.skip_analysis);
        })
        .normal(text)
        .because(gap, "promotion finished, the canary goes to zero")
}

/// The primary did not become ready with what passed the analysis. The canary is healthy and
/// takes all traffic; the primary gets its previous template back.
fn fail(snapshot: &Snapshot, gap: &Gap, why: &str) -> Decision {
    let is_healthy = snapshot.canary_readiness() == Readiness::Ready;
    let weight = match (snapshot.router.has_weights(), is_healthy) {
        (true, true) => 100,
        // Where neither side is well, the traffic stays as it is.
        (true, false) => snapshot.status_weight(),
        (false, _) => 0,
    };
    Claim::enter_because(snapshot, Phase::Failed, Some(conditions::HEALING))
        .weight(weight)
        .fresh_counts()
        .edit(|status| status.primary_spec.clone_from(&status.previous_spec))
        .ended(|totals| totals.rollbacks += 1)
        .warning(words::promotion_failed(&snapshot.names, why))
        .because(gap, &format!("promotion failed, primary not ready: {why}"))
}

/// Nothing is left to put the primary's template back from: the canary keeps the traffic, and
/// the next revision may be analysed and promoted over the broken primary.
pub(super) fn is_beyond_healing(snapshot: &Snapshot) -> bool {
    !snapshot.has_earlier(&snapshot.status) && snapshot.earlier_template(&snapshot.status).is_none()
}

pub(super) fn healing(snapshot: &Snapshot, gap: &Gap) -> Decision {
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    let has_template = snapshot.has_earlier(&snapshot.status);
    match snapshot.primary_readiness() {
        Readiness::Ready => {
            let text = if has_template {
                words::healed(&snapshot.names)
            } else {
                words::all_to_primary()
            };
            Claim::enter_because(snapshot, Phase::Failed, Some(conditions::HEALED))
                .weight(0)
                .edit(forget_previous)
                .normal(text)
                .warning(words::failed(&snapshot.names))
                .because(gap, "the primary is ready again and takes the traffic")
        }
        Readiness::Waiting(why) | Readiness::Exceeded(why) if has_template => wait(&format!(
            "the primary gets ready with its previous template: {why}"
        )),
        Readiness::Waiting(_) | Readiness::Exceeded(_) => wait(
            "the primary's previous template is not kept anywhere: the canary keeps the traffic \
             until a new revision is promoted",
        ),
    }
}
