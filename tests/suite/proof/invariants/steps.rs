//! Steps and overlapping passes: one step at a time, claimed before it is taken, and never twice.

use jiff::Timestamp;
use serde_json::Value;

use super::Verb;
use super::ledger::{Moment, has_effect};
use super::release::{Claim, Role};

/// One pass claims at most one step of a canary.
pub(super) fn s1_one_step_a_pass(moment: &Moment<'_>) -> Result<(), String> {
    let (Some((claim, _)), Some(pass)) = (moment.claimed(), moment.write.pass) else {
        return Ok(());
    };
    match moment.release.claimed_by.get(&pass) {
        Some(before) => Err(format!("it had claimed {before:?} before {}", claim.number)),
        None => Ok(()),
    }
}

/// Whether a claim is a step that waits for the interval: it raises, or it counts.
fn is_gated(claim: &Claim, previous: &Claim) -> bool {
    let more = |field: &str| claim.number_of(field) > previous.number_of(field);
    let raises = claim.weight() > previous.weight()
        && claim.weight() != claim.live_weight
        && !claim.takes_over();
    claim.phase() == "Progressing"
        && previous.phase() == "Progressing"
        && previous.applied() == claim.applied()
        && (raises || more("iterations") || more("failedChecks"))
}

fn is_due(moment: &Moment<'_>, claim: &Claim, since: Timestamp) -> Result<(), String> {
    let (passed, due) = (claim.at.duration_since(since), moment.release.due());
    if !due.is_zero() && passed < due {
        return Err(format!("{passed:#} after {since}, and {due:#} is due"));
    }
    Ok(())
}

/// However many passes there are, an interval lies between two steps that raise or count.
pub(super) fn s2_one_step_an_interval(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    // Repairs lie between, and put nothing off.
    match moment.release.last_step() {
        Some(step) if is_gated(claim, previous) => is_due(moment, claim, step.at),
        _ => Ok(()),
    }
}

/// Numbers rise by one, and a step that goes further has the answers of every check.
pub(super) fn s3_numbers_rise_by_one_on_evidence(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, previous)) = moment.claimed() else {
        return Ok(());
    };
    let expected = previous.map_or(1, |previous| previous.number + 1);
    if claim.number != expected {
        return Err(format!("{} follows {previous:?}", claim.number));
    }
    let Some(previous) = previous.filter(|previous| previous.phase() == "Progressing") else {
        return Ok(());
    };
    let further = match claim.phase() {
        "Promoting" => true,
        "Progressing" => {
            let raises = claim.weight() > previous.weight()
                && claim.weight() != claim.live_weight
                && !claim.takes_over();
            raises || claim.number_of("iterations") > previous.number_of("iterations")
        }
        _ => false,
    };
    let is_asked = moment.release.metrics() > 0 && !moment.release.skips_analysis();
    if further && previous.has_started() && is_asked {
        return has_passed(moment, claim);
    }
    Ok(())
}

