//! A promotion record: what became of a release, on which evidence, who made it. It is put
//! together in the claim that makes it true, waits in the status' outbox, and ends as a file in a
//! Git repository. Its bytes follow from status alone.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::analysis::OnNoData;
use crate::api::schema;
use crate::api::status::{CheckStatus, Phase, StepEvent};

/// What a record is written as; readers of a later one refuse what they do not know.
pub const VERSION: u32 = 1;

/// One terminal transition of a release.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The form of this record, [`VERSION`].
    pub version: u32,
    /// The program that decided, and its version.
    #[schemars(length(max = 256))]
    pub tool: String,
    /// As the settings call the cluster.
    #[schemars(length(max = 253))]
    pub cluster: String,
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 253))]
    pub canary: String,
    /// UID of the Canary: another one of the same name has another.
    #[schemars(length(max = 128))]
    pub uid: String,
    /// Number of the step that was claimed together with this record.
    #[schemars(range(min = 0))]
    pub step: i64,
    pub outcome: Outcome,
    /// When the step was claimed, however late the record is delivered.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// `sha256:` and the digest of the canary's record before this one; none at its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub previous: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// What the release was judged by; none where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Terms>,
    /// The target's pod template that the primary took over, where the settings ask for it: from
    /// it a rebuilt cluster goes on. JSON, as a text, which a definition can bound; the record's
    /// file has it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub template: Option<String>,
}

/// How a record came about.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The primary was made and serves; nothing was released yet.
    Initialized,
    /// A new revision was seen, and its analysis begins.
    NewRevision,
    Promoted,
    RolledBack,
    /// It passed its analysis, and the primary did not become ready with it.
    PromotionFailed,
    /// Another revision came before there was a verdict.
    Superseded,
    /// The target was set back to the promoted revision before there was a verdict.
    Reverted,
    /// The release has begun to wait for something: people are told, and Git keeps what ended.
    Held,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initialized => "initialized",
            Self::NewRevision => "new-revision",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::PromotionFailed => "promotion-failed",
            Self::Superseded => "superseded",
            Self::Reverted => "reverted",
            Self::Held => "held",
        })
    }
}

/// What is released in place of what, and by whom.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// What the primary ran when the release began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,

    /// What the target carries.
    pub to: Version,

    /// When the release began.
    #[schemars(schema_with = "schema::time")]
    pub began: Time,

    /// The field manager that last changed the target, as it called itself: a text, which any
    /// writer may choose, and no proof of who it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub actor: Option<String>,

    /// The target's annotation kubernetes.io/change-cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub change_cause: Option<String>,

    /// The commit that the target was built from: its annotation org.opencontainers.image.revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub commit: Option<String>,

    /// When that was committed: its annotation flagger.app/commit-time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub commit_time: Option<Time>,

    /// The pod template that is released, where records are to hold it, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub template: Option<String>,

    /// Its steps so far, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub steps: Vec<Evidence>,

    /// Steps that were left out after the first, to bound the size.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub steps_left_out: i64,
}

/// A pod template.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Images of its containers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    pub images: Vec<String>,

    /// Names of those containers: by them an image is told from that of another version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub containers: Vec<String>,

    /// Hash of the template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub spec: String,
}

/// One step of a release: where it came to, and the answers on which it was decided.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Number of the step.
    #[schemars(range(min = 0))]
    pub step: i64,

    /// When it was claimed.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,

    /// The phase that it came to.
    pub phase: Phase,

    /// The canary's percentage of the traffic from here on.
    pub weight: i64,

    /// Iterations done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub iterations: i64,

    /// Whether the canary gets copies of requests from here on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub mirrored: bool,

    /// Failed checks so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_checks: i64,

    /// Checks without an answer so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_checks: i64,

    /// Why.
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// The answers that were judged in this step; none where none were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub checks: Vec<CheckStatus>,
}

/// What a release was judged by, as it stood when it ended.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the manifest"
)]
pub struct Terms {
    /// Weights in turn; empty where the release goes by iterations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub weights: Vec<u8>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub iterations: i64,
    /// Whether all of the traffic goes to the canary after the last iteration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub shifts_traffic: bool,
    /// Whether the requests that match, and they alone, go to the canary in every iteration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub matches: bool,
    /// Whether the canary gets copies of requests before it gets any weight.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub mirror: bool,
    /// Failed checks that roll back.
    pub threshold: i64,
    /// Checks without an answer that are borne.
    pub error_threshold: i64,
    /// What checks without an answer lead to.
    pub on_no_data: OnNoData,
    /// Every check that does not pass counts against `threshold`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(transform = schema::without_default)]
    pub flagger_counting: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub checks: Vec<Check>,
}

/// One check as it was asked.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    #[schemars(length(max = 253))]
    pub metric: String,
    #[schemars(length(max = 131_072))]
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// What waits to be delivered. Status keeps entries as they are: one that a later version put there
/// must not make the Canary unreadable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxEntry {
    /// Where it is still to arrive.
    pub to: Vec<String>,
    /// By place: that it refused this very message, and is not asked for now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, Refusal>,
    #[serde(flatten)]
    pub news: News,
}

impl OutboxEntry {
    /// News that nobody has refused yet.
    pub fn new(to: Vec<String>, news: News) -> Self {
        Self {
            to,
            refused: BTreeMap::new(),
            news,
        }
    }
}

/// A message that its channel did not take, and would hardly take a moment later.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// How often it was refused.
    pub times: u32,
    /// When it is sent again.
    #[schemars(schema_with = "schema::time")]
    pub until: Time,
}

/// What an entry of an outbox holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum News {
    Record(Box<Record>),
    /// The Events of a step.
    Told(Told),
    /// A change to propose.
    Revert(Revert),
}

/// What a release that was rolled back is to become again where its manifest comes from.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revert {
    /// As the settings call the cluster.
    #[schemars(length(max = 253))]
    pub cluster: String,
    #[schemars(length(max = 63))]
    pub namespace: String,
    #[schemars(length(max = 253))]
    pub canary: String,
    /// UID of the Canary: another one of the same name has another.
    #[schemars(length(max = 128))]
    pub uid: String,
    /// Number of the step that rolled back.
    #[schemars(range(min = 0))]
    pub step: i64,
    #[schemars(schema_with = "schema::time")]
    pub time: Time,
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Kind and name of the workload that carries the images.
    #[schemars(length(max = 63))]
    pub kind: String,
    #[schemars(length(max = 253))]
    pub name: String,
    #[schemars(length(max = 32))]
    pub images: Vec<ImageChange>,
}

/// An image in place of another.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageChange {
    /// What was rolled back.
    #[schemars(length(max = 1024))]
    pub from: String,
    /// What the primary runs.
    #[schemars(length(max = 1024))]
    pub to: String,
}

/// What the Events of one step told, as the event webhook tells it again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Told {
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Of the Canary.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the Canary: another one of the same name has another.
    #[schemars(length(max = 128))]
    pub uid: String,
    /// Number of the step.
    #[schemars(range(min = 0))]
    pub step: i64,
    /// When the step was claimed, however late this is delivered.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,
    /// The phase that the step came to.
    pub phase: Phase,
    /// Tells one revision and its configs from another.
    #[schemars(length(max = 256))]
    pub checksum: String,
    /// In the order in which they happened; at most 5.
    #[schemars(length(max = 5))]
    pub events: Vec<StepEvent>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
pub(super) fn is_zero(number: &i64) -> bool {
    *number == 0
}
