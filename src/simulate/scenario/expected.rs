//! What a script expects at the end.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::status::Phase;
use crate::pass::report::Outcome;

/// What must be so at the end. Everything that is left out may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    pub phase: Option<Phase>,
    /// Percent of the traffic that the canary gets, by the route as well as by status.
    pub weight: Option<i64>,
    /// The tag of the primary's first container.
    pub primary_image: Option<String>,
    /// The replicas of the target.
    pub target_replicas: Option<i64>,
    /// The reason of condition `Promoted`.
    pub condition_reason: Option<String>,
    /// What the last pass made of the canary.
    #[serde(default, deserialize_with = "outcome")]
    pub last_outcome: Option<Outcome>,
    /// In no pass was a canary refused, failed or not reached, and everything was delivered.
    #[serde(default, deserialize_with = "only_true")]
    pub no_errors: bool,
    /// Texts that the Canary's Events must contain, in this order.
    #[serde(default)]
    pub events: Vec<String>,
    /// Texts that no Event may contain.
    #[serde(default)]
    pub no_events: Vec<String>,
    /// No rollout of the primary but its first.
    #[serde(default, deserialize_with = "only_true")]
    pub primary_untouched: bool,
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
    /// Fields that it has, and `null` for those that it has not. A list is expected whole.
    pub contains: Value,
}

fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Outcome>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let found = Outcome::ALL.iter().find(|outcome| outcome.name() == name);
    found.copied().map(Some).ok_or_else(|| {
        let known: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        D::Error::custom(format!(
            "lastOutcome: unknown outcome `{name}`, known are {}",
            known.join(", ")
        ))
    })
}

/// `false` would expect nothing, and look as if it did.
fn only_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    if bool::deserialize(deserializer)? {
        return Ok(true);
    }
    Err(D::Error::custom("`false` expects nothing; leave it out"))
}
