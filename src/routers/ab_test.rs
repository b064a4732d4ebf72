//! A/B tests by rules: one before the others leads the requests that match to both sides, and the
//! others lead everyone else to the primary.

use serde_json::Value;

use crate::api::canary::Canary;
use crate::objects::hash::content_hash;
use crate::objects::{Problem, View};

/// `spec.analysis.match`.
pub(super) fn matches<'a>(view: &View<'a>) -> &'a [Value] {
    matches_of(view.canary)
}

pub(super) fn matches_of(canary: &Canary) -> &[Value] {
    let analysis = canary.spec.analysis();
    analysis.map_or(&[], |analysis| &analysis.r#match)
}

/// The conditions of the test as Istio says them: each of the analysis within each of the service, so
/// that no request is tested that is not the Canary's.
pub(super) fn within(service: &[Value], analysis: &[Value]) -> Vec<Value> {
    if service.is_empty() {
        return analysis.to_vec();
    }
    let with_all = |inner| service.iter().map(move |outer| both(outer, inner));
    analysis.iter().flat_map(with_all).collect()
}

/// Two conditions as one that asks for both. `inner` wins where both speak of the same header, and
/// where they speak of the path.
fn both(outer: &Value, inner: &Value) -> Value {
    let mut both = outer.as_object().cloned().unwrap_or_default();
    for (field, value) in inner.as_object().into_iter().flatten() {
        let names_several = matches!(
            &**field,
            "headers" | "withoutHeaders" | "queryParams" | "sourceLabels"
        );
        match (both.get_mut(field), value) {
            (Some(Value::Object(outer)), Value::Object(inner)) if names_several => {
                outer.extend(inner.clone());
            }
            _ => drop(both.insert(field.clone(), value.clone())),
        }
    }
    Value::Object(both)
}

/// The conditions of a rule as status remembers those of a test.
pub(super) fn id(conditions: &Value) -> String {
    content_hash(conditions)
}

/// The path of a field of the analysis, by the name that the user gave that: today's, or the first
/// Flagger's.
pub(super) fn path(canary: &Canary, field: &str) -> String {
    let name = match canary.spec.analysis {
        Some(_) => "analysis",
        None => "canaryAnalysis",
    };
    format!("spec.{name}.{field}")
}

pub(super) fn of_analysis(canary: &Canary, field: &str, why: impl std::fmt::Display) -> Problem {
    Problem::field(&path(canary, field), why)
}

/// What a router tells of a rule.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question about the rule"
)]
pub(super) struct Rule {
    /// It has the conditions of the test that the Canary asks for.
    pub(super) is_wanted: bool,
    /// It has those of a test that the Canary asked for before.
    pub(super) is_forgotten: bool,
    /// It has those of `spec.service`.
    pub(super) is_described: bool,
    pub(super) leads_to_primary: bool,
    pub(super) leads_to_canary: bool,
}

/// The rules of tests, by their place.
#[derive(Debug, Default)]
pub(super) struct Tests {
    /// The one that the Canary asks for.
    current: Option<usize>,
    /// It with other conditions than the Canary's: somebody has edited them.
    edited: Option<usize>,
    /// Those that the Canary asked for before.
    pub(super) left_behind: Vec<usize>,
}

impl Tests {
    /// `is_asked_for` says whether the Canary asks for a test, `is_owned` whether it controls the
    /// route: a rule of the user's own is none of a test because it splits.
    pub(super) fn among(rules: &[Rule], is_asked_for: bool, is_owned: bool) -> Self {
        let is_ours = |rule: &Rule| rule.leads_to_primary || rule.leads_to_canary;
        let current = rules
            .iter()
            .position(|rule| rule.is_wanted && is_ours(rule));
        let all = || rules.iter().enumerate();
        let left_behind = all()
            .filter(|(index, _)| Some(*index) != current)
            .filter(|(_, rule)| rule.is_forgotten && is_ours(rule));
        let left_behind: Vec<_> = left_behind.map(|(index, _)| index).collect();
        let is_missing = is_asked_for && is_owned && current.is_none();
        let edited = all()
            .filter(|(index, _)| is_missing && !left_behind.contains(index))
            .find(|(_, rule)| rule.leads_to_primary && rule.leads_to_canary && !rule.is_described);
        Self {
            current,
            edited: edited.map(|(index, _)| index),
            left_behind,
        }
    }

    /// The rule that leads the requests that match, and no others, to the canary.
    pub(super) fn current(&self) -> Option<usize> {
        self.current
    }

    /// The rule that is to do so, whatever its conditions are now.
    pub(super) fn place(&self) -> Option<usize> {
        self.current.or(self.edited)
    }

    /// Those that lead others to the canary than the requests that match.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + '_ {
        self.edited.iter().chain(&self.left_behind).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.current.into_iter().chain(self.others())
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.all().any(|test| test == index)
    }

    /// Takes the rules of earlier tests off the list, and puts one that is missing before the rule
    /// at the place that is given with it.
    pub(super) fn arrange(&self, rules: &mut Vec<Value>, missing: Option<(Value, usize)>) {
        if let Some((test, place)) = missing {
            let gone = self.left_behind.iter().filter(|index| **index < place);
            let place = place - gone.count();
            self.arrange(rules, None);
            rules.insert(place.min(rules.len()), test);
            return;
        }
        let mut index = 0;
        rules.retain(|_| {
            index += 1;
            !self.left_behind.contains(&(index - 1))
        });
    }
}
