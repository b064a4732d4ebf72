//! Label and field selectors.

use serde_json::Value;

use super::super::answer::Refusal;
use super::super::kinds::Kind;
use super::super::object::text;

/// All of its requirements hold for what it selects.
#[derive(Debug)]
pub(super) struct Selector {
    /// Where the keys are looked up; field selectors look from the top.
    base: &'static str,
    requirements: Vec<Requirement>,
}

#[derive(Debug)]
struct Requirement {
    key: String,
    demand: Demand,
}

#[derive(Debug)]
enum Demand {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    pub(super) fn matches(&self, object: &Value) -> bool {
        let base = object.pointer(self.base);
        self.requirements.iter().all(|requirement| {
            let value = match (base, self.base) {
                (Some(fields), "") => Some(text(fields, &pointer(&requirement.key))),
                (Some(labels), _) => labels[&requirement.key].as_str(),
                (None, _) => None,
            };
            match &requirement.demand {
                Demand::Exists => value.is_some(),
                Demand::Missing => value.is_none(),
                Demand::In(wanted) => {
                    value.is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
                }
                Demand::NotIn(unwanted) => {
                    value.is_none_or(|value| unwanted.iter().all(|unwanted| unwanted != value))
                }
            }
        })
    }
}

fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

pub(super) fn labels(selector: &str) -> Result<Selector, Refusal> {
    let requirements = split(selector)
        .into_iter()
        .map(label_requirement)
        .collect::<Result<_, _>>()?;
    Ok(Selector {
        base: "/metadata/labels",
        requirements,
    })
}

/// The parts between the commas that are in no parentheses.
fn split(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    selector
        .split(|letter| {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            letter == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn label_requirement(part: &str) -> Result<Requirement, Refusal> {
    let requirement = |key: &str, demand| {
        Ok(Requirement {
            key: key.trim().to_owned(),
            demand,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = part.split_once("!=") {
        return requirement(key, Demand::NotIn(one(value)));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return requirement(key, Demand::In(one(value)));
    }
    if let Some(key) = part.strip_prefix('!') {
        return requirement(key, Demand::Missing);
    }
    match part.split_once(char::is_whitespace) {
        None => requirement(part, Demand::Exists),
        Some((key, rest)) => {
            let (word, values) = rest.trim().split_once('(').unwrap_or((rest.trim(), ""));
            let values = values.strip_suffix(')').ok_or_else(|| {
                Refusal::bad_request("unable to parse requirement: found '', expected: ',' or ')'")
            })?;
            let values = values
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect();
            match word.trim() {
                "in" => requirement(key, Demand::In(values)),
                "notin" => requirement(key, Demand::NotIn(values)),
                other => Err(Refusal::bad_request(format!(
                    "unable to parse requirement: found '{other}', expected: in, notin, =, ==, !=, gt, lt"
                ))),
            }
        }
    }
}

pub(super) fn fields(kind: &Kind, selector: &str) -> Result<Selector, Refusal> {
    let requirements = split(selector)
        .into_iter()
        .map(|part| {
            let (key, value, is) = if let Some((key, value)) = part.split_once("!=") {
                (key, value, false)
            } else if let Some((key, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (key, value, true)
            } else {
                let why = format!("invalid selector: {part:?}; can't understand '{part}'");
                return Err(Refusal::bad_request(why));
            };
            if !known_fields(kind).contains(&key) {
                return Err(unknown_field(kind, key));
            }
            let value = vec![value.to_owned()];
            let demand = if is {
                Demand::In(value)
            } else {
                Demand::NotIn(value)
            };
            Ok(Requirement {
                key: key.to_owned(),
                demand,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Selector {
        base: "",
        requirements,
    })
}

fn known_fields(kind: &Kind) -> &'static [&'static str] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Event") => &[
            "metadata.name",
            "metadata.namespace",
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "reason",
            "type",
        ],
        ("", "Secret") => &["metadata.name", "metadata.namespace", "type"],
        ("", "Pod") => &[
            "metadata.name",
            "metadata.namespace",
            "status.phase",
            "spec.nodeName",
        ],
        _ => &["metadata.name", "metadata.namespace"],
    }
}

fn unknown_field(kind: &Kind, key: &str) -> Refusal {
    if kind.custom {
        return Refusal::bad_request(format!("field label not supported: {key}"));
    }
    let known: Vec<_> = known_fields(kind)
        .iter()
        .map(|field| format!("{field:?}"))
        .collect();
    let known = known.join(", ");
    Refusal::bad_request(format!(
        "{key:?} is not a known field selector: only {known}"
    ))
}

/// A `LabelSelector` as the text that `Scale` shows.
pub(super) fn text_of(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object();
    let labels: Vec<_> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    labels.join(",")
}
