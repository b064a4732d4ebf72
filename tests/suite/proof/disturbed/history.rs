//! One story from a disturbance on, judged after every write and every pass, until it rests.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use davy::pass::report::{Handled, Outcome};
use davy::simulate::scenario::answers::{Answer, Metrics};
use davy::simulate::scenario::hooks::{HookAnswer, Hooks};
use jiff::SignedDuration;
use serde_json::Value;

use super::disturbance::{Class, Disturbance, edit};
use super::parts::{Part, set_tag};
use super::sameness::fingerprint;
use crate::proof::invariants::passes::{Look, Pass, Passes};
use crate::proof::stage::Story;
use crate::proof::stage::wire::{Call, Calls, revision};

/// So many passes that write nothing are a rest.
const QUIET: u32 = 4;
/// After so many passes that came no further than to say so, time is let pass: more than any
/// deadline that a story has.
const PASSES_STUCK: u32 = 12;
const LONG: SignedDuration = SignedDuration::from_mins(75);
/// A canary that two such times have brought no further waits for ever.
const LONG_TIMES_MAX: u32 = 2;
/// Beside two for each step: setting up, repairing, draining, promoting.
const PASSES_BESIDE_STEPS: u32 = 40;

/// States from which histories of a story were seen to come to a good end.
pub(super) type Seen = Mutex<HashMap<String, HashSet<u64>>>;

/// A story that is disturbed, while it is played.
pub(super) struct History {
    pub(super) story: Story,
    passes: Passes,
    needs_a_human: bool,
    /// Passes in a row that wrote nothing, and that came no further.
    quiet: u32,
    stuck: u32,
    long_times: u32,
    /// Passes since the last disturbance.
    made: u32,
    last: Option<Handled>,
}

impl History {
    /// What follows from this moment.
    pub(super) fn of(moment: &Story) -> Self {
        let mut story = moment.fork();
        story.checker.is_disturbed_between_passes();
        Self {
            story,
            passes: Passes::default(),
            needs_a_human: false,
            quiet: 0,
            stuck: 0,
            long_times: 0,
            made: 0,
            last: None,
        }
    }

    fn fork_in(&self, call: &Call) -> Self {
        Self {
            story: self.story.fork_in(call.after.fork()),
            passes: self.passes.clone(),
            last: None,
            ..*self
        }
    }

    /// Something happens. Whether it has changed anything.
    pub(super) fn disturb(&mut self, disturbance: Disturbance) -> bool {
        if !disturbance.happens(&mut self.story) {
            return false;
        }
        if matches!(disturbance.class(), Class::Statuses | Class::Canaries) {
            // Whoever changes what counts, or what was counted, has it counted anew.
            self.passes = Passes::default();
        }
        self.needs_a_human |= disturbance.needs_a_human();
        self.come_to_life();
        true
    }

    /// Bounds and rests count from now.
    pub(super) fn come_to_life(&mut self) {
        (self.quiet, self.stuck, self.long_times, self.made) = (0, 0, 0, 0);
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.story.broken.is_empty()
    }

    /// One pass, and what the script says happens before it.
    pub(super) fn pass(&mut self) {
        self.begin();
        self.go_on();
    }

    fn begin(&mut self) {
        self.story.come_to_pass();
        self.story.begin_pass();
    }

    /// What a pass that has just begun goes by, where nothing else is still to come.
    fn state(&self) -> Option<u64> {
        let is_clear = self.story.surroundings.is_over() && self.passes.is_clear();
        let state = is_clear.then(|| fingerprint(&self.story, self.needs_a_human));
        state.flatten()
    }

