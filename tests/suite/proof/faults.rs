//! What may become of a call besides the end of its process: every kind of fault at every call of
//! every kind of pass, passes that are frozen there and wake after others, and both at once. When the
//! faults stop the end is that of the clean run.

use std::collections::BTreeSet;

use davy::simulate::world::World;

use crate::proof::invariants::crashes;
use crate::proof::stage::faults::{FAULTS, Fault};
use crate::proof::stage::hand::{Hand, Holds};
use crate::proof::stage::run;
use crate::proof::stage::state::{end, end_without_evidence, objects};
use crate::proof::stage::stops::{Clean, Stop, Tried, all, same};
use crate::proof::stage::wire::is_of_the_cluster;

#[test]
fn every_call_may_fail_in_every_way() {
    let mut tried = Tried::new("faults");
    let mut shapes = BTreeSet::new();
    for (clean, stops) in all() {
        let earlier = std::iter::once(&stops[0])
            .chain(&stops)
            .map(|stop| &stop.begun.world);
        for (stop, earlier) in stops.iter().zip(earlier) {
            // Passes that make the same calls in the same phase fail alike.
            if shapes.insert(stop.shape.clone()) {
                at_every_call(&clean, stop, earlier, &mut tried);
            }
        }
    }
    tried.end();
}

fn at_every_call(clean: &Clean, stop: &Stop, earlier: &World, tried: &mut Tried) {
    let mut seen = BTreeSet::new();
    for (number, call) in stop.calls.iter().enumerate() {
        for fault in FAULTS.iter().filter(|fault| fault.concerns(&call.what)) {
            tried.runs += 1;
            let result = fails(clean, stop, earlier, (number, *fault), &mut seen);
            tried.distinct += u64::from(matches!(result, Ok(1..)));
            tried.passes += result.as_ref().map_or(0, |passes| *passes);
            let (name, pass) = (stop.begun.name(), stop.begun.passes);
            tried.judged(result.map(drop), || {
                format!(
                    "{name}, pass {pass}, call {number}, {}, {fault:?}",
                    call.what
                )
            });
        }
    }
}

/// A pass with one fault, and the rest of the story without. The passes of the rest, none if an
/// earlier fault has left the same behind.
fn fails(
    clean: &Clean,
    stop: &Stop,
    earlier: &World,
    (number, fault): (usize, Fault),
    seen: &mut BTreeSet<String>,
) -> Result<u64, String> {
    let mut story = stop.begun.fork();
    let (io, calls) = fault.at(number, &story.world, earlier);
    let report = run(&io, story.options());
    story.end_pass(report.as_ref());
    // Hooks are sent again as they are: their keys tell which call it is.
    if fault.leaves_in_doubt() && is_of_the_cluster(&stop.calls[number].what) {
        let calls = calls.take();
        let rest = calls.get(number..).unwrap_or_default();
        crashes::c6_no_write_is_repeated_blindly(rest).map_err(|why| format!("c6: {why}"))?;
    }
    if !seen.insert(story.left_behind(&stop.begun)) {
        return story
            .verdict(|| "the same was left behind before".to_owned())
            .map(|()| 0);
    }
    let before = story.passes;
    story.play_out();
    story.verdict(|| "after the fault".to_owned())?;
    if fault == Fault::Stale {
        // What is shown late to have been changed may have been promoted once more, as it passed.
        same(&clean.objects, &objects(&story.world))?;
        return Ok(u64::from(story.passes - before));
    }
    // A server that denies an object is believed: what it held is not kept.
    if !fault.is_a_lie(&stop.calls[number].what) {
        same(
            &clean.end_without_evidence,
            &end_without_evidence(&story.world),
        )?;
    }
    Ok(u64::from(story.passes - before))
}

