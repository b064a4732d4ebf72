//! The built-in checks of a Canary, resolved: whom to ask, what, and which answers pass.

use std::fmt::Display;
use std::time::Duration;

use crate::api::canary::Canary;
use crate::api::checks::{Metric, ThresholdRange};
use crate::metrics::{Access, Author, Batch, Check, Origin, Unit, batch, prometheus, promql};
use crate::objects::{Problem, View, duration};
use crate::routers::{BuiltInQueries, queries};

/// The names that need no query, with whose queries they mean: those of the canary's data plane, or
/// Istio's, which the first Flagger knew alone.
const BUILT_IN: [(&str, Unit, bool); 4] = [
    ("request-success-rate", Unit::Percent, false),
    ("request-duration", Unit::Milliseconds, false),
    ("istio_requests_total", Unit::Percent, true),
    (
        "istio_request_duration_seconds_bucket",
        Unit::Milliseconds,
        true,
    ),
];

/// Whether the value of a check by this name is in milliseconds.
pub fn is_in_milliseconds(metric: &str) -> bool {
    BUILT_IN
        .iter()
        .any(|(name, unit, _)| *name == metric && *unit == Unit::Milliseconds)
}

/// Whether a check by this name is built in.
pub(super) fn is_built_in(metric: &str) -> bool {
    BUILT_IN.iter().any(|(name, ..)| *name == metric)
}

const DEFAULT_INTERVAL: &str = "1m";

/// The built-in check of a metric, or nothing where its name is of none. `metrics_server` is the
/// settings' address, for a Canary that names none.
pub(super) fn of(
    view: &View<'_>,
    metrics_server: &str,
    metric: &Metric,
    path: &str,
) -> Option<Result<Check, Problem>> {
    let (_, unit, is_of_istio) = BUILT_IN
        .into_iter()
        .find(|(name, ..)| *name == metric.name)?;
    Some(check(
        view,
        metrics_server,
        metric,
        path,
        (unit, is_of_istio),
    ))
}

fn check(
    view: &View<'_>,
    metrics_server: &str,
    metric: &Metric,
    path: &str,
    (unit, is_of_istio): (Unit, bool),
) -> Result<Check, Problem> {
    let (source, queries) = if is_of_istio {
        ("istio", queries::of_first_flagger())
    } else {
        queries(view)?
    };
    let ThresholdRange { min, max } = range(metric, unit, path)?;
    let (interval_text, interval) = window(metric, path)?;
    let (address, origin) = address(view.canary, metrics_server)?;
    let render =
        |template: &str| promql::render(template, |name| variable(view, interval_text, name));
    let (template, failures, scale) = match unit {
        Unit::Milliseconds => (queries.duration, None, queries.duration_scale),
        Unit::Percent | Unit::Plain => (queries.success_rate, queries.only_failures(), 1.0),
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
        author: Author::BuiltIn,
        access: Access::default(),
        batch,
    })
}

/// The time that a metric looks back, as it is written and as it is.
pub(super) fn window<'a>(metric: &'a Metric, path: &str) -> Result<(&'a str, Duration), Problem> {
    let wrong = |why: &dyn Display| Problem::field(&format!("{path}.interval"), why);
    let text = metric
        .interval
        .as_deref()
        .filter(|text| !text.is_empty())
        .unwrap_or(DEFAULT_INTERVAL);
    let interval = duration::parse(text).map_err(|why| wrong(&why))?;
    if interval.is_zero() {
        return Err(wrong(&"0 is no time to look back"));
    }
    Ok((text, interval))
}

pub(super) fn unknown(name: &str) -> String {
    let known: Vec<_> = BUILT_IN.iter().map(|(name, ..)| *name).collect();
    format!(
        "{name:?} is not a built-in check, and has neither query nor templateRef; known are {}",
        known.join(", ")
    )
}

/// The queries of the canary's data plane, by Flagger's rule: Linkerd's Prometheus sees
/// all traffic of its mesh, whatever the Canary says of its routing.
fn queries<'a>(view: &View<'a>) -> Result<(&'a str, &'static BuiltInQueries), Problem> {
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
    let queries = queries::of(provider).ok_or_else(|| {
        let known = queries::known().join(", ");
        Problem::field(
            "spec.provider",
            format!("there are no built-in metrics for {provider:?}; known are {known}"),
        )
    })?;
    Ok((provider, queries))
}

/// The values that pass. The deprecated `threshold` is the least success rate, and the most of
/// anything else.
pub(super) fn range(metric: &Metric, unit: Unit, path: &str) -> Result<ThresholdRange, Problem> {
    let range = match (metric.threshold_range, metric.threshold) {
        (Some(range), _) => range,
        (None, bound) if unit == Unit::Percent => ThresholdRange {
            min: bound,
            max: None,
        },
        // As in Flagger: what is left out is 0.
        (None, bound) if unit == Unit::Plain => ThresholdRange {
            min: None,
            max: Some(bound.unwrap_or_default()),
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

pub(super) fn address(canary: &Canary, metrics_server: &str) -> Result<(String, Origin), Problem> {
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
pub(super) fn variable(view: &View<'_>, interval: &str, name: &str) -> Option<String> {
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
