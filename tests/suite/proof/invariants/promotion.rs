//! Promotion, rollback and scale: what the primary gets, and that nobody is left without pods.

use serde_json::Value;

use davy::objects::configs;
use davy::objects::hash::config_checksum;

use super::ledger::Moment;
use super::release::{Claim, Role};
use super::workload::{hash, is_rolling_out, replicas, template};

/// The canary is never at zero while it has traffic, by our writing either of the two.
pub(super) fn p1_no_traffic_without_pods(moment: &Moment<'_>) -> Result<(), String> {
    let release = moment.release;
    if let Some((1.., 0)) = moment.scaled(Role::Target) {
        let weight = moment.ledger.weight(release);
        if weight > 0 && !was_raised_unseen(moment) {
            return Err(format!(
                "it is scaled to zero with {weight} % of the traffic"
            ));
        }
    }
    if let Some((before, after)) = moment.shift()
        && after > before
        && moment
            .ledger
            .get(&release.names.target())
            .is_some_and(|target| replicas(target) == 0)
    {
        return Err(format!("it gets {after} % with no replicas"));
    }
    Ok(())
}

/// Whether somebody gave the canary traffic after the claim of the step was made, which was not to
/// be seen.
fn was_raised_unseen(moment: &Moment<'_>) -> bool {
    let claims = moment.release.claims.iter();
    let known = claims
        .take_while(|c| Some(c.number) != moment.stamp)
        .count();
    moment.release.raised.is_some_and(|after| after > known)
}

/// Connections to the side that lost the traffic have time to end before its pods go.
pub(super) fn p1_connections_drain_first(moment: &Moment<'_>) -> Result<(), String> {
    let Some((1.., 0)) = moment.scaled(Role::Target) else {
        return Ok(());
    };
    let Some(moved) = moment.release.moved else {
        return Ok(());
    };
    let (passed, drain) = (
        moment.write.at.duration_since(moved),
        moment.release.drain(),
    );
    if passed < drain && !was_raised_unseen(moment) {
        return Err(format!(
            "{passed:#} after traffic moved, and {drain:#} is its time"
        ));
    }
    Ok(())
}

/// The primary's template changes only to what status claimed: in a promotion to the one that was
/// analysed, after a failed one to the one it had.
pub(super) fn p2_only_what_was_analysed_is_copied(moment: &Moment<'_>) -> Result<(), String> {
    let (true, Role::Primary) = (moment.ours, moment.role) else {
        return Ok(());
    };
    let (Some(before), Some(after)) = (&moment.write.before, &moment.write.after) else {
        return Ok(());
    };
    if template(before) == template(after) {
        return Ok(());
    }
    let step = moment.step().ok_or("no step claims it")?;
    let hash = hash(after);
    let heals = step.phase() == "Failed" && step.may_heal();
    // A primary that has never served follows a target that was mended meanwhile.
    let is_unused = step.phase() == "Initializing"
        && step.status()["layout"]["primaryIsNew"] == true
        && step.status()["layout"]["clientsMoved"] != true;
    if is_unused {
        return Ok(());
    }
    if step.phase() != "Promoting" && !heals {
        return Err(format!("the template changes in phase {}", step.phase()));
    }
    if step.status()["primarySpec"] != *hash {
        return Err(format!(
            "it gets {hash}, and {} was claimed",
            step.status()["primarySpec"]
        ));
    }
    if heals {
        return Ok(());
    }
    let applied = step.applied().0.as_str().unwrap_or_default();
    let analysed = moment.ledger.target_with(applied);
    if analysed.is_none_or(|target| images(target) != images(after)) {
        return Err(format!(
            "it gets {:?}, which is not what was analysed",
            images(after)
        ));
    }
    Ok(())
}

pub(super) fn images(workload: &Value) -> Vec<&Value> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    containers
        .into_iter()
        .flatten()
        .map(|container| &container["image"])
        .collect()
}

