//! A stage for proofs: a scenario is played pass by pass, on a world that can be forked at every
//! call, and every committed write is judged by the invariants.

pub(crate) mod cuts;
pub(crate) mod faults;
pub(crate) mod hand;
pub(crate) mod others;
pub(crate) mod state;
pub(crate) mod stops;
pub(crate) mod surroundings;
pub(crate) mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use davy::api::status::{CanaryStatus, Phase};
use davy::io::Io;
use davy::pass::deliver::alerts::EVENT_WEBHOOK;
use davy::pass::deliver::outbox::Places;
use davy::pass::deliver::records::{GIT, Records};
use davy::pass::deliver::reverts::REVERT;
use davy::pass::report::{Handled, Outcome, Report};
use davy::pass::{self, Options};
use davy::settings::Settings;
use davy::simulate::cluster::Key;
use davy::simulate::play::Play;
use davy::simulate::scenario::{Crash, Event, Scenario};
use davy::simulate::world::World;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::proof::invariants::{Checker, Committed};
use crate::tier::is_thorough;

use surroundings::Surroundings;
use wire::revision;

/// A line of a script that takes more passes than this never ends.
const PASSES_MAX: u32 = 400;
/// After so many passes what is still to be told cannot be.
const PASSES_TO_TELL: u32 = 40;
/// Where others have disturbed the story, a line is left after so many passes.
const PASSES_MAX_DISTURBED: u32 = 60;

/// What all forks of a story share.
struct Script {
    name: String,
    steps: Vec<Event>,
    options: Options,
    every: SignedDuration,
    canary: Key,
    /// Plays what is no pass; its world is set to that of the story.
    changes: Mutex<Play>,
}

/// A scenario while it is played. A fork goes on by itself.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) checker: Checker,
    script: Arc<Script>,
    /// The line of the script.
    line: usize,
    /// Passes made for this line, and until when it lasts if it is a sleep.
    made: u32,
    /// Where the world was when the last of them began.
    began: u64,
    end: Option<Timestamp>,
    reached: bool,
    next_pass: Timestamp,
    /// Passes so far.
    pub(crate) passes: u32,
    /// What went wrong: invariants that were broken, a story that does not end.
    pub(crate) broken: Vec<String>,
    /// The number of the last write that was judged.
    judged: u64,
    /// What others do besides the script.
    pub(crate) surroundings: Surroundings,
}

/// What is proven of all stories is tried every day with these: a promotion, a rollback, one with
/// configs, and a primary that does not get ready.
const EVERYDAY: [&str; 4] = [
    "parity/istio",
    "scenarios/config-promotion-fails",
    "scenarios/promoted",
    "scenarios/rolled-back",
];

/// Stories that not every proof has been run with yet: what the recordings and the scenarios say of
/// them holds; that they bear every kill, fault and order of passes is NOT shown.
/// `TEST_DAVY_STORY=parity/apisix` tries one.
const UNPROVEN: [&str; 15] = [
    "parity/apisix",
    "parity/gateway-ab",
    "parity/gateway-blue-green",
    "parity/gloo",
    "parity/istio-ab",
    "parity/istio-blue-green-mirror",
    "parity/istio-mirror",
    "parity/linkerd",
    "parity/nginx-ab",
    "parity/skipper",
    "scenarios/ab-test-opened-to-all",
    "scenarios/ab-test-rolled-back",
    "scenarios/ab-test-taken-out",
    "scenarios/mirror-rolled-back",
    "scenarios/mirror-then-weight",
];

/// The stories that proofs are about: every scenario that there is, the recorded canaries and those
/// that ship; a few of them where the tier is not thorough. With
/// `TEST_DAVY_STORY=scenarios/promoted` only that one.
pub(crate) fn stories() -> Vec<PathBuf> {
    let mut folders = folders();
    if std::env::var_os("TEST_DAVY_STORY").is_none() {
        folders.retain(|folder| !UNPROVEN.iter().any(|story| folder.ends_with(story)));
    }
    if !is_thorough() && std::env::var_os("TEST_DAVY_STORY").is_none() {
        folders.retain(|folder| EVERYDAY.iter().any(|story| folder.ends_with(story)));
        assert_eq!(folders.len(), EVERYDAY.len(), "the stories of every day");
    }
    folders
}

