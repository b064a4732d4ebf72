//! A route that shows another weight than status wants.

use crate::api::status::Phase;
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim};
use super::{analysis, wait, words};

/// The route shows more than status wants: a write that is still to come, or somebody else's.
pub(super) fn above(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let (traffic, wanted) = (snapshot.shown(), snapshot.wanted());
    let has_finished_claim = snapshot.status.step.is_some();
    let keys = snapshot.weight_keys();
    let is_foreign = keys.iter().any(|key| snapshot.foreign.contains(key));
    let is_above = traffic.exceeds(wanted) && !outstanding.lowered;
    if !is_above || !has_finished_claim || snapshot.is_contested || is_foreign {
        return None;
    }
    let is_answered = traffic.answered().exceeds(wanted.answered());
    let (shown, wanted) = (words::share(traffic), words::share(wanted));
    let phase = snapshot.phase();
    let can_go_back =
        !is_answered || snapshot.primary_can_carry() || snapshot.canary_available() == 0;
    if !can_go_back {
        let is_analysis = matches!(phase, Some(Phase::Progressing | Phase::WaitingPromotion));
        if is_analysis {
            // A new analysis goes on where the traffic is: its promotion is what mends a primary.
            let reason = format!("the canary keeps {shown} while the primary is not ready");
            let claim = Claim::new(snapshot).traffic(traffic);
            return Some(claim.into_decision(outstanding, &reason));
        }
        if phase == Some(Phase::Promoting) || snapshot.is_healing() {
            return None;
        }
        let reason = format!("the canary keeps {shown} until the primary is ready");
        return (!analysis::is_new_revision(snapshot)).then(|| wait(&reason));
    }
    if outstanding.is_route_unfinished(snapshot) {
        let reason = format!(
            "finishing step {}: the canary goes from {shown} to {wanted}",
            snapshot.step_number()
        );
        return Some(claims::finish(snapshot, outstanding, &reason));
    }
    let reason = format!(
        "repairing the canary's weight, {shown} instead of {wanted}: {}",
        outstanding.repairs(snapshot)
    );
    Some(Claim::new(snapshot).into_decision(outstanding, &reason))
}

/// Somebody took traffic off the canary, or its route: it stays off until checks have passed. What
/// the route has beyond status goes too.
pub(super) fn below(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if !outstanding.lowered || snapshot.is_contested || snapshot.status.step.is_none() {
        return None;
    }
    let left = snapshot.shown().common(snapshot.wanted());
    let (shown, wanted) = (left.canary, snapshot.status_weight());
    if let Some(problem) = &snapshot.unreadable_route
        && !snapshot.primary_can_carry()
        && snapshot.canary_available() > 0
    {
        let reason = format!("repairing the route: {problem}");
        return Some(Claim::new(snapshot).into_decision(outstanding, &reason));
    }
    let by = outstanding
        .lowered_by
        .as_deref()
        .map(|by| format!(" by {by}"))
        .unwrap_or_default();
    let reason = match &snapshot.unreadable_route {
        Some(problem) => format!("canary weight {wanted} cannot be seen{by}, 0 is set: {problem}"),
        None if left.answered() == snapshot.wanted().answered() => {
            format!("copies of requests to the canary were ended{by}")
        }
        None => format!("canary weight was lowered from {wanted} to {shown}{by}"),
    };
    let total = match snapshot.terms.iterations() {
        0 => i64::MAX,
        total => total,
    };
    let claim = Claim::new(snapshot)
        .traffic(left)
        .iterations_at_most(total)
        .edit(|status| {
            let traffic = status.traffic.get_or_insert_default();
            traffic.before = None;
            let lowered = traffic.lowered.unwrap_or(0);
            traffic.lowered = Some(lowered.saturating_add(1));
        })
        .warning(reason.clone())
        .steps();
    Some(claim.into_decision(outstanding, &reason))
}