    fn go_on(&mut self) {
        let before = self.look();
        let written = revision(&self.story.world);
        let report = {
            let io = self
                .story
                .surroundings
                .io(&self.story.world, self.story.passes);
            crate::proof::stage::run(&io, self.story.options())
        };
        let is_quiet = revision(&self.story.world) == written;
        self.story.end_pass(report.as_ref());
        let after = self.look();
        let handled = report.and_then(|report| report.canaries.into_iter().next());
        if let Some(bug) = handled.as_ref().filter(|it| it.reason.contains("a bug:")) {
            self.story
                .broken
                .push(format!("i4_no_panic: {}", bug.reason));
        }
        if let (Some(before), Some(after)) = (&before, &after) {
            let facts = self.facts(after);
            let broken = self.passes.judge(before, after, &facts);
            self.story.broken.extend(broken);
        }
        let came_further = match (&before, &after) {
            (Some(before), Some(after)) => {
                (before.phase(), before.share, before.wanted())
                    != (after.phase(), after.share, after.wanted())
            }
            (before, after) => before.is_some() != after.is_some(),
        };
        self.quiet = if is_quiet { self.quiet + 1 } else { 0 };
        self.stuck = if came_further { 0 } else { self.stuck + 1 };
        if came_further {
            self.long_times = 0;
        }
        self.made = if self.story.surroundings.is_over() {
            self.made + 1
        } else {
            0
        };
        self.last = handled;
    }

    /// The next pass, killed after each of its writes: a history for each.
    pub(super) fn killed(&self) -> Vec<Self> {
        let mut begun = Self {
            story: self.story.fork(),
            passes: self.passes.clone(),
            last: None,
            ..*self
        };
        begun.story.come_to_pass();
        begun.story.begin_pass();
        let scratch = begun.story.fork();
        let calls = Calls::default();
        let io = scratch.surroundings.io(&scratch.world, scratch.passes);
        crate::proof::stage::run(&calls.over(io, &scratch.world), scratch.options());
        let calls = calls.take();
        let killed = calls.iter().filter(|call| call.wrote).map(|call| {
            let mut killed = begun.fork_in(call);
            killed.story.end_pass(None);
            killed.passes = Passes::default();
            killed.come_to_life();
            killed
        });
        killed.collect()
    }

    fn look(&self) -> Option<Look> {
        self.story.checker.look(self.story.canary())
    }

    fn is_refused(&self, part: Part) -> bool {
        let (story, key) = (&self.story, part.key(&self.story));
        key.is_some_and(|key| story.surroundings.refuses(&key, story.passes))
    }

    fn facts(&self, look: &Look) -> Pass {
        let story = &self.story;
        Pass {
            at: story.world.now(),
            every: story.every(),
            is_judged: !self.is_refused(Part::Route) && !self.is_refused(Part::Apex),
            fails_checks: fails_checks(look.spec(), &story.world.lock().metrics),
        }
    }

    /// Plays on until it rests, or until it should. Where it comes to what another history was seen
    /// to come to a good end from, it is cut.
    pub(super) fn play_out(&mut self, seen: Option<&Seen>) {
        let mut states = Vec::new();
        while !self.is_broken() && !self.is_at_its_end() {
            self.begin();
            if let Some(seen) = seen {
                let state = self.state();
                if state.is_some_and(|state| self.was_seen(seen, state)) {
                    break;
                }
                states.extend(state);
            }
            self.go_on();
            self.look_at_the_clock();
        }
        if let Some(seen) = seen.filter(|_| !self.is_broken()) {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let of_story = seen.entry(self.story.name().to_owned()).or_default();
            of_story.extend(states);
        }
    }

    fn was_seen(&self, seen: &Seen, state: u64) -> bool {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(self.story.name())
            .is_some_and(|states| states.contains(&state))
    }

    /// Whether there is nothing to come; judges how it ended.
    fn is_at_its_end(&mut self) -> bool {
        if self.made > self.bound() {
            let why = format!("{} passes, and it does not rest", self.made);
            self.breaks("n4_comes_to_rest", &why);
            return true;
        }
        if self.made == 0 || !self.story.surroundings.is_over() {
            return false;
        }
        let Some(last) = &self.last else {
            // The Canary is gone.
            return true;
        };
        let rests = self.quiet >= QUIET && last.outcome == Outcome::Rested;
        let waits = self.is_stuck() && self.long_times == LONG_TIMES_MAX;
        if rests {
            self.rests();
        } else if waits {
            self.waits_for_ever();
        }
        rests || waits
    }

