//! What a workload shows: the same of a Deployment, which has replicas, and of a `DaemonSet`, which
//! is put to zero by a node label that no node has.

use davy::objects::hash::template_hash;
use serde_json::Value;

const SCALE_TO_ZERO: &str = "flagger.app/scale-to-zero";

fn is_daemon_set(workload: &Value) -> bool {
    workload["kind"] == "DaemonSet"
}

fn status(workload: &Value, field: &str) -> i64 {
    workload["status"][field].as_i64().unwrap_or(0)
}

fn is_observed(workload: &Value) -> bool {
    let generation = workload["metadata"]["generation"].as_i64().unwrap_or(0);
    status(workload, "observedGeneration") >= generation
}

/// How many pods a workload should have.
pub(super) fn replicas(workload: &Value) -> i64 {
    if !is_daemon_set(workload) {
        return workload["spec"]["replicas"].as_i64().unwrap_or(1);
    }
    let selector = &workload["spec"]["template"]["spec"]["nodeSelector"];
    match selector.get(SCALE_TO_ZERO) {
        Some(_) => 0,
        None => status(workload, "desiredNumberScheduled").max(1),
    }
}

/// How many pods of a workload answer.
pub(super) fn available(workload: &Value) -> i64 {
    let field = if is_daemon_set(workload) {
        "numberAvailable"
    } else {
        "availableReplicas"
    };
    status(workload, field)
}

/// The pods that there are, and those of them that have the present template.
fn pods(workload: &Value) -> (i64, i64) {
    let fields = if is_daemon_set(workload) {
        ["currentNumberScheduled", "updatedNumberScheduled"]
    } else {
        ["replicas", "updatedReplicas"]
    };
    let [all, updated] = fields.map(|field| status(workload, field));
    (all, updated)
}

/// Whether a workload is on its way to what was asked for; pods of the old template that are still
/// there belong to it.
pub(super) fn is_rolling_out(workload: &Value) -> bool {
    let wanted = replicas(workload);
    let (all, updated) = pods(workload);
    !is_observed(workload) || updated < wanted || all > updated || available(workload) < wanted
}

/// Whether traffic may go to a primary: pods that answer, all of one template.
pub(super) fn carries(primary: &Value) -> bool {
    let (all, updated) = pods(primary);
    available(primary) > 0 && is_observed(primary) && updated == all
}

/// What is released: the template, without what puts it to zero.
pub(super) fn template(workload: &Value) -> Value {
    let mut template = workload["spec"]["template"].clone();
    if let Some(spec) = template["spec"].as_object_mut()
        && is_daemon_set(workload)
        && let Some(selector) = spec.get_mut("nodeSelector").and_then(Value::as_object_mut)
    {
        selector.remove(SCALE_TO_ZERO);
        if selector.is_empty() {
            spec.remove("nodeSelector");
        }
    }
    template
}

/// The hash by which status knows what is released.
pub(super) fn hash(workload: &Value) -> String {
    template_hash(&template(workload))
}