/// Once the primary runs the new version, a failed promotion gives all traffic to the canary; to
/// one that is rolling out itself, because somebody changed it meanwhile, not more than it has.
pub(super) fn p3_no_way_back_to_a_new_primary(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    if claim.phase() != "Failed" || previous.phase() != "Promoting" {
        return Ok(());
    }
    let primary = moment.ledger.get(&moment.release.names.primary());
    let runs = primary.map(hash);
    let is_copied = runs.is_some() && runs.as_deref() == previous.status()["primarySpec"].as_str();
    let was_there = previous.status()["primarySpec"] == previous.status()["previousSpec"];
    if !is_copied || was_there {
        return Ok(());
    }
    let all = if moment.release.names.has_route {
        100
    } else {
        0
    };
    let target = moment.ledger.get(&moment.release.names.target());
    // The claim stands on what its pass saw, which was so at some time after its `now`.
    let was_seen = moment.release.rolled_out.is_some_and(|at| at >= claim.at);
    let is_rolling = was_seen || target.is_some_and(is_rolling_out);
    // Another template than the one that was analysed gets no more than it has.
    let is_other = target.is_some_and(|target| Some(&*hash(target)) != claim.applied().0.as_str());
    let is_kept = claim.weight() == previous.weight() && (is_rolling || is_other);
    if !(claim.weight() == all || is_kept) || !claim.may_heal() {
        return Err(format!("the canary gets {} %", claim.weight()));
    }
    Ok(())
}

/// Succeeded means it: the primary runs the promoted template with its configs, answers, and has
/// the traffic.
pub(super) fn p4_succeeded_is_true(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, previous)) = moment.claimed() else {
        return Ok(());
    };
    let is_new = previous.is_none_or(|previous| previous.phase() != "Succeeded");
    if claim.phase() != "Succeeded" || !is_new {
        return Ok(());
    }
    let names = &moment.release.names;
    let primary = moment
        .ledger
        .get(&names.primary())
        .ok_or("there is no primary")?;
    let hash = hash(primary);
    if claim.status()["primarySpec"] != *hash {
        return Err(format!("the primary runs {hash}"));
    }
    if claim.primary_available < 1 {
        return Err("no primary pod answers".to_owned());
    }
    if claim.live_weight > 0 && !moment.release.foreign {
        return Err(format!(
            "the canary has {} % of the traffic",
            claim.live_weight
        ));
    }
    let promoted = claim.status()["promotedConfigs"].as_object();
    for (config, checksum) in promoted.into_iter().flatten() {
        let copy = configs::key_of_status(config).map(|key| configs::copy_key(&key));
        let copy = copy.map(|copy| names.key(copy.kind.group, copy.kind.kind, &copy.name));
        let copy = copy.and_then(|copy| moment.ledger.get(&copy));
        if copy.map(config_checksum).as_deref() != checksum.as_str() {
            return Err(format!("the copy of {config} is not what was promoted"));
        }
    }
    Ok(())
}

/// Failed means no traffic on the canary, or status says why it keeps it.
pub(super) fn p5_failed_has_no_traffic_or_says_why(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, previous)) = moment.claimed() else {
        return Ok(());
    };
    let keeps = |claim: &Claim| claim.phase() == "Failed" && claim.weight() > 0;
    let says_why = |claim: &Claim| {
        let reason = claim.status()["reason"].as_str().unwrap_or_default();
        claim.condition_reason() == "PromotionFailed" || reason.contains("the canary keeps")
    };
    // The first of ours that keeps it, or gives it more, has to say why; where somebody else has
    // written the phase, nobody has said it.
    let was_so = previous.is_some_and(|previous| {
        keeps(previous) && !says_why(previous) && previous.weight() >= claim.weight()
    });
    if keeps(claim) && !says_why(claim) && !was_so {
        return Err(format!(
            "the canary keeps {} %: {}",
            claim.weight(),
            claim.status()["reason"]
        ));
    }
    Ok(())
}

/// We never take pods from the primary.
pub(super) fn p6_primary_is_never_scaled_down(moment: &Moment<'_>) -> Result<(), String> {
    match moment.scaled(Role::Primary) {
        Some((before, after)) if after < before => Err(format!("{before} became {after}")),
        _ => Ok(()),
    }
}