/// Every scenario that there is. With `TEST_DAVY_STORY=scenarios/promoted` only that one.
pub(crate) fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut folders: Vec<_> = ["parity", "scenarios"]
        .iter()
        .flat_map(|set| std::fs::read_dir(root.join(set)).expect("a folder of scenarios"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("script.yaml").is_file())
        .collect();
    folders.sort();
    assert!(folders.len() > 30, "the scenarios are there");
    if let Some(story) = std::env::var_os("TEST_DAVY_STORY") {
        folders.retain(|folder| folder.ends_with(&story));
        assert_eq!(folders.len(), 1, "there is a story {}", story.display());
    }
    folders
}

impl Story {
    pub(crate) fn read(folder: &Path) -> Self {
        Self::with_records(folder, None)
    }

    /// The same with promotion records.
    pub(crate) fn with_records(folder: &Path, records: Option<Records>) -> Self {
        Self::telling(
            folder,
            Places {
                records,
                ..Places::default()
            },
        )
    }

    /// The same with all that is told.
    pub(crate) fn telling(folder: &Path, places: Places) -> Self {
        let scenario = Scenario::read(folder).expect("a scenario");
        let settings = Settings::from_variables(scenario.script.settings.clone().into_iter());
        let settings = settings.expect("settings");
        let steps = scenario.script.steps.clone();
        let every_seconds = scenario.script.every_seconds;
        let set = folder
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let name = format!("{}/{}", set.to_string_lossy(), scenario.name);
        let play = Play::new(scenario).expect("a cluster");
        let world = play.world.fork();
        let (key, canary) = {
            let state = world.lock();
            let mut canaries = state.cluster.objects_of("flagger.app", "Canary");
            let (key, canary) = canaries.next().expect("a Canary");
            (key.clone(), canary.clone())
        };
        let every = every_seconds.map_or_else(|| interval(&canary), SignedDuration::from_secs);
        let mut policy = (*settings.policy).clone();
        policy.alerts = places
            .alerts
            .iter()
            .flat_map(|it| it.channels.keys().cloned())
            .collect();
        policy.event_webhook = places
            .alerts
            .as_ref()
            .and_then(|it| it.event_webhook.as_ref())
            .map(|_| EVENT_WEBHOOK.to_owned());
        policy.records = places.records.as_ref().map(|_| GIT.to_owned());
        policy.reverts = places.reverts.as_ref().map(|_| REVERT.to_owned());
        let options = Options {
            scope: settings.scope,
            canary: None,
            shard: None,
            policy: Arc::new(policy),
            metrics_server: settings.metrics_server,
            concurrency: 1,
            deadline: Duration::from_mins(10),
            pushgateway: None,
            places,
            dry_run: false,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let script = Script {
            name,
            steps,
            options,
            every,
            canary: key,
            changes: Mutex::new(play),
        };
        let mut story = Self {
            next_pass: world.now(),
            world,
            checker: Checker::new(pass::FIELD_MANAGER),
            script: Arc::new(script),
            line: 0,
            made: 0,
            began: 0,
            end: None,
            reached: false,
            passes: 0,
            broken: Vec::new(),
            judged: 0,
            surroundings: Surroundings::default(),
        };
        story.judge(None);
        story
    }

    /// The same story, going on by itself.
    pub(crate) fn fork(&self) -> Self {
        self.fork_in(self.world.fork())
    }

    /// The same story in another state of its world.
    pub(crate) fn fork_in(&self, world: World) -> Self {
        Self {
            world,
            checker: self.checker.clone(),
            script: self.script.clone(),
            broken: self.broken.clone(),
            surroundings: self.surroundings.clone(),
            ..*self
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.script.name
    }

    pub(crate) fn options(&self) -> &Options {
        &self.script.options
    }

    pub(crate) fn canary(&self) -> &Key {
        &self.script.canary
    }

    /// Whether the script lets so many passes go by, whatever they come to.
    pub(crate) fn counts_passes(&self) -> bool {
        let mut steps = self.script.steps.iter();
        steps.any(|step| matches!(step, Event::Passes(_)))
    }

    pub(crate) fn every(&self) -> SignedDuration {
        self.script.every
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.world.lock().cluster.get(key)
    }

    pub(crate) fn status(&self) -> CanaryStatus {
        let canary = self.get(&self.script.canary);
        let status = canary
            .map(|canary| canary["status"].clone())
            .unwrap_or_default();
        serde_json::from_value(status).unwrap_or_default()
    }

    /// Plays what the script says happens before the next pass. Whether there is one: not when
    /// the script is over.
    pub(crate) fn come_to_pass(&mut self) -> bool {
        while let Some(event) = self.script.clone().steps.get(self.line) {
            match event {
                Event::Until(_) | Event::Weight(_) | Event::Step if !self.reached => {
                    if self.made < self.line_max() {
                        return true;
                    }
                    if self.surroundings.is_disturbed {
                        self.next_line();
                        continue;
                    }
                    let status = self.status();
                    self.broken
                        .push(format!("does not get past {event:?}: {status:?}"));
                    return false;
                }
                Event::Passes(count) if self.made < *count => return true,
                Event::Sleep(seconds) => {
                    let now = self.world.now();
                    let end = *self
                        .end
                        .get_or_insert(now + SignedDuration::from_secs(*seconds));
                    if self.next_pass <= end {
                        return true;
                    }
                    self.world.advance(end);
                }
                // Kills are the proofs' own.
                Event::Until(_)
                | Event::Weight(_)
                | Event::Step
                | Event::Passes(_)
                | Event::Crash(_) => {}
                change => self.change(change),
            }
            self.next_line();
        }
        false
    }

    fn next_line(&mut self) {
        self.line += 1;
        (self.made, self.end, self.reached) = (0, None, false);
    }

    fn line_max(&self) -> u32 {
        if self.surroundings.is_disturbed {
            PASSES_MAX_DISTURBED
        } else {
            PASSES_MAX
        }
    }

    /// How far the script is: the line, for how long a sleep goes on, and how many passes of a
    /// number of them have been made.
    pub(crate) fn place(&self) -> (usize, Option<SignedDuration>, u32) {
        let left = self.end.map(|end| end.duration_since(self.world.now()));
        let counts = matches!(self.script.steps.get(self.line), Some(Event::Passes(_)));
        (self.line, left, if counts { self.made } else { 0 })
    }

    /// Nobody makes a pass for so long.
    pub(crate) fn let_time_pass(&mut self, time: SignedDuration) {
        self.next_pass = self.next_pass.max(self.world.now()) + time;
    }

    fn change(&self, event: &Event) {
        let mut play = self
            .script
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        play.world = self.world.clone();
        let happened = play
            .happen(event)
            .now_or_never()
            .expect("a change takes no time");
        if !self.surroundings.is_disturbed {
            happened.unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        }
    }

    /// Time goes on to that of the next pass.
    pub(crate) fn begin_pass(&mut self) {
        let at = self.next_pass.max(self.world.now());
        self.world.advance(at);
        self.next_pass = at + self.script.every;
        self.passes += 1;
        self.made += 1;
        self.others_act();
        self.judge(None);
        self.began = revision(&self.world);
    }

    /// What a pass has left behind is judged, and the controllers act on it. Without a report the
    /// pass was killed.
    pub(crate) fn end_pass(&mut self, report: Option<&Report>) {
        if report.is_none() && revision(&self.world) == self.began {
            // It was killed before it did anything: to a script that counts passes it is none.
            self.made = self.made.saturating_sub(1);
        }
        self.judge(Some(self.passes));
        self.world.advance(self.world.now());
        self.judge(None);
        let name = format!(
            "{}/{}",
            self.script.canary.namespace, self.script.canary.name
        );
        let canaries = report.iter().flat_map(|report| &report.canaries);
        let handled = canaries.into_iter().find(|handled| handled.canary == name);
        if let Some(event) = self.script.steps.get(self.line) {
            self.reached = has_reached(event, &self.status(), handled);
        }
    }

    /// A pass that nobody disturbs.
    pub(crate) fn pass(&mut self) -> Report {
        let io = self.surroundings.io(&self.world, self.passes + 1);
        self.pass_over(&io).expect("the Canaries can be listed")
    }

    /// Everything in which this story differs from the one that it was forked from: what was
    /// written since, and whether that was what the script waits for.
    pub(crate) fn left_behind(&self, original: &Self) -> String {
        let state = self.world.lock();
        let writes = state.cluster.history_since(original.judged);
        let mut left = format!("{}", self.reached);
        for write in writes {
            let after = write.after.as_deref().unwrap_or(&Value::Null);
            left = format!("{left} {} {after}", write.key);
        }
        left
    }

    /// What went wrong, if anything did, with where it was.
    pub(crate) fn verdict(&self, place: impl Fn() -> String) -> Result<(), String> {
        if self.broken.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{}, {}: {}",
            self.name(),
            place(),
            self.broken.join("\n    ")
        ))
    }

