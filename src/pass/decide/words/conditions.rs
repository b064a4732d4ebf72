//! The conditions: Flagger's `Promoted`, by which `kubectl wait --for=condition=promoted` works, and
//! beside it those by which kstatus tells health, and with it Flux and Argo CD.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{CanaryCondition, CanaryStatus, ConditionStatus, Phase};

use crate::pass::snapshot::Snapshot;

use crate::pass::decide::words;

pub(in crate::pass::decide) const PROMOTED: &str = "Promoted";
/// The canary serves what was asked for.
const READY: &str = "Ready";
/// On the way there.
const RECONCILING: &str = "Reconciling";
/// Not on the way any more: somebody must change something.
const STALLED: &str = "Stalled";
/// Why an analysis ended without a verdict: the target was set back while it ran.
pub(in crate::pass::decide) const REVERTED: &str = "Reverted";
/// Why a canary failed that had passed its analysis.
pub(in crate::pass::decide) const PROMOTION_FAILED: &str = "PromotionFailed";

/// Why a Canary is not acted upon: it, or what it refers to, is not valid.
pub(in crate::pass::decide) const INVALID: &str = "Invalid";
/// Why a Canary at rest is not well: nothing serves.
pub(in crate::pass::decide) const PRIMARY_DOWN: &str = "PrimaryNotReady";
/// Why a Canary is not well although its status is: the route cannot be written.
pub const ROUTE_BEHIND: &str = "RouteNotWritten";

/// Why a Canary is not well although its status is: the API server refuses what it says.
pub const WRITE_REFUSED: &str = "WriteRefused";

/// What a phase is called where its own name would tell too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pass::decide) struct Cause {
    pub(in crate::pass::decide) reason: &'static str,
    pub(in crate::pass::decide) message: &'static str,
}

pub(in crate::pass::decide) const REVERTING: Cause = Cause {
    reason: REVERTED,
    message: "Target set back to the promoted revision, routing all traffic to primary.",
};
pub(in crate::pass::decide) const REVERT_DONE: Cause = Cause {
    reason: REVERTED,
    message: "Target set back to the promoted revision, analysis ended.",
};
/// The canary still runs: Flagger's message, that it is at zero, is not true yet.
pub(in crate::pass::decide) const ROLLING_BACK: Cause = Cause {
    reason: "Failed",
    message: "Canary analysis failed, routing all traffic to primary.",
};
pub(in crate::pass::decide) const HEALING: Cause = Cause {
    reason: PROMOTION_FAILED,
    message: "Promotion failed, primary not ready: its previous template is put back.",
};
pub(in crate::pass::decide) const HEALED: Cause = Cause {
    reason: PROMOTION_FAILED,
    message: "Promotion failed, primary has its previous template back.",
};

/// Sets the phase and what `Promoted` says of it.
pub(in crate::pass::decide) fn set(
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
    put(
        &mut status.conditions,
        PROMOTED,
        truth,
        &reason,
        &message,
        now,
    );
}

