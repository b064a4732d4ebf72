//! The metric checks of a Canary, resolved: whom to ask, what, and which answers pass. A check that
//! cannot be asked is a problem that names the field, never a pass.

use std::collections::BTreeMap;

use crate::api::analysis::Analysis;
use crate::api::canary::Canary;
use crate::api::metric_template::MetricTemplate;
use crate::metrics::{Check, builtin, custom};
use crate::objects::{Problem, View};

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

pub(super) fn checks(view: &View<'_>, sources: &Sources<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let Some((path, analysis)) = analysis(view.canary) else {
        return resolved;
    };
    let mut of_templates = Vec::new();
    for (index, metric) in analysis.metrics.iter().enumerate() {
        let path = format!("{path}.metrics[{index}]");
        let built_in = builtin::of(view, sources.metrics_server, metric, &path);
        let inline = custom::inline(view, sources.metrics_server, metric, &path);
        let template = custom::of_template(view, sources.templates, metric, &path);
        if built_in.is_none() && inline.is_none() && template.is_none() {
            let field = format!("{path}.name");
            let problem = Problem::field(&field, builtin::unknown(&metric.name));
            resolved.problems.push(problem);
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

impl Resolved {
    fn keep(&mut self, check: Result<Check, Unresolved>) {
        match check {
            Ok(check) => self.checks.push(check),
            Err(Unresolved::Problem(problem)) => self.problems.push(problem),
            Err(Unresolved::Unread(why)) if !self.unread.contains(&why) => self.unread.push(why),
            Err(Unresolved::Unread(_)) => {}
        }
    }
}