/// After a rollback was claimed nothing else is, before the traffic is off the canary.
pub(super) fn p7_rollback_takes_one_step(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    let rolls_back = previous.phase() == "Failed" && previous.weight() == 0;
    let weight = claim.live_weight;
    let is_ours = !moment.release.foreign;
    // A claim that goes on with the rollback, where something was in its way, names the route.
    let route = moment.release.names.route();
    let goes_on = claim.recorded(&route).is_some();
    // A route that somebody else controls is not written.
    let owners = moment
        .ledger
        .get(&route)
        .map(|route| route["metadata"]["ownerReferences"].clone());
    let uid = &moment.release.canary["metadata"]["uid"];
    let is_taken = owners
        .iter()
        .filter_map(Value::as_array)
        .flatten()
        .any(|owner| owner["controller"] == true && owner["uid"] != *uid);
    if is_taken {
        return Ok(());
    }
    if rolls_back && is_ours && weight > 0 && claim.primary_carried && !goes_on {
        return Err(format!(
            "{} is claimed with {weight} % on the canary",
            claim.number
        ));
    }
    Ok(())
}

/// A rollback is never turned into an analysis of the same revision.
pub(super) fn p8_rollback_stays_a_rollback(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    if previous.phase() != "Failed" {
        return Ok(());
    }
    match claim.phase() {
        "Failed" | "Terminating" => Ok(()),
        "Progressing" if claim.applied() != previous.applied() => Ok(()),
        // The Canary names other objects: the traffic moves there, and nothing is analysed.
        "Initializing" if claim.status()["layout"] != previous.status()["layout"] => Ok(()),
        phase => Err(format!("Failed is followed by {phase}")),
    }
}

/// What was promoted is not analysed again.
pub(super) fn p9_nothing_is_analysed_twice(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    let starts = claim.phase() == "Progressing"
        && matches!(previous.phase(), "Initialized" | "Succeeded" | "Finalising");
    // Finalising that finds something else on the primary than was promoted starts over: somebody
    // has changed it, or what status said.
    let primary = moment.ledger.get(&moment.release.names.primary());
    let runs = primary.map(hash);
    let promoted = previous.promoted().0.as_str().unwrap_or_default();
    let promoted = moment.ledger.target_with(promoted);
    let is_changed = runs.as_deref() != previous.status()["primarySpec"].as_str()
        || primary.map(images) != promoted.map(images);
    let starts_over = previous.phase() == "Finalising" && is_changed;
    if starts && claim.applied() == previous.promoted() && !starts_over {
        return Err("the promoted revision is analysed again".to_owned());
    }
    Ok(())
}

/// When we let a Canary go, what outlives it leads to pods that answer.
pub(super) fn p11_nothing_left_pointing_nowhere(moment: &Moment<'_>) -> Result<(), String> {
    let (true, Role::Canary) = (moment.ours, moment.role) else {
        return Ok(());
    };
    let Some(before) = moment.write.before.as_deref() else {
        return Ok(());
    };
    let has = |canary: &Value| {
        let finalizers = canary["metadata"]["finalizers"].as_array();
        finalizers
            .into_iter()
            .flatten()
            .any(|finalizer| finalizer == "finalizer.flagger.app")
    };
    let lets_go = before["metadata"]["deletionTimestamp"].is_string()
        && has(before)
        && moment
            .write
            .after
            .as_deref()
            .is_none_or(|after| !has(after));
    if !lets_go {
        return Ok(());
    }
    let names = &moment.release.names;
    if moment.ledger.available(&names.target()) < 1 {
        return Err("no pod of the target answers".to_owned());
    }
    // What something else controls is not ours to lead anywhere.
    let outlives = |object: &&Value| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners
            .into_iter()
            .flatten()
            .all(|owner| owner["uid"] != *names.uid && owner["controller"] != true)
    };
    let target = moment.ledger.get(&names.target()).unwrap_or(&Value::Null);
    let labels = &target["spec"]["template"]["metadata"]["labels"];
    if let Some(apex) = moment
        .ledger
        .get(&names.key("", "Service", &names.apex))
        .filter(outlives)
    {
        let selector = apex["spec"]["selector"].as_object();
        if selector
            .into_iter()
            .flatten()
            .any(|(key, value)| labels[key] != *value)
        {
            return Err(format!(
                "the apex Service selects {}",
                apex["spec"]["selector"]
            ));
        }
    }
    if let Some(route) = moment.ledger.get(&names.route()).filter(outlives) {
        let text = route["spec"].to_string();
        for side in [&names.sides.primary, &names.sides.canary] {
            if text.contains(&format!("\"{side}\"")) {
                return Err(format!("the route leads to {side}"));
            }
        }
    }
    Ok(())
}
