//! Playing a scenario: what the script says happens, and passes are made in between, by the same
//! code as `davy run` and in virtual time.

mod change;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Phase};
use crate::pass::deliver::outbox::Places;
use crate::pass::report::{Handled, Outcome};
use crate::pass::{self, Options, terms};
use crate::settings::Settings;
use crate::simulate::BEGINNING;
use crate::simulate::cluster::Key;
use crate::simulate::scenario::{Crash, Event, Scenario};
use crate::simulate::world::World;

/// A script that has not come where it wants to be after so many passes never will.
const PASSES_MAX: u32 = 500;
const INTERVAL_DEFAULT: SignedDuration = SignedDuration::from_secs(60);
const INTERVAL_MIN: SignedDuration = SignedDuration::from_secs(10);

/// What was seen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    pub name: String,
    pub about: String,
    pub lines: Vec<Line>,
    /// The texts of the Canary's Events, in order.
    pub events: Vec<String>,
    pub api_requests: u64,
    #[serde(skip)]
    pub world: Option<World>,
}

/// Something that happened, or a pass.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum Line {
    Happened {
        seconds: i64,
        event: String,
    },
    Pass {
        pass: u32,
        seconds: i64,
        handled: Option<Handled>,
        killed: bool,
        error: Option<String>,
    },
}

/// A scenario while it is played.
pub struct Play {
    pub world: World,
    scenario: Scenario,
    options: Options,
    every: SignedDuration,
    namespace: String,
    canary: String,
    begun: Timestamp,
    passes: u32,
    next_pass: Timestamp,
    crash: Option<Crash>,
    lines: Vec<Line>,
}

