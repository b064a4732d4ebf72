//! The metric checks of a Canary, resolved: whom to ask, what, and which answers pass.
//! A check that this version cannot ask is a problem that names the field, never a pass.

use std::fmt::Display;

use crate::api::analysis::Analysis;
use crate::api::canary::Canary;
use crate::api::checks::{Metric, ThresholdRange};
use crate::metrics::observers::{self, Observer};
use crate::metrics::{Batch, Check, Origin, Unit, batch, prometheus, promql};
use crate::objects::{Problem, View, duration};

/// The names that need no query, with whose queries they mean: the canary's routing provider's,
/// or Istio's, which the first Flagger knew alone.
const BUILT_IN: [(&str, Unit, Option<&Observer>); 4] = [
    ("request-success-rate", Unit::Percent, None),
    ("request-duration", Unit::Milliseconds, None),
    (
        "istio_requests_total",
        Unit::Percent,
        Some(&observers::ISTIO),
    ),
    (
        "istio_request_duration_seconds_bucket",
        Unit::Milliseconds,
        Some(&observers::ISTIO),
    ),
];

/// Whether the value of a check by this name is in milliseconds.
pub fn is_in_milliseconds(metric: &str) -> bool {
    BUILT_IN
        .iter()
        .any(|(name, unit, _)| *name == metric && *unit == Unit::Milliseconds)
}

const DEFAULT_INTERVAL: &str = "1m";

/// The checks of the canary's analysis, in its order. `metrics_server` is the settings' address,
/// for a Canary that names none.
pub fn checks(view: &View<'_>, metrics_server: &str) -> Result<Vec<Check>, Problem> {
    each(view, metrics_server).collect()
}

/// Those of them that can be asked.
pub fn valid_checks(view: &View<'_>, metrics_server: &str) -> Vec<Check> {
    each(view, metrics_server).filter_map(Result::ok).collect()
}

fn each(view: &View<'_>, metrics_server: &str) -> impl Iterator<Item = Result<Check, Problem>> {
    let analysis = analysis(view.canary).into_iter();
    let metrics = analysis.flat_map(|(path, analysis)| {
        let metrics = analysis.metrics.iter().enumerate();
        metrics.map(move |(index, metric)| (format!("{path}.metrics[{index}]"), metric))
    });
    metrics.map(move |(path, metric)| check(view, metrics_server, metric, &path))
}

/// The analysis, by the name that either API version has for it.
fn analysis(canary: &Canary) -> Option<(&'static str, &Analysis)> {
    let named = canary
        .spec
        .analysis
        .as_ref()
        .map(|analysis| ("spec.analysis", analysis));
    let first = || Some(("spec.canaryAnalysis", canary.spec.canary_analysis.as_ref()?));
    named.or_else(first)
}

fn check(
    view: &View<'_>,
    metrics_server: &str,
    metric: &Metric,
    path: &str,
) -> Result<Check, Problem> {
    let field = |name: &str, why: &dyn Display| Problem::field(&format!("{path}.{name}"), why);
    // Flagger asks these besides a built-in of the same name, so ignoring them would be a pass.
    if metric.template_ref.is_some() {
        return Err(field(
            "templateRef",
            &"metric templates are not supported by this version",
        ));
    }
    if metric.query.as_ref().is_some_and(|query| !query.is_empty()) {
        return Err(field(
            "query",
            &"inline queries are not supported by this version",
        ));
    }
    let (_, unit, own) = BUILT_IN
        .into_iter()
        .find(|(name, ..)| *name == metric.name)
        .ok_or_else(|| field("name", &unknown(&metric.name)))?;
    let (source, observer) = match own {
        Some(observer) => ("istio", observer),
        None => observer(view)?,
    };
    let ThresholdRange { min, max } = range(metric, unit, path)?;
    let interval_text = metric
        .interval
        .as_deref()
        .filter(|text| !text.is_empty())
        .unwrap_or(DEFAULT_INTERVAL);
    let interval = duration::parse(interval_text).map_err(|why| field("interval", &why))?;
    if interval.is_zero() {
        return Err(field("interval", &"0 is no time to look back"));
    }
    let (address, origin) = address(view.canary, metrics_server)?;
    let render =
        |template: &str| promql::render(template, |name| variable(view, interval_text, name));
    let (template, failures, scale) = match unit {
        Unit::Milliseconds => (observer.duration, None, observer.duration_scale),
        Unit::Percent | Unit::Plain => (observer.success_rate, observer.only_failures(), 1.0),
    };
    let query = render(template)?;
    let only_failures = failures.as_deref().map(render).transpose()?;
    let shape = batch::shape(template, failures.as_deref(), interval_text);
    let batch = shape.and_then(|(shape, workload)| {
        Some(Batch {
            shape,
            namespace: view.names.namespace.clone(),
            workload: variable(view, interval_text, workload)?,
        })
    });
    Ok(Check {
        metric: metric.name.clone(),
        address,
        origin,
        query,
        only_failures,
        scale,
        interval,
        min,
        max,
        unit,
        source: source.to_owned(),
        batch,
    })
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = BUILT_IN.iter().map(|(name, ..)| *name).collect();
    format!(
        "{name:?} is not a built-in check, and has neither query nor templateRef; known are {}",
        known.join(", ")
    )
}