    fn is_stuck(&self) -> bool {
        self.quiet >= QUIET || self.stuck >= PASSES_STUCK
    }

    /// Whatever only time brings further gets time.
    fn look_at_the_clock(&mut self) {
        let rests = self
            .last
            .as_ref()
            .is_none_or(|last| last.outcome == Outcome::Rested);
        let is_over = self.story.surroundings.is_over();
        if is_over && !rests && self.is_stuck() && self.long_times < LONG_TIMES_MAX {
            self.long_times += 1;
            (self.quiet, self.stuck) = (0, 0);
            self.story.let_time_pass(LONG);
        }
    }

    /// Two passes for each step, and what comes beside.
    fn bound(&self) -> u32 {
        let analysis = self.look().map(|look| {
            let spec = look.spec();
            let first = &spec["canaryAnalysis"];
            if first.is_object() {
                first.clone()
            } else {
                spec["analysis"].clone()
            }
        });
        let analysis = analysis.unwrap_or_default();
        let number = |field: &str| analysis[field].as_u64().unwrap_or(0);
        let max = if number("maxWeight") == 0 {
            100
        } else {
            number("maxWeight")
        };
        let weights = max.checked_div(number("stepWeight")).unwrap_or(0);
        let back = max.checked_div(number("stepWeightPromotion")).unwrap_or(0);
        let listed = analysis["stepWeights"].as_array().map_or(0, Vec::len) as u64;
        let steps = weights + back + listed + number("iterations");
        // Each long time is waited for twice as long as it takes to be seen.
        let waits = (LONG_TIMES_MAX + 1) * (PASSES_STUCK + QUIET);
        2 * u32::try_from(steps).unwrap_or(0) + PASSES_BESIDE_STEPS + waits
    }

    /// What rests has its traffic where it belongs.
    fn rests(&mut self) {
        let Some(look) = self.look() else { return };
        if look.is_deleted {
            return self.breaks("n6_a_deletion_ends", "the finalizer stays");
        }
        self.is_safe(&look);
    }

    fn waits_for_ever(&mut self) {
        let Some(look) = self.look() else { return };
        let reason = self
            .last
            .as_ref()
            .map(|last| last.reason.clone())
            .unwrap_or_default();
        // A target whose pods never answer is no side to give traffic back to.
        let may_go = look.canary_ready > 0;
        if look.is_deleted && may_go && !self.story.surroundings.refuses_for_ever() {
            return self.breaks("n6_a_deletion_ends", &reason);
        }
        // What is refused is told to people, by an Event, a condition and the end of the pass.
        let is_told = self
            .last
            .as_ref()
            .is_some_and(|last| last.outcome == Outcome::Refused);
        // An application that somebody has put to zero is not to be served.
        let is_slow =
            reason == "the interval has not passed" || reason.contains("0 replicas are asked for");
        // Whoever keeps a gate closed is a human.
        let is_closed = reason.contains(" advancement waiting for ") && reason.contains("approval");
        if !self.needs_a_human && !is_told && !is_slow && !is_closed && !look.is_deleted {
            return self.breaks("n4_nothing_waits_for_ever", &reason);
        }
        self.is_safe(&look);
    }