#[test]
fn a_pass_may_freeze_at_every_call_and_wake_after_others() {
    let mut tried = Tried::new("frozen passes");
    let mut shapes = BTreeSet::new();
    for (clean, stops) in all() {
        for stop in stops {
            if !shapes.insert(stop.shape.clone()) {
                continue;
            }
            for number in 0..stop.calls.len() {
                for others in [1, 2, 4] {
                    tried.runs += 1;
                    let result = freezes(&clean, &stop, number, others);
                    tried.passes += result.as_ref().map_or(0, |passes| *passes);
                    let (name, pass) = (stop.begun.name(), stop.begun.passes);
                    let what = &stop.calls[number].what;
                    tried.judged(result.map(drop), || {
                        format!("{name}, pass {pass} frozen at call {number}, {what}, for {others}")
                    });
                }
            }
        }
    }
    tried.end();
}

/// A pass that stops before a call, and goes on when others have been made.
fn freezes(clean: &Clean, stop: &Stop, number: usize, others: u32) -> Result<u64, String> {
    let mut story = stop.begun.fork();
    let frozen_pass = story.passes;
    let mut hand = Hand::new();
    let frozen = hand.begin(&story.world, story.options(), Holds::Every);
    for _ in 0..number {
        hand.let_through(frozen, None);
    }
    story.end_pass(None);
    for _ in 0..others {
        if story.come_to_pass() {
            story.pass();
        }
    }
    while !hand.is_over(frozen) {
        hand.let_through(frozen, None);
        story.judge(Some(frozen_pass));
    }
    story.play_out();
    story.verdict(|| "after it woke".to_owned())?;
    same(&clean.end, &end(&story.world))?;
    Ok(u64::from(story.passes - stop.begun.passes))
}

#[test]
fn a_pass_may_freeze_behind_its_claim_while_a_call_of_the_next_one_fails() {
    let mut tried = Tried::new("frozen claims");
    let mut shapes = BTreeSet::new();
    for (clean, stops) in all() {
        for stop in stops {
            let is_claim = |what: &str| what.ends_with("/status");
            let claim = stop.calls.iter().position(|call| is_claim(&call.what));
            let Some(claim) = claim.filter(|_| shapes.insert(stop.shape.clone())) else {
                continue;
            };
            for failing in 0.. {
                let Some((what, result)) = freezes_behind(&clean, &stop, claim, failing) else {
                    break;
                };
                tried.runs += 1;
                tried.passes += result.as_ref().map_or(0, |passes| *passes);
                let (name, pass) = (stop.begun.name(), stop.begun.passes);
                tried.judged(result.map(drop), || {
                    format!("{name}, pass {pass} frozen behind its claim, call {failing}, {what}")
                });
            }
        }
    }
    tried.end();
}

/// A pass that stops behind its claim and goes on after another, of which one call fails; which one
/// that is, and how many passes there were. Nothing if the other pass makes no such call.
fn freezes_behind(
    clean: &Clean,
    stop: &Stop,
    claim: usize,
    failing: usize,
) -> Option<(String, Result<u64, String>)> {
    let mut story = stop.begun.fork();
    let frozen_pass = story.passes;
    let mut hand = Hand::new();
    let frozen = hand.begin(&story.world, story.options(), Holds::Every);
    for _ in 0..=claim {
        hand.let_through(frozen, None);
    }
    story.end_pass(None);
    if !story.come_to_pass() {
        return None;
    }
    story.begin_pass();
    let (io, calls) = Fault::Refused(500).at(failing, &story.world, &story.world);
    let report = run(&io, story.options());
    story.end_pass(report.as_ref());
    let what = calls.take().get(failing)?.clone();
    while !hand.is_over(frozen) {
        hand.let_through(frozen, None);
        story.judge(Some(frozen_pass));
    }
    story.play_out();
    let passes = u64::from(story.passes - stop.begun.passes);
    let result = story
        .verdict(|| "after it woke".to_owned())
        .and_then(|()| {
            let end = end_without_evidence(&story.world);
            same(&clean.end_without_evidence, &end)
        })
        .map(|()| passes);
    Some((what, result))
}
