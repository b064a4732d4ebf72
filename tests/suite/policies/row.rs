//! The rows as data.
use std::{fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// One policy, or one writer, and the life of a canary beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Row {
    #[serde(skip)]
    pub(super) name: String,
    #[expect(dead_code, reason = "for the one who reads the row")]
    pub(super) about: String,
    /// What happens, in its order.
    #[serde(
        default = "whole_life",
        with = "serde_yaml::with::singleton_map_recursive"
    )]
    pub(super) course: Vec<Stage>,
    /// What stands before the tag of the application's image.
    #[serde(default = "image")]
    pub(super) image: String,
    /// Who applies `writer.yaml`.
    pub(super) writer: Option<Git>,
    /// What the Canary says beside what it says when nobody interferes: texts that are each in one
    /// Event and no more.
    #[serde(default)]
    pub(super) says: Vec<String>,
    /// What is not said, because of what the row is about.
    #[serde(default)]
    pub(super) leaves_out: Vec<String>,
    /// What objects hold in the end, so that the policy is known to have acted.
    pub(super) objects: Vec<Holds>,
    #[serde(skip)]
    pub(super) policy: String,
    #[serde(skip)]
    pub(super) manifests: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Git {
    /// Its field manager.
    pub(super) manager: String,
    /// How often it applies; once if left out.
    pub(super) seconds: Option<u64>,
}

/// An object that is there with at least these fields, and without those.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Holds {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) contains: Value,
    /// JSON pointers.
    #[serde(default)]
    pub(super) without: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Stage {
    /// The policies act from now on.
    Policy,
    /// They act no more.
    Lifted,
    /// The writer applies what it has from now on.
    Writer,
    /// It stops.
    WriterStops,
    /// The application and its Canary are applied.
    Applied,
    /// Passes until the canary is initialized and at rest.
    Initialized,
    /// A new revision, and passes until it is promoted.
    Promoted,
    /// A new revision with failing checks, and passes until it is rolled back.
    RolledBack,
    /// A new revision that does not start on the primary, and passes until that is healed.
    Healed,
    /// A new revision, and passes until it has this share of the traffic.
    Raised(u64),
    /// The checks fail from now on.
    ChecksFail,
    /// Passes until there is nothing left to do, which must be in this phase.
    Rests(String),
    /// Passes until something that cannot be written is told wherever somebody may look.
    Tells(Told),
    /// A new revision that the writer does not let through: it ends, and so do the claims.
    Ends(Bounded),
    /// Passes until this object was repaired so often; the repairs become rarer.
    Slower(Fought),
}

/// A refusal as people see it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Told {
    pub(super) phase: String,
    /// What status says the canary has, which is what the route gives it.
    pub(super) weight: u64,
    /// What condition Ready says, and one Event.
    pub(super) says: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Bounded {
    /// Writes of the route at most.
    pub(super) writes: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Fought {
    /// Lower-case plural, as in the audit log.
    pub(super) resource: String,
    pub(super) name: String,
    pub(super) repairs: usize,
}

impl Row {
    pub(super) fn read(folder: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let mut row: Self = parse(&text("row.yaml"), folder);
        row.name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (row.policy, row.manifests) = (text("policy.yaml"), text("writer.yaml"));
        let has = |is_wanted: fn(&Stage) -> bool| row.course.iter().any(is_wanted);
        assert_eq!(
            has(|stage| matches!(stage, Stage::Policy)),
            !row.policy.is_empty(),
            "{}: policy.yaml and stage policy belong together",
            row.name
        );
        let is_written = !row.manifests.is_empty() && row.writer.is_some();
        assert_eq!(
            has(|stage| matches!(stage, Stage::Writer)),
            is_written,
            "{}: writer.yaml, writer and stage writer belong together",
            row.name
        );
        row
    }
}

impl Row {
    /// Whether the writer and Davy write the same again and again, so that there is no rest.
    pub(super) fn is_fought(&self) -> bool {
        self.course
            .iter()
            .any(|stage| matches!(stage, Stage::Slower(_)))
    }
}

fn parse<T: DeserializeOwned>(text: &str, folder: &Path) -> T {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn whole_life() -> Vec<Stage> {
    vec![
        Stage::Policy,
        Stage::Applied,
        Stage::Initialized,
        Stage::Promoted,
        Stage::RolledBack,
        Stage::Healed,
    ]
}

fn image() -> String {
    "stefanprodan/podinfo:".to_owned()
}

/// The documents of a YAML text.
pub(super) fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("a YAML document"))
        .collect()
}
