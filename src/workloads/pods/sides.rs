//! Primary and target as an intent says: made, copied, put back, scaled.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::Pods;
use crate::objects::metadata::{self, FLAGGER_ID};
use crate::objects::selector::Selector;
use crate::objects::{View, configs, owner_reference};
use crate::workloads::{self, PrimaryIntent, Rendered, TargetIntent, Workload};

/// With fewer, a second template that somebody writes to the primary by hand can delete the one
/// that a failed promotion has to go back to.
const LEAST_HISTORY: i64 = 2;

/// The primary as it should be, if there is to be one; the copies of configs go to `rendered`.
pub(super) fn primary<T: Pods>(
    workload: &T,
    view: &View<'_>,
    intent: &PrimaryIntent<'_>,
    rendered: &mut Rendered,
) -> Option<Value> {
    let kind = Pods::kind(workload);
    let live = view.object(kind, &view.names.primary);
    let target = view.object(kind, &view.names.target);
    match intent {
        PrimaryIntent::Leave => None,
        PrimaryIntent::Keep {
            replicas_min,
            checksums,
        } => {
            let live = live?;
            if let Some(checksums) = checksums {
                let repaired = configs::repaired_copies(view, checksums);
                rendered.objects.extend(repaired);
            }
            let more = replicas_min.filter(|min| *min > Pods::replicas(workload, live));
            Some(more.map_or_else(|| live.clone(), |more| workload.scaled(live, more)))
        }
        PrimaryIntent::Create {
            template,
            replicas_min,
            flagger_id,
        } => {
            let source = match template {
                Some(template) => Cow::Owned(workload.with_template(target?, template)),
                None => Cow::Borrowed(target?),
            };
            let copies = configs::copies(view, &Pods::template(workload, &source));
            rendered.try_extend(copies);
            let mut primary = new_primary(workload, view, &source);
            if let Some(min) = replicas_min {
                let replicas = Pods::replicas(workload, &primary).max(*min);
                primary = workload.scaled(&primary, replicas);
            }
            Some(identified(workload, &primary, flagger_id))
        }
        PrimaryIntent::Recreate { flagger_id } => {
            let target = target?;
            let copies = configs::copies(view, &Pods::template(workload, target));
            rendered.try_extend(copies);
            let followed = promoted(workload, view, live?, target, flagger_id);
            Some(identified(workload, &followed, flagger_id))
        }
        PrimaryIntent::Copy { flagger_id } => {
            let target = target?;
            let template = Pods::template(workload, target);
            rendered.try_extend(configs::previous_copies(view, &template));
            rendered.try_extend(configs::copies(view, &template));
            Some(promoted(workload, view, live?, target, flagger_id))
        }
        PrimaryIntent::PutBack { template } => {
            let live = live?;
            rendered.try_extend(configs::restored_copies(view));
            let object = template
                .as_ref()
                .map(|template| workload.with_template(live, template));
            Some(object.unwrap_or_else(|| live.clone()))
        }
    }
}

/// The target as it should be.
pub(super) fn target<T: Pods>(
    workload: &T,
    view: &View<'_>,
    target: &Value,
    intent: TargetIntent,
) -> Value {
    let replicas = Pods::replicas(workload, target);
    match intent {
        TargetIntent::Up | TargetIntent::InPlaceOfPrimary if replicas == 0 => {
            let primary = view.object(Pods::kind(workload), &view.names.primary);
            let count = match primary.filter(|_| intent == TargetIntent::InPlaceOfPrimary) {
                Some(primary) => Pods::replicas(workload, primary),
                None => replicas_up(workload, view, target),
            };
            workload.scaled(target, count.max(1))
        }
        TargetIntent::Zero if replicas != 0 => workload.scaled(target, 0),
        TargetIntent::AsItIs
        | TargetIntent::Up
        | TargetIntent::InPlaceOfPrimary
        | TargetIntent::Zero => target.clone(),
    }
}

/// The replicas with which a side comes up: the target's own count if it has one, else the
/// autoscaler's minimum where there is an autoscaler, else the primary's count, else one.
fn replicas_up<T: Pods>(workload: &T, view: &View<'_>, target: &Value) -> i64 {
    let own = Pods::replicas(workload, target);
    if own > 0 {
        return own;
    }
    let from = match workloads::min_replicas(view) {
        Some(least) => least,
        None => view
            .object(Pods::kind(workload), &view.names.primary)
            .map_or(1, |primary| Pods::replicas(workload, primary)),
    };
    from.max(1)
}

fn new_primary<T: Pods>(workload: &T, view: &View<'_>, target: &Value) -> Value {
    // Without a selector label, which `problems` refuses, an API server refuses this.
    let selector = Selector::of(view, target);
    let match_labels = selector.map(|selector| selector.primary_labels());
    let kind = Pods::kind(workload);
    let mut primary = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": {
            "name": view.names.primary,
            "namespace": view.names.namespace,
            "ownerReferences": [owner_reference(view.names)],
        },
        "spec": {
            "selector": { "matchLabels": match_labels.unwrap_or_default() },
            "template": workload.primary_template(view, target),
        },
    });
    metadata::set_labels(&mut primary, primary_labels(view, target));
    let annotations = metadata::copied(&metadata::annotations(target));
    metadata::set_annotations(&mut primary, annotations);
    follow(workload, &mut primary, target);
    workload.scaled(&primary, replicas_up(workload, view, target))
}

/// The primary with the target's template and what follows the target beside it. The id names the
/// step, so that each promotion restarts the pods.
fn promoted<T: Pods>(
    workload: &T,
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

    let mut template = workload.primary_template(view, target);
    template["metadata"]["annotations"][FLAGGER_ID] = Value::from(flagger_id);
    promoted["spec"]["template"] = template;
    follow(workload, &mut promoted, target);

    let own = Pods::replicas(workload, primary);
    let replicas = match (own, &view.canary.spec.autoscaler_ref) {
        // A primary that takes the traffic must have pods for it.
        (0, _) => replicas_up(workload, view, target),
        (own, None) => own.max(Pods::replicas(workload, target)),
        (own, Some(_)) => own,
    };
    workload.scaled(&promoted, replicas)
}

fn identified<T: Pods>(workload: &T, primary: &Value, flagger_id: &str) -> Value {
    let mut template = Pods::template(workload, primary).into_owned();
    template["metadata"]["annotations"][FLAGGER_ID] = Value::from(flagger_id);
    workload.with_template(primary, &template)
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
fn follow<T: Pods>(workload: &T, primary: &mut Value, target: &Value) {
    for field in workload.following() {
        match target["spec"].get(field) {
            Some(value) => primary["spec"][field] = value.clone(),
            None => drop(
                primary["spec"]
                    .as_object_mut()
                    .and_then(|spec| spec.remove(*field)),
            ),
        }
    }
    if let Some(limit) = primary["spec"]["revisionHistoryLimit"].as_i64() {
        primary["spec"]["revisionHistoryLimit"] = Value::from(limit.max(LEAST_HISTORY));
    }
}
