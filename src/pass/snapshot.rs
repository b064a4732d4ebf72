//! Everything that one pass knows of one canary, as plain data, and what follows from it without
//! a choice: hashes, readiness, the weight on the route, what the last claim left unfinished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Layout, Phase, Step, TargetScale, Wait};
use crate::metrics::Check;
use crate::objects::hash::{content_hash, template_hash, unmarked_hash};
use crate::objects::patch::{step_of, written_at};
use crate::objects::{
    CONFIG_MAP, Key, Kind, Names, Objects, Policy, Problem, SECRET, SERVICE, View,
};
use crate::pass::desired::{self, Desired};
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
    /// Objects of somebody else under names of ours: never written.
    pub foreign: BTreeSet<Key>,
    /// Objects that could not be read: nothing is known of them, and they are not written.
    pub unread: BTreeSet<Key>,
    /// Checksums of the tracked configs as they are now, by `configmap/<name>`.
    pub checksums: BTreeMap<String, String>,
    /// The resourceVersions at which the checksums were taken.
    pub versions: BTreeMap<String, String>,
    /// Where earlier templates of the primary are kept; read only while a promotion may fail.
    pub history: Vec<Arc<Value>>,
    /// What a primary that is to be made starts from, where that is not what the target carries.
    pub restored: Option<Arc<Restored>>,
    /// As the Canary says, or as it said when it was last valid.
    pub terms: Terms,
    /// The checks that can be asked.
    pub checks: Vec<Check>,
    pub router: &'static dyn Router,
    pub workload: &'static dyn Workload,
    pub autoscaler: Option<&'static dyn Autoscaler>,
    /// The status this pass starts from: the stored one, or another controller's taken over.
    pub status: CanaryStatus,
    /// What the route shows: percent of the traffic on the canary. `None` without a route, and
    /// where none can be made out.
    pub route_weight: Option<u8>,
    /// Why no weight can be made out on the route that is there.
    pub unreadable_route: Option<Problem>,
    /// Why the route does not show its weight to the data plane yet.
    pub unsettled: Option<String>,
    /// What is wrong with the Canary or what it refers to: it does not advance.
    pub problems: Vec<Problem>,
    /// What the API server did not answer: the canary does not advance.
    pub unreachable: Vec<String>,
    /// What has to go first, such as an object of an earlier Canary of the same name.
    pub awaited: Vec<String>,
    /// Another Canary claims the same things: this one only takes off its own traffic.
    pub is_contested: bool,
    /// Other objects that claim the same hosts.
    pub rivals: Vec<Key>,
    /// The layout that the Canary asks for, where it is not the one that the traffic goes through.
    pub moves_to: Option<Layout>,
    /// The objects as the status of this snapshot says they should be.
    pub current: OnceLock<Desired>,
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

/// A pass may read for so long after its `now`, and clocks of nodes differ: a time that is further
/// ahead is no time.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

