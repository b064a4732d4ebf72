//! What a history says so far: the objects as they are, and the claims of each Canary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use davy::simulate::cluster::Key;
use jiff::Timestamp;
use serde_json::Value;

use super::disturbed::{at, paths};
use super::release::{Claim, Release, Role};
use super::route::{Sides, canary_percent, splits};
use super::workload::{self, available, carries, is_rolling_out, replicas};
use super::{Verb, Write};

/// The annotation that every write of ours leaves.
const MARK: &str = "flagger.app/step";

#[derive(Clone)]
pub(super) struct Ledger {
    ours: &'static str,
    objects: BTreeMap<Key, Arc<Value>>,
    releases: BTreeMap<Key, Release>,
    /// Every template that a target has had, by its hash.
    templates: BTreeMap<String, Arc<Value>>,
    /// The labels, annotations and fields that we have written on an object.
    ours_on: BTreeMap<Key, BTreeSet<String>>,
}

/// A write, seen from a Canary that it is about, with the cluster as it was just before.
pub(super) struct Moment<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) release: &'a Release,
    pub(super) role: Role,
    pub(super) write: &'a Write,
    pub(super) ours: bool,
    /// The claim that this write makes.
    pub(super) claim: Option<&'a Claim>,
    /// The number that our write of an object bears.
    pub(super) stamp: Option<i64>,
}

impl Ledger {
    pub(super) fn new(ours: &'static str) -> Self {
        Self {
            ours,
            objects: BTreeMap::new(),
            releases: BTreeMap::new(),
            templates: BTreeMap::new(),
            ours_on: BTreeMap::new(),
        }
    }

    /// The claim that a write of a Canary makes: its status has another number than before.
    pub(super) fn claims_of(&self, write: &Write) -> Option<Arc<Claim>> {
        if *write.key.kind != *"Canary" {
            return None;
        }
        let after = write.after.as_ref()?;
        let step = after["status"]
            .get("step")
            .filter(|step| step.is_object())?;
        let old = write
            .before
            .as_ref()
            .and_then(|before| before["status"].get("step"));
        if old == Some(step) {
            return None;
        }
        let release = self.releases.get(&write.key)?;
        let names = &release.names;
        let objects = step["objects"].as_array().into_iter().flatten();
        let objects = objects.map(|object| {
            let text = |field: &str| object[field].as_str().unwrap_or_default();
            let group = text("apiVersion")
                .split_once('/')
                .map_or("", |(group, _)| group);
            let key = names.key(group, text("kind"), text("name"));
            (key, text("resourceVersion").to_owned())
        });
        let objects: Vec<_> = objects.collect();
        let route = names.route();
        // The weight on the route that the claim saw, which another tool may have changed since.
        let seen = objects.iter().find(|(key, _)| *key == route);
        let seen = seen.and_then(|(_, version)| release.shown.get(version));
        let at = step["time"].as_str().and_then(|time| time.parse().ok());
        let at = at.unwrap_or(write.at);
        let primary_available = self.available(&names.primary());
        Some(Arc::new(Claim {
            number: step["number"].as_i64().unwrap_or(0),
            at,
            canary: after.clone(),
            live_weight: seen.copied().unwrap_or_else(|| self.weight(release)),
            objects,
            canary_available: self.available(&names.target()),
            primary_available,
            primary_carried: self.get(&names.primary()).is_some_and(carries)
                && release.primary_since.is_none_or(|since| since < at),
        }))
    }

