//! The rule of an A/B test in an `HTTPRoute`.

use serde_json::{Value, json};

use crate::api::canary::Canary;
use crate::objects::{Problem, View};
use crate::routers::ab_test::{self, Rule, Tests};
use crate::routers::apex;
use crate::routers::gateway::rules::{self, Side};
use crate::routers::gateway::{fields, list, made};

/// The conditions of the test; `None` where the Canary asks for none.
pub(super) fn conditions(view: &View<'_>) -> Option<Value> {
    let wanted = ab_test::matches(view);
    let service = &apex::service(view).r#match;
    (!wanted.is_empty()).then(|| made::conditions(&ab_test::within(service, wanted)))
}

/// What of the test cannot be said in an `HTTPRoute`.
pub(super) fn problems(canary: &Canary) -> Vec<Problem> {
    let conditions = ab_test::matches_of(canary).iter().enumerate();
    let untranslated = conditions.filter_map(|(index, condition)| {
        let path = ab_test::path(canary, &format!("match[{index}]"));
        made::translated(condition, &path).err()
    });
    untranslated.collect()
}

/// The rules of tests.
pub(super) fn tests(view: &View<'_>, spec: &Value, is_owned: bool) -> Tests {
    let wanted = conditions(view);
    let forgotten = fields::forgotten(view);
    let forgotten = fields::forgotten_tests(&forgotten);
    let rules: Vec<_> = list(&spec["rules"])
        .iter()
        .map(|rule| {
            let conditions = json!(rules::conditions(rule));
            Rule {
                is_forgotten: forgotten.contains(&&*ab_test::id(&conditions)),
                is_wanted: wanted == Some(conditions),
                is_described: rules::is_described(view, rule),
                leads_to_primary: rules::leads_to(view.names, rule, Side::Primary),
                leads_to_canary: rules::leads_to(view.names, rule, Side::Canary),
            }
        })
        .collect();
    Tests::among(&rules, wanted.is_some(), is_owned)
}
