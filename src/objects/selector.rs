//! The label that tells the pods of a target from all others, and the primary's from the canary's.

use serde_json::Value;

use crate::objects::{Problem, View};

/// The one label of the target's selector that the primary and the Services select by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub label: String,
    /// On the pods of the canary.
    pub value: String,
}

impl Selector {
    /// The first of the accepted labels that the target selects its pods by.
    pub fn of(view: &View<'_>, target: &Value) -> Result<Self, Problem> {
        let accepted = &view.policy.selector_labels;
        let match_labels = &target["spec"]["selector"]["matchLabels"];
        accepted
            .iter()
            .find_map(|label| {
                let value = match_labels[label].as_str()?.to_owned();
                Some(Self {
                    label: label.clone(),
                    value,
                })
            })
            .ok_or_else(|| {
                let reference = &view.canary.spec.target_ref;
                Problem(format!(
                    "{} {}.{} spec.selector.matchLabels must contain one of [{}]",
                    reference.kind.to_lowercase(),
                    reference.name,
                    view.names.namespace,
                    accepted.join(" "),
                ))
            })
    }

    /// On the pods of the primary.
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}
