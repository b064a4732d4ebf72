//! Names, labels and annotations that follow from a Canary and that an API server would refuse for
//! ever: found before anything is written, and named by the field that they come from.

use serde_json::Value;

use crate::api::service::{CanaryService, ServiceMetadata};
use crate::objects::names_grammar::{LABEL_MAX, SUBDOMAIN_MAX, label, subdomain};
use crate::objects::selector::Selector;
use crate::objects::{Problem, View};

/// The longest name of a container's port.
const PORT_NAME_MAX: usize = 15;

const PRIMARY: &str = "-primary";
const CANARY: &str = "-canary";

/// What is wrong with the names of the generated objects, with the labels and annotations that the
/// Canary gives them, and, where there is a target, with the label of its selector.
pub fn problems(view: &View<'_>, target: Option<&Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(service_names(view));
    problems.extend(object_names(view));
    if let Some(target) = target {
        problems.extend(selector_value(view, target));
    }
    if let Some(service) = &view.canary.spec.service {
        problems.extend(port_names(service));
        let roles = [
            ("apex", &service.apex),
            ("primary", &service.primary),
            ("canary", &service.canary),
        ];
        for (role, metadata) in roles {
            let metadata = metadata.iter();
            problems.extend(metadata.flat_map(|it| keys_and_values(role, it)));
        }
    }
    problems
}

/// The three Services bear the name of the apex, with an ending of their own.
fn service_names(view: &View<'_>) -> Option<Problem> {
    let apex = &view.names.apex;
    let given = view.canary.spec.service.as_ref();
    let given = given.and_then(|service| service.name.as_ref());
    let (field, hint) = if given.is_some_and(|name| !name.is_empty()) {
        ("spec.service.name", "")
    } else {
        (
            "spec.targetRef.name",
            "; spec.service.name may give them another one",
        )
    };
    let longest = LABEL_MAX - PRIMARY.len().max(CANARY.len());
    if apex.len() > longest {
        return Some(too_long(
            field,
            apex,
            longest,
            &format!("Service {apex}{PRIMARY}"),
            hint,
        ));
    }
    (!is_dns_label(apex)).then(|| {
        let why = format!(
            "\"{apex}\" is not a valid Service name: it has lower-case letters, digits and \"-\", \
             starts with a letter and does not end with \"-\"{hint}"
        );
        Problem::field(field, why)
    })
}

/// The primary and its autoscaler bear the user's name, with an ending.
fn object_names(view: &View<'_>) -> Vec<Problem> {
    let spec = &view.canary.spec;
    let autoscaler = spec.autoscaler_ref.as_ref();
    let target = (
        "spec.targetRef.name",
        &spec.target_ref.kind,
        &spec.target_ref.name,
    );
    let autoscaler = autoscaler.map(|it| ("spec.autoscalerRef.name", &it.kind, &it.name));
    let longest = SUBDOMAIN_MAX - PRIMARY.len();
    std::iter::once(target)
        .chain(autoscaler)
        .filter(|(_, _, name)| name.len() > longest)
        .map(|(field, kind, name)| {
            too_long(field, name, longest, &format!("{kind} {name}{PRIMARY}"), "")
        })
        .collect()
}

/// The pods of the primary bear the value of the target's, with an ending.
fn selector_value(view: &View<'_>, target: &Value) -> Option<Problem> {
    let selector = Selector::of(view, target).ok()?;
    let longest = LABEL_MAX - PRIMARY.len();
    (selector.value.len() > longest).then(|| {
        let reference = &view.canary.spec.target_ref;
        let field = format!(
            "{} {} spec.selector.matchLabels[{}]",
            reference.kind, reference.name, selector.label
        );
        let what = format!(
            "the label of the primary's pods, {}",
            selector.primary_value()
        );
        too_long(&field, &selector.value, longest, &what, "")
    })
}

fn too_long(field: &str, value: &str, longest: usize, what: &str, hint: &str) -> Problem {
    let length = value.len();
    let cut: String = value.chars().take(longest).collect();
    let cut = cut.trim_end_matches(|last: char| !last.is_ascii_alphanumeric());
    let why = format!(
        "\"{value}\" has {length} characters and {what} would be too long; {longest} fit, such as \
         \"{cut}\"{hint}"
    );
    Problem::field(field, why)
}

