//! Deployments: replicas as a number, and a rollout that may exceed its deadline.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::objects::{DEPLOYMENT, Kind, REPLICA_SET};
use crate::workloads::pods::{self, Pods, count, is_observed, waiting_for};
use crate::workloads::{Readiness, ReadinessRule, Side};

#[derive(Debug)]
pub struct Deployment;

impl Pods for Deployment {
    fn kind(&self) -> &'static Kind {
        &DEPLOYMENT
    }

    fn word(&self) -> &'static str {
        "deployment"
    }

    fn history_kind(&self) -> &'static Kind {
        &REPLICA_SET
    }

    fn following(&self) -> &'static [&'static str] {
        &[
            "progressDeadlineSeconds",
            "minReadySeconds",
            "revisionHistoryLimit",
            "strategy",
        ]
    }

    fn keeps_primary_apart(&self) -> bool {
        true
    }

    fn replicas(&self, object: &Value) -> i64 {
        object["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn scaled(&self, object: &Value, replicas: i64) -> Value {
        let mut object = object.clone();
        object["spec"]["replicas"] = Value::from(replicas);
        object
    }

    fn side(&self, object: &Value, rule: ReadinessRule) -> Side {
        let (updated, available) = (
            count(object, "updatedReplicas"),
            count(object, "availableReplicas"),
        );
        Side {
            replicas: self.replicas(object),
            available,
            progress: updated + available,
            has_one_template: is_observed(object) && updated == count(object, "replicas"),
            readiness: readiness(object, self.replicas(object), rule),
        }
    }

    fn update_empties(&self, target: &Value, replicas: i64) -> bool {
        let strategy = &target["spec"]["strategy"];
        if strategy["type"] == "Recreate" {
            return true;
        }
        let unavailable = match &strategy["rollingUpdate"]["maxUnavailable"] {
            Value::Number(number) => number.as_i64().unwrap_or(0),
            Value::String(text) => {
                let percent = text.trim_end_matches('%').parse::<i64>().unwrap_or(0);
                replicas * percent / 100
            }
            // A quarter, rounded down.
            _ => replicas / 4,
        };
        unavailable >= replicas
    }
}

fn readiness(object: &Value, replicas: i64, rule: ReadinessRule) -> Readiness {
    if !is_observed(object) {
        return Readiness::Waiting(waiting_for(
            "observed deployment generation less than desired generation",
        ));
    }
    // To Flagger nothing that is asked for is ready, and so may be promoted without having
    // run. It is not, and time does not make it so.
    if replicas == 0 {
        return Readiness::Waiting(waiting_for("0 replicas are asked for"));
    }
    let progressing = condition(object, "Progressing");
    if progressing.is_some_and(|progressing| progressing["reason"] == "ProgressDeadlineExceeded") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let text = format!("deployment \"{name}\" exceeded its progress deadline");
        return Readiness::Exceeded(text);
    }
    match unfinished(object, replicas, rule.threshold) {
        None => Readiness::Ready,
        Some(text) if progressing.is_some() && is_unavailable_too_long(object, rule) => {
            Readiness::Exceeded(text)
        }
        Some(text) => Readiness::Waiting(text),
    }
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == name)
}

/// What the rollout still waits for.
fn unfinished(object: &Value, replicas: i64, threshold: i64) -> Option<String> {
    let updated = count(object, "updatedReplicas");
    if updated < replicas {
        let what = format!("{updated} out of {replicas} new replicas have been updated");
        return Some(waiting_for(&what));
    }
    let old = count(object, "replicas") - updated;
    if old > 0 {
        return Some(waiting_for(&format!(
            "{old} old replicas are pending termination"
        )));
    }
    let available = count(object, "availableReplicas");
    (available < pods::least_available(updated, threshold)).then(|| {
        waiting_for(&format!(
            "{available} of {updated} (readyThreshold {threshold}%) updated replicas are available"
        ))
    })
}

/// Whether too few replicas have been available for longer than the Canary allows.
fn is_unavailable_too_long(object: &Value, rule: ReadinessRule) -> bool {
    let Some(available) = condition(object, "Available") else {
        return false;
    };
    if available["status"] != "False" || available["reason"] != "MinimumReplicasUnavailable" {
        return false;
    }
    let since = available["lastUpdateTime"]
        .as_str()
        .and_then(|time| time.parse().ok());
    since.is_some_and(|since: Timestamp| {
        rule.now.duration_since(since) > SignedDuration::from_secs(rule.progress_deadline_seconds)
    })
}
