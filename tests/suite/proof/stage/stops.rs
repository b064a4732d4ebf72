//! The clean run of a story: each of its passes with the world at every call, and what the run
//! comes to, which every other run is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Instant;

use davy::simulate::world::World;

use super::state::{announced, end, end_without_evidence, governed, lives, objects};
use super::wire::{Call, Calls, revision};
use super::{Story, run, stories};
use crate::proof::invariants::crashes::{self, Lives};
use crate::proof::invariants::route;

/// What a run without crashes comes to.
pub(crate) struct Clean {
    pub(crate) passes: u32,
    pub(crate) end: String,
    pub(crate) end_without_evidence: String,
    pub(crate) objects: String,
    /// Every state that it was in, as far as Davy looks after it.
    visited: BTreeSet<String>,
    announced: BTreeMap<String, u32>,
    /// Whether what a pass finds wrong is found by as many passes as the script counts.
    counts_passes: bool,
    lives: Lives,
}

/// A pass of the clean run.
pub(crate) struct Stop {
    /// When the pass had begun and not made a call yet.
    pub(crate) begun: Story,
    pub(crate) calls: Vec<Call>,
    /// What it came to, by which passes of several stories are told to be alike.
    pub(crate) shape: String,
}

/// Plays a story undisturbed, and remembers each pass in which anything can happen.
pub(crate) fn clean(mut story: Story) -> (Clean, Vec<Stop>) {
    let mut visited = BTreeSet::from([governed(&story.world)]);
    let mut stops: Vec<Stop> = Vec::new();
    let mut idle = 0;
    while story.come_to_pass() {
        let calls = Calls::default();
        story.begin_pass();
        visited.insert(governed(&story.world));
        let begun = story.fork();
        let report = run(&calls.of(&story.world), story.options());
        story.end_pass(report.as_ref());
        let calls = calls.take();
        let writes = calls.iter().filter(|call| call.wrote);
        visited.extend(writes.map(|call| governed(&call.after)));
        visited.insert(governed(&story.world));
        // Passes that only wait are all alike.
        idle = if calls.iter().any(|call| call.wrote) {
            0
        } else {
            idle + 1
        };
        if idle <= 2 {
            let shape = shape(&begun, &story, &calls);
            stops.push(Stop {
                begun,
                calls,
                shape,
            });
        }
    }
    let passes = story.passes;
    story.come_to_rest();
    visited.insert(governed(&story.world));
    story
        .verdict(|| "the clean run".to_owned())
        .expect("a clean run");
    let clean = Clean {
        passes,
        end: end(&story.world),
        end_without_evidence: end_without_evidence(&story.world),
        objects: objects(&story.world),
        visited,
        announced: announced(&story.world),
        counts_passes: story.counts_passes(),
        lives: lives(&story.world),
    };
    (clean, stops)
}

/// The clean runs of all stories.
pub(crate) fn all() -> impl Iterator<Item = (Clean, Vec<Stop>)> {
    stories()
        .into_iter()
        .map(|folder| clean(Story::read(&folder)))
}

fn shape(before: &Story, after: &Story, calls: &[Call]) -> String {
    let called = called(before, calls);
    let (before, after) = (before.status(), after.status());
    let more = after.canary_weight.cmp(&before.canary_weight);
    format!("{:?} {:?} {more:?} {called}", before.phase, after.phase)
}

/// What was called, in order, with every kind of route under one name: routers only translate, and
/// what a pass does about a call is the same whichever divides the traffic.
pub(crate) fn called<'a>(story: &Story, calls: impl IntoIterator<Item = &'a Call>) -> String {
    let canary = story.get(story.canary());
    let provider = canary.and_then(|it| it["spec"]["provider"].as_str().map(str::to_owned));
    let route = route::RouteKind::of(&provider.unwrap_or_default());
    let group = format!("/apis/{}/{}/", route.group, route.version);
    let calls = calls.into_iter().map(|call| {
        let what = call.what.replace(&group, "/apis/routes/");
        what.replace(route.plural, "routes")
    });
    calls.collect::<Vec<_>>().join(" ")
}

impl Clean {
    /// What the pass after a crash has made of it is a state that the clean run was in too.
    pub(crate) fn has_been_in(&self, world: &World) -> Result<(), String> {
        crashes::c1_repaired_into_a_clean_state(&self.visited, &governed(world))
            .map_err(|why| format!("c1: {why}"))
    }

