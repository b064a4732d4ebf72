//! The metric checks of a Canary, resolved: whom to ask, what, and which answers pass. A check that
//! cannot be asked is a problem that names the field, never a pass; one that asks nothing is left out
//! as in Flagger, and said to be.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::api::analysis::Analysis;
use crate::api::canary::Canary;
use crate::api::checks::Metric;
use crate::api::metric_template::MetricTemplate;
use crate::metrics::{Check, builtin, custom};
use crate::objects::{Problem, View, duration};

/// MetricTemplates by namespace and name. One that is not there does not exist.
pub type Templates = BTreeMap<(String, String), Result<MetricTemplate, TemplateTrouble>>;

/// Why a MetricTemplate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateTrouble {
    /// The API server did not show it.
    Unread(String),
    /// It is none.
    Malformed(String),
}

/// What checks are resolved with, besides the Canary.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The Prometheus of a Canary that names none.
    pub metrics_server: &'a str,
    pub templates: &'a Templates,
}

/// The checks of an analysis, and what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Those that can be asked: first the built-in ones and inline queries, then those of templates,
    /// each in the order of the Canary.
    pub checks: Vec<Check>,
    pub problems: Vec<Problem>,
    /// Metrics that ask nothing, each with its field.
    pub unasked: Vec<String>,
    /// What the API server did not show.
    pub unread: Vec<String>,
}

/// Why there is no check.
pub(super) enum Unresolved {
    Problem(Problem),
    Unread(String),
}

impl From<Problem> for Unresolved {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The analysis as the first Flagger called it.
const FIRST_ANALYSIS: &str = "spec.canaryAnalysis";

/// How the names of the built-in checks began then. Beside an analysis of today they are no checks to
/// Flagger, and who writes one there may mean the series of that name, which is in seconds.
const FIRST_NAMES: &str = "istio_";

/// The analysis, by the name that either API version has for it.
fn analysis(canary: &Canary) -> Option<(&'static str, &Analysis)> {
    let named = canary
        .spec
        .analysis
        .as_ref()
        .map(|analysis| ("spec.analysis", analysis));
    let first = || Some((FIRST_ANALYSIS, canary.spec.canary_analysis.as_ref()?));
    named.or_else(first)
}

pub(super) fn checks(view: &View<'_>, sources: &Sources<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let Some((path, analysis)) = analysis(view.canary) else {
        return resolved;
    };
    let is_of_first_flagger = path == FIRST_ANALYSIS;
    let mut of_templates = Vec::new();
    for (index, metric) in analysis.metrics.iter().enumerate() {
        let path = format!("{path}.metrics[{index}]");
        let metric = in_order(metric);
        let metric = &*metric;
        let is_of_its_time = is_of_first_flagger || !metric.name.starts_with(FIRST_NAMES);
        let built_in = is_of_its_time
            .then(|| builtin::of(view, sources.metrics_server, metric, &path))
            .flatten();
        let inline = custom::inline(view, sources.metrics_server, metric, &path);
        let template = custom::of_template(view, sources.templates, metric, &path);
        if built_in.is_none() && inline.is_none() && template.is_none() {
            resolved.leave_out(&metric.name, &format!("{path}.name"));
        }
        for check in built_in.into_iter().chain(inline) {
            resolved.keep(check.map_err(Unresolved::Problem));
        }
        of_templates.extend(template);
    }
    for check in of_templates {
        resolved.keep(check);
    }
    resolved
}

/// The metric with an interval that Prometheus reads as well: it takes no fractions, and units in
/// falling order alone. Flagger puts `30s1m` into the query as it is, which fails for ever.
fn in_order(metric: &Metric) -> Cow<'_, Metric> {
    let text = metric.interval.as_deref().unwrap_or_default();
    let interval = match duration::parse(text) {
        Ok(interval) if !interval.is_zero() && !is_in_order(text) => interval,
        _ => return Cow::Borrowed(metric),
    };
    let milliseconds = interval.as_nanos().div_ceil(1_000_000);
    let interval = if milliseconds % 1_000 == 0 {
        format!("{}s", milliseconds / 1_000)
    } else {
        format!("{milliseconds}ms")
    };
    Cow::Owned(Metric {
        interval: Some(interval),
        ..metric.clone()
    })
}

fn is_in_order(text: &str) -> bool {
    let mut rest = text;
    for unit in ["h", "m", "s", "ms"] {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_of_unit = |after: &&str| unit != "m" || !after.starts_with('s');
        if after.len() < rest.len() {
            rest = after.strip_prefix(unit).filter(is_of_unit).unwrap_or(rest);
        }
    }
    rest.is_empty()
}

/// Names of built-in checks that a metric may have meant.
const MEANT: [&str; 2] = ["request-success-rate", "request-duration"];

/// Letters by which a name may differ from the one that was meant.
const SLIPS: usize = 3;

impl Resolved {
    /// A metric with neither query nor template, whose name is of no built-in check. Flagger asks nobody,
    /// and the release goes on; so it does here, and is said to. A name that was misspelt is an error:
    /// whoever wrote it means the check.
    fn leave_out(&mut self, name: &str, field: &str) {
        let is_slip = |meant: &&str| strsim::damerau_levenshtein(meant, name) <= SLIPS;
        if MEANT.iter().any(is_slip) {
            let problem = Problem::field(field, builtin::unknown(name));
            self.problems.push(problem);
        } else {
            self.unasked.push(format!(
                "{field}: {name:?} is not checked: it is no built-in check, and has neither query nor \
                 templateRef"
            ));
        }
    }

    fn keep(&mut self, check: Result<Check, Unresolved>) {
        match check {
            Ok(check) => self.checks.push(check),
            Err(Unresolved::Problem(problem)) => self.problems.push(problem),
            Err(Unresolved::Unread(why)) if !self.unread.contains(&why) => self.unread.push(why),
            Err(Unresolved::Unread(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, in_order};

    #[test]
    fn an_interval_is_one_that_prometheus_reads() {
        for (text, expected) in [
            ("1m", "1m"),
            ("1m30s", "1m30s"),
            ("90m5ms", "90m5ms"),
            ("30s1m", "90s"),
            ("30s30s", "60s"),
            ("5ms1m", "60005ms"),
            ("1m1.5s", "61500ms"),
            ("1.5m", "90s"),
            ("1500us", "2ms"),
            // An error, which is somebody else's to tell.
            ("0s", "0s"),
            ("1d", "1d"),
        ] {
            let metric = Metric {
                interval: Some(text.to_owned()),
                ..Metric::default()
            };
            assert_eq!(in_order(&metric).interval.as_deref(), Some(expected));
        }
    }
}
