//! Everything that one pass knows of one canary, as plain data, and what follows from it without
//! a choice: hashes, readiness, the weight on the route, what the last claim left unfinished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Phase, Step};
use crate::objects::hash::template_hash;
use crate::objects::patch::{step_of, written_at};
use crate::objects::{Key, Kind, Names, Objects, Policy, Problem, SERVICE, View};
use crate::pass::terms::{self, Terms};
use crate::routers::Router;
use crate::workloads::{Autoscaler, Readiness, Workload};

#[derive(Clone)]
pub struct Snapshot {
    pub now: Timestamp,
    pub canary: Canary,
    pub names: Names,
    pub policy: Arc<Policy>,
    /// Every object that was looked for; those that are there are in `objects`.
    pub keys: BTreeSet<Key>,
    pub objects: Objects,
    /// Checksums of the tracked configs as they are now, by `configmap/<name>`.
    pub checksums: BTreeMap<String, String>,
    /// The resourceVersions at which the checksums were taken.
    pub versions: BTreeMap<String, String>,
    /// Where earlier templates of the primary are kept; read only while a promotion may fail.
    pub history: Vec<Arc<Value>>,
    /// What a primary that is to be made starts from, where that is not what the target carries.
    pub restored: Option<Arc<Restored>>,
    pub terms: Terms,
    pub router: &'static dyn Router,
    pub workload: &'static dyn Workload,
    pub autoscaler: Option<&'static dyn Autoscaler>,
    /// The status this pass starts from: the stored one, or another controller's taken over.
    pub status: CanaryStatus,
    /// What the route shows: percent of the traffic on the canary. `None` without a route.
    pub route_weight: Option<u8>,
    /// Why the route does not show its weight to the data plane yet.
    pub unsettled: Option<String>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("now", &self.now)
            .field("canary", &self.canary)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

/// The pod template that was promoted last, as a record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    pub template: Value,
    /// Path of the record.
    pub record: String,
}

impl Restored {
    /// What is wrong with a workload of this template.
    pub fn problem(&self, problem: &Problem) -> Problem {
        Problem(format!("restored from {}: {problem}", self.record))
    }
}

/// What is released: the template and the configs that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub spec: String,
    pub configs: BTreeMap<String, String>,
}

