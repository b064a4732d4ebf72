//! Deployments: the primary from the target and back, and how far a rollout is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::objects::metadata;
use crate::objects::selector::Selector;
use crate::objects::{
    DEPLOYMENT, Kind, Problem, REPLICA_SET, View, hash, owner_reference, pod_template,
};
use crate::workloads::{self, Readiness, ReadinessRule, Workload};

/// Fields beside the template that a primary takes over from its target.
const FOLLOWING: [&str; 4] = [
    "progressDeadlineSeconds",
    "minReadySeconds",
    "revisionHistoryLimit",
    "strategy",
];

/// With fewer, a second template that somebody writes to the primary by hand can delete the one
/// that a failed promotion has to go back to.
const LEAST_HISTORY: i64 = 2;

#[derive(Debug)]
pub struct Deployment;

impl Workload for Deployment {
    fn kind(&self) -> &'static Kind {
        &DEPLOYMENT
    }

    fn word(&self) -> &'static str {
        "deployment"
    }

    fn history_kind(&self) -> &'static Kind {
        &REPLICA_SET
    }

    fn problems(&self, view: &View<'_>, target: &Value) -> Vec<Problem> {
        Selector::of(view, target).err().into_iter().collect()
    }

    fn replicas(&self, object: &Value) -> i64 {
        object["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn available(&self, object: &Value) -> i64 {
        count(object, "availableReplicas")
    }

    fn has_one_template(&self, object: &Value) -> bool {
        is_observed(object) && count(object, "updatedReplicas") == count(object, "replicas")
    }

    fn progress(&self, object: &Value) -> i64 {
        count(object, "updatedReplicas") + count(object, "availableReplicas")
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

    fn readiness(&self, object: &Value, rule: ReadinessRule) -> Readiness {
        if !is_observed(object) {
            return Readiness::Waiting(waiting_for(
                "observed deployment generation less than desired generation",
            ));
        }
        // To Flagger nothing that is asked for is ready, and so may be promoted without having
        // run. It is not, and time does not make it so.
        if self.replicas(object) == 0 {
            return Readiness::Waiting(waiting_for("0 replicas are asked for"));
        }
        let progressing = condition(object, "Progressing");
        if progressing
            .is_some_and(|progressing| progressing["reason"] == "ProgressDeadlineExceeded")
        {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let text = format!("deployment \"{name}\" exceeded its progress deadline");
            return Readiness::Exceeded(text);
        }
        match unfinished(object, self.replicas(object), rule.threshold) {
            None => Readiness::Ready,
            Some(text) if progressing.is_some() && is_unavailable_too_long(object, rule) => {
                Readiness::Exceeded(text)
            }
            Some(text) => Readiness::Waiting(text),
        }
    }

    fn template<'a>(&self, object: &'a Value) -> &'a Value {
        &object["spec"]["template"]
    }

    fn primary_template(&self, view: &View<'_>, target: &Value) -> Value {
        let selector = Selector::of(view, target).ok();
        let mut template = pod_template::primary(view, self.template(target), selector.as_ref());
        pod_template::keep_primary_apart(view, &mut template);
        template
    }

    fn new_primary(&self, view: &View<'_>, target: &Value) -> Value {
        // Without a selector label, which `problems` refuses, an API server refuses this.
        let selector = Selector::of(view, target);
        let match_labels = selector.map(|selector| selector.primary_labels());
        let mut primary = json!({
            "apiVersion": DEPLOYMENT.api_version(),
            "kind": DEPLOYMENT.kind,
            "metadata": {
                "name": view.names.primary,
                "namespace": view.names.namespace,
                "ownerReferences": [owner_reference(view.names)],
            },
            "spec": {
                "replicas": self.replicas_up(view, target),
                "selector": { "matchLabels": match_labels.unwrap_or_default() },
                "template": self.primary_template(view, target),
            },
        });
        metadata::set_labels(&mut primary, primary_labels(view, target));
        let annotations = metadata::copied(&metadata::annotations(target));
        metadata::set_annotations(&mut primary, annotations);
        follow(&mut primary, target);
        primary
    }

    fn promoted(
        &self,
        view: &View<'_>,
        primary: &Value,
        target: &Value,
        flagger_id: &str,
    ) -> Value {
        let mut promoted = primary.clone();
        // Added, never taken away: others may have put theirs on the primary.
        let mut labels = metadata::labels(primary);
        labels.extend(primary_labels(view, target));
        metadata::set_labels(&mut promoted, labels);
        let prefixes = &view.policy.include_label_prefix;
        let mut annotations = metadata::annotations(primary);
        annotations.extend(metadata::included(&metadata::annotations(target), prefixes));
        metadata::set_annotations(&mut promoted, annotations);
        metadata::take_ownership(&mut promoted, view.names);

        let mut template = self.primary_template(view, target);
        template["metadata"]["annotations"][metadata::FLAGGER_ID] = Value::from(flagger_id);
        promoted["spec"]["template"] = template;
        follow(&mut promoted, target);

        let replicas = match (self.replicas(primary), &view.canary.spec.autoscaler_ref) {
            // A primary that takes the traffic must have pods for it.
            (0, _) => self.replicas_up(view, target),
            (now, None) => now.max(self.replicas(target)),
            (now, Some(_)) => now,
        };
        promoted["spec"]["replicas"] = Value::from(replicas);
        promoted
    }

    fn with_template(&self, primary: &Value, template: &Value) -> Value {
        let mut primary = primary.clone();
        primary["spec"]["template"] = hash::template_of_history(template);
        primary
    }

    fn scaled(&self, object: &Value, replicas: i64) -> Value {
        let mut object = object.clone();
        object["spec"]["replicas"] = Value::from(replicas);
        object
    }

    fn replicas_up(&self, view: &View<'_>, target: &Value) -> i64 {
        let own = self.replicas(target);
        if own > 0 {
            return own;
        }
        let from = match workloads::min_replicas(view) {
            Some(least) => least,
            None => view
                .object(&DEPLOYMENT, &view.names.primary)
                .map_or(1, |primary| self.replicas(primary)),
        };
        from.max(1)
    }
}

