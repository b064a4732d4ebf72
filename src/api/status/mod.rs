//! `status` of a Canary: Flagger's fields, and what a pass needs to know of the passes before it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use serde_json::Value;

use crate::api::named::Named;
use crate::api::record::Release;
use crate::api::schema;

mod memory;
mod step;

pub use memory::{
    AnalysisSettings, Layout, PendingHook, Repairs, Scale, StoredObject, TargetScale, Traffic,
    Wait, Waits,
};
pub use step::{CheckStatus, EventType, Step, StepEvent, StepObject, Totals, Verdict};

/// What should be, and what the last passes saw. Traffic follows it: do not edit it by hand.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Where the release is. Initializing: the primary is being made. Initialized: it serves, and no
    /// release was made yet. Waiting: a new version waits for confirm-rollout. Progressing: it is
    /// being judged. WaitingPromotion: it passed and waits for confirm-promotion. Promoting: the
    /// primary is getting the new version. Finalising: the primary has the traffic back and the
    /// canary goes to zero. Succeeded, Failed: how the last release ended. Terminating: the Canary is
    /// being deleted and the target gets its traffic back.
    #[serde(
        default,
        deserialize_with = "empty_is_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub phase: Option<Phase>,

    /// Percentage of the traffic that the canary gets. 0 throughout a blue/green release or A/B test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_weight: Option<i64>,

    /// Percentage that the route should show, where it shows canaryWeight instead: a write that was
    /// refused or has not come through yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_weight: Option<i64>,

    /// When the traffic last moved, and what moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,

    /// Failed checks of this analysis; threshold says how many roll back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_checks: Option<i64>,

    /// Iterations done, of a blue/green release or A/B test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<i64>,

    /// Hash of the target's template that was last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_applied_spec: Option<String>,

    /// Hash of the target's template that was last promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_promoted_spec: Option<String>,

    /// Checksums of the ConfigMaps and Secrets that the target uses, by configmap/name or
    /// secret/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::by_config")]
    pub tracked_configs: Option<BTreeMap<String, String>>,

    /// The canary's cookie of this release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub session_affinity_cookie: Option<String>,

    /// The canary's cookie of the release before, which browsers are told to forget.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub previous_session_affinity_cookie: Option<String>,

    /// The primary's cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub primary_session_affinity_cookie: Option<String>,

    /// When this status was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,

    /// Promoted says whether the newest version has all of the traffic; Ready, Reconciling and
    /// Stalled say the same in the words that kubectl wait and GitOps tools know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<CanaryCondition>,

    /// Generation of the Canary that this status was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Why the release is where it is, and what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,

    /// What the release waits for, and since when; each reason has its own deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,

    /// Since when the Canary has been suspended while a release was under way. The time until it is
    /// resumed counts for no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub suspended_since: Option<Time>,

    /// When this analysis began. What it takes until a promotion or a rollback goes into the totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub analysis_since: Option<Time>,

    /// When the analysis last took a step: began, moved traffic, or judged its checks. The interval
    /// counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub stepped_at: Option<Time>,

    /// The analysis as it was when it was last valid. Where the Canary has become invalid in the
    /// middle of a release, that release ends by these settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<AnalysisSettings>,

    /// Webhooks that were called and have not consented yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub hooks: Vec<PendingHook>,

    /// Checks of this analysis without an answer; errorThreshold says how many are borne.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_checks: Option<i64>,

    /// Hash of the template that the primary should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub primary_spec: Option<String>,

    /// Hash of the primary's template before the promotion, which it gets back when it does not
    /// become ready with the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub previous_spec: Option<String>,

    /// Checksums of the ConfigMaps and Secrets that the primary should use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::by_config")]
    pub promoted_configs: Option<BTreeMap<String, String>>,

    /// The resourceVersions at which the checksums were taken: what is still at its version need not
    /// be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::by_config")]
    pub config_versions: Option<BTreeMap<String, String>>,

    /// Which objects the traffic goes through. Where the Canary names others by now, the traffic
    /// moves to those once no release is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,

    /// Whether the target runs, and the replicas of the primary when status was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,

    /// Objects that an admission policy stores otherwise than they were sent: what was sent and what
    /// was stored. They count as written for as long as both stay the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub stored: Vec<StoredObject>,

    /// Repairs of an object that somebody else changes again and again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<Repairs>,

    /// What the Canary named on its Services and its route when the last step was claimed. What is
    /// taken out of the Canary is taken off them; what was never named stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Named>,

    /// The last step: what one pass said it would do before it did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,

    /// The last answers of the checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub checks: Vec<CheckStatus>,

    /// What is being released, by whom, and how far it came; kept where promotion records are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,

    /// Digest of the last promotion record; the next one names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_record: Option<String>,

    /// What happened and was not told everywhere yet. An entry goes when it is known to have arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::outbox")]
    pub outbox: Vec<Value>,

    /// Counts over the life of the Canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,

    /// What the first Flagger, flagger.app/v1alpha1, calls phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub state: Option<String>,

    /// What the first Flagger, flagger.app/v1alpha1, calls lastAppliedSpec.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub canary_revision: Option<String>,
}

impl CanaryStatus {
    /// The condition of this type, if there is one.
    pub fn condition(&self, r#type: &str) -> Option<&CanaryCondition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.r#type == r#type)
    }
}

/// Where a release is.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[schemars(transform = schema::or_empty)]
pub enum Phase {
    Initializing,
    Initialized,
    Waiting,
    Progressing,
    WaitingPromotion,
    Promoting,
    Finalising,
    Succeeded,
    Failed,
    Terminating,
    Terminated,
}

/// Flagger writes an empty phase before it has begun.
fn empty_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Phase>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Phase::deserialize(text.into_deserializer()).map(Some),
    }
}

/// One thing that is true, false or not known of a Canary.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryCondition {
    /// What is true, false or unknown: Promoted, Ready, Reconciling or Stalled.
    #[schemars(length(max = 316))]
    pub r#type: String,

    /// Whether it is so: True, False or Unknown.
    pub status: ConditionStatus,

    /// One word that says why; of Promoted, the phase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// A sentence that says why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32768))]
    pub message: String,

    /// When the condition was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_update_time: Option<Time>,

    /// When its status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,
}

/// Whether a condition holds.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    #[default]
    Unknown,
}
