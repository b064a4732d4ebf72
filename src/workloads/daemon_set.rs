//! `DaemonSet`s: a pod on each node that fits, and so no replicas. One is put to zero by a node label
//! that no node has, as Flagger does it.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::objects::{Kind, Problem, View};
use crate::workloads::pods::{Pods, count, is_observed, least_available, waiting_for};
use crate::workloads::{Readiness, ReadinessRule, Side};

static DAEMON_SET: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "DaemonSet",
    plural: "daemonsets",
};

static CONTROLLER_REVISION: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "ControllerRevision",
    plural: "controllerrevisions",
};

/// The node label that no node has.
const SCALE_TO_ZERO: &str = "flagger.app/scale-to-zero";

#[derive(Debug)]
pub struct DaemonSet;

impl Pods for DaemonSet {
    fn kind(&self) -> &'static Kind {
        &DAEMON_SET
    }

    fn word(&self) -> &'static str {
        "daemonset"
    }

    fn primary_prefix(&self) -> &'static str {
        "primary daemonset "
    }

    fn history_kind(&self) -> &'static Kind {
        &CONTROLLER_REVISION
    }

    /// Pods that change when somebody deletes them belong to no rollout.
    fn problems(&self, view: &View<'_>, target: &Value) -> Vec<Problem> {
        let strategy = target["spec"]["updateStrategy"]["type"].as_str();
        let other = strategy.filter(|strategy| !matches!(*strategy, "" | "RollingUpdate"));
        let problem = other.map(|strategy| {
            Problem(format!(
                "daemonset {}.{} must have RollingUpdate strategy but have {strategy}",
                view.names.target, view.names.namespace
            ))
        });
        problem.into_iter().collect()
    }

    fn following(&self) -> &'static [&'static str] {
        &["minReadySeconds", "revisionHistoryLimit", "updateStrategy"]
    }

    fn keeps_primary_apart(&self) -> bool {
        false
    }

    /// The nodes that it is to run on, as far as its controller has counted them; one at least.
    fn replicas(&self, object: &Value) -> i64 {
        if is_at_zero(object) {
            0
        } else {
            count(object, "desiredNumberScheduled").max(1)
        }
    }

    fn scaled(&self, object: &Value, replicas: i64) -> Value {
        let mut object = object.clone();
        let template = &mut object["spec"]["template"];
        if replicas == 0 {
            template["spec"]["nodeSelector"][SCALE_TO_ZERO] = json!("true");
        } else if is_at_zero_by(template) {
            *template = on_nodes(template);
        }
        object
    }

    /// A revision of its history holds the template in a patch.
    fn template<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        let spec = match object.get("data") {
            Some(data) => &data["spec"],
            None => &object["spec"],
        };
        let template = &spec["template"];
        if is_at_zero_by(template) {
            Cow::Owned(on_nodes(template))
        } else {
            Cow::Borrowed(template)
        }
    }

    fn side(&self, object: &Value, rule: ReadinessRule) -> Side {
        let updated = count(object, "updatedNumberScheduled");
        let available = count(object, "numberAvailable");
        let is_observed = is_observed(object);
        Side {
            replicas: self.replicas(object),
            available,
            progress: updated + available,
            has_one_template: is_observed && updated == count(object, "currentNumberScheduled"),
            readiness: unfinished(object, rule.threshold).map_or(Readiness::Ready, |what| {
                Readiness::Waiting(waiting_for(&what))
            }),
        }
    }

    fn update_empties(&self, target: &Value, replicas: i64) -> bool {
        let unavailable = match &target["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]
        {
            Value::Number(number) => number.as_i64().unwrap_or(1),
            // Rounded up, other than a Deployment's.
            Value::String(text) => {
                let percent = text.trim_end_matches('%').parse::<i64>().unwrap_or(0);
                (replicas * percent + 99) / 100
            }
            _ => 1,
        };
        unavailable >= replicas
    }
}

fn is_at_zero(object: &Value) -> bool {
    is_at_zero_by(&object["spec"]["template"])
}

fn is_at_zero_by(template: &Value) -> bool {
    template["spec"]["nodeSelector"]
        .get(SCALE_TO_ZERO)
        .is_some()
}

/// The template as its author wrote it: an API server drops a selector without labels.
fn on_nodes(template: &Value) -> Value {
    let mut template = template.clone();
    let spec = template["spec"].as_object_mut();
    if let Some(spec) = spec
        && let Some(labels) = spec.get_mut("nodeSelector").and_then(Value::as_object_mut)
    {
        labels.remove(SCALE_TO_ZERO);
        if labels.is_empty() {
            spec.remove("nodeSelector");
        }
    }
    template
}

/// What the rollout still waits for. Time does not end it: the clocks of a release do.
fn unfinished(object: &Value, threshold: i64) -> Option<String> {
    if !is_observed(object) {
        let what = "observed daemonset generation less than desired generation";
        return Some(what.to_owned());
    }
    if is_at_zero(object) {
        return Some(format!("its nodeSelector asks for {SCALE_TO_ZERO}"));
    }
    // To Flagger none that is wanted is ready, and so may be promoted without having run.
    let desired = count(object, "desiredNumberScheduled");
    if desired == 0 {
        return Some("no node is to run its pods".to_owned());
    }
    let updated = count(object, "updatedNumberScheduled");
    if updated < desired {
        return Some(format!(
            "{updated} out of {desired} new pods have been updated"
        ));
    }
    let available = count(object, "numberAvailable");
    (available < least_available(desired, threshold)).then(|| {
        format!("{available} of {desired} (readyThreshold {threshold}%) updated pods are available")
    })
}