fn has_passed(moment: &Moment<'_>, claim: &Claim) -> Result<(), String> {
    let checks = claim.status()["checks"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let bears_no_data = moment.release.analysis()["onNoData"] == "pass";
    let passed = |check: &Value| match check["verdict"].as_str() {
        Some("pass") => true,
        Some("noData" | "tooLittleData") => bears_no_data,
        _ => false,
    };
    // What hooks have answered stands beside the metrics.
    let of_metrics = checks.iter().filter(|check| check["hook"].is_null());
    if of_metrics.count() != moment.release.metrics() || !checks.iter().all(passed) {
        return Err(format!("{} goes further on {checks:?}", claim.number));
    }
    Ok(())
}

/// Whether this is a write of an object that a step names.
fn is_step_write(moment: &Moment<'_>) -> bool {
    moment.ours
        && moment.write.verb != Verb::Delete
        && !matches!(moment.role, Role::Canary | Role::Event)
}

/// What a later step has written an earlier one does not write again.
pub(super) fn s4_never_again_after_a_later_step(moment: &Moment<'_>) -> Result<(), String> {
    if !is_step_write(moment) {
        return Ok(());
    }
    let last = moment.release.written.get(&moment.write.key).copied();
    let stamp = moment.stamp.ok_or("it bears no number of a step")?;
    match last {
        Some(last) if last > stamp => Err(format!("step {stamp} writes after step {last}")),
        _ => Ok(()),
    }
}

/// Every write belongs to a step that status has claimed and that names the object. Once a later
/// step is claimed, it lands only where that one will write too: in its own pass, or, as nothing
/// there bears its number, carried into the claim after it.
pub(super) fn s5_late_writes_have_no_effect(moment: &Moment<'_>) -> Result<(), String> {
    if !is_step_write(moment) {
        return Ok(());
    }
    let key = &moment.write.key;
    let step = moment
        .step()
        .ok_or("the cluster is ahead of status: the step is not claimed")?;
    if step.recorded(key).is_none() {
        return Err(format!("step {} does not name it", step.number));
    }
    let last = moment.release.last().map_or(step, |last| last);
    // What is not there cannot be taken over. Nothing reads an earlier config's copy before the
    // next promotion has written it anew.
    let is_spare = moment.write.verb == Verb::Create && key.name.ends_with("-primary-previous");
    let is_late = last.number > step.number && last.recorded(key).is_none();
    if is_late && !is_spare && has_effect(moment.write) {
        return Err(format!(
            "step {} writes after step {} was claimed, which does not write it",
            step.number, last.number
        ));
    }
    Ok(())
}

/// Where nothing is known of earlier claims the first one names both workloads, so that a pass
/// from before the status was lost meets a conflict.
pub(super) fn s5_a_first_claim_names_what_is_there(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, None)) = moment.claimed() else {
        return Ok(());
    };
    let names = &moment.release.names;
    // What only says that the Canary is not valid acts on nothing, and what gives back leaves the
    // primary as it is.
    if claim.phase().is_empty() || claim.phase() == "Terminating" {
        return Ok(());
    }
    for workload in [names.target(), names.primary()] {
        if moment.ledger.get(&workload).is_some() && claim.recorded(&workload).is_none() {
            return Err(format!("it does not name {workload}"));
        }
    }
    Ok(())
}

/// A step that was finished late is observed for an interval all the same.
pub(super) fn s6_a_step_is_observed_before_the_next(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    if !is_gated(claim, previous) {
        return Ok(());
    }
    let release = moment.release;
    let last = release.last_step().map(|step| step.number);
    match last.and_then(|number| release.effects.get(&number)) {
        Some(since) => is_due(moment, claim, *since),
        None => Ok(()),
    }
}

/// A pass writes for the step that it claimed, or, without one, for the last that there was.
pub(super) fn s7_a_lost_claim_leaves_nothing(moment: &Moment<'_>) -> Result<(), String> {
    let (true, Some(stamp), Some(pass)) = (is_step_write(moment), moment.stamp, moment.write.pass)
    else {
        return Ok(());
    };
    match moment.release.claimed_by.get(&pass) {
        Some(own) if *own != [stamp] => Err(format!("it claimed {own:?} and writes {stamp}")),
        _ => Ok(()),
    }
}

/// Of two Canaries on one target, Service or route neither is acted on.
pub(super) fn s8_contested_canaries_rest(moment: &Moment<'_>) -> Result<(), String> {
    if !moment.ours || moment.role == Role::Event {
        return Ok(());
    }
    let own = &moment.release.names;
    let rival = moment.ledger.releases().find(|other| {
        let names = &other.names;
        names.namespace == own.namespace
            && names.canary != own.canary
            && (names.target() == own.target() || names.apex == own.apex)
    });
    match rival {
        Some(rival) => Err(format!("Canary {} is about the same", rival.names.canary)),
        None => Ok(()),
    }
}

/// Within one analysis failed checks only rise, and by one at a time.
pub(super) fn s9_failed_checks_count_up_by_one(moment: &Moment<'_>) -> Result<(), String> {
    let Some((claim, Some(previous))) = moment.claimed() else {
        return Ok(());
    };
    let same_analysis = claim.phase() == "Progressing"
        && previous.phase() == "Progressing"
        && claim.applied() == previous.applied();
    let starts_over = !claim.has_started() && previous.has_started();
    // A number below zero, which only somebody else can have written, counts as none.
    let (from, to) = (
        previous.number_of("failedChecks").max(0),
        claim.number_of("failedChecks").max(0),
    );
    if same_analysis && !starts_over && (to < from || to > from + 1) {
        return Err(format!("{from} became {to}"));
    }
    Ok(())
}
