//! The crash matrix: every pass of every scenario is killed at every outgoing call, with every
//! outcome of that call, and passes that nobody disturbs go on from there. They must come to the
//! end of the clean run, with at most one pass more for each crash, and nothing is said twice.

use crate::proof::stage::Story;
use crate::proof::stage::stops::{Clean, Stop, Tried, all, cuts, in_flight};
use crate::proof::stage::wire::Calls;

/// Stories in which two passes in a row are killed: a promotion, one that fails, a rollback, and
/// the end of a Canary.
const PAIRS: [&str; 5] = [
    "scenarios/promoted",
    "scenarios/primary-never-ready",
    "scenarios/rolled-back",
    "parity/istio-config",
    "parity/story-delete",
];

/// Goes on undisturbed from what killed passes left behind.
fn goes_on(clean: &Clean, mut cut: Story, crashes: u32, lost: &[String]) -> Result<u64, String> {
    let before = cut.passes;
    if cut.come_to_pass() {
        cut.pass();
        clean.has_been_in(&cut.world)?;
    }
    let passes = cut.play_out();
    clean.ends_like(&cut, passes, crashes, lost)?;
    Ok(u64::from(cut.passes - before))
}

#[test]
fn every_pass_may_be_killed_at_every_call() {
    let mut tried = Tried::new("crash matrix");
    for (clean, stops) in all() {
        for stop in &stops {
            for (world, place) in cuts(&stop.calls, &mut tried.runs) {
                let cut = stop.killed_in(world);
                let lost = in_flight(&cut);
                let place = || format!("{}, pass {}, {place}", cut.name(), cut.passes);
                let place = place();
                let result = goes_on(&clean, cut, 1, &lost);
                tried.distinct += 1;
                tried.passes += result.as_ref().map_or(0, |passes| *passes);
                tried.judged(result.map(drop), || place);
            }
        }
    }
    tried.end();
}

#[test]
fn the_pass_that_repairs_may_be_killed_too() {
    let mut tried = Tried::new("pairs of crashes");
    for (clean, stops) in all() {
        let name = stops[0].begun.name();
        if !PAIRS.contains(&name) {
            continue;
        }
        for stop in &stops {
            let mut singles = 0;
            for (world, place) in cuts(&stop.calls, &mut singles) {
                let mut cut = stop.killed_in(world);
                if cut.come_to_pass() {
                    let place = format!("{name}, pass {}, {place}", stop.begun.passes);
                    twice(&clean, cut, &place, &mut tried);
                }
            }
        }
    }
    tried.end();
}

/// Kills the next pass of a story too, at every call.
fn twice(clean: &Clean, mut cut: Story, place: &str, tried: &mut Tried) {
    let lost = in_flight(&cut);
    cut.begin_pass();
    let calls = Calls::default();
    let scratch = cut.fork();
    crate::proof::stage::run(&calls.of(&scratch.world), scratch.options());
    let calls = calls.take();
    let shape = String::new();
    let second = Stop {
        begun: cut,
        calls,
        shape,
    };
    for (world, again) in cuts(&second.calls, &mut tried.runs) {
        let cut = second.killed_in(world);
        let lost = [lost.clone(), in_flight(&cut)].concat();
        let result = goes_on(clean, cut, 2, &lost);
        tried.distinct += 1;
        tried.passes += result.as_ref().map_or(0, |passes| *passes);
        tried.judged(result.map(drop), || format!("{place}, then {again}"));
    }
}
