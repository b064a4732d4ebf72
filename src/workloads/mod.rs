//! What is released: one file per target kind and per autoscaler, and their tables.
//! A workload turns a target into its primary and tells how far a rollout is; it decides nothing.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, View, Wanted};

pub mod deployment;
pub mod horizontal_pod_autoscaler;

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

/// A kind of target.
pub trait Workload: Sync {
    fn kind(&self) -> &'static Kind;

    /// The word in messages: `deployment`.
    fn word(&self) -> &'static str;

    /// The kind that keeps earlier templates of the primary, for healing a failed promotion.
    fn history_kind(&self) -> &'static Kind;

    /// What is wrong with the target for a release: no selector label, a strategy that cannot be.
    fn problems(&self, view: &View<'_>, target: &Value) -> Vec<Problem>;

    /// The replicas that the object asks for.
    fn replicas(&self, object: &Value) -> i64;

    /// Pods that are available now.
    fn available(&self, object: &Value) -> i64;

    /// Whether every pod that there is comes from the object's present template.
    fn has_one_template(&self, object: &Value) -> bool;

    /// How far its rollout is: pods of the present template that there are, and that are available.
    fn progress(&self, object: &Value) -> i64;

    /// Whether updating the primary of so many replicas, as the target's strategy has it, takes all
    /// its pods away before new ones are there.
    fn update_empties(&self, target: &Value, replicas: i64) -> bool;

    fn readiness(&self, object: &Value, rule: ReadinessRule) -> Readiness;

    /// The pod template of a target, primary, or history object.
    fn template<'a>(&self, object: &'a Value) -> &'a Value;

    /// The template that a promotion would copy from the target: labels, affinity and tracked
    /// configs renamed. Without `flagger-id`.
    fn primary_template(&self, view: &View<'_>, target: &Value) -> Value;

    /// A new primary from the target.
    fn new_primary(&self, view: &View<'_>, target: &Value) -> Value;

    /// The primary after a promotion: the template (with `flagger_id` as annotation, which names
    /// the step, so that each promotion restarts the pods) and the fields beside it that follow
    /// the target. Replicas are never lowered.
    fn promoted(&self, view: &View<'_>, primary: &Value, target: &Value, flagger_id: &str)
    -> Value;

    /// The primary with an earlier template put back.
    fn with_template(&self, primary: &Value, template: &Value) -> Value;

    /// The object asking for `replicas`.
    fn scaled(&self, object: &Value, replicas: i64) -> Value;

    /// The replicas with which the target comes up: its own count if it has one, else the
    /// autoscaler's minimum where there is an autoscaler, else the primary's count, else one.
    fn replicas_up(&self, view: &View<'_>, target: &Value) -> i64;
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
}

static WORKLOADS: &[&dyn Workload] = &[&deployment::Deployment];
static AUTOSCALERS: &[&dyn Autoscaler] = &[&horizontal_pod_autoscaler::HorizontalPodAutoscaler];

/// The kinds of target that there are.
pub fn workload_kinds() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.kind().kind)
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
