//! What the webhooks of a scenario answer.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::checks::WebhookType;

/// Answers by the name of a webhook: a status, with a Location after it if there is one (`202 /jobs/7`),
/// `late` or `outage`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    /// Of all that are not named. Without it they consent, but those of type `rollback`: their consent
    /// would call every release back.
    pub others: Option<HookAnswer>,
    pub by_name: BTreeMap<String, HookAnswer>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    Status(u16, Option<String>),
    /// It is at work, and no answer comes in this pass.
    Late,
    /// It cannot be reached.
    Outage,
}

impl Hooks {
    /// What a webhook of this name and type answers.
    pub fn of(&self, name: &str, kind: WebhookType) -> HookAnswer {
        let said = self.by_name.get(name).or(self.others.as_ref());
        said.cloned().unwrap_or(match kind {
            WebhookType::Rollback => HookAnswer::Status(403, None),
            _ => HookAnswer::Status(200, None),
        })
    }
}

impl fmt::Display for HookAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, None) => write!(f, "answers {status}"),
            Self::Status(status, Some(location)) => write!(f, "answers {status}, see {location}"),
            Self::Late => f.write_str("is at work"),
            Self::Outage => f.write_str("is down"),
        }
    }
}

impl<'de> Deserialize<'de> for Hooks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut hooks = Self::default();
        match Value::deserialize(deserializer)? {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let answer = answer(&value)
                        .map_err(|why| D::Error::custom(format!("hooks.{name}: {why}")))?;
                    hooks.by_name.insert(name, answer);
                }
            }
            all => hooks.others = Some(answer(&all).map_err(D::Error::custom)?),
        }
        Ok(hooks)
    }
}

fn answer(value: &Value) -> Result<HookAnswer, String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (status, location) = match text.split_once(' ') {
        Some((status, location)) => (status, Some(location.to_owned())),
        None => (&*text, None),
    };
    match (&*text, status.parse::<u16>()) {
        ("late", _) => Ok(HookAnswer::Late),
        ("outage", _) => Ok(HookAnswer::Outage),
        (_, Ok(status @ 100..=599)) => Ok(HookAnswer::Status(status, location)),
        _ => Err(format!("{text} is neither a status nor late nor outage")),
    }
}
