//! What the metrics system of a scenario answers, check by check.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Answers by check: a number, `none` or `outage`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Percent; also what a query answers that is of no check and that nothing else is said about.
    pub success_rate: Answer,
    /// Of `request-duration`, whatever unit its query asks for.
    pub milliseconds: Answer,
    /// By the name of a check with a query of a user's, the name of its MetricTemplate, or a text that
    /// the query contains. Such a check that is not named here answers with its bound, which passes.
    pub others: BTreeMap<String, Answer>,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Value(f64),
    /// No series.
    None,
    /// The request gets no answer.
    Outage,
}

impl Metrics {
    /// Whether the whole system is down.
    pub fn is_down(&self) -> bool {
        self.success_rate == Answer::Outage && self.milliseconds == Answer::Outage
    }

    fn all(answer: Answer) -> Self {
        Self {
            success_rate: answer,
            milliseconds: answer,
            others: BTreeMap::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            success_rate: Answer::Value(100.0),
            milliseconds: Answer::Value(50.0),
            others: BTreeMap::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = match Value::deserialize(deserializer)? {
            Value::Object(fields) => fields,
            whole => return answer(&whole).map(Self::all).map_err(D::Error::custom),
        };
        let mut metrics = Self::default();
        for (name, value) in &fields {
            let answer =
                answer(value).map_err(|why| D::Error::custom(format!("metrics.{name}: {why}")))?;
            match &**name {
                "successRate" | "request-success-rate" | "istio_requests_total" => {
                    metrics.success_rate = answer;
                }
                "milliseconds" | "request-duration" | "istio_request_duration_seconds_bucket" => {
                    metrics.milliseconds = answer;
                }
                _ => drop(metrics.others.insert(name.clone(), answer)),
            }
        }
        Ok(metrics)
    }
}

fn answer(value: &Value) -> Result<Answer, String> {
    match value {
        Value::Number(number) => Ok(Answer::Value(number.as_f64().unwrap_or(f64::NAN))),
        Value::String(text) if text == "none" => Ok(Answer::None),
        Value::String(text) if text == "outage" => Ok(Answer::Outage),
        other => Err(format!("{other} is neither a number nor none nor outage")),
    }
}
