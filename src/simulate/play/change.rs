//! What a script says happens to the cluster, other than passes.

use serde_json::Value;

use super::set_up::placed;
use super::words::words;
use super::{Line, Play};
use crate::simulate::cluster::Key;
use crate::simulate::controllers::NeverReady;
use crate::simulate::scenario::{Event, PatchEvent, Subresource};

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
                self.world.lock().metrics = metrics.clone();
                Ok(())
            }
            Event::Hooks(hooks) => {
                self.world.lock().hooks = hooks.clone();
                Ok(())
            }
            Event::Stuck(tag) => {
                self.never_ready(tag, "");
                Ok(())
            }
            Event::PrimaryStuck(tag) => {
                self.never_ready(tag, "-primary");
                Ok(())
            }
            Event::Unstuck(tag) => {
                let mut state = self.world.lock();
                state.behaviour.never_ready.retain(|rule| rule.tag != *tag);
                Ok(())
            }
            Event::Replicas(wanted) => {
                for (name, replicas) in wanted {
                    let key = Key::new("apps", "Deployment", &self.namespace, name);
                    self.world.lock().behaviour.desired.insert(key, *replicas);
                }
                Ok(())
            }
            Event::Patch(patch) => self.patch(patch),
            Event::Delete(name) => {
                let key = self.key(&name.kind, &name.name)?;
                let deleted = self.world.lock().cluster.delete(&key, "user", now);
                deleted.map_err(|error| error.to_string())
            }
            Event::Create(object) => self.create(object.clone()),
            Event::Restore(name) => {
                let manifest = self
                    .scenario
                    .manifests
                    .iter()
                    .map(|it| &it.object)
                    .find(|it| it["kind"] == *name.kind && it["metadata"]["name"] == *name.name);
                let object = manifest
                    .cloned()
                    .ok_or_else(|| format!("cluster.yaml holds no {} {}", name.kind, name.name))?;
                self.create(object)
            }
            Event::Refuse(refuse) => {
                self.world.lock().refusals.add(&self.namespace, refuse);
                Ok(())
            }
            Event::Admit(selection) => self.world.lock().refusals.take_back(selection),
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

    fn never_ready(&self, tag: &str, workload: &str) {
        let rule = NeverReady {
            tag: tag.to_owned(),
            workload: workload.to_owned(),
        };
        self.world.lock().behaviour.never_ready.push(rule);
    }

    fn patch(&self, patch: &PatchEvent) -> Result<(), String> {
        let key = self.key(&patch.kind, &patch.name)?;
        let Some(subresource) = patch.subresource else {
            return self.edit(&key, &patch.by, |object| {
                json_patch::merge(object, &patch.patch);
            });
        };
        let now = self.world.now();
        let cluster = &mut self.world.lock().cluster;
        let written = match subresource {
            Subresource::Status => {
                let stored = cluster.get(&key).unwrap_or_default();
                let mut object = Value::clone(&stored);
                json_patch::merge(&mut object, &patch.patch);
                cluster.replace_status(object, &patch.by, now)
            }
            Subresource::Scale => {
                let replicas = patch.patch["spec"]["replicas"].as_i64();
                let replicas = replicas.ok_or("a patch of scale has spec.replicas, a number")?;
                cluster.scale(&key, replicas, &patch.by, now)
            }
        };
        written.map(drop).map_err(|error| error.to_string())
    }

    fn create(&self, object: Value) -> Result<(), String> {
        let now = self.world.now();
        let cluster = &mut self.world.lock().cluster;
        let object = placed(cluster, object)?;
        let key = Key::of(&object);
        if cluster.get(&key).is_some() {
            return Err(format!("the script creates {key}, which exists"));
        }
        let created = cluster.apply(object, "user", now);
        created.map(drop).map_err(|error| format!("{key}: {error}"))
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
        let canary = self.scenario.canary().map(|manifest| &manifest.object);
        let reference = canary
            .map(|canary| canary["spec"]["targetRef"].clone())
            .unwrap_or_default();
        let (kind, name) = (reference["kind"].as_str(), reference["name"].as_str());
        self.key(kind.unwrap_or_default(), name.unwrap_or_default())
    }

    /// An object of the canary's namespace, or one that is in none.
    fn key(&self, kind: &str, name: &str) -> Result<Key, String> {
        let state = self.world.lock();
        let is_at_hand = |namespace: &str| namespace.is_empty() || *namespace == *self.namespace;
        state
            .cluster
            .objects()
            .map(|(key, _)| key)
            .find(|key| *key.kind == *kind && *key.name == *name && is_at_hand(&key.namespace))
            .cloned()
            .ok_or_else(|| format!("the script names {kind} {name}, which does not exist"))
    }
}