    /// The same over another wire.
    pub(crate) fn pass_over(&mut self, io: &Io) -> Option<Report> {
        self.begin_pass();
        let report = run(io, self.options());
        self.end_pass(report.as_ref());
        report
    }

    /// Judges what was written since this was last asked, by a pass or by anybody else.
    pub(crate) fn judge(&mut self, pass: Option<u32>) {
        let state = self.world.lock();
        for write in state.cluster.history_since(self.judged) {
            self.judged = write.number;
            let mut committed = write.committed();
            committed.pass = pass.filter(|_| *committed.manager == *pass::FIELD_MANAGER);
            let broken = self.checker.write(&committed);
            self.broken
                .extend(broken.iter().map(|broken| format!("{broken:?}")));
        }
    }

    /// Plays the rest undisturbed, and on until nothing happens any more. How many passes it took
    /// to the end of the script.
    pub(crate) fn play_out(&mut self) -> u32 {
        while self.come_to_pass() {
            self.pass();
        }
        let passes = self.passes;
        self.come_to_rest();
        passes
    }

    /// Every pod can become ready from now on, and a primary that somebody has put to zero has pods
    /// again: the script, which might say so, does not go on. Without them a release is held for as
    /// long as that lasts.
    pub(crate) fn free_what_is_stuck(&mut self) {
        let now = self.world.now();
        let primary = others::Other::TouchesPrimary.key(self);
        {
            let mut state = self.world.lock();
            state.behaviour.never_ready.clear();
            let is_put_to_zero = state
                .cluster
                .get(&primary)
                .is_some_and(|primary| primary["spec"]["replicas"] == 0);
            if is_put_to_zero {
                let edited = state.cluster.edit(&primary, "user", now, |primary| {
                    primary["spec"]["replicas"] = 1.into();
                });
                edited.expect("a primary with pods");
            }
        }
        self.world.advance(now);
        self.judge(None);
    }