/// The observer of the canary's routing provider, by Flagger's rule: Linkerd's Prometheus sees
/// all traffic of its mesh, whatever the Canary says of its routing.
fn observer<'a>(view: &View<'a>) -> Result<(&'a str, &'static Observer), Problem> {
    let mesh = view.policy.mesh_provider.as_str();
    let own = view
        .canary
        .spec
        .provider
        .as_deref()
        .filter(|provider| !provider.is_empty());
    let provider = match own {
        Some(_) if mesh.contains("linkerd") => "linkerd",
        Some(provider) => provider,
        None => mesh,
    };
    let observer = observers::observer(provider).ok_or_else(|| {
        let known = observers::known().join(", ");
        Problem::field(
            "spec.provider",
            format!("there are no built-in metrics for {provider:?}; known are {known}"),
        )
    })?;
    Ok((provider, observer))
}

/// The values that pass. The deprecated `threshold` is the least success rate, and the most of
/// anything else.
fn range(metric: &Metric, unit: Unit, path: &str) -> Result<ThresholdRange, Problem> {
    let range = match (metric.threshold_range, metric.threshold) {
        (Some(range), _) => range,
        (None, bound) if unit == Unit::Percent => ThresholdRange {
            min: bound,
            max: None,
        },
        (None, bound) => ThresholdRange {
            min: None,
            max: bound,
        },
    };
    let wrong = |why: &str| Err(Problem::field(&format!("{path}.thresholdRange"), why));
    match (range.min, range.max) {
        // Flagger would let every value pass.
        (None, None) => wrong("needs min, max, or both"),
        (Some(min), Some(max)) if min > max => wrong("no value passes: min is above max"),
        _ => Ok(range),
    }
}

fn address(canary: &Canary, metrics_server: &str) -> Result<(String, Origin), Problem> {
    let own = canary
        .spec
        .metrics_server
        .as_deref()
        .filter(|address| !address.is_empty());
    let (address, origin, field) = match own {
        Some(address) => (address, Origin::Resource, "spec.metricsServer"),
        None => (metrics_server, Origin::Settings, "DAVY_METRICS_SERVER"),
    };
    prometheus::checked(address).map_err(|why| Problem::field(field, why))?;
    Ok((address.to_owned(), origin))
}

/// The variables of the built-in queries.
fn variable(view: &View<'_>, interval: &str, name: &str) -> Option<String> {
    let names = view.names;
    let spec = &view.canary.spec;
    let or_target = |reference: Option<&String>| reference.unwrap_or(&names.target).clone();
    Some(match name {
        "namespace" => names.namespace.clone(),
        "target" => names.target.clone(),
        "service" => names.apex.clone(),
        "ingress" => or_target(spec.ingress_ref.as_ref().map(|reference| &reference.name)),
        "route" => or_target(spec.route_ref.as_ref().map(|reference| &reference.name)),
        "interval" => interval.to_owned(),
        _ => {
            let name = name.strip_suffix("_id")?;
            variable(view, interval, name)?
                .replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_'), "_")
        }
    })
}
