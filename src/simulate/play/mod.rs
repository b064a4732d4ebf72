//! Playing a scenario: what the script says happens, and passes are made in between, by the same
//! code as `davy run` and in virtual time.

mod change;
mod line;
mod set_up;
mod words;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Phase};
use crate::io::cluster::Error;
use crate::pass::report::{Handled, Outcome, Report};
use crate::pass::snapshot::percent;
use crate::pass::{self, Options};
use crate::simulate::cluster::Key;
use crate::simulate::route::Route;
use crate::simulate::scenario::{Crash, Event, Scenario};
use crate::simulate::world::World;

pub(in crate::simulate) use line::is_error;
pub use line::{Line, Pass, StatusShown, Transcript};

/// A script that has not come where it wants to be after so many passes never will.
const PASSES_MAX: u32 = 500;

/// A scenario while it is played.
pub struct Play {
    pub world: World,
    scenario: Scenario,
    pub options: Options,
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
    /// Plays the script, to its end or to the step that cannot be.
    pub async fn play(mut self) -> Transcript {
        let mut stopped = None;
        for (index, event) in self.scenario.script.steps.clone().iter().enumerate() {
            if let Err(why) = self.happen(event).await {
                stopped = Some(format!("steps[{index}]: {why}"));
                break;
            }
        }
        Transcript {
            stopped,
            ..self.end()
        }
    }

    pub fn end(self) -> Transcript {
        let events = self.events();
        let api_requests = self.world.lock().api_requests;
        let (_, route) = shown(&self.world, &self.key_of_canary(), &self.options);
        Transcript {
            name: self.scenario.name,
            about: self.scenario.script.about,
            lines: self.lines,
            events,
            api_requests,
            route,
            stopped: None,
            world: Some(self.world),
        }
    }

    /// One line of the script.
    ///
    /// # Errors
    /// Why it cannot be: what is awaited does not come, or what is named does not exist.
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
        let mut last = None;
        for _ in 0..PASSES_MAX {
            let handled = self.pass().await;
            let status = self.status();
            if handled
                .as_ref()
                .is_some_and(|handled| reached(&status, handled))
            {
                return Ok(());
            }
            last = handled;
        }
        let phase = self.status().phase.map(|phase| format!("{phase:?}"));
        let phase = phase.as_deref().unwrap_or("none");
        let reason = last.map_or_else(|| self.last_error(), |handled| handled.reason);
        Err(format!(
            "{what} was not reached in {PASSES_MAX} passes; the phase is {phase}, and the last \
             pass says: {reason}"
        ))
    }

    fn last_error(&self) -> String {
        let error = self.lines.iter().rev().find_map(|line| match line {
            Line::Pass(pass) => pass.error.clone(),
            Line::Happened { .. } => None,
        });
        error.unwrap_or_else(|| "nothing about this Canary".to_owned())
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
        self.world.end_pass();
        self.world.advance(at);
        let pass = self.seen(outcome);
        let handled = pass.handled.clone();
        self.lines.push(Line::Pass(Box::new(pass)));
        handled
    }

    /// The line of a pass; without an outcome it was killed.
    fn seen(&self, outcome: Option<Result<Report, Error>>) -> Pass {
        let killed = outcome.is_none();
        let (report, error) = match outcome {
            None => (None, None),
            Some(Ok(report)) => (Some(report), None),
            Some(Err(error)) => (None, Some(pass::could_not_start(&error))),
        };
        let (canaries, undelivered) = report
            .map(|report| (report.canaries, report.untold))
            .unwrap_or_default();
        let name = format!("{}/{}", self.namespace, self.canary);
        let (own, others) = canaries
            .into_iter()
            .partition::<Vec<_>, _>(|handled| handled.canary == name);
        let (status, route) = shown(&self.world, &self.key_of_canary(), &self.options);
        Pass {
            pass: self.passes,
            seconds: self.seconds(),
            handled: own.into_iter().next(),
            status,
            route,
            others,
            undelivered,
            killed,
            error,
        }
    }

    fn seconds(&self) -> i64 {
        self.world.now().duration_since(self.begun).as_secs()
    }

    fn key_of_canary(&self) -> Key {
        Key::new("flagger.app", "Canary", &self.namespace, &self.canary)
    }

    /// The Canary's status as it is now.
    pub fn status(&self) -> CanaryStatus {
        self.world
            .lock()
            .cluster
            .get(&self.key_of_canary())
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

/// What the cluster shows of the canary now.
fn shown(world: &World, key: &Key, options: &Options) -> (Option<StatusShown>, Route) {
    let state = world.lock();
    let canary = state.cluster.get(key);
    let canary = canary.and_then(|canary| Canary::deserialize(&*canary).ok());
    let Some(canary) = canary else {
        return (None, Route::Unsplit);
    };
    let status = canary.status.as_ref();
    let status = StatusShown {
        phase: status.and_then(|status| status.phase),
        weight: percent(status.and_then(|status| status.canary_weight)),
    };
    let route = Route::of(&state.cluster, &canary, &options.policy);
    (Some(status), route)
}

/// A phase in which nothing is under way.
fn is_rest(phase: Phase) -> bool {
    matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed)
}
