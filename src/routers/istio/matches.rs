//! The rule of an A/B test in a VirtualService.

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::api::service::CanaryService;
use crate::objects::{Problem, View, controller_uid};
use crate::routers::ab_test::{self, Rule, Tests};
use crate::routers::apex;
use crate::routers::istio::rules::{self, Side};
use crate::routers::istio::{fields, made};

/// The conditions of the test; `None` where the Canary asks for none.
pub(super) fn conditions(view: &View<'_>) -> Option<Value> {
    let service = apex::service(view);
    let wanted = ab_test::matches(view);
    let is_asked_for = !wanted.is_empty() && !made::is_tcp(service);
    is_asked_for.then(|| json!(ab_test::within(&service.r#match, wanted)))
}

/// Connections have no headers, and are not copied.
pub(super) fn problems(canary: &Canary, service: &CanaryService) -> Vec<Problem> {
    let analysis = canary.spec.analysis();
    let Some(analysis) = analysis.filter(|_| made::is_tcp(service)) else {
        return Vec::new();
    };
    let asked = [
        ("match", !analysis.r#match.is_empty(), "told apart"),
        ("mirror", analysis.mirror == Some(true), "copied"),
    ];
    let asked = asked.into_iter().filter(|(_, is_asked, _)| *is_asked);
    asked
        .map(|(field, _, what)| {
            let why = format!("connections, which appProtocol tcp asks to route, cannot be {what}");
            ab_test::of_analysis(canary, field, why)
        })
        .collect()
}

/// The rules of tests in the list of HTTP rules.
pub(super) fn tests(view: &View<'_>, live: &Value) -> Tests {
    let wanted = conditions(view);
    let forgotten = fields::forgotten(view);
    let forgotten = fields::forgotten_tests(&forgotten);
    let rules = live["spec"]["http"].as_array().into_iter().flatten();
    let rules: Vec<_> = rules
        .map(|rule| Rule {
            is_wanted: wanted.as_ref() == Some(&rule["match"]),
            is_forgotten: forgotten.contains(&&*ab_test::id(&rule["match"])),
            is_described: rules::is_described(view, rule),
            leads_to_primary: rules::leads_to(view.names, rule, Side::Primary),
            leads_to_canary: rules::leads_to(view.names, rule, Side::Canary),
        })
        .collect();
    Tests::among(&rules, wanted.is_some(), controller_uid(live).is_some())
}
