//! Traffic: what the route may show, and when it may change.

use serde_json::Value;

use super::ledger::Moment;
use super::release::{Claim, Role};
use super::route::splits;

/// We never show more than what status had claimed for that step.
pub(super) fn t1_weight_is_gated(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after)) = moment.shift() else {
        return Ok(());
    };
    let gated = moment.step().map_or(0, Claim::weight);
    if after > before && after > gated {
        return Err(format!(
            "the canary gets {after} %, and {gated} % was claimed"
        ));
    }
    Ok(())
}

/// Where we change weights they are whole numbers within 0 to 100 that make 100.
pub(super) fn t2_weights_sum_to_100(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after)) = moment.shift() else {
        return Ok(());
    };
    if before == after && moment.write.before.is_some() {
        return Ok(());
    }
    let route = moment.write.after.as_deref().unwrap_or(&Value::Null);
    for split in splits(route, &moment.release.names.sides) {
        let all = split.primary.iter().chain(&split.canary);
        if all.copied().sum::<Option<u64>>() != Some(100) {
            return Err(format!("the weights are {split:?}"));
        }
    }
    Ok(())
}

/// Status raises the weight by the strategy's one step, keeps it where the traffic is, or gives
/// all of it to the one healthy side after a failed promotion.
pub(super) fn t3_one_step_at_a_time(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, previous)) = moment.claimed() else {
        return Ok(());
    };
    let from = previous.map_or(0, Claim::weight);
    let to = claim.weight();
    if to <= from || to == claim.live_weight {
        return Ok(());
    }
    if claim.phase() == "Failed" && claim.may_heal() && to == 100 {
        return Ok(());
    }
    // A primary without pods leaves it to the canary to serve.
    if claim.takes_over() {
        return Ok(());
    }
    let next = moment
        .release
        .schedule()
        .into_iter()
        .find(|weight| *weight > from);
    if claim.phase() != "Progressing" || next != Some(to) {
        let phase = claim.phase();
        return Err(format!(
            "in phase {phase}, {from} % became {to} %; next was {next:?}"
        ));
    }
    Ok(())
}

/// The canary gets more only while enough of its pods answer.
pub(super) fn t4_canary_is_ready_for_more(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after)) = moment.shift() else {
        return Ok(());
    };
    if after <= before {
        return Ok(());
    }
    let now = moment.ledger.available(&moment.release.names.target());
    let at_claim = moment.step().map_or(0, |step| step.canary_available);
    if now.max(at_claim) < 1 {
        return Err(format!(
            "{before} % became {after} %, and no canary pod answers"
        ));
    }
    Ok(())
}

/// The primary gets more only while it can carry it, or the canary cannot.
pub(super) fn t5_primary_is_ready_for_more(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after)) = moment.shift() else {
        return Ok(());
    };
    // Without a route all clients are the primary's: one that gives the canary nothing, or more,
    // takes nothing there.
    let is_made = moment.write.before.is_none();
    if after > before || after == before && (!is_made || after == 0) {
        return Ok(());
    }
    let names = &moment.release.names;
    let (primary, canary) = (
        moment.ledger.available(&names.primary()),
        moment.ledger.available(&names.target()),
    );
    if primary < 1 && canary > 0 {
        return Err(format!(
            "{before} % became {after} %, and no primary pod answers"
        ));
    }
    Ok(())
}

/// A write of ours that changes weights shows exactly what its step claimed: no other edit of the
/// route takes weights with it.
pub(super) fn t6_edits_move_no_weight(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after)) = moment.shift() else {
        return Ok(());
    };
    match moment.step().map(Claim::weight) {
        Some(claimed) if after != before && after != claimed => Err(format!(
            "{before} % became {after} % in a step that claimed {claimed} %"
        )),
        _ => Ok(()),
    }
}

/// A raise goes onto the very route that its claim saw; what somebody lowered is first claimed as
/// it is.
pub(super) fn t7_lowered_is_not_raised_back(moment: &Moment<'_>) -> Result<(), String> {
    let Some((before, after)) = moment.shift() else {
        return Ok(());
    };
    let Some(step) = moment.step().filter(|_| after > before) else {
        return Ok(());
    };
    let live = moment.write.before.as_deref();
    let version = live.and_then(|route| route["metadata"]["resourceVersion"].as_str());
    let recorded = step.recorded(&moment.write.key);
    if recorded != Some(version.unwrap_or_default()) {
        return Err(format!(
            "the claim saw the route at {recorded:?}, it was at {version:?}"
        ));
    }
    let was_claimed = moment.release.before(step).map_or(0, Claim::weight);
    // What was claimed and not yet written when its pass was killed nobody has lowered.
    // Nor is a route whose weights are gone led to a primary that cannot carry it.
    let may_be_raised = step.takes_over() || !step.primary_carried;
    if moment.release.foreign && was_claimed > before && !may_be_raised {
        return Err(format!(
            "somebody had lowered {was_claimed} % to {before} %"
        ));
    }
    Ok(())
}

/// A new revision gets nothing before its own analysis; where the primary cannot carry the
/// traffic it stays where it is.
pub(super) fn t8_new_revision_starts_at_zero(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, previous)) = moment.claimed() else {
        return Ok(());
    };
    let is_new = previous.is_none_or(|previous| previous.applied() != claim.applied());
    if claim.phase() != "Progressing" || !is_new || claim.weight() == 0 {
        return Ok(());
    }
    let weight = claim.weight();
    // Another controller's analysis goes on where it is.
    let is_adopted = previous.is_none() && weight == claim.live_weight;
    // Where the traffic is, or was until somebody lowered it while this was decided.
    let known = previous.map_or(0, Claim::weight).max(claim.live_weight);
    if is_adopted || (!claim.primary_carried && weight <= known) {
        return Ok(());
    }
    Err(format!("it starts with {weight} %"))
}

/// We write only what is the canary's: its target, what we made, and what has no other owner.
pub(super) fn t11_only_our_own_objects(moment: &Moment<'_>) -> Result<(), String> {
    if !moment.ours || matches!(moment.role, Role::Canary | Role::Target | Role::Event) {
        return Ok(());
    }
    let Some(before) = moment.write.before.as_deref() else {
        return Ok(());
    };
    let owners = before["metadata"]["ownerReferences"].as_array();
    let controller = owners
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true);
    let controller = controller.and_then(|owner| owner["uid"].as_str());
    let may_be_adopted = matches!(
        moment.role,
        Role::Apex | Role::Service | Role::Route | Role::Rule | Role::UsersScaler
    );
    match controller {
        Some(uid) if uid == moment.release.names.uid => Ok(()),
        None if may_be_adopted => Ok(()),
        other => Err(format!("its controller is {other:?}")),
    }
}