    /// Passes until one changes nothing and awaits nothing. What could not be told is told again,
    /// for as long as a receiver can be away here.
    pub(crate) fn come_to_rest(&mut self) {
        let mut last = None;
        for made in 0..PASSES_MAX {
            let report = self.pass();
            let rested = |handled: &Handled| handled.outcome == Outcome::Rested;
            let is_told = made >= PASSES_TO_TELL || self.status().outbox.is_empty();
            if is_told && report.canaries.iter().all(rested) {
                return;
            }
            last = report
                .canaries
                .first()
                .map(|handled| handled.reason.clone());
        }
        let status = self.status();
        self.broken
            .push(format!("does not come to rest: {last:?}, {status:?}"));
    }
}

/// Runs a pass that is killed at its n-th call, from 1; whether it came to that call.
pub(crate) fn run_killed(world: &World, options: &Options, crash: Crash) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    world.crash(crash);
    let io = world.io();
    let killed = runtime.expect("a runtime").block_on(async {
        tokio::select! {
            _ = pass::run(&io, options) => false,
            () = world.killed() => true,
        }
    });
    world.disarm();
    killed
}

/// Runs a pass to its end; `None` if it could not start. What it leaves behind ends with it, as
/// it does with a process.
pub(crate) fn run(io: &Io, options: &Options) -> Option<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(pass::run(io, options))
        .ok()
}

fn has_reached(event: &Event, status: &CanaryStatus, handled: Option<&Handled>) -> bool {
    match event {
        Event::Until(phase) => {
            let is_rest = matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed);
            let rests = handled.is_some_and(|handled| handled.outcome == Outcome::Rested);
            status.phase == Some(*phase) && (!is_rest || rests)
        }
        Event::Weight(weight) => status.canary_weight.unwrap_or(0) >= *weight,
        Event::Step => {
            status.phase == Some(Phase::Progressing)
                && (status.canary_weight.unwrap_or(0) > 0 || status.iterations.unwrap_or(0) > 0)
        }
        _ => false,
    }
}

fn interval(canary: &Value) -> SignedDuration {
    let spec = &canary["spec"];
    let text = spec["analysis"]["interval"]
        .as_str()
        .or(spec["canaryAnalysis"]["interval"].as_str());
    let parsed = davy::objects::duration::parse(text.unwrap_or("60s")).expect("an interval");
    SignedDuration::try_from(parsed)
        .expect("an interval")
        .max(SignedDuration::from_secs(10))
}
