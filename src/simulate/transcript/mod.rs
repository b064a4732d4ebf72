//! A transcript for people: a line for each pass with phase, route, checks, Events and reason.

mod wrap;

use std::fmt::Write;

use crate::api::status::{CheckStatus, Verdict};
use crate::pass::report::{Handled, Outcome};
use crate::simulate::expect::Expectation;
use crate::simulate::play::{Line, Pass, Transcript, is_error};
use crate::simulate::route::Route;

const BAR: usize = 10;
/// Where a line goes on that does not fit: below the phase.
const INDENT: usize = 13;

/// How a text is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub has_colour: bool,
    /// Columns after which a line goes on in the next one.
    pub width: Option<usize>,
}

/// What a line is about, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Plain,
    Good,
    Idle,
    Bad,
}

/// The transcript and how it met what was expected of it.
pub fn text(transcript: &Transcript, expectations: &[Expectation], style: Style) -> String {
    let mut text = String::new();
    let mut add = |line: &str, mood: Mood| {
        for line in wrap::wrapped(line, style.width, INDENT) {
            let _ = writeln!(text, "{}", coloured(&line, mood, style));
        }
    };
    add(
        &format!("{}: {}", transcript.name, transcript.about),
        Mood::Plain,
    );
    add("", Mood::Plain);
    let heading = row(
        "pass",
        "time",
        "phase",
        "traffic to canary",
        "checks",
        "what happened",
    );
    add(&heading, Mood::Plain);
    let mut troubles = Vec::new();
    for line in &transcript.lines {
        match line {
            Line::Happened { seconds, event } => {
                add(
                    &format!("      {:>5}  ── {event}", clock(*seconds)),
                    Mood::Plain,
                );
            }
            Line::Pass(pass) => {
                add(&pass_line(pass), mood(pass));
                let of_pass = troubles_beside(pass);
                // What goes on from pass to pass is told once.
                for trouble in of_pass.iter().filter(|it| !troubles.contains(*it)) {
                    add(&format!("{:INDENT$}{trouble}", ""), Mood::Bad);
                }
                troubles = of_pass;
            }
        }
    }
    add("", Mood::Plain);
    add(&ending(transcript), Mood::Plain);
    for Expectation { name, failure } in expectations {
        match failure {
            None => add(&format!("ok      {name}"), Mood::Plain),
            Some(failure) => add(&format!("FAILED  {name}: {failure}"), Mood::Bad),
        }
    }
    text
}

fn pass_line(pass: &Pass) -> String {
    let phase = pass.status.and_then(|status| status.phase);
    let phase = phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    let traffic = pass
        .status
        .map(|_| traffic(&pass.route))
        .unwrap_or_default();
    let checks = pass.handled.iter().flat_map(|handled| &handled.checks);
    let checks: Vec<_> = checks.map(check).collect();
    let disagreement = pass
        .status
        .and_then(|status| pass.route.disagreement(status.weight));
    let what: Vec<_> = disagreement
        .into_iter()
        .chain([what_happened(pass)])
        .collect();
    row(
        &pass.pass.to_string(),
        &clock(pass.seconds),
        &phase,
        &traffic,
        &checks.join("  "),
        &what.join("; "),
    )
}

/// The Events of the pass and its reason; what either of them says within the other is said once.
fn what_happened(pass: &Pass) -> String {
    let Some(handled) = &pass.handled else {
        return match (pass.killed, &pass.error) {
            (true, _) => "killed".to_owned(),
            (false, Some(error)) => error.clone(),
            (false, None) => "the Canary is gone".to_owned(),
        };
    };
    let reason = &*handled.reason;
    let events = handled.events.iter().map(String::as_str);
    let events: Vec<_> = events.filter(|event| !reason.contains(event)).collect();
    let events = events.join(" · ");
    let is_said = reason.is_empty() || events.contains(reason);
    match (is_error(handled.outcome), &*events) {
        (true, "") => format!("error: {reason}"),
        // Nobody looks for an error behind a piece of news.
        (true, events) => format!("error: {reason} — {events}"),
        (false, "") => reason.to_owned(),
        (false, events) if is_said => events.to_owned(),
        (false, events) => format!("{events} — {reason}"),
    }
}

/// What went wrong besides the Canary that the transcript is about.
fn troubles_beside(pass: &Pass) -> Vec<String> {
    let others = pass.others.iter().filter(|other| is_error(other.outcome));
    let others = others.map(|other| {
        let (canary, outcome) = (&other.canary, other.outcome.name());
        format!("Canary {canary} {outcome}: {}", other.reason)
    });
    let undelivered = pass.undelivered.iter();
    let undelivered = undelivered.map(|what| format!("not delivered: {what}"));
    others.chain(undelivered).collect()
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

fn traffic(route: &Route) -> String {
    let (share, number) = match route {
        Route::Share(share) => (*share, format!("{share:>3} %")),
        Route::Unsplit => (0, "  0 %".to_owned()),
        Route::Missing => (0, "  –".to_owned()),
        Route::Unreadable(_) => return format!("{} {:>3}", "?".repeat(BAR), "?"),
    };
    let full = usize::from(share).min(100) * BAR / 100;
    format!("{}{} {number}", "█".repeat(full), "░".repeat(BAR - full))
}

/// `✓ 100 ≥ 99`: the value and what it is held against.
fn check(check: &CheckStatus) -> String {
    let mark = match check.verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::NoData | Verdict::TooLittleData | Verdict::Error => "?",
        Verdict::Pending => "…",
    };
    if check.hook.is_some() {
        return format!("{mark} {}", check.metric);
    }
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
    let passes = transcript.passes().count();
    let last = transcript.passes().next_back();
    let phase = last
        .and_then(|pass| pass.status?.phase)
        .map(|phase| format!("{phase:?}"));
    format!(
        "{} after {passes} passes · {} API requests",
        phase.as_deref().unwrap_or("no phase"),
        transcript.api_requests
    )
}

fn mood(pass: &Pass) -> Mood {
    let has_failed = |handled: &Handled| {
        let mut checks = handled.checks.iter();
        checks.any(|check| check.verdict != Verdict::Pass)
    };
    match &pass.handled {
        None => Mood::Bad,
        Some(handled) => match handled.outcome {
            Outcome::Refused | Outcome::Failed | Outcome::NotReached => Mood::Bad,
            Outcome::Waited | Outcome::Rested | Outcome::Superseded => Mood::Idle,
            Outcome::Stepped | Outcome::DryRun if has_failed(handled) => Mood::Bad,
            Outcome::Stepped | Outcome::DryRun => Mood::Good,
        },
    }
}

fn coloured(line: &str, mood: Mood, style: Style) -> String {
    let code = match mood {
        _ if !style.has_colour => return line.to_owned(),
        Mood::Plain => return line.to_owned(),
        Mood::Bad => "31",
        Mood::Good => "32",
        Mood::Idle => "90",
    };
    format!("\x1b[{code}m{line}\x1b[0m")
}
