//! The canary's weight over time as a picture. Everything in it stands in the table of steps too.

use std::fmt::Write;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::api::record::{Evidence, Outcome, Record, Release};
use crate::api::status::Verdict;
use crate::report::span;

/// The width of the plot in its own units; on the screen it is as wide as there is room.
const WIDTH: i64 = 1_000;

/// The shapes of the marks and the axis, once for the page.
pub(super) fn marks() -> Markup {
    html! {
        svg.marks width="0" height="0" aria-hidden="true" {
            symbol id="f" overflow="visible" { path d="M-5-5 5 5M5-5-5 5" {} }
            symbol id="a" overflow="visible" {
                @for y in ["0", "50%", "100%"] { line x2="100%" y1=(y) y2=(y) {} }
                text x="4" y="13" { "100 %" }
                text x="4" y="106" { "0 %" }
            }
            symbol id="h" overflow="visible" { path d="M0-6 6 0 0 6-6 0Z" {} }
        }
    }
}

/// What a step is marked with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Failed,
    Held,
}

pub(super) fn figure(record: &Record, release: &Release) -> Markup {
    let marked: Vec<_> = marked(&release.steps);
    let has = |mark: Mark| marked.iter().any(|(_, found)| *found == mark);
    let seconds = record.time.0.duration_since(release.began.0).as_secs();
    let highest = release.steps.iter().map(|step| step.weight).max();
    let label = format!(
        "Weight of the canary over {}, at most {} %",
        span::words(seconds),
        highest.unwrap_or(0)
    );
    let is_running = record.outcome == Outcome::NewRevision;
    if release.steps.is_empty() || is_running {
        return html! {};
    }
    html! {
        figure {
            svg role="img" aria-label=(label) {
                use href="#a" {}
                svg viewBox={ "0 0 " (WIDTH) " 100" } preserveAspectRatio="none" {
                    path.weight d=(path(record, release)) {}
                }
                @for (step, mark) in &marked {
                    use href={ "#" (mark.symbol()) } class=(mark.symbol())
                        x={ (percent(at(step.time.0, record, release))) "%" }
                        y={ (100 - step.weight.clamp(0, 100)) "%" } {}
                }
            }
            figcaption {
                span { (release.began.0.strftime("%H:%M:%S")) }
                span {
                    @if has(Mark::Failed) { span.f { "failed check" } " " }
                    @if has(Mark::Held) { span.h { "held" } }
                }
                span { (record.time.0.strftime("%H:%M:%S")) }
            }
        }
    }
}

impl Mark {
    fn symbol(self) -> &'static str {
        match self {
            Self::Failed => "f",
            Self::Held => "h",
        }
    }
}

/// The steps in which a check failed or had no answer.
fn marked(steps: &[Evidence]) -> Vec<(&Evidence, Mark)> {
    let marked = steps.iter().filter_map(|step| {
        let has =
            |wanted: fn(Verdict) -> bool| step.checks.iter().any(|check| wanted(check.verdict));
        if has(|verdict| verdict == Verdict::Fail) {
            Some((step, Mark::Failed))
        } else if has(|verdict| verdict != Verdict::Pass) {
            Some((step, Mark::Held))
        } else {
            None
        }
    });
    marked.collect()
}

/// A weight holds until the next step.
fn path(record: &Record, release: &Release) -> String {
    let mut path = "M0 100".to_owned();
    for step in &release.steps {
        // Writing to a string cannot fail.
        let _ = write!(
            path,
            "H{}V{}",
            at(step.time.0, record, release),
            100 - step.weight.clamp(0, 100)
        );
    }
    let _ = write!(path, "H{WIDTH}");
    path
}

/// Where a time is in the plot.
fn at(time: Timestamp, record: &Record, release: &Release) -> i64 {
    let whole = record
        .time
        .0
        .duration_since(release.began.0)
        .as_secs()
        .max(1);
    let part = time
        .duration_since(release.began.0)
        .as_secs()
        .clamp(0, whole);
    part * WIDTH / whole
}

/// Thousandths as percent.
fn percent(thousandths: i64) -> String {
    match thousandths % 10 {
        0 => (thousandths / 10).to_string(),
        rest => format!("{}.{rest}", thousandths / 10),
    }
}