    /// The write as each Canary sees it that it is about.
    pub(super) fn moments<'a>(
        &'a self,
        write: &'a Write,
        claim: Option<&'a Arc<Claim>>,
    ) -> impl Iterator<Item = Moment<'a>> {
        let ours = *write.manager == *self.ours;
        self.releases.values().filter_map(move |release| {
            let object = write.after.as_deref().or(write.before.as_deref());
            let role = release.names.role(&write.key, object)?;
            let claim = claim.filter(|_| role == Role::Canary).map(|claim| &**claim);
            let stamp = write.after.as_deref().filter(|_| ours).and_then(stamp_of);
            Some(Moment {
                ledger: self,
                release,
                role,
                write,
                ours,
                claim,
                stamp,
            })
        })
    }

    /// Why a write of ours should not have been made at all: it is about no Canary.
    pub(super) fn stray(&self, write: &Write) -> Option<String> {
        let object = write.after.as_deref().or(write.before.as_deref());
        // Definitions are put there before there are Canaries, and a late pass may still tell of
        // one that is gone.
        let is_stray = *write.manager == *self.ours
            && !matches!(
                &*write.key.kind,
                "CustomResourceDefinition" | "Namespace" | "Event"
            )
            && self
                .releases
                .values()
                .all(|r| r.names.role(&write.key, object).is_none());
        is_stray.then(|| "the object belongs to no Canary".to_owned())
    }

    /// Takes the write into account.
    pub(super) fn keep(&mut self, write: &Write, claim: Option<Arc<Claim>>) {
        let ours = *write.manager == *self.ours;
        self.keep_route_and_steps(write, ours);
        self.keep_paths(write, ours);
        match &write.after {
            Some(object) => self.objects.insert(write.key.clone(), object.clone()),
            None => self.objects.remove(&write.key),
        };
        if *write.key.kind == *"Canary" {
            self.keep_canary(write, claim);
        }
        let is_target = self
            .releases
            .values()
            .any(|r| r.names.target() == write.key);
        if let Some(object) = write.after.as_ref().filter(|_| is_target) {
            let released = workload::template(object);
            let before = write.before.as_deref();
            if before.map(workload::template).as_ref() != Some(&released) {
                self.templates
                    .insert(workload::hash(object), object.clone());
            }
        }
    }

    fn keep_paths(&mut self, write: &Write, ours: bool) {
        let Some(after) = &write.after else {
            self.ours_on.remove(&write.key);
            return;
        };
        if ours && !matches!(&*write.key.kind, "Canary" | "Event") {
            let before = write.before.as_deref().unwrap_or(&Value::Null);
            let new = paths(after).filter(|(path, value)| at(before, path) != Some(*value));
            let ours_on = self.ours_on.entry(write.key.clone()).or_default();
            ours_on.extend(new.map(|(path, _)| path));
        }
    }

    fn keep_canary(&mut self, write: &Write, claim: Option<Arc<Claim>>) {
        let Some(canary) = &write.after else {
            self.releases.remove(&write.key);
            return;
        };
        let known = self.releases.get_mut(&write.key);
        let Some(release) = known.filter(|_| write.verb != Verb::Create) else {
            self.releases
                .insert(write.key.clone(), Release::of(canary.clone()));
            // Objects may have been there before their Canary.
            let target = self.releases[&write.key].names.target();
            if let Some(target) = self.objects.get(&target) {
                self.templates
                    .insert(workload::hash(target), target.clone());
            }
            return;
        };
        let is_laid_out_alike = release.canary["status"]["layout"] == canary["status"]["layout"];
        if release.canary["spec"] == canary["spec"] && is_laid_out_alike {
            release.canary = canary.clone();
        } else {
            let Release { names, canary, .. } = Release::of(canary.clone());
            (release.names, release.canary) = (names, canary);
        }
        if !canary["status"]["step"].is_object() {
            // Whoever loses the status loses what was known of earlier steps.
            release.claims.clear();
            release.written.clear();
            release.effects.clear();
        }
        let is_others = *write.manager != *self.ours;
        let status = |canary: &Option<Arc<Value>>| canary.as_ref().map(|it| it["status"].clone());
        if is_others && status(&write.before) != status(&write.after) {
            // What somebody else wrote into status is what the next pass finds claimed there.
            release.rewritten(canary);
            return;
        }
        if let Some(claim) = claim {
            if let Some(pass) = write.pass {
                release
                    .claimed_by
                    .entry(pass)
                    .or_default()
                    .push(claim.number);
            }
            release.claims.push(claim);
        }
    }

    fn keep_route_and_steps(&mut self, write: &Write, ours: bool) {
        let stamp = write.after.as_deref().filter(|_| ours).and_then(stamp_of);
        // An API server notes the times of commits in whole seconds.
        let at = Timestamp::from_second(write.at.as_second()).unwrap_or(write.at);
        for release in self.releases.values_mut() {
            if let Some(stamp) = stamp
                && release
                    .names
                    .role(&write.key, write.after.as_deref())
                    .is_some()
            {
                release.written.insert(write.key.clone(), stamp);
                if has_effect(write) {
                    release.effects.insert(stamp, at);
                }
            }
            let names = &release.names;
            let selector = |object: &Option<Arc<Value>>| {
                object
                    .as_ref()
                    .map(|service| service["spec"]["selector"].clone())
            };
            if ours
                && names.key("", "Service", &names.apex) == write.key
                && selector(&write.before) != selector(&write.after)
            {
                release.moved = Some(at);
            }
            if release.names.target() == write.key
                && write.before.as_deref().is_some_and(is_rolling_out)
            {
                release.rolled_out = Some(at);
            }
            if release.names.primary() == write.key {
                let answers = |object: &Option<Arc<Value>>| object.as_deref().is_some_and(carries);
                if !answers(&write.before) && answers(&write.after) {
                    release.primary_since = Some(write.at);
                }
            }
            if release.names.route() == write.key {
                if let Some(route) = &write.after {
                    let version = route["metadata"]["resourceVersion"].as_str();
                    let shown = canary_percent(route, &release.names.sides);
                    release
                        .shown
                        .insert(version.unwrap_or_default().to_owned(), shown);
                }
                let percent = |object: &Option<Arc<Value>>| {
                    object
                        .as_ref()
                        .map(|route| canary_percent(route, &release.names.sides))
                };
                let (before, after) = (percent(&write.before), percent(&write.after));
                if before != after {
                    if !ours && after > before {
                        release.raised = Some(release.claims.len());
                    }
                    release.foreign = !ours;
                    release.moved = if ours { Some(at) } else { release.moved };
                }
            }
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key).map(|object| &**object)
    }

    pub(super) fn release(&self, canary: &Key) -> Option<&Release> {
        self.releases.get(canary)
    }

    /// The labels, annotations and fields of an object that we have written.
    pub(super) fn paths_of(&self, key: &Key) -> Option<&BTreeSet<String>> {
        self.ours_on.get(key)
    }

    /// The canary's share where a route divides the traffic.
    pub(super) fn split(&self, release: &Release) -> Option<u8> {
        let sides = &release.names.sides;
        let route = self.get(&release.names.route());
        let route = route.filter(|route| !splits(route, sides).is_empty());
        Some(canary_percent(route?, sides))
    }

    /// The canary's share: by the route, or, where none divides the traffic, by the Service that
    /// clients use.
    pub(super) fn share(&self, release: &Release) -> Option<u8> {
        let names = &release.names;
        if let Some(share) = self.split(release) {
            return Some(share);
        }
        let apex = self.get(&names.key("", "Service", &names.apex))?;
        let leads_to = |workload: &Key| {
            let workload = self.get(workload);
            workload.is_some_and(|workload| selects(&apex["spec"]["selector"], workload))
        };
        match (leads_to(&names.primary()), leads_to(&names.target())) {
            (true, false) => Some(0),
            (false, true) => Some(100),
            _ => None,
        }
    }

    /// The largest share that the canary has by a route that the Canary had under an earlier name.
    pub(super) fn left_behind(&self, release: &Release) -> u8 {
        let now = release.names.route();
        let shares = self.objects.iter().filter_map(|(key, route)| {
            let owners = route["metadata"]["ownerReferences"].as_array();
            let mut owners = owners.into_iter().flatten();
            let is_earlier = *key.kind == *now.kind
                && *key != now
                && owners.any(|owner| owner["uid"] == *release.names.uid);
            let sides = Sides {
                primary: format!("{}-primary", key.name),
                canary: format!("{}-canary", key.name),
            };
            is_earlier.then(|| canary_percent(route, &sides))
        });
        shares.max().unwrap_or(0)
    }

    /// How many ready pods a selector finds in the canary's namespace.
    pub(super) fn ready_behind(&self, release: &Release, selector: &Value) -> i64 {
        let workloads = self.objects.iter().filter(|(key, workload)| {
            *key.group == *"apps"
                && matches!(&*key.kind, "Deployment" | "DaemonSet")
                && *key.namespace == *release.names.namespace
                && selects(selector, workload)
        });
        workloads.map(|(_, workload)| available(workload)).sum()
    }

    pub(super) fn releases(&self) -> impl Iterator<Item = &Release> {
        self.releases.values()
    }

    /// A target that had this template.
    pub(super) fn target_with(&self, template_hash: &str) -> Option<&Value> {
        self.templates.get(template_hash).map(|target| &**target)
    }

    pub(super) fn weight(&self, release: &Release) -> u8 {
        let route = self.get(&release.names.route());
        route.map_or(0, |route| canary_percent(route, &release.names.sides))
    }

    /// How many pods of a workload answer.
    pub(super) fn available(&self, workload: &Key) -> i64 {
        self.get(workload).map_or(0, available)
    }
}

