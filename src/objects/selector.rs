//! The labels that tell the pods of a target from all others, and the primary's from the canary's.

use serde_json::{Map, Value};

use crate::objects::{Problem, View};

/// The labels that a target selects its pods by. One of them, which the settings accept, has another
/// value on the primary's pods; the others tell the application from those that share this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The label by which the primary's pods differ.
    pub label: String,
    /// Its value on the pods of the canary.
    pub value: String,
    match_labels: Map<String, Value>,
}

impl Selector {
    /// The first of the accepted labels that the target selects its pods by, and all others.
    pub fn of(view: &View<'_>, target: &Value) -> Result<Self, Problem> {
        let match_labels = match_labels(target);
        let found = accepted(view, &match_labels)
            .map(|(label, value)| (label.to_owned(), value.to_owned()));
        let Some((label, value)) = found else {
            let reference = &view.canary.spec.target_ref;
            return Err(Problem(format!(
                "{} {}.{} spec.selector.matchLabels must contain one of [{}]",
                reference.kind.to_lowercase(),
                reference.name,
                view.names.namespace,
                view.policy.selector_labels.join(" "),
            )));
        };
        Ok(Self {
            label,
            value,
            match_labels,
        })
    }

    /// The label's value on the pods of the primary.
    pub fn primary_value(&self) -> String {
        format!("{}{PRIMARY_SUFFIX}", self.value)
    }

    /// What the pods of the canary are selected by.
    pub fn canary_labels(&self) -> Map<String, Value> {
        self.match_labels.clone()
    }

    /// What the pods of a new primary are selected by.
    pub fn primary_labels(&self) -> Map<String, Value> {
        let mut labels = self.match_labels.clone();
        labels.insert(self.label.clone(), Value::from(self.primary_value()));
        labels
    }
}

const PRIMARY_SUFFIX: &str = "-primary";

/// What a Service selects the pods of a primary by: the primary's own selector, which cannot be
/// changed and of which Flagger makes one label only, and what else the target selects by, as the
/// primary's pods bear it. While the target is away, `service`, the Service as it is, tells what
/// that was.
pub(super) fn of_primary(
    view: &View<'_>,
    primary: &Value,
    service: Option<&Value>,
) -> Result<Map<String, Value>, Problem> {
    let mut labels = match_labels(primary);
    if labels.is_empty() {
        let reference = &view.canary.spec.target_ref;
        return Err(Problem(format!(
            "{} {}.{} spec.selector.matchLabels is empty: no Service can select its pods",
            reference.kind.to_lowercase(),
            view.names.primary,
            view.names.namespace,
        )));
    }
    let further = match (view.workload(&view.names.target), service) {
        (Some(target), _) => match_labels(target),
        (None, Some(service)) => entries(&service["spec"]["selector"]),
        (None, None) => Map::new(),
    };
    let borne = &primary["spec"]["template"]["metadata"]["labels"];
    for label in further.keys().filter(|label| borne[*label].is_string()) {
        labels
            .entry(label.clone())
            .or_insert_with(|| borne[label].clone());
    }
    Ok(labels)
}

/// The selector of a Service with the canary's pods where it has the primary's; `None` if it does not
/// select a primary's.
pub(super) fn to_target(
    view: &View<'_>,
    selector: &Map<String, Value>,
) -> Option<Map<String, Value>> {
    let (label, value) = accepted(view, selector)?;
    let value = value.strip_suffix(PRIMARY_SUFFIX)?;
    let mut selector = selector.clone();
    selector.insert(label.to_owned(), Value::from(value));
    Some(selector)
}

/// The first of the accepted labels that there is, with its value.
pub(super) fn accepted<'a>(
    view: &View<'a>,
    labels: &'a Map<String, Value>,
) -> Option<(&'a str, &'a str)> {
    let mut accepted = view.policy.selector_labels.iter();
    accepted.find_map(|label| Some((label.as_str(), labels.get(label)?.as_str()?)))
}

/// `spec.selector.matchLabels` of a workload; empty when there are none.
pub(super) fn match_labels(workload: &Value) -> Map<String, Value> {
    entries(&workload["spec"]["selector"]["matchLabels"])
}

fn entries(labels: &Value) -> Map<String, Value> {
    labels.as_object().cloned().unwrap_or_default()
}
