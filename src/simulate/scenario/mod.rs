//! A scenario: the objects that a cluster starts with, what happens to it, and what is expected.
//! A folder with `cluster.yaml` and `script.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::api::status::Phase;

/// Scenarios are small; a file that is not one is not read to its end.
const FILE_MAX: u64 = 1 << 20;

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
    pub patch: Value,
}

fn user() -> String {
    "user".to_owned()
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

/// What the metrics system answers.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Metrics {
    /// No series.
    None,
    /// It does not answer.
    Outage,
    #[serde(untagged)]
    Values {
        #[serde(rename = "successRate")]
        success_rate: f64,
        milliseconds: f64,
    },
}

impl Default for Metrics {
    fn default() -> Self {
        Self::Values {
            success_rate: 100.0,
            milliseconds: 50.0,
        }
    }
}

/// What must be so at the end. Everything that is left out may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    pub phase: Option<Phase>,
    pub weight: Option<i64>,
    /// The tag of the primary's first container.
    pub primary_image: Option<String>,
    /// The replicas of the target.
    pub target_replicas: Option<i64>,
    /// The reason of condition `Promoted`.
    pub condition_reason: Option<String>,
    /// Texts that the Canary's Events must contain, in this order.
    #[serde(default)]
    pub events: Vec<String>,
    /// Texts that no Event may contain.
    #[serde(default)]
    pub no_events: Vec<String>,
    /// No rollout of the primary but its first.
    pub primary_untouched: Option<bool>,
    /// Objects of the canary's namespace that hold at least these fields.
    #[serde(default)]
    pub objects: Vec<ExpectedObject>,
}

/// An object as it must be at the end, as far as it is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedObject {
    pub kind: String,
    pub name: String,
    pub contains: Value,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub objects: Vec<Value>,
    pub script: Script,
}

/// Why a folder is no scenario.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Unusable {
    pub path: PathBuf,
    pub why: String,
}

impl Scenario {
    /// Reads a folder. The text of the script, and where it is wrong, is in the error.
    pub fn read(folder: &Path) -> Result<Self, Unusable> {
        let unusable = |path: PathBuf| move |why: String| Unusable { path, why };
        let cluster = folder.join("cluster.yaml");
        let script = folder.join("script.yaml");
        let objects = objects(&cluster)?;
        let parsed = text(&script)
            .and_then(|text| parsed(&text))
            .map_err(unusable(script))?;
        if !objects.iter().any(|object| object["kind"] == "Canary") {
            return Err(Unusable {
                path: cluster,
                why: "holds no Canary".to_owned(),
            });
        }
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            name,
            objects,
            script: parsed,
        })
    }
}

/// The objects of a file, which may hold several documents.
pub fn objects(path: &Path) -> Result<Vec<Value>, Unusable> {
    text(path)
        .and_then(|text| documents(&text))
        .map_err(|why| Unusable {
            path: path.to_owned(),
            why,
        })
}

/// By way of JSON, in which an event is a map with one key and no YAML tag.
fn parsed(text: &str) -> Result<Script, String> {
    let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > FILE_MAX {
        return Err(format!("is {size} bytes long, at most {FILE_MAX} are read"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The objects of a YAML file with several documents; `List`s are taken apart.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        match value {
            Value::Null => {}
            mut list if list["kind"] == "List" => {
                if let Value::Array(items) = list["items"].take() {
                    objects.extend(items);
                }
            }
            object => objects.push(object),
        }
    }
    Ok(objects)
}
