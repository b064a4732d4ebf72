//! Everything that one pass knows of one canary, as plain data, and what follows from it without
//! a choice: hashes, readiness, the weight on the route, what the last claim left unfinished.

mod revisions;
mod times;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, Layout, Phase, TargetScale};
use crate::metrics::Check;
use crate::objects::hash::content_hash;
use crate::objects::{
    CONFIG_MAP, Key, Kind, Names, Objects, Policy, Problem, Role, SECRET, SERVICE, View,
};
use crate::pass::desired::{self, Desired};
use crate::pass::terms::Terms;
use crate::routers::{Router, Traffic};
use crate::webhooks::Hook;
use crate::workloads::{Autoscaler, Readiness, ReadinessRules, Side, Sides, Workload};

pub use traffic::{has_matches, wanted_traffic};

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
    /// What is wrong with metrics that ask nothing, which Flagger leaves out without a word.
    pub unasked: Vec<String>,
    /// The webhooks of the Canary; none where one of them is not valid.
    pub hooks: Vec<Hook>,
    pub router: &'static dyn Router,
    pub workload: &'static dyn Workload,
    pub autoscaler: Option<&'static dyn Autoscaler>,
    /// The status this pass starts from: the stored one, or another controller's taken over.
    pub status: CanaryStatus,
    /// What the route shows of the canary's traffic. `None` without a route, and where none can be
    /// made out.
    pub route_traffic: Option<Traffic>,
    /// Why no weight can be made out on the route that is there.
    pub unreadable_route: Option<Problem>,
    /// Why the route does not show its weight to the data plane yet.
    pub unsettled: Option<String>,
    /// What is wrong with the Canary or what it refers to: it does not advance.
    pub problems: Vec<Problem>,
    /// What the API server did not answer: the canary does not advance.
    pub unreachable: Vec<String>,
    /// What has to go first, such as an object of an earlier Canary of the same name.
    pub pending: Vec<String>,
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

    /// Whether this is one of the objects that the router writes.
    pub fn is_route(&self, key: &Key) -> bool {
        matches!(self.route_role(key), Some(Role::Owned | Role::Adopted))
    }

    /// Whose an object is that the router reads; `None` of any other.
    pub fn route_role(&self, key: &Key) -> Option<Role> {
        let mut read = self.router.reads(&self.canary, &self.names).into_iter();
        read.find(|(read, _)| read == key).map(|(_, role)| role)
    }

    /// The objects that hold the weights.
    pub fn weight_keys(&self) -> Vec<Key> {
        self.router.weight_keys(&self.canary, &self.names)
    }

    /// Whether this object holds the weights.
    pub fn holds_weight(&self, key: &Key) -> bool {
        self.weight_keys().contains(key)
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

    /// Both sides as their objects show them now.
    pub fn sides(&self) -> Sides {
        let rules = ReadinessRules {
            target: self.terms.canary_rule(self.now),
            primary: self.terms.primary_rule(self.now),
        };
        self.workload.observe(&self.view(), &rules)
    }

    pub fn target_replicas(&self) -> i64 {
        self.sides().target.map_or(0, |target| target.replicas)
    }

    pub fn primary_replicas(&self) -> i64 {
        self.sides().primary.map_or(0, |primary| primary.replicas)
    }

    pub fn primary_available(&self) -> i64 {
        self.sides().primary.map_or(0, |primary| primary.available)
    }

    pub fn primary_readiness(&self) -> Readiness {
        match self.sides().primary {
            Some(Side {
                readiness: Readiness::Ready,
                available: 0,
                ..
            }) => Readiness::Waiting("it has no available pods".to_owned()),
            Some(primary) => primary.readiness,
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
                let primary = self.sides().primary;
                primary.is_some_and(|primary| primary.available > 0 && primary.has_one_template)
            }
        }
    }

    /// Somebody has asked for a primary without pods: nobody is to be served.
    pub fn primary_is_put_to_zero(&self) -> bool {
        let primary = self.sides().primary;
        primary.is_some_and(|primary| primary.replicas == 0)
    }

    pub fn canary_readiness(&self) -> Readiness {
        match self.sides().target {
            Some(target) => target.readiness,
            None => Readiness::Waiting("it does not exist".to_owned()),
        }
    }

    pub fn canary_available(&self) -> i64 {
        self.sides().target.map_or(0, |target| target.available)
    }

    /// Whether the target can answer for the application again, before its primary goes.
    pub fn canary_is_up(&self) -> bool {
        self.canary_available() > 0 && self.canary_readiness() == Readiness::Ready
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

/// A stored weight, within what a weight can be: status is written by others too.
pub fn percent(weight: Option<i64>) -> u8 {
    u8::try_from(weight.unwrap_or(0).clamp(0, 100)).unwrap_or(0)
}
