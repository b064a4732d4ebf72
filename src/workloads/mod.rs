//! What is released: one file per target kind and per autoscaler, and their tables.
//! A workload shows both sides of a release and makes of them what an intent says; it decides
//! nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, View, Wanted};

pub mod daemon_set;
pub mod deployment;
pub mod horizontal_pod_autoscaler;
pub mod pods;
pub mod scaled_object;

/// How far a rollout is. The texts are Flagger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Not yet; waiting may help.
    Waiting(String),
    /// Its deadline has passed; waiting will not help.
    Exceeded(String),
}

/// What `readiness` needs of the Canary.
#[derive(Clone, Copy, Debug)]
pub struct ReadinessRule {
    pub now: Timestamp,
    /// Percent of the updated replicas that must be available.
    pub threshold: i64,
    pub progress_deadline_seconds: i64,
}

/// The rules for both sides of a release.
#[derive(Clone, Copy, Debug)]
pub struct ReadinessRules {
    pub target: ReadinessRule,
    pub primary: ReadinessRule,
}

/// One side of a release, as its object shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Pods that are asked for; 0 for a side that is put to zero, by whatever means its kind has.
    pub replicas: i64,
    /// Pods that are available now.
    pub available: i64,
    /// How far the rollout is: pods of the present template that there are, and that are available.
    pub progress: i64,
    /// Whether every pod that there is comes from the present template.
    pub has_one_template: bool,
    pub readiness: Readiness,
}

/// Both sides of a release; one whose object is not there is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    pub target: Option<Side>,
    pub primary: Option<Side>,
}

/// What both sides should be.
#[derive(Clone, Debug)]
pub struct Intent<'a> {
    pub primary: PrimaryIntent<'a>,
    /// Pods for a primary that would ask for none; without it, it may.
    pub primary_awake: Option<i64>,
    pub target: TargetIntent,
}

/// What the primary should be, and with it the copies of configs that it uses.
#[derive(Clone, Debug)]
pub enum PrimaryIntent<'a> {
    /// Nothing is said of it: it is neither made nor changed.
    Leave,
    /// As it is, with at least so many replicas; a copy of a config that has another checksum than
    /// this is written again, as far as its contents are to be found.
    Keep {
        replicas_min: Option<i64>,
        checksums: Option<&'a BTreeMap<String, String>>,
    },
    /// A new one from the target, or from the target with this template, with at least so many
    /// replicas.
    Create {
        template: Option<&'a Value>,
        replicas_min: Option<i64>,
        flagger_id: String,
    },
    /// One that has never served follows its target.
    Recreate { flagger_id: String },
    /// The target's template, and the fields beside it that follow the target. What the copies of
    /// configs hold now is kept for `PutBack`. Replicas are never lowered.
    Copy { flagger_id: String },
    /// The copies of configs as they were before the last `Copy`, and the template, where there is
    /// one to be put back.
    PutBack { template: Option<Cow<'a, Value>> },
}

/// What the target should be. Between zero and not zero its replicas belong to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetIntent {
    AsItIs,
    /// At zero it gets replicas: the autoscaler's minimum where there is an autoscaler, else the
    /// primary's, else one.
    Up,
    /// At zero it gets as many replicas as the primary has.
    InPlaceOfPrimary,
    Zero,
}

/// Objects as they should be, and what is wrong where one cannot be made.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    pub objects: Vec<Wanted>,
    pub problems: Vec<Problem>,
}

impl Rendered {
    fn try_extend(&mut self, wanted: Result<Vec<Wanted>, Problem>) {
        match wanted {
            Ok(wanted) => self.objects.extend(wanted),
            Err(problem) => self.problems.push(problem),
        }
    }
}

/// A kind of target. What runs pods from one template implements [`pods::Pods`], which is shorter.
///
/// Objects that are passed in are whole, as the API server stores them, and of [`Workload::kind`]
/// where nothing else is said; one that lacks a field has the default of the API server.
pub trait Workload: Sync {
    fn kind(&self) -> &'static Kind;

    /// The word before the target's name in messages: `deployment`.
    fn word(&self) -> &'static str;

    /// What stands before the primary's name in messages, with a space at its end.
    fn primary_prefix(&self) -> &'static str {
        ""
    }

    /// The kind that keeps earlier templates of the primary, for healing a failed promotion.
    fn history_kind(&self) -> &'static Kind;

    /// The label selector that finds the history of this primary, and that of others perhaps.
    fn history_selector(&self, primary: &Value) -> String;

    /// What is wrong with the target for a release: no selector label, a strategy that cannot be.
    fn problems(&self, view: &View<'_>, target: &Value) -> Vec<Problem>;

    /// What the objects of the view show.
    fn observe(&self, view: &View<'_>, rules: &ReadinessRules) -> Sides;

    /// The objects of both sides that are there or to be made, with the primary's copies of
    /// configs. Rendered again after it was written, the same intent changes nothing.
    fn render(&self, view: &View<'_>, intent: &Intent<'_>) -> Rendered;

    /// What is released: the template of a target, a primary, or a history object, without what
    /// puts the object to zero.
    fn template<'a>(&self, object: &'a Value) -> Cow<'a, Value>;

    /// The template that a promotion would copy from the target: labels, affinity and tracked
    /// configs renamed. Without `flagger-id`.
    fn primary_template(&self, view: &View<'_>, target: &Value) -> Value;

    /// The object with another template, at zero if it was at zero.
    fn with_template(&self, object: &Value, template: &Value) -> Value;

    /// Names and images of the containers that an object runs, in its order.
    fn images<'a>(&self, object: &'a Value) -> Vec<(&'a str, &'a str)>;

    /// The replicas that the object asks for; 0 where it is put to zero.
    fn replicas(&self, object: &Value) -> i64;

    /// Whether updating the primary of so many replicas, as the target's strategy has it, takes all
    /// its pods away before new ones are there.
    fn update_empties(&self, target: &Value, replicas: i64) -> bool;
}

