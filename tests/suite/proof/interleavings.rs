//! Two passes from one snapshot, in every order of their calls, with somebody else's write at
//! every point in between: at most one step is taken, and two passes come to what one comes to.
//! Orders that differ only in calls to different objects, or in reads, are tried once.

use std::collections::BTreeSet;

use crate::proof::invariants::crashes;
use crate::proof::stage::hand::{Hand, Holds};
use crate::proof::stage::others::Other;
use crate::proof::stage::state::governed;
use crate::proof::stage::stops::{Clean, Tried, all, called, cuts};
use crate::proof::stage::wire::{Calls, is_of_the_cluster};
use crate::proof::stage::{Story, run};

/// More orders than this of two passes is a mistake of this test.
const ORDERS_MAX: u64 = 100_000;
/// Every order is tried where both passes together make no more writes than this. Where they make
/// more, as in setting a canary up, those orders are in which one hands over to another so often.
const WRITES_MAX: usize = 10;
const SWITCHES_MAX: usize = 3;
/// What somebody else does in between; the last moves no generation, only the resourceVersion.
const SOMEBODYS: [Other; 4] = [
    Other::Template,
    Other::RouteDown,
    Other::RouteUp,
    Other::TouchesRoute,
];
/// The one who is no pass.
const SOMEBODY: usize = 2;

/// A moment at which two passes begin.
struct Situation {
    begun: Story,
    /// What one pass makes of it.
    once: String,
    shape: String,
    /// How often one may hand over to another.
    switches_max: usize,
}

/// Every kind of situation: as the clean runs come to them, and as killed passes leave them.
fn situations(mut each: impl FnMut(&Clean, &Situation)) {
    let mut shapes = BTreeSet::new();
    for (clean, stops) in all() {
        for stop in &stops {
            let clean_ones = situation(stop.begun.fork());
            let killed = cuts(&stop.calls, &mut 0)
                .into_iter()
                .filter_map(|(world, _)| {
                    let mut cut = stop.killed_in(world);
                    cut.come_to_pass().then(|| {
                        cut.begin_pass();
                        situation(cut)
                    })
                });
            for found in killed.chain([clean_ones]).flatten() {
                if shapes.insert(found.shape.clone()) {
                    each(&clean, &found);
                }
            }
        }
    }
}

/// The situation of a story in which a pass has just begun; none if the pass writes nothing.
fn situation(begun: Story) -> Option<Situation> {
    let mut single = begun.fork();
    let calls = Calls::default();
    let report = run(&calls.of(&single.world), single.options());
    single.end_pass(report.as_ref());
    let calls = calls.take();
    if !calls.iter().any(|call| call.wrote) {
        return None;
    }
    let writes = || calls.iter().filter(|call| call.wrote);
    let has_few = writes().count() * 2 <= WRITES_MAX;
    let phases = (begun.status().phase, single.status().phase);
    let shape = format!("{phases:?} {}", called(&begun, writes()));
    Some(Situation {
        once: governed(&single.world),
        begun,
        shape,
        switches_max: if has_few { usize::MAX } else { SWITCHES_MAX },
    })
}

/// A choice that was made, and those that could have been.
struct Choice {
    options: Vec<usize>,
    made: usize,
}

#[test]
fn two_passes_from_one_snapshot_take_one_step_in_every_order() {
    let mut tried = Tried::new("interleavings");
    let mut count = 0;
    situations(|clean, situation| {
        count += 1;
        let somebody = SOMEBODYS.map(Some).into_iter();
        for other in somebody.chain([None]) {
            if other.is_none_or(|other| other.path(&situation.begun).is_some()) {
                every_order(clean, situation, other, &mut tried);
            }
        }
    });
    crate::proof::stage::stops::tell(&format!("interleavings: {count} situations"));
    tried.end();
}

fn every_order(clean: &Clean, situation: &Situation, other: Option<Other>, tried: &mut Tried) {
    let mut seen = BTreeSet::new();
    let mut prefix: Vec<usize> = Vec::new();
    for orders in 0.. {
        assert!(
            orders < ORDERS_MAX,
            "{} has too many orders",
            situation.shape
        );
        let mut story = situation.begun.fork();
        let (choices, is_whole) = play(&mut story, other, &prefix, situation.switches_max);
        if is_whole {
            tried.runs += 1;
            let result = judged(clean, situation, story, other, &mut seen, tried);
            let order: Vec<_> = choices.iter().map(|choice| choice.made).collect();
            let (name, pass) = (situation.begun.name(), situation.begun.passes);
            tried.judged(result, || {
                format!("{name}, pass {pass}, {other:?}, order {order:?}")
            });
        }
        // The next one in order: the last choice that has another option takes it.
        let open = choices
            .iter()
            .rposition(|choice| choice.options.last() > Some(&choice.made));
        let Some(at) = open else { return };
        prefix = choices[..at].iter().map(|choice| choice.made).collect();
        let next = choices[at]
            .options
            .iter()
            .find(|option| **option > choices[at].made);
        prefix.extend(next);
    }
}

