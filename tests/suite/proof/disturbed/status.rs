//! What others do to the status of a Canary, which nobody but Davy should write.

use serde_json::{Value, json};

use super::disturbance::{YEARS, edit};
use crate::proof::stage::Story;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusEdit {
    /// It is gone: the Canary was applied without it by a tool that backs clusters up.
    Lost,
    /// Only what other controllers have is left.
    StepLost,
    WeightZero,
    WeightFifty,
    WeightAll,
    Progressing,
    Promoting,
    Finalising,
    Succeeded,
    Failed,
    Initialized,
    Initializing,
    /// All its times are years ahead.
    InTheFuture,
    CountersHuge,
    CountersNegative,
}

impl StatusEdit {
    pub(super) const ALL: &[Self] = &[
        Self::Lost,
        Self::StepLost,
        Self::WeightZero,
        Self::WeightFifty,
        Self::WeightAll,
        Self::Progressing,
        Self::Promoting,
        Self::Finalising,
        Self::Succeeded,
        Self::Failed,
        Self::Initialized,
        Self::Initializing,
        Self::InTheFuture,
        Self::CountersHuge,
        Self::CountersNegative,
    ];

    pub(super) fn happens(self, story: &mut Story) -> bool {
        let key = story.canary().clone();
        let ahead = (story.world.now() + YEARS).to_string();
        edit(story, &key, |canary| {
            if canary["status"].is_object() {
                self.change(&mut canary["status"], &ahead);
            }
        })
    }

    fn change(self, status: &mut Value, ahead: &str) {
        match self {
            Self::Lost => *status = json!({}),
            Self::StepLost => drop(status.as_object_mut().map(|status| status.remove("step"))),
            Self::WeightZero => set_weight(status, 0),
            Self::WeightFifty => set_weight(status, 50),
            Self::WeightAll => set_weight(status, 100),
            Self::Progressing
            | Self::Promoting
            | Self::Finalising
            | Self::Succeeded
            | Self::Failed
            | Self::Initialized
            | Self::Initializing => status["phase"] = json!(format!("{self:?}")),
            Self::InTheFuture => set_times(status, ahead),
            Self::CountersHuge => set_counters(status, 1_000_000_000),
            Self::CountersNegative => set_counters(status, -7),
        }
    }
}

fn set_weight(status: &mut Value, weight: i64) {
    for field in ["canaryWeight", "wantedWeight"] {
        if status.get(field).is_some() {
            status[field] = json!(weight);
        }
    }
}

fn set_counters(status: &mut Value, count: i64) {
    for field in ["failedChecks", "iterations", "heldChecks"] {
        status[field] = json!(count);
    }
}

fn set_times(value: &mut Value, time: &str) {
    const TIMES: [&str; 10] = [
        "time",
        "lastTransitionTime",
        "lastUpdateTime",
        "analysisSince",
        "steppedAt",
        "movedAt",
        "suspendedSince",
        "since",
        "gone",
        "at",
    ];
    match value {
        Value::Object(fields) => {
            for (field, value) in fields.iter_mut() {
                if TIMES.contains(&&**field) && value.is_string() {
                    *value = json!(time);
                } else {
                    set_times(value, time);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| set_times(item, time)),
        _ => {}
    }
}
