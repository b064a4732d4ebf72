//! What stands above the rollouts: DORA's metrics, in all and by canary, what is wrong with the
//! records, and the filter.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{scrolls, words};
use crate::report::dora::Dora;
use crate::report::{Rollout, Trail, span, text};

/// What each metric means, in the order of their names.
const MEANINGS: [&str; 4] = [
    "promotions over the time",
    "from the commit to the promotion, where the commit's time is known",
    "rollbacks and failed promotions, of them and the promotions; not what was superseded or reverted",
    "from the first failure to the same canary's next promotion",
];

/// The metrics, and what should be known before they are believed.
pub(super) fn metrics(trail: &Trail<'_>, dora: &Dora) -> Markup {
    let told = text::NAMES
        .iter()
        .zip(MEANINGS)
        .zip(text::sentences(&dora.all));
    let open = &dora.all.failed_deployment_recovery_time.open;
    html! {
        section aria-labelledby="metrics" {
            h2 id="metrics" { "DORA metrics" }
            @for caveat in text::caveats(trail) { p.bad.note { (caveat) } }
            dl.metrics {
                @for ((name, meaning), [told, detail]) in told {
                    div {
                        dt { (name) }
                        dd { strong { (told) } span { (detail) } small { (meaning) } }
                    }
                }
            }
            @if !open.is_empty() {
                h3 { "Not promoted since they failed" }
                ul {
                    @for open in open {
                        li {
                            // A name that turns the direction of writing turns nothing but itself.
                            bdi { (open.cluster) " " (open.namespace) "/" (open.canary) }
                            ": since " (span::moment(open.since))
                            @if open.failures > 1 { ", " (open.failures) " times" }
                        }
                    }
                }
            }
            @if !dora.canaries.is_empty() {
                details open[dora.canaries.len() <= 20] {
                    summary { "By canary (" (dora.canaries.len()) ")" }
                    (scrolls("Metrics by canary", &by_canary(dora)))
                }
            }
            @let findings = trail.findings();
            @if !findings.is_empty() {
                details {
                    summary { "Findings in the records (" (findings.len()) ")" }
                    ul { @for finding in findings { li { bdi { (finding.path) } ": " (finding.what) } } }
                }
            }
        }
    }
}

fn by_canary(dora: &Dora) -> Markup {
    html! {
        table {
            thead {
                tr {
                    @for head in ["Canary", "Promoted", "A week", "Lead time", "Failed", "Recovery"] {
                        th scope="col" { (head) }
                    }
                }
            }
            tbody {
                @for row in &dora.canaries {
                    tr {
                        th scope="row" { (row.cluster) " " (row.namespace) "/" (row.canary) }
                        @for cell in text::cells(&row.metrics) { td { (cell) } }
                    }
                }
            }
        }
    }
}

/// The filter, which the script shows: without it there is nothing that filters.
pub(super) fn filter(rollouts: &[&Rollout<'_>]) -> Markup {
    let outcomes: BTreeSet<_> = rollouts
        .iter()
        .map(|rollout| words::outcome(rollout.record.outcome))
        .collect();
    let canaries: BTreeSet<_> = rollouts.iter().map(|rollout| canary(rollout)).collect();
    html! {
        form id="filter" hidden {
            label { "Text" input type="search" name="text" autocomplete="off"; }
            label { "Outcome" select name="outcome" {
                option value="" { "any" }
                @for outcome in outcomes { option { (outcome) } }
            } }
            label { "Canary" select name="canary" {
                option value="" { "any" }
                @for canary in canaries { option { (canary) } }
            } }
            span.buttons {
                button type="button" name="open" { "Open those shown" }
                button type="button" name="close" { "Close all" }
            }
            output name="count" { (rollouts.len()) " of " (rollouts.len()) " shown" }
        }
    }
}

/// A canary as the filter knows it.
pub(super) fn canary(rollout: &Rollout<'_>) -> String {
    let record = &rollout.record;
    format!("{} {}/{}", record.cluster, record.namespace, record.canary)
}
