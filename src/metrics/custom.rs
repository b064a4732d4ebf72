//! Checks with a query of a user's: inline in the Canary, or in a MetricTemplate.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::api::checks::{Metric, TemplateReference, ThresholdRange};
use crate::api::metric_template::{MetricTemplate, MetricTemplateProvider};
use crate::metrics::access::{self, Access, SecretName};
use crate::metrics::resolve::{TemplateTrouble, Templates, Unresolved};
use crate::metrics::template::{self, Functions};
use crate::metrics::{Author, Check, Origin, Provider, Unit, builtin, prometheus, provider_of};
use crate::objects::{Problem, View};

/// Between a built-in check's name and its template's: both are asked, and told apart.
pub(super) const BESIDE: &str = "/";

/// The check of an inline query, if there is one.
pub(super) fn inline(
    view: &View<'_>,
    metrics_server: &str,
    metric: &Metric,
    path: &str,
) -> Option<Result<Check, Problem>> {
    let query = metric.query.as_deref().filter(|query| !query.is_empty())?;
    let check = || {
        let (text, interval) = builtin::window(metric, path)?;
        let ThresholdRange { min, max } = builtin::range(metric, Unit::Plain, path)?;
        let (address, origin) = builtin::address(view.canary, metrics_server)?;
        let query = rendered(view, metric, text, query, &prometheus::Prometheus)
            .map_err(|why| Problem::field(&format!("{path}.query"), why))?;
        Ok(Check {
            metric: metric.name.clone(),
            address,
            origin,
            query,
            only_failures: None,
            scale: 1.0,
            interval,
            min,
            max,
            unit: Unit::Plain,
            source: String::new(),
            author: Author::Inline,
            access: Access::default(),
            batch: None,
        })
    };
    Some(check())
}

/// The check of a MetricTemplate, if the metric names one.
pub(super) fn of_template(
    view: &View<'_>,
    templates: &Templates,
    metric: &Metric,
    path: &str,
) -> Option<Result<Check, Unresolved>> {
    let reference = metric.template_ref.as_ref()?;
    Some(template_check(view, templates, metric, reference, path))
}

/// Namespace and name of the MetricTemplate that is meant.
pub fn key(reference: &TemplateReference, own_namespace: &str) -> (String, String) {
    let namespace = reference.namespace.as_deref();
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.unwrap_or(own_namespace).to_owned();
    (namespace, reference.name.clone())
}

fn template_check(
    view: &View<'_>,
    templates: &Templates,
    metric: &Metric,
    reference: &TemplateReference,
    path: &str,
) -> Result<Check, Unresolved> {
    let field = format!("{path}.templateRef");
    let problem = |why: &dyn Display| Problem::field(&field, why);
    let key = key(reference, &view.names.namespace);
    let (namespace, name) = &key;
    if *namespace != view.names.namespace && !view.policy.templates_cross_namespaces {
        return Err(problem(&CROSS_NAMESPACE).into());
    }
    let which = format!("MetricTemplate {namespace}/{name}");
    let template = match templates.get(&key) {
        None => return Err(problem(&format!("{which} does not exist")).into()),
        Some(Err(TemplateTrouble::Unread(why))) => return Err(Unresolved::Unread(why.clone())),
        Some(Err(TemplateTrouble::Malformed(why))) => {
            return Err(problem(&format!("{which} cannot be read: {why}")).into());
        }
        Some(Ok(template)) => template,
    };
    let (text, interval) = builtin::window(metric, path)?;
    let ThresholdRange { min, max } = builtin::range(metric, Unit::Plain, path)?;
    let of_template = |(field, why): (&str, String)| problem(&format!("{which}: {field}: {why}"));
    let allows_any = view.policy.insecure_metrics;
    let (provider, address, access) =
        system(namespace, template, allows_any).map_err(of_template)?;
    let query = rendered(view, metric, text, &template.spec.query, provider)
        .map_err(|why| of_template(("spec.query", why)))?;
    let template = format!("{name}.{namespace}");
    let metric_name = if builtin::is_built_in(&metric.name) {
        format!("{}{BESIDE}{template}", metric.name)
    } else {
        metric.name.clone()
    };
    Ok(Check {
        metric: metric_name,
        address,
        origin: Origin::Resource,
        query,
        only_failures: None,
        scale: 1.0,
        interval,
        min,
        max,
        unit: Unit::Plain,
        source: String::new(),
        author: Author::Template(template),
        access,
        batch: None,
    })
}

const CROSS_NAMESPACE: &str = "a MetricTemplate of another namespace is not read; \
                               DAVY_ALLOW_CROSS_NAMESPACE=true allows it";

/// Whom a MetricTemplate asks, and how. On failure: the field, and what is wrong with it.
fn system(
    namespace: &str,
    template: &MetricTemplate,
    allows_any: bool,
) -> Result<(&'static dyn Provider, String, Access), (&'static str, String)> {
    let MetricTemplateProvider {
        r#type,
        headers,
        secret_ref,
        region,
        insecure_skip_verify,
        ..
    } = &template.spec.provider;
    let provider = provider_of(r#type).map_err(|why| ("spec.provider.type", why))?;
    let address = provider.address(&template.spec.provider)?;
    let uri = prometheus::checked(&address).map_err(|why| ("spec.provider.address", why))?;
    let any_certificate = *insecure_skip_verify == Some(true) && uri.scheme_str() == Some("https");
    if any_certificate && !allows_any {
        let why = "certificates are checked; DAVY_ALLOW_INSECURE_METRICS=true lets a MetricTemplate \
                   do without";
        return Err(("spec.provider.insecureSkipVerify", why.to_owned()));
    }
    let pairs = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let mut sent = Vec::new();
    for (name, value) in pairs {
        let header = access::header_name(name).and(access::header_value(name, value).map(|_| ()));
        header.map_err(|why| ("spec.provider.headers", why))?;
        sent.push((name.clone(), value.clone()));
    }
    let secret = secret_ref.as_ref().map(|secret| SecretName {
        namespace: namespace.to_owned(),
        name: secret.name.clone(),
    });
    let access = Access {
        provider: provider.name(),
        headers: sent,
        secret,
        region: region.clone(),
        any_certificate,
        ..Access::default()
    };
    Ok((provider, address, access))
}

/// The functions that a template may call, for one metric of one canary.
struct OfMetric<'a> {
    view: &'a View<'a>,
    interval: &'a str,
    variables: &'a BTreeMap<String, String>,
}

impl Functions for OfMetric<'_> {
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "name" => Some(self.view.names.canary.clone()),
            "namespace" | "target" | "service" | "ingress" | "route" | "interval" => {
                builtin::variable(self.view, self.interval, name)
            }
            _ => None,
        }
    }

    fn variables(&self) -> &BTreeMap<String, String> {
        self.variables
    }
}

fn rendered(
    view: &View<'_>,
    metric: &Metric,
    interval: &str,
    query: &str,
    provider: &dyn Provider,
) -> Result<String, String> {
    let functions = OfMetric {
        view,
        interval,
        variables: &metric.template_variables,
    };
    let query = provider.query(&template::render(query, &functions)?)?;
    if query.trim().is_empty() {
        return Err("nothing is left to ask".to_owned());
    }
    Ok(query)
}
