//! What a script says happens to the cluster, other than passes.

use serde_json::Value;

use super::{Line, Play};
use crate::simulate::cluster::Key;
use crate::simulate::controllers::NeverReady;
use crate::simulate::scenario::{Event, Metrics};

impl Play {
    pub(super) fn note(&mut self, event: &Event) {
        let seconds = self.seconds();
        self.lines.push(Line::Happened {
            seconds,
            event: words(event),
        });
    }

    pub(super) fn change(&mut self, event: &Event) -> Result<(), String> {
        let now = self.world.now();
        match event {
            Event::Image(tag) => {
                let target = self.target()?;
                self.edit(&target, "user", |target| {
                    let image = &mut target["spec"]["template"]["spec"]["containers"][0]["image"];
                    let old = image.as_str().unwrap_or_default();
                    let name = old.rsplit_once(':').map_or(old, |(name, _)| name);
                    *image = format!("{name}:{tag}").into();
                })
            }
            Event::Metrics(metrics) => {
                self.world.lock().metrics = *metrics;
                Ok(())
            }
            Event::Stuck(tag) => {
                let rule = NeverReady {
                    tag: tag.clone(),
                    workload: String::new(),
                };
                self.world.lock().behaviour.never_ready.push(rule);
                Ok(())
            }
            Event::PrimaryStuck(tag) => {
                let rule = NeverReady {
                    tag: tag.clone(),
                    workload: "-primary".to_owned(),
                };
                self.world.lock().behaviour.never_ready.push(rule);
                Ok(())
            }
            Event::Unstuck(tag) => {
                self.world
                    .lock()
                    .behaviour
                    .never_ready
                    .retain(|rule| rule.tag != *tag);
                Ok(())
            }
            Event::Replicas(wanted) => {
                for (name, replicas) in wanted {
                    let key = Key::new("apps", "Deployment", &self.namespace, name);
                    self.world.lock().behaviour.desired.insert(key, *replicas);
                }
                Ok(())
            }
            Event::Patch(patch) => {
                let key = self.key(&patch.kind, &patch.name)?;
                self.edit(&key, &patch.by, |object| {
                    json_patch::merge(object, &patch.patch);
                })
            }
            Event::Delete(name) => {
                let key = self.key(&name.kind, &name.name)?;
                let mut state = self.world.lock();
                state
                    .cluster
                    .delete(&key, "user", now)
                    .map_err(|error| error.to_string())
            }
            Event::Crash(crash) => {
                self.crash = Some(*crash);
                Ok(())
            }
            Event::Until(_)
            | Event::Weight(_)
            | Event::Step
            | Event::Passes(_)
            | Event::Sleep(_) => Ok(()),
        }
    }

    fn edit(&self, key: &Key, by: &str, change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let now = self.world.now();
        let mut state = self.world.lock();
        state
            .cluster
            .edit(key, by, now, change)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn target(&self) -> Result<Key, String> {
        let reference = self
            .scenario
            .objects
            .iter()
            .find(|object| object["kind"] == "Canary")
            .map(|canary| canary["spec"]["targetRef"].clone())
            .unwrap_or_default();
        let (kind, name) = (reference["kind"].as_str(), reference["name"].as_str());
        self.key(kind.unwrap_or_default(), name.unwrap_or_default())
    }

    fn key(&self, kind: &str, name: &str) -> Result<Key, String> {
        let state = self.world.lock();
        state
            .cluster
            .objects()
            .map(|(key, _)| key)
            .find(|key| {
                *key.kind == *kind && *key.name == *name && *key.namespace == *self.namespace
            })
            .cloned()
            .ok_or_else(|| format!("the script names {kind} {name}, which does not exist"))
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Image(tag) => format!("image {tag}"),
        Event::Metrics(Metrics::None) => "the checks have no data".to_owned(),
        Event::Metrics(Metrics::Outage) => "the metrics system is down".to_owned(),
        Event::Metrics(Metrics::Values {
            success_rate,
            milliseconds,
        }) => {
            format!("success rate {success_rate} %, P99 {milliseconds} ms")
        }
        Event::Stuck(tag) => format!("pods of {tag} never become ready"),
        Event::PrimaryStuck(tag) => {
            format!("pods of the primary with {tag} never become ready")
        }
        Event::Unstuck(tag) => format!("pods of {tag} become ready after all"),
        Event::Replicas(wanted) => format!("the autoscaler wants {wanted:?}"),
        Event::Patch(patch) => {
            format!(
                "{} patches {} {}: {}",
                patch.by, patch.kind, patch.name, patch.patch
            )
        }
        Event::Delete(name) => format!("{} {} is deleted", name.kind, name.name),
        Event::Crash(crash) => {
            format!(
                "the next pass is killed at call {} ({:?})",
                crash.call, crash.outcome
            )
        }
        Event::Until(_) | Event::Weight(_) | Event::Step | Event::Passes(_) | Event::Sleep(_) => {
            String::new()
        }
    }
}
