//! Three passes, somebody else, time, faults and kills in an order that is drawn at random. What
//! goes wrong is told with the seed, by which it is played again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::SignedDuration;

use crate::draw::Draw;
use crate::proof::stage::Story;
use crate::proof::stage::faults::Fault;
use crate::proof::stage::hand::{Hand, Holds};
use crate::proof::stage::others::OTHERS;
use crate::proof::stage::stops::{Tried, all, cuts, tell};

/// Schedules of a run of the suite, some ten seconds of them; `TEST_DAVY_SCHEDULES` asks for more.
const SCHEDULES: u64 = 1_500;
const PASSES: usize = 3;
/// One in so many is played on until the canary is at rest.
const PLAYED_OUT: u64 = 32;
/// What may become of a call here; the others are tried one by one elsewhere.
const FAULTS: &[Fault] = &[
    Fault::NotSent,
    Fault::Reset,
    Fault::Unanswered,
    Fault::GatewayTimeout,
    Fault::Refused(409),
    Fault::Refused(500),
    Fault::Garbled,
];
/// A schedule of three passes has some forty turns; one with this many does not end.
const TURNS_MAX: usize = 2_000;

/// Every moment of every story at which a pass begins, also after one that was killed.
fn moments() -> Vec<Story> {
    let mut moments = Vec::new();
    for (_, stops) in all() {
        for stop in stops {
            for (world, _) in cuts(&stop.calls, &mut 0) {
                moments.push(stop.killed_in(world));
            }
            moments.push(stop.begun);
        }
    }
    moments
}

#[test]
fn three_passes_in_any_order_never_break_an_invariant() {
    let moments = Mutex::new(moments());
    let number = |name: &str| {
        let text = std::env::var_os(name)?.into_string().ok()?;
        text.parse::<u64>().ok()
    };
    if let Some(seed) = number("TEST_DAVY_SEED") {
        let moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (played, result) = schedule(&moments, seed);
        tell(&played.join("\n"));
        return result.unwrap_or_else(|why| panic!("{why}"));
    }
    let schedules = number("TEST_DAVY_SCHEDULES").unwrap_or(SCHEDULES);
    let moments = moments.into_inner().unwrap_or_else(PoisonError::into_inner);
    tell(&format!("schedules: from {} moments", moments.len()));
    let next = AtomicU64::new(0);
    let tried = Mutex::new(Tried::new("schedules"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= schedules {
                        return;
                    }
                    let (played, result) = schedule(&moments, seed);
                    let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                    tried.runs += 1;
                    tried.passes += PASSES as u64;
                    tried.distinct += u64::from(result.is_ok());
                    let last = || played.last().cloned().unwrap_or_default();
                    let again = "cargo test --test suite three_passes";
                    tried.judged(result, || {
                        format!("TEST_DAVY_SEED={seed} {again} ({})", last())
                    });
                }
            });
        }
    });
    tried
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .end();
}

/// Plays the schedule of a seed; what happened, in order, and what went wrong.
fn schedule(moments: &[Story], seed: u64) -> (Vec<String>, Result<(), String>) {
    let mut draw = Draw(seed);
    let mut story = draw.one_of(moments).fork();
    let mut played = vec![format!("{} at pass {}", story.name(), story.passes)];
    let mut hand = Hand::new();
    // The number that each pass has in the story.
    let mut passes: Vec<u32> = Vec::new();
    for turn in 0..=TURNS_MAX {
        assert!(turn < TURNS_MAX, "seed {seed} does not end");
        let live: Vec<_> = (0..passes.len())
            .filter(|pass| !hand.is_over(*pass))
            .collect();
        if live.is_empty() && passes.len() == PASSES {
            break;
        }
        if passes.len() < PASSES && (live.is_empty() || draw.happens(15)) {
            story.passes += 1;
            passes.push(story.passes);
            hand.begin(&story.world, story.options(), Holds::Every);
            played.push(format!(
                "pass {} begins at {}",
                passes.len() - 1,
                story.world.now()
            ));
        } else if draw.happens(3) {
            let other = *draw.one_of(OTHERS);
            played.push(format!("{other:?}"));
            other.happen(&mut story, turn as u64);
        } else if draw.happens(4) {
            pass_time(&mut story, &mut draw, &mut played);
        } else {
            let pass = *draw.one_of(&live);
            go_on(
                &mut story,
                &mut hand,
                (pass, passes[pass]),
                &mut draw,
                &mut played,
            );
        }
    }
    story.end_pass(None);
    story.pass();
    if seed.is_multiple_of(PLAYED_OUT) {
        story.free_what_is_stuck();
        story.come_to_rest();
    }
    let result = story.verdict(|| "after all".to_owned());
    (played, result)
}

fn pass_time(story: &mut Story, draw: &mut Draw, played: &mut Vec<String>) {
    let every = story.every();
    let time = *draw.one_of(&[SignedDuration::from_secs(1), every / 2, every, every * 3]);
    story.world.advance(story.world.now() + time);
    story.judge(None);
    played.push(format!("{time:#} pass"));
}

/// A pass makes its next call, or is killed at it.
fn go_on(
    story: &mut Story,
    hand: &mut Hand,
    (pass, number): (usize, u32),
    draw: &mut Draw,
    played: &mut Vec<String>,
) {
    let call = hand.waits_at(pass).unwrap_or_default();
    if draw.happens(1) {
        played.push(format!("pass {pass} is killed before {call}"));
        return hand.kill(pass);
    }
    let fault = draw.happens(2).then(|| *draw.one_of(FAULTS));
    played.push(format!("pass {pass}: {call} {fault:?}"));
    hand.let_through(pass, fault);
    story.judge(Some(number));
}