/// A kind of autoscaler that `spec.autoscalerRef` may name.
pub trait Autoscaler: Sync {
    fn kind(&self) -> &'static Kind;

    /// The user's autoscaler and its copy for the primary.
    fn keys(&self, names: &Names, reference: &str) -> Vec<Key>;

    /// The least replicas that the user's autoscaler allows.
    fn min_replicas(&self, autoscaler: &Value) -> i64;

    /// The most replicas that the primary's autoscaler allows.
    fn most(&self, view: &View<'_>) -> Option<i64>;

    /// The primary's autoscaler with at least so many replicas, as far as it allows.
    fn raised(&self, autoscaler: Value, least: i64) -> Value;

    /// The primary's autoscaler as it should be; a missing user's autoscaler is a problem.
    fn render(&self, view: &View<'_>) -> Result<Vec<Wanted>, Problem>;

    /// The user's autoscaler as it holds the target at zero, or holds it no more. `None` where one
    /// leaves a target at zero alone by itself.
    fn hold(&self, _view: &View<'_>, _is_held: bool) -> Option<Wanted> {
        None
    }

    /// Whether this autoscaler holds its target at zero: it takes away the pods that there are.
    fn is_held(&self, _autoscaler: &Value) -> bool {
        false
    }
}

static WORKLOADS: &[&dyn Workload] = &[&deployment::Deployment, &daemon_set::DaemonSet];
static AUTOSCALERS: &[&dyn Autoscaler] = &[
    &horizontal_pod_autoscaler::HorizontalPodAutoscaler,
    &scaled_object::ScaledObject,
];

/// The kinds of target that there are.
pub fn workload_kinds() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.kind().kind)
}

/// Every kind of object that workloads and autoscalers read or write, configs aside.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let workloads = WORKLOADS.iter();
    let workloads = workloads.flat_map(|workload| [workload.kind(), workload.history_kind()]);
    workloads.chain(AUTOSCALERS.iter().map(|scaler| scaler.kind()))
}

/// The kinds of autoscaler that there are.
pub fn autoscaler_kinds() -> impl Iterator<Item = &'static str> {
    AUTOSCALERS.iter().map(|scaler| scaler.kind().kind)
}

/// The workload that stands in for one that is not known, where a Canary is only to be told so.
pub fn first() -> &'static dyn Workload {
    &deployment::Deployment
}

/// The workload of this kind, if there is one.
pub fn of_kind(kind: &str) -> Option<&'static dyn Workload> {
    let mut workloads = WORKLOADS.iter().copied();
    workloads.find(|workload| workload.kind().kind == kind)
}

/// The workload of the canary's target; an unknown kind is a problem that names the known ones.
pub fn workload(canary: &Canary) -> Result<&'static dyn Workload, Problem> {
    let kind = &canary.spec.target_ref.kind;
    of_kind(kind).ok_or_else(|| unknown("spec.targetRef.kind", kind, workload_kinds()))
}

/// The autoscaler of the canary, if it names one.
pub fn autoscaler(canary: &Canary) -> Result<Option<&'static dyn Autoscaler>, Problem> {
    let Some(reference) = &canary.spec.autoscaler_ref else {
        return Ok(None);
    };
    let kind = &reference.kind;
    let found = AUTOSCALERS
        .iter()
        .copied()
        .find(|scaler| scaler.kind().kind == kind);
    found
        .map(Some)
        .ok_or_else(|| unknown("spec.autoscalerRef.kind", kind, autoscaler_kinds()))
}

fn unknown(field: &str, kind: &str, known: impl Iterator<Item = &'static str>) -> Problem {
    let known: Vec<_> = known.collect();
    Problem::field(
        field,
        format!(
            "\"{kind}\" is not supported; known are {}",
            known.join(", ")
        ),
    )
}

/// The least replicas that the canary's autoscaler allows, if it has one.
pub fn min_replicas(view: &View<'_>) -> Option<i64> {
    let reference = view.canary.spec.autoscaler_ref.as_ref()?;
    let scaler = autoscaler(view.canary).ok()??;
    // An autoscaler that is not there is `render`'s to complain of; the least is one even so.
    let least = view
        .object(scaler.kind(), &reference.name)
        .map(|it| scaler.min_replicas(it));
    Some(least.unwrap_or(1))
}
