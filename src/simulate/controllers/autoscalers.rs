//! The stand-in for the autoscaler's controller: the number that [`Behaviour`] would like, within
//! the limits.

use jiff::Timestamp;
use serde_json::json;

use super::super::cluster::object::{group_and_version, number, seconds, text};
use super::super::cluster::{Cluster, Key};
use super::Behaviour;

const MANAGER: &str = "horizontal-pod-autoscaler";

/// Scales the target, unless somebody has scaled it to zero: that switches its autoscaler off.
pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp, behaviour: &Behaviour) {
    let Some(autoscaler) = cluster.get(key) else {
        return;
    };
    let reference = &autoscaler["spec"]["scaleTargetRef"];
    let (group, _) = group_and_version(text(reference, "/apiVersion"));
    let target = key.beside(group, text(reference, "/kind"), text(reference, "/name"));
    let Some(current) = cluster
        .get(&target)
        .and_then(|target| number(&target, "/spec/replicas"))
    else {
        return;
    };
    let min = number(&autoscaler, "/spec/minReplicas").unwrap_or(1);
    let max = number(&autoscaler, "/spec/maxReplicas")
        .unwrap_or(1)
        .max(min);
    let active = current != 0;
    let wanted = behaviour
        .desired
        .get(&target)
        .copied()
        .unwrap_or(current)
        .clamp(min, max);
    let desired = if active { wanted } else { 0 };
    let mut status = autoscaler["status"].clone();
    if desired != current && cluster.scale(&target, desired, MANAGER, now).is_ok() {
        status["lastScaleTime"] = json!(seconds(now));
    }
    status["currentReplicas"] = json!(current);
    status["desiredReplicas"] = json!(desired);
    let reason = if active {
        "ValidMetricFound"
    } else {
        "ScalingDisabled"
    };
    let condition = &status["conditions"][0];
    if condition["reason"] != reason {
        status["conditions"] = json!([{
            "type": "ScalingActive",
            "status": if active { "True" } else { "False" },
            "reason": reason,
            "lastTransitionTime": seconds(now),
        }]);
    }
    if status != autoscaler["status"] {
        let mut autoscaler = autoscaler.as_ref().clone();
        autoscaler["status"] = status;
        drop(cluster.replace_status(autoscaler, MANAGER, now));
    }
}
