//! One rollout: who, when, from what to what, how it ended and why, step by step with the answers
//! it was decided on, and whether its record is to be believed.

use maud::{Markup, html};

use super::queries::Queries;
use super::{scrolls, summary, timeline, words};
use crate::api::record::{Check, Evidence, Outcome, Record, Release};
use crate::api::status::CheckStatus;
use crate::report::{Rollout, span};

/// A line that opens.
pub(super) fn details(rollout: &Rollout<'_>, queries: &Queries<'_>, is_open: bool) -> Markup {
    let record = &rollout.record;
    let outcome = words::outcome(record.outcome);
    let kind = words::kind(record.outcome);
    html! {
        details.rollout data-outcome=(outcome) data-canary=(summary::canary(rollout)) open[is_open] {
            summary {
                b class=(kind) { (outcome) }
                span { (record.namespace) "/" (record.canary) " " small { (record.cluster) } }
                span { (words::change(record)) }
                span { (span::moment(record.time.0)) @if !rollout.doubts.is_empty() { " " b.bad { "not believed" } } }
            }
            p class=(kind) { (record.reason) }
            (facts(rollout))
            @if let Some(release) = &record.release {
                (timeline::figure(record, release))
                (steps(record, release))
            }
            (checks(record, queries))
        }
    }
}

fn facts(rollout: &Rollout<'_>) -> Markup {
    let Rollout {
        file,
        record,
        digest,
        doubts,
    } = rollout;
    let release = record.release.as_ref();
    let took = release.map(|release| record.time.0.duration_since(release.began.0).as_secs());
    let images = |images: &[String]| images.join(", ");
    html! {
        dl {
            @if let Some(release) = release {
                @if let Some(actor) = &release.actor { dt { "By" } dd { (actor) } }
                @if let Some(cause) = &release.change_cause { dt { "Cause" } dd { (cause) } }
                @if let Some(from) = &release.from { dt { "From" } dd { (images(&from.images)) } }
                dt { "To" } dd { (images(&release.to.images)) }
                dt { "Began" } dd { (span::moment(release.began.0)) }
            }
            @if record.outcome != Outcome::NewRevision {
                dt { "Ended" }
                dd { (span::moment(record.time.0)) @if let Some(took) = took { ", after " (span::words(took)) } }
            }
            @if let Some(release) = release {
                @if release.commit.is_some() || release.commit_time.is_some() {
                    dt { "Built from" }
                    dd {
                        @if let Some(commit) = &release.commit { code { (commit) } }
                        @if let Some(time) = &release.commit_time { " committed " (span::moment(time.0)) }
                    }
                }
            }
            dt { "Record" } dd { code { (file.path) } }
            dt { "Digest" } dd { code { (digest) } }
            dt { "Filed by" } dd { "commit " code { (file.commit) } }
            dt { "Signature" }
            @if doubts.is_empty() {
                dd.good { "believed" }
            } @else {
                dd.bad { "the record is not to be believed: " (doubts.join("; ")) }
            }
        }
    }
}

/// A row for each step, a column for each check. Its head and its first column need no scope to be
/// known as headers, and there are thousands of them.
fn steps(record: &Record, release: &Release) -> Markup {
    if release.steps.is_empty() {
        return html! {};
    }
    let metrics = metrics(record, release);
    let table = html! {
        table {
            thead { tr {
                th { "Time" }
                th { "Weight" }
                @for metric in &metrics { th { (metric) } }
                th { "What happened" }
            } }
            tbody {
                @for (index, step) in release.steps.iter().enumerate() {
                    (row(step, &metrics))
                    @if index == 0 && release.steps_left_out > 0 {
                        tr { td colspan=(metrics.len() + 3) { (release.steps_left_out) " steps are left out here" } }
                    }
                }
            }
        }
    };
    scrolls("Steps", &table)
}

fn row(step: &Evidence, metrics: &[&str]) -> Markup {
    html! {
        tr {
            th { (step.time.0.strftime("%H:%M:%S")) }
            td { (step.weight) " %" }
            @for metric in metrics {
                @match step.checks.iter().find(|check| check.metric == **metric) {
                    Some(check) => (answer(check)),
                    None => td {},
                }
            }
            td { (step.reason) }
        }
    }
}

fn answer(check: &CheckStatus) -> Markup {
    let (class, verdict) = words::verdict(check.verdict);
    html! {
        td class=(class) {
            (verdict)
            @if let Some(value) = check.value { " " (words::number(value)) }
            @if let Some(threshold) = &check.threshold { " (" (threshold) ")" }
            @if let Some(samples) = check.samples { ", " (words::number(samples)) " samples" }
            @if let Some(why) = &check.why { ": " (why) }
        }
    }
}

/// The checks that were asked, and others that were answered before the Canary was edited.
fn metrics<'a>(record: &'a Record, release: &'a Release) -> Vec<&'a str> {
    let asked = record.analysis.iter().flat_map(|terms| &terms.checks);
    let asked = asked.map(|check| &*check.metric);
    let answered = release.steps.iter().flat_map(|step| &step.checks);
    let answered = answered.map(|check| &*check.metric);
    let mut metrics = Vec::new();
    for metric in asked.chain(answered) {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    metrics
}

fn checks(record: &Record, queries: &Queries<'_>) -> Markup {
    let Some(terms) = record
        .analysis
        .as_ref()
        .filter(|terms| !terms.checks.is_empty())
    else {
        return html! {};
    };
    html! {
        ul.checks {
            @for check in &terms.checks {
                li { (check.metric) " passes if " (range(check)) ": " (queries.link(&check.query)) }
            }
            li {
                "Rolled back at " (terms.threshold) " failed checks; "
                (terms.error_threshold) " without an answer are borne."
                @if terms.flagger_counting { " Every check that does not pass counts as failed." }
            }
        }
    }
}

fn range(check: &Check) -> String {
    match (check.min, check.max) {
        (Some(min), Some(max)) => format!("{} to {}", words::number(min), words::number(max)),
        (Some(min), None) => format!(">= {}", words::number(min)),
        (None, Some(max)) => format!("<= {}", words::number(max)),
        (None, None) => "any number".to_owned(),
    }
}
