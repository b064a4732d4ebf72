//! The queries of all checks, once each: a canary asks the same ones at every release, and a page of
//! a thousand rollouts would be little else. The script puts them into a rollout that is opened.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::report::Rollout;

/// Queries by their number, in the order in which the page needs them.
pub(super) struct Queries<'a> {
    numbers: BTreeMap<&'a str, usize>,
    in_order: Vec<&'a str>,
}

impl<'a> Queries<'a> {
    pub(super) fn of(rollouts: &[&'a Rollout<'_>]) -> Self {
        let mut queries = Self {
            numbers: BTreeMap::new(),
            in_order: Vec::new(),
        };
        let terms = rollouts
            .iter()
            .filter_map(|rollout| rollout.record.analysis.as_ref());
        for check in terms.flat_map(|terms| &terms.checks) {
            if !queries.numbers.contains_key(&*check.query) {
                queries.in_order.push(&check.query);
                let number = queries.in_order.len();
                queries.numbers.insert(&check.query, number);
            }
        }
        queries
    }

    /// A reference to a query.
    pub(super) fn link(&self, query: &str) -> Markup {
        let number = self.numbers.get(query).copied().unwrap_or_default();
        html! { a href={ "#q" (number) } { "query " (number) } }
    }

    /// All of them, to be found by their numbers.
    pub(super) fn list(&self) -> Markup {
        html! {
            @if !self.in_order.is_empty() {
                section aria-labelledby="queries" {
                    h2 id="queries" { "Queries of the checks" }
                    ol {
                        @for (index, query) in self.in_order.iter().enumerate() {
                            li { code id={ "q" (index + 1) } { (query) } }
                        }
                    }
                }
            }
        }
    }
}
