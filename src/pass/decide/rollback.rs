//! The end of an analysis that was not passed: all traffic to the primary, and why.

use crate::api::status::{CanaryStatus, CheckStatus, Phase};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;

use super::claims::Claim;
use super::claims::outstanding::Outstanding;
use super::{conditions, words};

pub(super) fn roll_back_failed(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    checks: Vec<CheckStatus>,
    texts: &[String],
    failed: i64,
) -> Decision {
    let names = &snapshot.names;
    rollback_claim(snapshot, checks)
        .warnings(texts)
        .warning(words::threshold_reached(names, failed))
        .warning_when_shown(words::failed(names))
        .into_decision(
            outstanding,
            &format!(
                "rolled back after {failed} failed checks: {}",
                texts.join("; ")
            ),
        )
}

/// A hook has called the release back.
pub(super) fn roll_back_by_hook(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    passed: Option<String>,
) -> Decision {
    let names = &snapshot.names;
    let passed: Vec<_> = passed.into_iter().collect();
    rollback_claim(snapshot, Vec::new())
        .warnings(&passed)
        .warning(words::called_back(names))
        .warning_when_shown(words::failed(names))
        .into_decision(outstanding, "rolled back: a rollback webhook says so")
}

/// All traffic to the primary; the canary's pods go when their connections have drained.
pub(super) fn roll_back(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    checks: Vec<CheckStatus>,
    reason: &str,
) -> Decision {
    let names = &snapshot.names;
    rollback_claim(snapshot, checks)
        .warning(words::rolling_back(names, reason))
        .warning_when_shown(words::failed(names))
        .into_decision(outstanding, &format!("rolled back: {reason}"))
}

fn rollback_claim(snapshot: &Snapshot, checks: Vec<CheckStatus>) -> Claim<'_> {
    let problems: Vec<_> = snapshot.problems.iter().map(ToString::to_string).collect();
    Claim::enter_because(snapshot, Phase::Failed, Some(conditions::ROLLING_BACK))
        .weight(0)
        .fresh_counts()
        .unwell(conditions::INVALID, &problems.join("; "))
        .edit(|status: &mut CanaryStatus| status.previous_spec = None)
        .ended(|totals| totals.rollbacks = totals.rollbacks.saturating_add(1))
        .answered(checks)
}