impl Play {
    /// Sets the scenario's cluster up.
    pub fn new(scenario: Scenario) -> Result<Self, String> {
        let begun = BEGINNING;
        let world = World::new(begun);
        let settings = Settings::from_variables(scenario.script.settings.clone().into_iter())
            .map_err(|error| error.to_string())?;
        let mut found = None;
        {
            let mut state = world.lock();
            state.cluster = super::installed()?;
            for object in &scenario.objects {
                let object = placed(object.clone());
                if object["kind"] == "Canary" {
                    let canary: Canary = serde_json::from_value(object.clone())
                        .map_err(|error| format!("not a valid Canary: {error}"))?;
                    found.get_or_insert(canary);
                }
                let name = object["metadata"]["name"].clone();
                state
                    .cluster
                    .apply(object, "user", begun)
                    .map_err(|error| format!("{name}: {error}"))?;
            }
            state.metrics = scenario.script.metrics;
            if let Some(seconds) = scenario.script.pod_seconds {
                state.behaviour.ready_after = SignedDuration::from_secs(seconds);
            }
        }
        let canary = found.ok_or("holds no Canary")?;
        let every = scenario
            .script
            .every_seconds
            .map_or_else(|| interval(&canary), SignedDuration::from_secs);
        let metadata = &canary.metadata;
        let play = Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            canary: metadata.name.clone().unwrap_or_default(),
            options: Options {
                scope: settings.scope,
                canary: None,
                shard: None,
                policy: settings.policy,
                metrics_server: settings.metrics_server,
                pushgateway: None,
                places: Places::default(),
                concurrency: 1,
                deadline: Duration::from_mins(10),
                dry_run: false,
                stop: Arc::new(AtomicBool::new(false)),
            },
            world,
            every,
            begun,
            passes: 0,
            next_pass: begun,
            crash: None,
            lines: Vec::new(),
            scenario,
        };
        play.world.advance(begun);
        Ok(play)
    }

    /// Plays the script to its end.
    pub async fn play(mut self) -> Result<Transcript, String> {
        for event in self.scenario.script.steps.clone() {
            self.happen(&event).await?;
        }
        Ok(self.end())
    }

    pub fn end(self) -> Transcript {
        let events = self.events();
        let api_requests = self.world.lock().api_requests;
        Transcript {
            name: self.scenario.name,
            about: self.scenario.script.about,
            lines: self.lines,
            events,
            api_requests,
            world: Some(self.world),
        }
    }

    /// One line of the script.
    pub async fn happen(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Until(phase) => {
                self.until(&format!("phase {phase:?}"), |status, handled| {
                    status.phase == Some(*phase)
                        && (!is_rest(*phase) || handled.outcome == Outcome::Rested)
                })
                .await
            }
            Event::Weight(weight) => {
                self.until(&format!("weight {weight}"), |status, _| {
                    status.canary_weight.unwrap_or(0) >= *weight
                })
                .await
            }
            Event::Step => {
                self.until("a first step", |status, _| {
                    status.phase == Some(Phase::Progressing)
                        && (status.canary_weight.unwrap_or(0) > 0
                            || status.iterations.unwrap_or(0) > 0)
                })
                .await
            }
            Event::Passes(count) => {
                for _ in 0..*count {
                    self.pass().await;
                }
                Ok(())
            }
            Event::Sleep(seconds) => {
                let end = self.world.now() + SignedDuration::from_secs(*seconds);
                while self.next_pass <= end {
                    self.pass().await;
                }
                self.world.advance(end);
                Ok(())
            }
            change => {
                self.note(change);
                self.change(change)
            }
        }
    }

    async fn until(
        &mut self,
        what: &str,
        reached: impl Fn(&CanaryStatus, &Handled) -> bool,
    ) -> Result<(), String> {
        for _ in 0..PASSES_MAX {
            let handled = self.pass().await;
            let status = self.status();
            if handled.is_some_and(|handled| reached(&status, &handled)) {
                return Ok(());
            }
        }
        let phase = self.status().phase;
        Err(format!(
            "{what} was not reached in {PASSES_MAX} passes; phase is {phase:?}"
        ))
    }

    /// The next pass at its time, over all canaries; what it did about the scenario's own.
    pub async fn pass(&mut self) -> Option<Handled> {
        let at = self.next_pass.max(self.world.now());
        self.world.advance(at);
        self.next_pass = at + self.every;
        self.passes += 1;
        if let Some(crash) = self.crash.take() {
            self.world.crash(crash);
        }
        let io = self.world.io();
        let outcome = tokio::select! {
            biased;
            () = self.world.killed() => None,
            report = pass::run(&io, &self.options) => Some(report),
        };
        self.world.disarm();
        self.world.advance(at);
        let killed = outcome.is_none();
        let (handled, error) = match outcome {
            None => (None, None),
            Some(Err(error)) => (None, Some(pass::could_not_start(&error))),
            Some(Ok(report)) => {
                let name = format!("{}/{}", self.namespace, self.canary);
                (
                    report
                        .canaries
                        .into_iter()
                        .find(|handled| handled.canary == name),
                    None,
                )
            }
        };
        let (pass, seconds) = (self.passes, self.seconds());
        let line = Line::Pass {
            pass,
            seconds,
            handled: handled.clone(),
            killed,
            error,
        };
        self.lines.push(line);
        handled
    }

    fn seconds(&self) -> i64 {
        self.world.now().duration_since(self.begun).as_secs()
    }

    /// The Canary's status as it is now.
    pub fn status(&self) -> CanaryStatus {
        let key = Key::new("flagger.app", "Canary", &self.namespace, &self.canary);
        self.world
            .lock()
            .cluster
            .get(&key)
            .and_then(|canary| serde_json::from_value(canary["status"].clone()).ok())
            .unwrap_or_default()
    }

    fn events(&self) -> Vec<String> {
        let state = self.world.lock();
        let mut events: Vec<_> = state
            .cluster
            .history()
            .filter(|write| &*write.key.kind == "Event")
            .filter_map(|write| write.after.clone())
            .filter(|event| event["involvedObject"]["name"] == *self.canary)
            .map(|event| {
                let (kind, message) = (event["type"].as_str(), event["message"].as_str());
                format!(
                    "{} {}",
                    kind.unwrap_or_default(),
                    message.unwrap_or_default()
                )
            })
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        events.retain(|event| seen.insert(event.clone()) || !event.is_empty());
        events
    }
}

/// A phase in which nothing is under way.
fn is_rest(phase: Phase) -> bool {
    matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed)
}

/// Objects without a namespace live in `test`, as in the scenarios that ship.
fn placed(mut object: Value) -> Value {
    let namespaced = object["kind"] != "Namespace" && object["kind"] != "CustomResourceDefinition";
    if namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = "test".into();
    }
    object
}

fn interval(canary: &Canary) -> SignedDuration {
    terms::analysis(canary)
        .and_then(|analysis| analysis.interval.as_deref())
        .and_then(|text| crate::objects::duration::parse(text).ok())
        .and_then(|interval| SignedDuration::try_from(interval).ok())
        .map_or(INTERVAL_DEFAULT, |interval| interval.max(INTERVAL_MIN))
}