impl Snapshot {
    pub fn view(&self) -> View<'_> {
        View {
            canary: &self.canary,
            names: &self.names,
            policy: &self.policy,
            objects: &self.objects,
        }
    }

    pub fn object(&self, kind: &'static Kind, name: &str) -> Option<&Value> {
        self.view().object(kind, name)
    }

    pub fn target(&self) -> Option<&Value> {
        self.object(self.workload.kind(), &self.names.target)
    }

    pub fn primary(&self) -> Option<&Value> {
        self.object(self.workload.kind(), &self.names.primary)
    }

    pub fn target_key(&self) -> Key {
        Key::new(self.workload.kind(), &*self.names.target)
    }

    pub fn primary_key(&self) -> Key {
        Key::new(self.workload.kind(), &*self.names.primary)
    }

    pub fn phase(&self) -> Option<Phase> {
        self.status.phase
    }

    pub fn step_number(&self) -> i64 {
        self.status.step.as_ref().map_or(0, |step| step.number)
    }

    /// The canary's share as status has it.
    pub fn status_weight(&self) -> u8 {
        percent(self.status.canary_weight)
    }

    /// The canary's share as the route shows it; without a route it gets none.
    pub fn weight(&self) -> u8 {
        self.route_weight.unwrap_or(0)
    }

    pub fn is_route(&self, key: &Key) -> bool {
        self.router.keys(&self.names).contains(key)
    }

    /// Whether the analysis asks anything of a metrics system.
    pub fn has_metrics(&self) -> bool {
        terms::analysis(&self.canary).is_some_and(|analysis| !analysis.metrics.is_empty())
    }

    pub fn target_replicas(&self) -> i64 {
        self.target()
            .map_or(0, |target| self.workload.replicas(target))
    }

    pub fn primary_readiness(&self) -> Readiness {
        match self.primary() {
            Some(primary) => {
                let rule = self.terms.primary_rule(self.now);
                match self.workload.readiness(primary, rule) {
                    Readiness::Ready if self.workload.available(primary) == 0 => {
                        Readiness::Waiting("it has no available pods".to_owned())
                    }
                    readiness => readiness,
                }
            }
            None => Readiness::Waiting("it does not exist".to_owned()),
        }
    }

    pub fn primary_is_ready(&self) -> bool {
        self.primary_readiness() == Readiness::Ready
    }

    /// Whether traffic may go back to the primary. One that is on its way to more pods can have
    /// it: a rollback does not wait for an autoscaler.
    pub fn primary_can_carry(&self) -> bool {
        match self.primary_readiness() {
            Readiness::Ready => true,
            Readiness::Exceeded(_) => false,
            Readiness::Waiting(_) => self.primary().is_some_and(|primary| {
                self.workload.available(primary) > 0 && self.workload.has_one_template(primary)
            }),
        }
    }

    pub fn canary_readiness(&self) -> Readiness {
        match self.target() {
            Some(target) => self
                .workload
                .readiness(target, self.terms.canary_rule(self.now)),
            None => Readiness::Waiting("it does not exist".to_owned()),
        }
    }

    pub fn canary_available(&self) -> i64 {
        self.target()
            .map_or(0, |target| self.workload.available(target))
    }

    /// What the target asks to have released.
    pub fn revision(&self) -> Revision {
        let spec = self
            .target()
            .map(|target| template_hash(self.workload.template(target)))
            .unwrap_or_default();
        Revision {
            spec,
            configs: self.checksums.clone(),
        }
    }

    /// Hash of the template that a promotion would copy to the primary now.
    pub fn copy_hash(&self) -> Option<String> {
        let target = self.target()?;
        Some(template_hash(
            &self.workload.primary_template(&self.view(), target),
        ))
    }

    /// Hash of the template that the primary has.
    pub fn primary_hash(&self) -> Option<String> {
        self.primary()
            .map(|primary| template_hash(self.workload.template(primary)))
    }

    /// Whether the primary already has all that would be copied from the target now.
    pub fn is_on_primary(&self) -> bool {
        self.primary().is_some()
            && self.copy_hash() == self.primary_hash()
            && self
                .status
                .promoted_configs
                .as_ref()
                .is_none_or(|had| *had == self.checksums)
    }

    /// The revision that status names as the last one acted upon.
    pub fn is_applied(&self, revision: &Revision) -> bool {
        self.status.last_applied_spec.as_deref() == Some(&revision.spec)
            && self
                .status
                .tracked_configs
                .as_ref()
                .is_none_or(|had| *had == revision.configs)
    }

    pub fn is_promoted(&self, revision: &Revision) -> bool {
        self.status.last_promoted_spec.as_deref() == Some(&revision.spec)
            && self
                .status
                .promoted_configs
                .as_ref()
                .is_none_or(|had| *had == revision.configs)
    }

    /// Whether a promotion that this status speaks of, adopted or ours, is in the primary. The
    /// annotation tells a copy of the same template with other configs; an adopted one has
    /// Flagger's, and nothing to compare.
    pub fn is_copied(&self, status: &CanaryStatus) -> bool {
        self.primary().is_some_and(|primary| {
            let template = self.workload.template(primary);
            let id = &template["metadata"]["annotations"]["flagger-id"];
            status.primary_spec.as_deref() == Some(&*template_hash(template))
                && (status.previous_spec.is_none() || *id == self.flagger_id(status))
        })
    }

    /// The annotation that a promotion of this status leaves on the primary's pods. It follows
    /// from the Canary and the revision, so that a repeated copy restarts nothing.
    pub fn flagger_id(&self, status: &CanaryStatus) -> String {
        crate::objects::hash::identifier(&[
            &self.names.uid,
            status.primary_spec.as_deref().unwrap_or_default(),
            &status
                .tracked_configs
                .iter()
                .flatten()
                .fold(String::new(), |text, (name, sum)| {
                    format!("{text}{name}={sum};")
                }),
        ])
    }

    /// Whether the primary has the template back that it had before the promotion that failed.
    /// Where only configs were promoted the two templates differ in the annotation alone.
    pub fn has_earlier(&self, status: &CanaryStatus) -> bool {
        self.primary_hash() == status.primary_spec
            && self
                .primary()
                .is_some_and(|primary| !self.is_of_failed(status, self.workload.template(primary)))
    }

    /// The template that the primary had before the promotion that failed, for putting it back.
    pub fn earlier_template(&self, status: &CanaryStatus) -> Option<&Value> {
        self.history
            .iter()
            .map(|object| self.workload.template(object))
            .filter(|template| !self.is_of_failed(status, template))
            .find(|template| status.primary_spec.as_deref() == Some(&*template_hash(template)))
    }

    /// Whether a template is the one that was promoted and failed; `previous_spec` is its hash now.
    fn is_of_failed(&self, status: &CanaryStatus, template: &Value) -> bool {
        let failed = CanaryStatus {
            primary_spec: status.previous_spec.clone(),
            tracked_configs: status.tracked_configs.clone(),
            ..CanaryStatus::default()
        };
        status.previous_spec.as_deref() == Some(&*template_hash(template))
            && template["metadata"]["annotations"]["flagger-id"] == self.flagger_id(&failed)
    }

    /// A promotion failed, and the primary has not taken the traffic back yet.
    pub fn is_healing(&self) -> bool {
        self.phase() == Some(Phase::Failed) && self.status.previous_spec.is_some()
    }

    pub fn resource_version(&self, key: &Key) -> &str {
        self.objects
            .get(key)
            .and_then(|object| object["metadata"]["resourceVersion"].as_str())
            .unwrap_or_default()
    }

    /// The objects of the last claim that nobody has written since: still to be written.
    pub fn open(&self) -> BTreeSet<Key> {
        let Some(step) = &self.status.step else {
            return BTreeSet::new();
        };
        self.claimed(step)
            .filter(|(key, version)| self.resource_version(key) == *version)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The objects of the last claim that do not bear its number, whoever wrote them since: a late
    /// pass may still write them for it.
    pub fn unproven(&self) -> BTreeSet<Key> {
        let Some(step) = &self.status.step else {
            return BTreeSet::new();
        };
        self.claimed(step)
            .filter(|(key, _)| self.step_of(key) != Some(step.number))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The step that last wrote an object, as far as its annotation tells.
    pub fn step_of(&self, key: &Key) -> Option<i64> {
        self.objects.get(key).and_then(|object| step_of(object))
    }

    /// The objects of a step with the resourceVersions that its claim saw.
    fn claimed<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = (&'a Key, &'a str)> {
        step.objects.iter().filter_map(|object| {
            let named = |key: &&Key| key.is(&object.api_version, &object.kind, &object.name);
            Some((self.keys.iter().find(named)?, &*object.resource_version))
        })
    }

    /// When traffic last moved, as far as the cluster or status tells.
    fn moved_at(&self) -> Option<Timestamp> {
        let apex = Key::new(&SERVICE, &*self.names.apex);
        let claimed_at = self.status.step.as_ref().map(|step| step.time.0);
        self.router
            .keys(&self.names)
            .iter()
            .chain([&apex])
            .filter_map(|key| self.objects.get(key))
            .map(|object| written_at(object, self.now).or(claimed_at))
            .max()
            .flatten()
    }

    /// Whether connections had time to leave the side that lost the traffic: by the clock since
    /// the route changed, not by counting passes.
    pub fn is_drained(&self) -> bool {
        self.moved_at()
            .is_none_or(|at| self.now.duration_since(at) >= self.terms.drain())
    }

    /// Whether an interval has passed since the last step was claimed or finished. A step that
    /// was finished late has not been observed yet.
    pub fn is_due(&self) -> bool {
        let Some(step) = &self.status.step else {
            return true;
        };
        let last = self
            .claimed(step)
            .filter_map(|(key, _)| written_at(self.objects.get(key)?, self.now))
            .fold(step.time.0, Timestamp::max);
        self.terms.is_due(last, self.now)
    }
}

/// A stored weight, within what a weight can be: status is written by others too.
pub fn percent(weight: Option<i64>) -> u8 {
    u8::try_from(weight.unwrap_or(0).clamp(0, 100)).unwrap_or(0)
}