/// Whether a Service with this selector leads to pods of the workload.
fn selects(selector: &Value, workload: &Value) -> bool {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let selector = selector.as_object().filter(|all| !all.is_empty());
    selector.is_some_and(|all| all.iter().all(|(label, value)| labels[label] == *value))
}

/// Whether more than our own mark is new on the object.
pub(super) fn has_effect(write: &Write) -> bool {
    let unmarked = |object: &Option<Arc<Value>>| {
        let mut object = object.as_deref().cloned().unwrap_or_default();
        let metadata = &mut object["metadata"];
        if let Some(annotations) = metadata["annotations"].as_object_mut() {
            annotations.remove(MARK);
        }
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.retain(|field, value| {
                let is_kept_by_server =
                    matches!(&**field, "resourceVersion" | "generation" | "managedFields");
                !is_kept_by_server && *value != Value::Object(serde_json::Map::new())
            });
        }
        object
    };
    unmarked(&write.before) != unmarked(&write.after)
}

impl Moment<'_> {
    /// The claim whose number our write bears.
    pub(super) fn step(&self) -> Option<&Claim> {
        self.release.claim(self.stamp?)
    }

    /// The canary's share before and after our write of the route.
    pub(super) fn shift(&self) -> Option<(u8, u8)> {
        if !self.ours || self.role != Role::Route {
            return None;
        }
        let sides = &self.release.names.sides;
        let after = canary_percent(self.write.after.as_deref()?, sides);
        let before = self
            .write
            .before
            .as_deref()
            .map_or(0, |route| canary_percent(route, sides));
        Some((before, after))
    }

    /// The number of replicas before and after our write of a workload.
    pub(super) fn scaled(&self, role: Role) -> Option<(i64, i64)> {
        if !self.ours || self.role != role {
            return None;
        }
        let before = replicas(self.write.before.as_deref()?);
        Some((before, replicas(self.write.after.as_deref()?)))
    }

    /// Our claim and the one before it.
    pub(super) fn claimed(&self) -> Option<(&Claim, Option<&Claim>)> {
        let claim = self.claim.filter(|_| self.ours)?;
        Some((claim, self.release.last()))
    }
}

/// The number in the annotation that every write of ours leaves.
fn stamp_of(object: &Value) -> Option<i64> {
    let text = object["metadata"]["annotations"][MARK].as_str()?;
    text.split(' ').next()?.parse().ok()
}
