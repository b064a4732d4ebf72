//! Names by Kubernetes' grammar. Names of a manifest become parts of API paths: what is no name is a
//! problem with its field, and never a request. How long names may become with what is added to
//! them is another question.

use crate::api::analysis::Analysis;
use crate::api::canary::Canary;
use crate::objects::Problem;

/// Longest name of an object, and of the part of a label's or annotation's key before the slash.
pub const SUBDOMAIN_MAX: usize = 253;
/// Longest name of a namespace or a Service, and longest value of a label.
pub const LABEL_MAX: usize = 63;

/// A DNS subdomain (RFC 1123), which is what the name of an object is.
///
/// On failure: says what such a name is made of.
pub fn subdomain(text: &str) -> Result<(), String> {
    if text.len() <= SUBDOMAIN_MAX && text.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the name of an object: at most {SUBDOMAIN_MAX} lower-case letters, \
         digits, hyphens and dots, with a letter or digit at either end and beside each dot"
    ))
}

/// A DNS label (RFC 1123), which is what the name of a namespace is.
///
/// On failure: says what such a name is made of.
pub fn label(text: &str) -> Result<(), String> {
    if text.len() <= LABEL_MAX && is_label(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not the name of a namespace: at most {LABEL_MAX} lower-case letters, digits \
         and hyphens, with a letter or digit at either end"
    ))
}

/// Every name of a Canary that is none. An empty name or namespace of a reference stands for its
/// default, and is none of them.
pub fn problems(canary: &Canary) -> Vec<Problem> {
    let spec = &canary.spec;
    let mut names = vec![("spec.targetRef.name".to_owned(), &spec.target_ref.name)];
    let service = spec
        .service
        .as_ref()
        .and_then(|service| service.name.as_ref());
    let service = service.filter(|name| !name.is_empty());
    names.extend(service.map(|name| ("spec.service.name".to_owned(), name)));
    let autoscaler = spec.autoscaler_ref.as_ref();
    names.extend(autoscaler.map(|it| ("spec.autoscalerRef.name".to_owned(), &it.name)));
    let mut namespaces = Vec::new();
    let analyses: [(&str, &Option<Analysis>); 2] = [
        ("spec.analysis", &spec.analysis),
        ("spec.canaryAnalysis", &spec.canary_analysis),
    ];
    for (path, analysis) in analyses {
        let Some(analysis) = analysis else { continue };
        for (index, metric) in analysis.metrics.iter().enumerate() {
            let Some(template) = &metric.template_ref else {
                continue;
            };
            let field = format!("{path}.metrics[{index}].templateRef");
            names.push((format!("{field}.name"), &template.name));
            namespaces.extend(template.namespace.as_ref().map(|it| (field, it)));
        }
        for (index, alert) in analysis.alerts.iter().enumerate() {
            let provider = &alert.provider_ref;
            let field = format!("{path}.alerts[{index}].providerRef");
            names.push((format!("{field}.name"), &provider.name));
            namespaces.extend(provider.namespace.as_ref().map(|it| (field, it)));
        }
    }
    let names = names
        .into_iter()
        .map(|(field, name)| (field, subdomain(name)));
    let namespaces = namespaces
        .into_iter()
        .filter(|(_, namespace)| !namespace.is_empty())
        .map(|(field, namespace)| (format!("{field}.namespace"), label(namespace)));
    names
        .chain(namespaces)
        .filter_map(|(field, checked)| Some(Problem::field(&field, checked.err()?)))
        .collect()
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