fn port_names(service: &CanaryService) -> Vec<Problem> {
    let mut problems = Vec::new();
    let port_name = service.port_name.as_deref().filter(|name| !name.is_empty());
    if let Some(name) = port_name.filter(|name| !is_port_label(name)) {
        let why = format!(
            "\"{name}\" is not a valid port name: at most {LABEL_MAX} lower-case letters, digits and \
             \"-\", with a letter or digit at both ends"
        );
        problems.push(Problem::field("spec.service.portName", why));
    }
    if let Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String(name)) =
        &service.target_port
        && !name.is_empty()
        && name != "0"
        && !is_container_port(name)
    {
        let why = format!(
            "\"{name}\" is not a valid container port name: at most {PORT_NAME_MAX} lower-case \
             letters, digits and single \"-\", one letter at least; a number stands without quotes"
        );
        problems.push(Problem::field("spec.service.targetPort", why));
    }
    let protocol = service.app_protocol.as_deref().filter(|it| !it.is_empty());
    if let Some(protocol) = protocol.filter(|protocol| !is_key(protocol)) {
        let why = format!("\"{protocol}\" is not a valid application protocol: {KEY_GRAMMAR}");
        problems.push(Problem::field("spec.service.appProtocol", why));
    }
    problems
}

/// The labels and annotations of one of the Services.
fn keys_and_values(role: &str, metadata: &ServiceMetadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in &metadata.labels {
        let field = format!("spec.service.{role}.labels[{key}]");
        if !is_key(key) {
            problems.push(Problem::field(
                &field,
                format!("not a valid label key: {KEY_GRAMMAR}"),
            ));
        }
        if !is_label_value(value) {
            let why = format!(
                "\"{value}\" is not a valid label value: at most {LABEL_MAX} letters, digits, \"-\", \
                 \"_\" and \".\", with a letter or digit at both ends, or nothing"
            );
            problems.push(Problem::field(&field, why));
        }
    }
    for key in metadata
        .annotations
        .keys()
        .filter(|key| !is_key(&key.to_lowercase()))
    {
        let field = format!("spec.service.{role}.annotations[{key}]");
        problems.push(Problem::field(
            &field,
            format!("not a valid annotation key: {KEY_GRAMMAR}"),
        ));
    }
    problems
}

const KEY_GRAMMAR: &str = "at most 63 letters, digits, \"-\", \"_\" and \".\", with a letter or \
                           digit at both ends, after a domain and \"/\" if need be";

/// Kubernetes' grammar of a key: a name, and before it, perhaps, a domain and a slash.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => {
            subdomain(domain).is_ok() && !name.is_empty() && is_label_value(name)
        }
        None => !key.is_empty() && is_label_value(key),
    }
}

fn is_label_value(value: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    value.is_empty()
        || (value.len() <= LABEL_MAX
            && value.bytes().all(is_inner)
            && has_ends(value, |byte| byte.is_ascii_alphanumeric()))
}

/// The label of DNS that RFC 1035 describes.
fn is_dns_label(name: &str) -> bool {
    label(name).is_ok() && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// The label of DNS that RFC 1123 describes: it may start with a digit.
fn is_port_label(name: &str) -> bool {
    label(name).is_ok()
}

/// The name of a service that RFC 6335 describes.
fn is_container_port(name: &str) -> bool {
    name.len() <= PORT_NAME_MAX
        && is_lower(name)
        && has_ends(name, is_lower_or_digit)
        && name.contains(|letter: char| letter.is_ascii_lowercase())
        && !name.contains("--")
}

fn is_lower(name: &str) -> bool {
    name.bytes()
        .all(|byte| is_lower_or_digit(byte) || byte == b'-')
}

fn is_lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether the text has a first and a last byte that are so.
fn has_ends(text: &str, is_so: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if is_so(*first) && is_so(*last))
}