/// Plays one order: first the given choices, then the first option at each point. Not whole where
/// only orders are left that were tried in another form.
fn play(
    story: &mut Story,
    other: Option<Other>,
    prefix: &[usize],
    switches_max: usize,
) -> (Vec<Choice>, bool) {
    let first = story.passes;
    let mut hand = Hand::new();
    for _ in 0..2 {
        hand.begin(&story.world, story.options(), Holds::FromTheFirstWrite);
    }
    let mut somebody =
        other.map(|other| format!("PATCH {}", other.path(story).unwrap_or_default()));
    let mut choices: Vec<Choice> = Vec::new();
    let mut last: Option<(usize, String)> = None;
    let mut switches = 0;
    loop {
        let next = |actor: usize| match actor {
            SOMEBODY => somebody.clone(),
            pass => hand.waits_at(pass),
        };
        let waiting: Vec<_> = (0..=SOMEBODY).filter_map(|a| Some((a, next(a)?))).collect();
        if waiting.is_empty() {
            return (choices, true);
        }
        let is_new = |(actor, call): &&(usize, String)| {
            let swapped = last.as_ref().filter(|(before, _)| actor < before);
            swapped.is_none_or(|(_, before)| depend(before, call))
        };
        let mut options: Vec<_> = waiting
            .iter()
            .filter(is_new)
            .map(|(actor, _)| *actor)
            .collect();
        let before = last.as_ref().map(|(actor, _)| *actor);
        if switches >= switches_max
            && let Some(before) = before.filter(|before| options.contains(before))
        {
            options = vec![before];
        }
        let Some(made) = prefix.get(choices.len()).or(options.first()).copied() else {
            return (choices, false);
        };
        let goes_on = waiting.iter().any(|(actor, _)| Some(*actor) == before);
        switches += usize::from(before != Some(made) && goes_on);
        last = waiting.into_iter().find(|(actor, _)| *actor == made);
        choices.push(Choice { options, made });
        if made == SOMEBODY {
            somebody = None;
            other.expect("somebody").happen(story, 0);
        } else {
            hand.let_through(made, None);
            story.judge(Some(first + u32::try_from(made).unwrap_or(0)));
        }
    }
}

/// Whether the order of two calls can make a difference.
fn depend(one: &str, other: &str) -> bool {
    let split = |call: &str| {
        let (method, path) = call.split_once(' ').unwrap_or_default();
        (
            method == "GET",
            format!("{}/", path.trim_end_matches("/status")),
        )
    };
    let ((reads, one), (also_reads, other)) = (split(one), split(other));
    // An Event is told under the same name by either pass, and read by none; what a hook answers
    // is in its script.
    let is_apart = |path: &str| path.contains("/events/") || !is_of_the_cluster(path);
    if (reads && also_reads) || is_apart(&one) || is_apart(&other) {
        return false;
    }
    one.starts_with(&other) || other.starts_with(&one)
}

fn judged(
    clean: &Clean,
    situation: &Situation,
    mut story: Story,
    other: Option<Other>,
    seen: &mut BTreeSet<String>,
    tried: &mut Tried,
) -> Result<(), String> {
    let number = |story: &Story| story.status().step.map_or(0, |step| step.number);
    let steps = number(&story) - number(&situation.begun);
    if steps > 1 {
        return Err(format!("{steps} steps were taken"));
    }
    if !seen.insert(story.left_behind(&situation.begun)) {
        return story.verdict(|| "the same was left behind before".to_owned());
    }
    tried.distinct += 1;
    story.passes += 1;
    story.end_pass(None);
    let before = story.passes;
    if other.is_none() {
        crashes::c3_repair_is_idempotent(&situation.once, &governed(&story.world))
            .map_err(|why| format!("c3: {why}"))?;
        story.play_out();
        story.verdict(|| "after both".to_owned())?;
        crate::proof::stage::stops::same(
            &clean.end,
            &crate::proof::stage::state::end(&story.world),
        )?;
    } else {
        story.free_what_is_stuck();
        story.come_to_rest();
        story.verdict(|| "after all".to_owned())?;
    }
    tried.passes += u64::from(story.passes - before);
    Ok(())
}
