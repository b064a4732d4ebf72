//! Workloads that run pods from one template: what they have in common, which is all but how many
//! pods there are, how a rollout shows, and which fields stand beside the template.

mod sides;

use std::borrow::Cow;

use serde_json::Value;

use crate::objects::selector::Selector;
use crate::objects::{Key, Kind, Problem, Rank, View, Wanted, hash, pod_template};
use crate::workloads::{Intent, ReadinessRule, ReadinessRules, Rendered, Side, Sides, Workload};

/// A kind whose objects have `spec.selector` and `spec.template` as a Deployment has them.
pub trait Pods: Sync {
    fn kind(&self) -> &'static Kind;

    /// As [`Workload::word`].
    fn word(&self) -> &'static str;

    /// As [`Workload::primary_prefix`].
    fn primary_prefix(&self) -> &'static str {
        ""
    }

    /// As [`Workload::history_kind`].
    fn history_kind(&self) -> &'static Kind;

    /// What is wrong with a target, beside a selector that tells its pods from no others.
    fn problems(&self, _view: &View<'_>, _target: &Value) -> Vec<Problem> {
        Vec::new()
    }

    /// Fields of `spec`, beside the template, that a primary takes over from its target.
    fn following(&self) -> &'static [&'static str];

    /// Whether rules by which the target's pods keep away from each other speak of the primary's
    /// on the primary, as Flagger has it for this kind: a primary that Flagger made must not look
    /// changed.
    fn keeps_primary_apart(&self) -> bool;

    /// As [`Workload::replicas`].
    fn replicas(&self, object: &Value) -> i64;

    /// The object asking for `replicas`. A kind that has no count knows only none and some.
    fn scaled(&self, object: &Value, replicas: i64) -> Value;

    /// As [`Workload::template`].
    fn template<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        Cow::Borrowed(&object["spec"]["template"])
    }

    /// What one object shows.
    fn side(&self, object: &Value, rule: ReadinessRule) -> Side;

    /// As [`Workload::update_empties`].
    fn update_empties(&self, target: &Value, replicas: i64) -> bool;
}

impl<T: Pods> Workload for T {
    fn kind(&self) -> &'static Kind {
        Pods::kind(self)
    }

    fn word(&self) -> &'static str {
        Pods::word(self)
    }

    fn primary_prefix(&self) -> &'static str {
        Pods::primary_prefix(self)
    }

    fn history_kind(&self) -> &'static Kind {
        Pods::history_kind(self)
    }

    fn history_selector(&self, primary: &Value) -> String {
        let labels = primary["spec"]["selector"]["matchLabels"].as_object();
        let labels = labels.into_iter().flatten();
        labels
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn problems(&self, view: &View<'_>, target: &Value) -> Vec<Problem> {
        let mut problems: Vec<_> = Selector::of(view, target).err().into_iter().collect();
        problems.extend(Pods::problems(self, view, target));
        problems
    }

    fn observe(&self, view: &View<'_>, rules: &ReadinessRules) -> Sides {
        let side = |name: &str, rule| {
            let object = view.object(Pods::kind(self), name)?;
            Some(self.side(object, rule))
        };
        Sides {
            target: side(&view.names.target, rules.target),
            primary: side(&view.names.primary, rules.primary),
        }
    }

    fn render(&self, view: &View<'_>, intent: &Intent<'_>) -> Rendered {
        let mut rendered = Rendered::default();
        let kind = Pods::kind(self);
        if let Some(mut object) = sides::primary(self, view, &intent.primary, &mut rendered) {
            if let Some(replicas) = intent.primary_awake
                && Pods::replicas(self, &object) == 0
            {
                object = self.scaled(&object, replicas);
            }
            rendered.objects.push(Wanted {
                key: Key::new(kind, &*view.names.primary),
                rank: Rank::Primary,
                object,
            });
        }
        if let Some(target) = view.object(kind, &view.names.target) {
            rendered.objects.push(Wanted {
                key: Key::new(kind, &*view.names.target),
                rank: Rank::Target,
                object: sides::target(self, view, target, intent.target),
            });
        }
        rendered
    }

    fn template<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        Pods::template(self, object)
    }

    fn primary_template(&self, view: &View<'_>, target: &Value) -> Value {
        let selector = Selector::of(view, target).ok();
        let template = Pods::template(self, target);
        let mut template = pod_template::primary(view, &template, selector.as_ref());
        if self.keeps_primary_apart() {
            pod_template::keep_primary_apart(view, &mut template);
        }
        template
    }

    fn with_template(&self, object: &Value, template: &Value) -> Value {
        let replicas = Pods::replicas(self, object);
        let mut object = object.clone();
        object["spec"]["template"] = hash::template_of_history(template);
        if replicas == 0 {
            object = self.scaled(&object, 0);
        }
        object
    }

    fn images<'a>(&self, object: &'a Value) -> Vec<(&'a str, &'a str)> {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let containers = containers.into_iter().flatten();
        containers
            .filter_map(|container| {
                let name = container["name"].as_str().unwrap_or_default();
                Some((name, container["image"].as_str()?))
            })
            .collect()
    }

    fn replicas(&self, object: &Value) -> i64 {
        Pods::replicas(self, object)
    }

    fn update_empties(&self, target: &Value, replicas: i64) -> bool {
        Pods::update_empties(self, target, replicas)
    }
}

/// A number in an object's status; 0 where it is left out.
pub(super) fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

/// Whether the counts in status are about the object as it is now.
pub(super) fn is_observed(object: &Value) -> bool {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    count(object, "observedGeneration") >= generation
}

pub(super) fn waiting_for(what: &str) -> String {
    format!("waiting for rollout to finish: {what}")
}

/// As many of so many updated pods as the threshold, in percent, asks for: rounded down as in
/// Flagger; but never none, for traffic needs one to go to.
pub(super) fn least_available(updated: i64, threshold: i64) -> i64 {
    (updated * threshold / 100).max(1)
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
