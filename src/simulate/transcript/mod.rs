//! A transcript for people: a line for each pass with phase, weight, checks and reason.

use std::fmt::Write;

use crate::api::status::{CheckStatus, Verdict};
use crate::pass::report::{Handled, Outcome};
use crate::simulate::expect::Expectation;
use crate::simulate::play::{Line, Transcript};

const BAR: usize = 10;

/// Whether a text may carry colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
}

/// The transcript and how it met what was expected of it.
pub fn text(transcript: &Transcript, expectations: &[Expectation], style: Style) -> String {
    let mut text = format!("{}: {}\n\n", transcript.name, transcript.about);
    let heading = row(
        "pass",
        "time",
        "phase",
        "traffic to canary",
        "checks",
        "what happened",
    );
    let _ = writeln!(text, "{heading}");
    for line in &transcript.lines {
        match line {
            Line::Happened { seconds, event } => {
                let _ = writeln!(text, "      {:>5}  ── {event}", clock(*seconds));
            }
            Line::Pass {
                pass,
                seconds,
                handled,
                killed,
                error,
            } => {
                let line = pass_line(*pass, *seconds, handled.as_ref(), *killed, error.as_deref());
                let _ = writeln!(text, "{}", coloured(&line, handled.as_ref(), style));
            }
        }
    }
    let _ = writeln!(text, "\n{}", ending(transcript));
    for expectation in expectations {
        match &expectation.failure {
            None => {
                let _ = writeln!(text, "ok      {}", expectation.name);
            }
            Some(failure) => {
                let _ = writeln!(text, "FAILED  {}: {failure}", expectation.name);
            }
        }
    }
    text
}

fn pass_line(
    pass: u32,
    seconds: i64,
    handled: Option<&Handled>,
    killed: bool,
    error: Option<&str>,
) -> String {
    let number = pass.to_string();
    let time = clock(seconds);
    let Some(handled) = handled else {
        let what = match (killed, error) {
            (true, _) => "killed",
            (false, Some(error)) => error,
            (false, None) => "the Canary is gone",
        };
        return row(&number, &time, "", "", "", what);
    };
    let phase = handled
        .phase
        .map(|phase| format!("{phase:?}"))
        .unwrap_or_default();
    let checks: Vec<_> = handled.checks.iter().map(check).collect();
    let what = match handled.outcome {
        Outcome::Refused | Outcome::Failed | Outcome::NotReached => {
            format!("error: {}", handled.reason)
        }
        _ if handled.events.is_empty() => handled.reason.clone(),
        _ => handled.events.join(" · "),
    };
    row(
        &number,
        &time,
        &phase,
        &traffic(handled.weight),
        &checks.join("  "),
        &what,
    )
}

fn row(pass: &str, time: &str, phase: &str, traffic: &str, checks: &str, what: &str) -> String {
    let gap = if checks.is_empty() {
        String::new()
    } else {
        format!("{checks}  ")
    };
    format!("{pass:>4}  {time:>5}  {phase:<16}  {traffic:<17}  {gap}{what}")
        .trim_end()
        .to_owned()
}

fn traffic(weight: u8) -> String {
    let full = usize::from(weight) * BAR / 100;
    format!(
        "{}{} {weight:>3} %",
        "█".repeat(full),
        "░".repeat(BAR - full)
    )
}

/// `✓ 100 ≥ 99`: the value and what it is held against.
fn check(check: &CheckStatus) -> String {
    let mark = match check.verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::NoData | Verdict::TooLittleData | Verdict::Error => "?",
    };
    let threshold = check.threshold.as_deref().unwrap_or_default();
    let threshold = threshold.replace(">=", "≥").replace("<=", "≤");
    match check.value {
        Some(value) => format!("{mark} {} ({threshold})", rounded(value)),
        None => format!("{mark} {:?} ({threshold})", check.verdict),
    }
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn clock(seconds: i64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn ending(transcript: &Transcript) -> String {
    let passes = transcript
        .lines
        .iter()
        .filter(|line| matches!(line, Line::Pass { .. }))
        .count();
    let last = transcript.lines.iter().rev().find_map(|line| match line {
        Line::Pass {
            handled: Some(handled),
            ..
        } => Some(handled),
        _ => None,
    });
    let phase = last
        .and_then(|handled| handled.phase)
        .map(|phase| format!("{phase:?}"));
    format!(
        "{} after {passes} passes · {} API requests",
        phase.as_deref().unwrap_or("no phase"),
        transcript.api_requests
    )
}

fn coloured(line: &str, handled: Option<&Handled>, style: Style) -> String {
    const RED: &str = "31";
    const GREEN: &str = "32";
    const GREY: &str = "90";
    if style == Style::Plain {
        return line.to_owned();
    }
    let code = match handled {
        None => RED,
        Some(handled) => match handled.outcome {
            Outcome::Refused | Outcome::Failed | Outcome::NotReached => RED,
            Outcome::Waited | Outcome::Rested | Outcome::Superseded => GREY,
            Outcome::Stepped | Outcome::DryRun => {
                if handled
                    .checks
                    .iter()
                    .any(|check| check.verdict != Verdict::Pass)
                {
                    RED
                } else {
                    GREEN
                }
            }
        },
    };
    format!("\x1b[{code}m{line}\x1b[0m")
}