    fn is_safe(&mut self, look: &Look) {
        if look.share_left_behind > 0 && !look.is_suspended && !look.is_deleted {
            let why = format!(
                "a route of an earlier name has {} % on the canary",
                look.share_left_behind
            );
            return self.breaks("n4_rests_with_a_safe_route", &why);
        }
        let Some(share @ 1..) = look.share else {
            return;
        };
        let may_be = look.is_suspended
            || look.is_deleted
            || !look.primary_carries
            || !self.facts(look).is_judged
            // A primary that may not be written cannot get its template back, and the traffic of a
            // failed promotion stays where both sides are well.
            || look.heals() && self.is_refused(Part::Primary)
            || look.phase() == "Initializing"
            // A route that somebody else controls is not ours to write.
            || self.last.as_ref().is_some_and(|last| last.reason.contains(" is controlled by "))
            || look.canary_ready > look.primary_ready && look.wanted() == 100;
        if !may_be {
            let why = format!(
                "it rests with {share} % on the canary, in phase {}",
                look.phase()
            );
            self.breaks("n4_rests_with_a_safe_route", &why);
        }
    }

    /// Whatever has happened, the next good version is released.
    pub(super) fn a_new_release_is_promoted(&mut self) {
        const TAG: &str = "8.8.8";
        if self.is_broken()
            || self.needs_a_human
            || self.look().is_none_or(|look| look.is_suspended)
        {
            return;
        }
        {
            let canary = self.story.get(self.story.canary());
            let mut state = self.story.world.lock();
            state.metrics = Metrics::default();
            state.hooks = canary.map(|it| agreeing(&it["spec"])).unwrap_or_default();
        }
        let Some(target) = Part::Target.key(&self.story) else {
            return;
        };
        if !edit(&self.story, &target, |target| set_tag(target, TAG)) {
            return;
        }
        self.story.judge(None);
        self.come_to_life();
        self.play_out(None);
        let primary = Part::Primary
            .key(&self.story)
            .and_then(|key| self.story.get(&key));
        let primary = primary.as_deref().cloned().unwrap_or_default();
        let image = &primary["spec"]["template"]["spec"]["containers"][0]["image"];
        let is_promoted = image.as_str().is_some_and(|image| image.ends_with(TAG));
        if !self.is_broken() && !is_promoted {
            let why = format!(
                "the primary runs {image}: {:?}",
                self.last.as_ref().map(|last| &last.reason)
            );
            self.breaks("n4_the_next_release_is_promoted", &why);
        }
    }

    fn breaks(&mut self, invariant: &str, why: &str) {
        let status = self.story.status();
        let told = format!(
            "{invariant}: {why}; phase {:?}, weight {:?}, {:?}",
            status.phase, status.canary_weight, status.reason
        );
        self.story.broken.push(told);
    }
}

/// Hooks that agree to a release: those that would call it back say no.
fn agreeing(spec: &Value) -> Hooks {
    let mut hooks = Hooks::default();
    let webhooks = analysis(spec)["webhooks"].as_array().into_iter().flatten();
    for webhook in webhooks.filter(|webhook| webhook["type"] == "rollback") {
        let name = webhook["name"].as_str().unwrap_or_default().to_owned();
        hooks.by_name.insert(name, HookAnswer::Status(403, None));
    }
    hooks
}

fn analysis(spec: &Value) -> &Value {
    if spec["analysis"].is_object() {
        &spec["analysis"]
    } else {
        &spec["canaryAnalysis"]
    }
}

/// Whether one of the built-in checks of a Canary fails by what the metrics system answers.
fn fails_checks(spec: &Value, metrics: &Metrics) -> bool {
    let (Answer::Value(success_rate), Answer::Value(milliseconds)) =
        (metrics.success_rate, metrics.milliseconds)
    else {
        return false;
    };
    let checks = analysis(spec)["metrics"].as_array().into_iter().flatten();
    let mut bounds = checks.map(|check| {
        let bound = |field: &str| {
            check["thresholdRange"][field]
                .as_f64()
                .or(check["threshold"].as_f64())
        };
        match check["name"].as_str() {
            Some("request-success-rate") => bound("min").is_some_and(|min| success_rate < min),
            Some("request-duration") => bound("max").is_some_and(|max| milliseconds > max),
            _ => false,
        }
    });
    spec["skipAnalysis"] != true && bounds.any(|fails| fails)
}