    /// Holds the end of a story against the clean one. It may have taken `extra` passes more, and
    /// what was not said of `lost` may be lost.
    pub(crate) fn ends_like(
        &self,
        story: &Story,
        passes: u32,
        extra: u32,
        lost: &[String],
    ) -> Result<(), String> {
        if !story.broken.is_empty() {
            return Err(story.broken.join("\n    "));
        }
        same(&self.end, &end(&story.world))?;
        crashes::c2_at_most_one_extra_pass(self.passes + extra - 1, passes)
            .map_err(|why| format!("c2: {why}"))?;
        crashes::c4_same_lives(&self.lives, &lives(&story.world))
            .map_err(|why| format!("c4: {why}"))?;
        self.said_once(&announced(&story.world), extra, lost)
    }

    fn said_once(
        &self,
        said: &BTreeMap<String, u32>,
        extra: u32,
        lost: &[String],
    ) -> Result<(), String> {
        for (text, count) in said {
            if *count > self.announced.get(text).copied().unwrap_or(0) {
                return Err(format!("announced {count} times: {text}"));
            }
        }
        for (text, count) in &self.announced {
            let may_be_lost = lost.iter().filter(|lost| *lost == text).count();
            let mut may_be_lost = u32::try_from(may_be_lost).unwrap_or(0);
            if self.counts_passes && text.starts_with("Halt ") {
                // The pass that finishes what a crash has left asks nothing.
                may_be_lost += extra;
            }
            let said = said.get(text).copied().unwrap_or(0);
            if said + may_be_lost < *count {
                return Err(format!("announced {said} times instead of {count}: {text}"));
            }
        }
        Ok(())
    }
}

/// The lines in which two ends differ.
pub(crate) fn same(clean: &str, other: &str) -> Result<(), String> {
    if clean == other {
        return Ok(());
    }
    let lines = |text: &'_ str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (one, other) = (lines(clean), lines(other));
    let gone: Vec<_> = one.difference(&other).collect();
    let new: Vec<_> = other.difference(&one).collect();
    Err(format!(
        "the end differs:\n    {gone:#?}\n    became\n    {new:#?}"
    ))
}

/// The texts that may be lost with a pass that is killed now: those of the last claim.
pub(crate) fn in_flight(story: &Story) -> Vec<String> {
    let step = story.status().step;
    step.into_iter()
        .flat_map(|step| step.events)
        .map(|event| event.message)
        .collect()
}

impl Stop {
    /// The story after this pass was killed in a state of its world.
    pub(crate) fn killed_in(&self, world: &World) -> Story {
        let mut cut = self.begun.fork_in(world.fork());
        cut.end_pass(None);
        cut
    }
}

/// Every state that a kill among these calls leaves behind, with the first cut that leads to it;
/// `cuts` counts them all.
pub(crate) fn cuts<'a>(calls: &'a [Call], cuts: &mut u64) -> Vec<(&'a World, String)> {
    let mut distinct = BTreeMap::new();
    for (number, call) in calls.iter().enumerate() {
        for (outcome, world) in [
            ("not sent", &call.before),
            ("committed and not answered", &call.after),
            ("answered", &call.after),
        ] {
            *cuts += 1;
            distinct
                .entry(revision(world))
                .or_insert_with(|| (world, format!("call {number}, {}, {outcome}", call.what)));
        }
    }
    distinct.into_values().collect()
}

/// What was tried, and what went wrong.
pub(crate) struct Tried {
    what: &'static str,
    begun: Instant,
    pub(crate) runs: u64,
    /// Those that differ in what is left behind; the others were seen to be the same.
    pub(crate) distinct: u64,
    pub(crate) passes: u64,
    failures: Vec<String>,
}

impl Tried {
    pub(crate) fn new(what: &'static str) -> Self {
        let begun = Instant::now();
        Self {
            what,
            begun,
            runs: 0,
            distinct: 0,
            passes: 0,
            failures: Vec::new(),
        }
    }

    /// Takes note of a result. With `TEST_DAVY_PROOF=first` the first that is wrong ends the test.
    pub(crate) fn judged(&mut self, result: Result<(), String>, place: impl FnOnce() -> String) {
        if let Err(why) = result {
            let failure = format!("{}: {why}", place());
            let is_enough = std::env::var_os("TEST_DAVY_PROOF").is_some_and(|how| how == "first");
            assert!(!is_enough, "{failure}");
            self.failures.push(failure);
        }
    }

    /// Prints how much was tried; fails if anything went wrong.
    pub(crate) fn end(self) {
        let Self {
            what,
            begun,
            runs,
            distinct,
            passes,
            failures,
        } = self;
        tell(&format!(
            "{what}: {runs} tried, {distinct} distinct, {passes} passes, {} went wrong, {:.1?}",
            failures.len(),
            begun.elapsed()
        ));
        let first: Vec<_> = failures.into_iter().take(12).collect();
        assert!(first.is_empty(), "{}", first.join("\n\n"));
    }
}

/// Counts are for the one who reads the log, also where all is well.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
