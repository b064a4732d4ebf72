//! A primary's pod template: the target's, with the label, the configs and the rules of where
//! pods go that must speak of the primary instead.

use serde_json::{Value, json};

use crate::objects::metadata::{self, FLAGGER_ID};
use crate::objects::selector::{self, Selector};
use crate::objects::{View, configs};

/// The template that the primary gets from the target's, but for `flagger-id`.
///
/// Without a selector label the pods of primary and canary are alike; a target without one is
/// refused before. A primary that is there keeps what it selects its pods by, which cannot be
/// changed, although a target that was made anew may select by something else.
pub fn primary(view: &View<'_>, template: &Value, selector: Option<&Selector>) -> Value {
    let mut labels = metadata::copied(&metadata::labels(template));
    if let Some(selector) = selector {
        labels.insert(
            selector.label.clone(),
            Value::from(selector.primary_value()),
        );
    }
    if let Some(primary) = view.workload(&view.names.primary) {
        labels.extend(selector::match_labels(primary));
    }
    let mut annotations = metadata::copied(&metadata::annotations(template));
    annotations.remove(FLAGGER_ID);

    let mut primary = configs::renamed(template, &configs::renames(view, template));
    primary["metadata"] = json!({});
    metadata::set_labels(&mut primary, labels);
    metadata::set_annotations(&mut primary, annotations);
    primary
}

/// Rules that keep the pods of one workload apart, when they name the target by one of the
/// accepted labels, name the primary instead. As Flagger does it, to the letter: a primary that
/// Flagger made must not look changed.
pub fn keep_primary_apart(view: &View<'_>, template: &mut Value) {
    let Some(spec) = template.get_mut("spec") else {
        return;
    };
    for constraint in items(spec.pointer_mut("/topologySpreadConstraints")) {
        rename_in_selector(view, constraint.get_mut("labelSelector"));
    }
    let Some(anti_affinity) = spec.pointer_mut("/affinity/podAntiAffinity") else {
        return;
    };
    let preferred = "/preferredDuringSchedulingIgnoredDuringExecution";
    for weighted in items(anti_affinity.pointer_mut(preferred)) {
        rename_in_selector(view, weighted.pointer_mut("/podAffinityTerm/labelSelector"));
    }
    let required = "/requiredDuringSchedulingIgnoredDuringExecution";
    for term in items(anti_affinity.pointer_mut(required)) {
        rename_in_selector(view, term.get_mut("labelSelector"));
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn rename_in_selector(view: &View<'_>, selector: Option<&mut Value>) {
    let Some(selector) = selector else { return };
    let accepted = &view.policy.selector_labels;
    let target = &view.names.target;
    let primary = Value::from(view.names.primary.as_str());
    if let Some(labels) = selector
        .pointer_mut("/matchLabels")
        .and_then(Value::as_object_mut)
    {
        for (label, value) in labels {
            if accepted.contains(label) && value == target {
                value.clone_from(&primary);
            }
        }
    }
    for expression in items(selector.pointer_mut("/matchExpressions")) {
        let is_accepted = expression["key"]
            .as_str()
            .is_some_and(|key| accepted.iter().any(|label| label == key));
        if !is_accepted {
            continue;
        }
        let mut values = items(expression.pointer_mut("/values"));
        if let Some(value) = values.find(|value| *value == target) {
            value.clone_from(&primary);
        }
    }
}
