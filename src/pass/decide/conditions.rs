//! The condition `Promoted`, by which `kubectl wait --for=condition=promoted` works.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{CanaryCondition, CanaryStatus, ConditionStatus, Phase};

use super::words;

pub(super) const PROMOTED: &str = "Promoted";
/// Why an analysis ended without a verdict: the target was set back while it ran.
pub(super) const REVERTED: &str = "Reverted";
/// Why a canary failed that had passed its analysis.
pub(super) const PROMOTION_FAILED: &str = "PromotionFailed";

/// What a phase is called where its own name would tell too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

pub(super) const REVERTING: Cause = Cause {
    reason: REVERTED,
    message: "Target set back to the promoted revision, routing all traffic to primary.",
};
pub(super) const REVERT_DONE: Cause = Cause {
    reason: REVERTED,
    message: "Target set back to the promoted revision, analysis ended.",
};
pub(super) const HEALING: Cause = Cause {
    reason: PROMOTION_FAILED,
    message: "Promotion failed, primary not ready: its previous template is put back.",
};
pub(super) const HEALED: Cause = Cause {
    reason: PROMOTION_FAILED,
    message: "Promotion failed, primary has its previous template back.",
};

/// Sets the phase and its condition; the transition time moves only with the condition's status.
pub(super) fn set(
    status: &mut CanaryStatus,
    kind: &str,
    phase: Phase,
    cause: Option<Cause>,
    now: Timestamp,
) {
    status.phase = Some(phase);
    let truth = match phase {
        Phase::Initialized | Phase::Succeeded => ConditionStatus::True,
        Phase::Failed => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    };
    let reason = cause.map_or_else(|| format!("{phase:?}"), |cause| cause.reason.to_owned());
    let message = cause.map_or_else(
        || words::condition(kind, phase),
        |cause| cause.message.to_owned(),
    );
    let old = status
        .conditions
        .iter()
        .find(|condition| condition.r#type == PROMOTED);
    if old.is_some_and(|old| old.status == truth && old.reason == reason && old.message == message)
    {
        return;
    }
    let last_transition_time = match old {
        Some(old) if old.status == truth && old.last_transition_time.is_some() => {
            old.last_transition_time.clone()
        }
        _ => Some(Time(now)),
    };
    let promoted = CanaryCondition {
        r#type: PROMOTED.to_owned(),
        status: truth,
        reason,
        message,
        last_update_time: Some(Time(now)),
        last_transition_time,
    };
    // Other tools' conditions stay where they are.
    match status
        .conditions
        .iter_mut()
        .find(|condition| condition.r#type == PROMOTED)
    {
        Some(condition) => *condition = promoted,
        None => status.conditions.insert(0, promoted),
    }
}

/// The reason that condition `Promoted` gives.
pub(super) fn reason(status: &CanaryStatus) -> &str {
    status
        .conditions
        .iter()
        .find(|condition| condition.r#type == PROMOTED)
        .map_or("", |condition| &condition.reason)
}