/// The target's labels through the prefix filter, and the primary's own.
fn primary_labels(view: &View<'_>, target: &Value) -> Map<String, Value> {
    let prefixes = &view.policy.include_label_prefix;
    let mut labels = metadata::included(&metadata::labels(target), prefixes);
    if let Ok(selector) = Selector::of(view, target) {
        let value = selector.primary_value();
        labels.insert(selector.label, Value::from(value));
    }
    labels
}

/// Sets the fields beside the template that follow the target; one that it has not goes.
fn follow(primary: &mut Value, target: &Value) {
    for field in FOLLOWING {
        match target["spec"].get(field) {
            Some(value) => primary["spec"][field] = value.clone(),
            None => drop(
                primary["spec"]
                    .as_object_mut()
                    .and_then(|spec| spec.remove(field)),
            ),
        }
    }
    if let Some(limit) = primary["spec"]["revisionHistoryLimit"].as_i64() {
        primary["spec"]["revisionHistoryLimit"] = Value::from(limit.max(LEAST_HISTORY));
    }
}

fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

fn waiting_for(what: &str) -> String {
    format!("waiting for rollout to finish: {what}")
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == name)
}

/// Whether the counts in status are about the object as it is now.
fn is_observed(object: &Value) -> bool {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    count(object, "observedGeneration") >= generation
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
    (available < least_available(updated, threshold)).then(|| {
        waiting_for(&format!(
            "{available} of {updated} (readyThreshold {threshold}%) updated replicas are available"
        ))
    })
}

/// The share, rounded down as in Flagger; but never none, for traffic needs one to go to.
fn least_available(updated: i64, threshold: i64) -> i64 {
    (updated * threshold / 100).max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_threshold_rounds_down_to_no_less_than_one() {
        let cases = [
            (4, 100, 4),
            (4, 50, 2),
            (5, 50, 2),
            (3, 99, 2),
            (1, 50, 1),
            (2, 0, 1),
        ];
        for (updated, threshold, least) in cases {
            assert_eq!(
                least_available(updated, threshold),
                least,
                "{threshold} % of {updated}"
            );
        }
    }
}