impl Snapshot {
    pub fn view(&self) -> View<'_> {
        View {
            canary: &self.canary,
            names: &self.names,
            policy: &self.policy,
            objects: &self.objects,
        }
    }

    /// The objects as the status of this snapshot says they should be: rendered once.
    pub fn current(&self) -> &Desired {
        self.current
            .get_or_init(|| desired::desired(self, &self.status))
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

    /// The apex Service, by which clients find the application.
    pub fn apex_key(&self) -> Key {
        Key::new(&SERVICE, &*self.names.apex)
    }

    pub fn phase(&self) -> Option<Phase> {
        self.status.phase
    }

    pub fn is_being_deleted(&self) -> bool {
        self.canary.metadata.deletion_timestamp.is_some()
    }

    pub fn step_number(&self) -> i64 {
        self.status.step.as_ref().map_or(0, |step| step.number)
    }

    /// The canary's share as status wants it.
    pub fn status_weight(&self) -> u8 {
        wanted_weight(&self.status)
    }

    /// The canary's share as the route shows it; without a route it gets none.
    pub fn weight(&self) -> u8 {
        self.route_weight.unwrap_or(0)
    }

    /// Whether requests may reach the canary, as far as can be told.
    pub fn has_traffic(&self) -> bool {
        self.weight() > 0 || self.unreadable_route.is_some()
    }

    /// Whether this is one of the router's objects.
    pub fn is_route(&self, key: &Key) -> bool {
        self.router.keys(&self.names).contains(key)
    }

    /// Whether this object holds the weights.
    pub fn holds_weight(&self, key: &Key) -> bool {
        self.router.weight_keys(&self.names).contains(key)
    }

    /// Whether this is the primary's copy of the autoscaler.
    pub fn is_scaler_copy(&self, key: &Key) -> bool {
        let reference = self.canary.spec.autoscaler_ref.as_ref();
        let (Some(autoscaler), Some(reference)) = (self.autoscaler, reference) else {
            return false;
        };
        let keys = autoscaler.keys(&self.names, &reference.name);
        keys.iter().skip(1).any(|copy| copy == key)
    }

    /// Whether this is a copy that the primary uses of a config that the target refers to.
    pub fn is_config_copy(&self, key: &Key) -> bool {
        if *key.kind != CONFIG_MAP && *key.kind != SECRET {
            return false;
        }
        let Some(config) = key
            .name
            .strip_suffix("-primary-previous")
            .or_else(|| key.name.strip_suffix("-primary"))
        else {
            return false;
        };
        let config = Key::new(key.kind, config);
        let name = crate::objects::configs::status_key(&config);
        self.checksums.contains_key(&name)
            || self
                .status
                .promoted_configs
                .iter()
                .flatten()
                .any(|(promoted, _)| *promoted == name)
    }

    /// Whether the analysis asks anything of a metrics system.
    pub fn has_metrics(&self) -> bool {
        terms::analysis(&self.canary).is_some_and(|analysis| !analysis.metrics.is_empty())
    }

    pub fn target_replicas(&self) -> i64 {
        self.target()
            .map_or(0, |target| self.workload.replicas(target))
    }

    pub fn primary_replicas(&self) -> i64 {
        self.primary()
            .map_or(0, |primary| self.workload.replicas(primary))
    }

    pub fn primary_available(&self) -> i64 {
        self.primary()
            .map_or(0, |primary| self.workload.available(primary))
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
            Readiness::Exceeded(_) | Readiness::Waiting(_) => {
                self.primary().is_some_and(|primary| {
                    self.workload.available(primary) > 0 && self.workload.has_one_template(primary)
                })
            }
        }
    }

    /// Somebody has asked for a primary without pods: nobody is to be served.
    pub fn primary_is_put_to_zero(&self) -> bool {
        self.primary()
            .is_some_and(|primary| self.workload.replicas(primary) == 0)
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

    /// Whether the target can answer for the application again, before its primary goes.
    pub fn canary_is_up(&self) -> bool {
        self.canary_available() > 0 && self.canary_readiness() == Readiness::Ready
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

    /// The revision that was last acted upon, as status has it.
    pub fn applied_revision(&self) -> Revision {
        Revision {
            spec: self.status.last_applied_spec.clone().unwrap_or_default(),
            configs: self.status.tracked_configs.clone().unwrap_or_default(),
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

    /// Whether a template of the primary that was sent with one hash is stored with the other: the
    /// same, unless a policy of the cluster changes what is written.
    pub fn is_stored_as(&self, sent: Option<&str>, stored: Option<&str>) -> bool {
        let key = self.primary_key();
        sent == stored
            || self.status.stored.iter().any(|object| {
                key.is(&object.api_version, &object.kind, &object.name)
                    && object.sent_template.is_some()
                    && object.sent_template.as_deref() == sent
                    && object.stored_template.as_deref() == stored
            })
    }

    /// Whether the primary already has all that would be copied from the target now.
    pub fn is_on_primary(&self) -> bool {
        self.primary().is_some()
            && self.is_stored_as(self.copy_hash().as_deref(), self.primary_hash().as_deref())
            && self.has_promoted_configs()
    }

    fn has_promoted_configs(&self) -> bool {
        let had = self.status.promoted_configs.as_ref();
        had.is_none_or(|had| *had == self.checksums)
    }

    /// Whether the primary runs what the target carries, but for the marks of a restart in place.
    pub fn is_on_restarted_primary(&self) -> bool {
        let (Some(target), Some(primary)) = (self.target(), self.primary()) else {
            return false;
        };
        let copy = self.workload.primary_template(&self.view(), target);
        unmarked_hash(&copy) == unmarked_hash(self.workload.template(primary))
            && self.has_promoted_configs()
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
            let hash = template_hash(template);
            self.is_stored_as(status.primary_spec.as_deref(), Some(&hash))
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
        let hash = self.primary_hash();
        self.is_stored_as(status.primary_spec.as_deref(), hash.as_deref())
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
        let hash = template_hash(template);
        self.is_stored_as(status.previous_spec.as_deref(), Some(&hash))
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

    /// Whether an object is as it should be: the same, or what the API server makes of it.
    pub fn is_as_wanted(&self, key: &Key, wanted: &Value) -> bool {
        let Some(live) = self.objects.get(key) else {
            return false;
        };
        **live == *wanted || self.is_stored_form(key, wanted, live)
    }

    fn is_stored_form(&self, key: &Key, wanted: &Value, live: &Value) -> bool {
        let mut stored = self.status.stored.iter();
        stored
            .find(|object| key.is(&object.api_version, &object.kind, &object.name))
            .is_some_and(|object| {
                object.stored == content_hash(live) && object.sent == content_hash(wanted)
            })
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
            let key = self.keys.iter().find(named)?;
            let may_be_written = !self.foreign.contains(key) && !self.unread.contains(key);
            may_be_written.then_some((key, &*object.resource_version))
        })
    }

    /// A time that status or an object speaks of, unless it lies in the future.
    fn sound(&self, time: Timestamp) -> Option<Timestamp> {
        (time.duration_since(self.now) <= AHEAD_MAX).then_some(time)
    }

    /// When traffic last moved, as far as the cluster or status tells. Where a later step has
    /// written the same objects for another reason, status remembers it.
    pub fn moved_at(&self) -> Option<Timestamp> {
        let traffic = self.status.traffic.clone().unwrap_or_default();
        let claimed_at = self.status.step.as_ref().map(|step| step.time.0);
        let is_of_move = |key: &Key| {
            let step = self.step_of(key);
            traffic.step == 0 || step.is_none_or(|step| step <= traffic.step)
        };
        let written = self
            .router
            .keys(&self.names)
            .into_iter()
            .chain([self.apex_key()])
            .filter(is_of_move)
            .filter_map(|key| self.objects.get(&key))
            .filter_map(|object| written_at(object, self.now).or(claimed_at))
            .filter_map(|time| self.sound(time))
            .max();
        let remembered = traffic.moved_at.and_then(|at| self.sound(at.0));
        written.max(remembered)
    }

    /// Whether connections had time to leave the side that lost the traffic: by the clock since
    /// the route changed, not by counting passes.
    pub fn is_drained(&self) -> bool {
        self.moved_at()
            .is_none_or(|at| self.now.duration_since(at) >= self.terms.drain())
    }

    /// Whether an interval has passed since the analysis last took a step, and since its weight was
    /// written. Repairs of other things put nothing off.
    pub fn is_due(&self) -> bool {
        let status = &self.status;
        let stepped = status.stepped_at.as_ref().map(|at| at.0);
        let claimed = status.step.as_ref().map(|step| step.time.0);
        let Some(stepped) = stepped.or(claimed).and_then(|at| self.sound(at)) else {
            return true;
        };
        let moved = status.traffic.as_ref().and_then(|_| self.moved_at());
        let last = moved.map_or(stepped, |moved| moved.max(stepped));
        self.terms.is_due(last, self.now)
    }

    /// How long a reason to wait has lasted.
    pub fn waited(&self, wait: Option<&Wait>) -> Option<SignedDuration> {
        let since = self.sound(wait?.since.0)?;
        Some(self.now.duration_since(since))
    }

    /// Whether a reason to wait has been gone for so long that it is a new one when it returns.
    pub fn is_over(&self, wait: &Wait) -> bool {
        let is_sound = self.sound(wait.since.0).is_some();
        // Passes come once an interval: what was gone in two of them may have been gone between.
        let lasting = (self.terms.drain() * 2).min(self.terms.progress_deadline());
        let gone = wait.gone.as_ref().map(|gone| gone.0);
        !is_sound || gone.is_some_and(|gone| self.now.duration_since(gone) >= lasting)
    }

    /// The layout that the traffic goes through.
    pub fn layout(&self) -> Layout {
        self.status.layout.clone().unwrap_or_else(|| Layout {
            clients_moved: !matches!(self.phase(), None | Some(Phase::Initializing)),
            ..Layout::default()
        })
    }

    /// Whether the target runs, by what passes have done to it.
    pub fn target_scale(&self) -> TargetScale {
        target_scale(&self.status, self.target_replicas())
    }
}

/// Whether the target runs. A status from before this was kept says it by its phase.
pub fn target_scale(status: &CanaryStatus, replicas: i64) -> TargetScale {
    match (&status.scale, status.phase) {
        (Some(scale), _) => scale.target,
        (None, None | Some(Phase::Initializing | Phase::Waiting | Phase::Terminated)) => {
            TargetScale::AsItIs
        }
        (None, Some(Phase::Initialized | Phase::Succeeded | Phase::Failed)) if replicas == 0 => {
            TargetScale::Zero
        }
        (None, Some(_)) => TargetScale::Up,
    }
}

/// The canary's share that the route should show.
pub fn wanted_weight(status: &CanaryStatus) -> u8 {
    percent(status.wanted_weight.or(status.canary_weight))
}

/// A stored weight, within what a weight can be: status is written by others too.
pub fn percent(weight: Option<i64>) -> u8 {
    u8::try_from(weight.unwrap_or(0).clamp(0, 100)).unwrap_or(0)
}