/// The canary's pods are gone: a failed release says so, in Flagger's words.
pub(in crate::pass::decide) fn scaled_to_zero(
    status: &mut CanaryStatus,
    kind: &str,
    now: Timestamp,
) {
    let is_rolled_back = status
        .conditions
        .iter()
        .any(|condition| condition.r#type == PROMOTED && condition.message == ROLLING_BACK.message);
    if is_rolled_back && status.phase == Some(Phase::Failed) {
        set(status, kind, Phase::Failed, None, now);
    }
}

/// Sets the conditions of health, as kstatus reads them: Reconciling is progress, Stalled a failure
/// that waits for somebody, and neither of them beside a true Ready is what was asked for. Only
/// Ready is ever not true: one of the others that is there and false would be news to some readers.
/// `unwell` is why the canary is not well whatever its phase says.
pub fn set_health(status: &mut CanaryStatus, unwell: Option<(&'static str, &str)>, now: Timestamp) {
    let (ready, other) = match (unwell, status.phase) {
        // What was wrong before anything began is mended: nothing is known yet.
        (None, None) => {
            let health = [READY, RECONCILING, STALLED];
            let conditions = &mut status.conditions;
            return conditions.retain(|condition| !health.contains(&&*condition.r#type));
        }
        (Some(_), _) | (None, Some(Phase::Failed)) => (ConditionStatus::False, Some(STALLED)),
        (None, Some(Phase::Initialized | Phase::Succeeded)) => (ConditionStatus::True, None),
        (None, Some(_)) => (ConditionStatus::Unknown, Some(RECONCILING)),
    };
    let conditions = &mut status.conditions;
    let promoted = conditions
        .iter()
        .find(|condition| condition.r#type == PROMOTED);
    let (reason, message) = match (unwell, promoted) {
        (Some((reason, message)), _) => (
            reason.to_owned(),
            crate::pass::decide::claims::bounds::reason(message),
        ),
        (None, Some(promoted)) => (promoted.reason.clone(), promoted.message.clone()),
        (None, None) => {
            let phase = status.phase.map(|phase| format!("{phase:?}"));
            (phase.unwrap_or_default(), String::new())
        }
    };
    conditions.retain(|condition| {
        let name = &*condition.r#type;
        (name != RECONCILING && name != STALLED) || Some(name) == other
    });
    put(conditions, READY, ready, &reason, &message, now);
    if let Some(other) = other {
        put(
            conditions,
            other,
            ConditionStatus::True,
            &reason,
            &message,
            now,
        );
    }
}

/// Condition Ready, if status has it.
pub(in crate::pass::decide) fn ready(status: &CanaryStatus) -> Option<&CanaryCondition> {
    status.condition(READY)
}

/// Whether status says that the canary is not well, for this reason among others.
pub fn is_unwell(status: &CanaryStatus, why: &str) -> bool {
    ready(status)
        .is_some_and(|ready| ready.status == ConditionStatus::False && ready.message.contains(why))
}

/// Whether status says that a write was refused.
pub(in crate::pass::decide) fn is_refused(status: &CanaryStatus) -> bool {
    ready(status).is_some_and(|ready| {
        ready.status == ConditionStatus::False && ready.reason == WRITE_REFUSED
    })
}

/// What was refused is written: health is the phase's again.
pub fn forget_refusal(status: &mut CanaryStatus, now: Timestamp) {
    if is_refused(status) {
        set_health(status, None, now);
    }
}

/// Whether status says already that the canary is not well, with this text.
pub(in crate::pass::decide) fn says(snapshot: &Snapshot, text: &str) -> bool {
    ready(&snapshot.status).is_some_and(|ready| {
        ready.status == ConditionStatus::False
            && ready.message == crate::pass::decide::claims::bounds::reason(text)
    })
}

/// Other tools' conditions stay where they are, and the transition time moves only with the
/// condition's status.
fn put(
    conditions: &mut Vec<CanaryCondition>,
    name: &str,
    truth: ConditionStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let old = conditions
        .iter_mut()
        .find(|condition| condition.r#type == name);
    if let Some(old) = &old
        && old.status == truth
        && old.reason == reason
        && old.message == message
    {
        return;
    }
    let same = old.as_ref().filter(|old| old.status == truth);
    let since = same.and_then(|old| old.last_transition_time.clone());
    let condition = CanaryCondition {
        r#type: name.to_owned(),
        status: truth,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_update_time: Some(Time(now)),
        last_transition_time: since.or(Some(Time(now))),
    };
    match old {
        Some(old) => *old = condition,
        None if name == PROMOTED => conditions.insert(0, condition),
        None => conditions.push(condition),
    }
}

/// The reason that condition `Promoted` gives.
pub(in crate::pass::decide) fn reason(status: &CanaryStatus) -> &str {
    status
        .condition(PROMOTED)
        .map_or("", |condition| &condition.reason)
}
