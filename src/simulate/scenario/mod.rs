//! A scenario: the objects that a cluster starts with, what happens to it, and what is expected.
//! A folder with `cluster.yaml` and `script.yaml`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use self::answers::Metrics;
use self::expected::Expect;
use self::hooks::Hooks;
use self::yaml::Manifest;
use crate::api::status::Phase;

pub use self::yaml::Unusable;

pub mod answers;
pub mod expected;
pub mod hooks;
pub mod yaml;

/// What happens in a scenario, in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// What the scenario shows, in a sentence.
    pub about: String,
    /// Settings, by the names of the environment variables.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Seconds between passes; the canary's interval if left out.
    pub every_seconds: Option<i64>,
    /// What the metrics system answers from the start.
    #[serde(default)]
    pub metrics: Metrics,
    /// What webhooks answer from the start: consent if left out.
    #[serde(default)]
    pub hooks: Hooks,
    /// Seconds until a pod that becomes ready is ready.
    pub pod_seconds: Option<i64>,
    pub steps: Vec<Event>,
    #[serde(default)]
    pub expect: Expect,
}

/// Something that happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// Passes, until the canary has reached this phase and, in a phase of rest, come to rest.
    Until(Phase),
    /// Passes, until the canary has this weight or more.
    Weight(i64),
    /// Passes, until the canary has a first weight or iteration.
    Step,
    /// This many passes.
    Passes(u32),
    /// Passes for this many seconds.
    Sleep(i64),
    /// The target's first container gets an image with this tag.
    Image(String),
    /// The metrics system answers so from now on.
    Metrics(Metrics),
    /// Webhooks answer so from now on.
    Hooks(Hooks),
    /// Pods of images with this tag never become ready, from now on.
    Stuck(String),
    /// Pods of the primary with this tag never become ready, from now on.
    PrimaryStuck(String),
    /// Pods of images with this tag become ready after all.
    Unstuck(String),
    /// The stand-in of the horizontal pod autoscaler wants so many replicas.
    Replicas(BTreeMap<String, i64>),
    /// A merge patch, written by somebody else.
    Patch(PatchEvent),
    /// An object is deleted.
    Delete(ObjectName),
    /// An object is created, which must not exist.
    Create(Value),
    /// An object of `cluster.yaml` that is gone is created again as it stands there.
    Restore(ObjectName),
    /// An admission webhook refuses what passes write, from now on.
    Refuse(Refuse),
    /// That refusal is taken back.
    Admit(Selection),
    /// The next pass is killed at its n-th outgoing call.
    Crash(Crash),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectName {
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchEvent {
    pub kind: String,
    pub name: String,
    /// The field manager that writes; `user` if left out.
    #[serde(default = "user")]
    pub by: String,
    /// Only this part is written, as through `/status` or `/scale`; if left out, all that the patch
    /// names, status too.
    pub subresource: Option<Subresource>,
    pub patch: Value,
}

fn user() -> String {
    "user".to_owned()
}

/// A part of an object that has a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subresource {
    Status,
    Scale,
}

/// Objects of the canary's namespace: of a kind, all or one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selection {
    pub kind: String,
    pub name: Option<String>,
}

/// Which writes of passes an admission webhook refuses, and with what.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refuse {
    pub kind: String,
    /// Every object of the kind if left out.
    pub name: Option<String>,
    /// Every write if left out.
    pub verb: Option<WriteVerb>,
    #[serde(default)]
    pub code: RefusalCode,
    /// What the webhook says.
    pub message: String,
    /// For so many passes; until it is admitted if left out.
    pub passes: Option<NonZeroU32>,
}

impl Refuse {
    pub fn selection(&self) -> Selection {
        Selection {
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }
}

/// How an object is written. To admission a patch is an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteVerb {
    Create,
    #[serde(alias = "patch")]
    Update,
    Delete,
}

/// The status of a refusal: 403, or 422.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub enum RefusalCode {
    #[default]
    Forbidden,
    Invalid,
}

impl RefusalCode {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl TryFrom<u16> for RefusalCode {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        match code {
            403 => Ok(Self::Forbidden),
            422 => Ok(Self::Invalid),
            other => Err(format!("code {other} is neither 403 nor 422")),
        }
    }
}

/// Where a pass is killed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Crash {
    /// Counted from 1, reads too.
    pub call: u64,
    pub outcome: Outcome,
}

/// How far the call came at which a pass is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    NotSent,
    /// Carried out, and the answer never came.
    Committed,
    /// Answered, and nothing after it.
    Answered,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    /// What `cluster.yaml` holds.
    pub manifests: Vec<Manifest>,
    pub script: Script,
    folder: PathBuf,
}

impl Scenario {
    /// Reads a folder. What is wrong with it, and in which line, is in the error.
    pub fn read(folder: &Path) -> Result<Self, Unusable> {
        let manifests = yaml::manifests(&folder.join("cluster.yaml"))?;
        let script = yaml::read(&folder.join("script.yaml"))?;
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            name,
            manifests,
            script,
            folder: folder.to_owned(),
        })
    }

    /// Where the objects stand.
    pub fn cluster_file(&self) -> PathBuf {
        self.folder.join("cluster.yaml")
    }

    /// Where the script stands.
    pub fn script_file(&self) -> PathBuf {
        self.folder.join("script.yaml")
    }

    /// The first Canary, which the transcript is about.
    pub fn canary(&self) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| {
            let api_version = manifest.object["apiVersion"].as_str().unwrap_or_default();
            manifest.object["kind"] == "Canary" && api_version.starts_with("flagger.app/")
        })
    }
}

/// The objects of a file, which may hold several documents.
pub fn objects(path: &Path) -> Result<Vec<Value>, Unusable> {
    Ok(yaml::manifests(path)?
        .into_iter()
        .map(|manifest| manifest.object)
        .collect())
}

/// The objects of a YAML text with several documents; `List`s are taken apart.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let manifests = yaml::parse_manifests(text, Path::new("objects"));
    Ok(manifests
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(|manifest| manifest.object)
        .collect())
}
