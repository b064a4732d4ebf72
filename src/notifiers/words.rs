//! What a record says to people: a headline and facts, in Flagger's words where Flagger has them.
//! Record in, plain text out. Every text is bounded, without control characters, and in no markup:
//! escaping is the channel's.

use std::fmt::Write as _;

use jiff::SignedDuration;

use crate::api::analysis::Severity;
use crate::api::record::{Evidence, Outcome, Record, Release, Version};
use crate::api::status::{CheckStatus, Phase, Verdict};
use crate::api::text::is_unprintable;
use crate::notifiers::{Link, severity};

/// Longest headline and reason, in characters. Together with the bounds below, a message stays
/// within what the strictest channel takes (Discord, 6,000 in all) even if every character of it
/// has to be escaped.
const SENTENCE_MAX: usize = 300;
const IMAGES_MAX: usize = 200;
const CHECK_MAX: usize = 120;
const NAME_MAX: usize = 80;

/// Checks that are listed; that many tell what is wrong with a release.
const CHECKS_MAX: usize = 4;

/// Weights that are listed, the last ones.
const WEIGHTS_MAX: usize = 5;

/// Links that are listed. Teams shows six buttons at most.
const LINKS_MAX: usize = 5;

/// Longest address of a link: a field of Discord's holds 1,024 characters.
const ADDRESS_MAX: usize = 700;

/// Room and sender of a message where the channel names none.
pub(super) const ROOM: &str = "general";
pub(super) const USERNAME: &str = "flagger";

/// What there is to say of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// `canary.namespace`, as Flagger calls it.
    pub name: String,
    /// One sentence.
    pub headline: String,
    /// Titles and values, in the order in which they are read.
    pub facts: Vec<(&'static str, String)>,
    pub severity: Severity,
}

impl Words {
    pub fn of(record: &Record) -> Self {
        let headline = headline(record);
        Self {
            name: plain(
                &format!("{}.{}", record.canary, record.namespace),
                SENTENCE_MAX,
            ),
            facts: facts(record, &headline),
            headline,
            severity: severity(record.outcome),
        }
    }

    /// All of it as text, a fact a line.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}", self.name, self.headline);
        for (title, value) in &self.facts {
            text.extend(["\n", title, ": ", value]);
        }
        text
    }
}

/// The links that a message shows. One that is no address of a page is left out, and so is what is
/// too long or too much for a message.
pub(super) fn links(links: &[Link]) -> impl Iterator<Item = Link> {
    let shown = links.iter().filter(|link| {
        let is_page = link.address.starts_with("https://") || link.address.starts_with("http://");
        let is_plain = link.address.chars().all(|c| c.is_ascii_graphic());
        is_page && is_plain && link.address.len() <= ADDRESS_MAX
    });
    shown.take(LINKS_MAX).map(|link| Link {
        title: plain(&link.title, NAME_MAX),
        address: encoded(&link.address),
    })
}

/// An address in which nothing ends a link, in whatever markup: what no address has as it is, and
/// brackets.
fn encoded(address: &str) -> String {
    let mut encoded = String::with_capacity(address.len());
    for c in address.chars() {
        if matches!(
            c,
            '"' | '(' | ')' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'
        ) {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{:02X}", u32::from(c));
        } else {
            encoded.push(c);
        }
    }
    encoded
}

/// A name that a channel was given, or the one that Flagger takes.
pub(super) fn name_or(given: Option<&str>, default: &str) -> String {
    let given = given.filter(|name| !name.is_empty());
    plain(given.unwrap_or(default), NAME_MAX)
}

fn headline(record: &Record) -> String {
    let steps = record.release.as_ref().map(|release| &*release.steps);
    let steps = steps.unwrap_or_default();
    let phase = steps.last().map(|step| step.phase);
    match record.outcome {
        // Flagger names the kind of the target here, which a record does not hold.
        Outcome::Initialized => "New workload detected, initialization completed.".to_owned(),
        Outcome::NewRevision => "New revision detected, progressing canary analysis.".to_owned(),
        Outcome::Promoted if steps.iter().any(is_analysed) => {
            "Canary analysis completed successfully, promotion finished.".to_owned()
        }
        Outcome::Promoted => "Canary analysis was skipped, promotion finished.".to_owned(),
        Outcome::RolledBack => match threshold_reached(record, steps) {
            Some(threshold) => format!("Failed checks threshold reached {threshold}"),
            None => sentence(&record.reason),
        },
        Outcome::PromotionFailed => sentence(&record.reason),
        Outcome::Superseded => "New revision detected before there was a verdict.".to_owned(),
        Outcome::Reverted => "Target set back to the promoted revision.".to_owned(),
        Outcome::Held => match phase {
            Some(Phase::Waiting) => "Canary is waiting for approval.".to_owned(),
            Some(Phase::WaitingPromotion) => "Canary promotion is waiting for approval.".to_owned(),
            _ => "Canary is waiting.".to_owned(),
        },
    }
}

/// Whether anything was tried or asked in this step; a release that skips its analysis has none.
fn is_analysed(step: &Evidence) -> bool {
    step.weight > 0 || step.iterations > 0 || !step.checks.is_empty()
}

/// The threshold, if it was failed checks that rolled back, and no deadline or hook.
fn threshold_reached(record: &Record, steps: &[Evidence]) -> Option<i64> {
    let analysis = record.analysis.as_ref()?;
    let last = steps.last().filter(|step| step.step == record.step)?;
    let counts = |check: &CheckStatus| {
        check.verdict == Verdict::Fail
            || analysis.flagger_counting && check.verdict != Verdict::Pass
    };
    last.checks.iter().any(counts).then_some(analysis.threshold)
}

fn facts(record: &Record, headline: &str) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    // The settings' word for a cluster without a name.
    if record.cluster != "default" {
        facts.push(("Cluster", plain(&record.cluster, NAME_MAX)));
    }
    let is_good = severity(record.outcome) == Severity::Info;
    if let Some(release) = &record.release {
        let images = |version: &Version| plain(&version.images.join(", "), IMAGES_MAX);
        facts.extend(release.from.as_ref().map(|from| ("From", images(from))));
        facts.push(("To", images(&release.to)));
        if !is_good {
            facts.extend(weights(&release.steps).map(|weights| ("Weight", weights)));
            facts.extend(failed(&release.steps).map(|check| match check.verdict {
                Verdict::Fail => ("Failed check", against(check)),
                _ => ("Unanswered check", against(check)),
            }));
        }
    }
    let reason = sentence(&record.reason);
    if !is_good && reason != headline {
        facts.push(("Reason", reason));
    }
    if let Some(release) = &record.release {
        // Of a promotion, people were told who when it began. It is what the writer called itself,
        // and no proof of who that was.
        let actor = release.actor.as_ref();
        let actor = actor.filter(|_| record.outcome != Outcome::Promoted);
        facts.extend(actor.map(|actor| ("Field manager", plain(actor, NAME_MAX))));
        if record.outcome != Outcome::NewRevision {
            facts.push(("Duration", duration(record, release)));
        }
    }
    facts.push((
        "Time",
        record.time.0.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    ));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// The canary's share of the traffic: the way there, and the last one.
fn weights(steps: &[Evidence]) -> Option<String> {
    let mut weights: Vec<_> = steps.iter().map(|step| step.weight).collect();
    weights.dedup();
    if weights.first() == Some(&0) {
        weights.remove(0);
    }
    let left_out = weights.len().saturating_sub(WEIGHTS_MAX);
    let mut shown: Vec<_> = weights
        .iter()
        .skip(left_out)
        .map(ToString::to_string)
        .collect();
    if left_out > 0 {
        shown.insert(0, "…".to_owned());
    }
    (!shown.is_empty()).then(|| format!("{} %", shown.join(" → ")))
}

/// The checks that did not pass when the release was last judged, each as it last answered. Steps
/// without checks, and those before one in which all passed, say nothing of the end.
fn failed(steps: &[Evidence]) -> impl Iterator<Item = &CheckStatus> {
    let has_failed = |step: &&Evidence| {
        step.checks
            .iter()
            .any(|check| check.verdict != Verdict::Pass)
    };
    let judged = steps.iter().rev().filter(|step| !step.checks.is_empty());
    let mut latest: Vec<&CheckStatus> = Vec::new();
    for check in judged.take_while(has_failed).flat_map(|step| &step.checks) {
        if latest.iter().all(|known| known.metric != check.metric) {
            latest.push(check);
        }
    }
    latest.retain(|check| check.verdict != Verdict::Pass);
    latest.into_iter().take(CHECKS_MAX)
}

/// `request-success-rate: 69.17 against >= 99`; without a value, why there is none.
fn against(check: &CheckStatus) -> String {
    let metric = &check.metric;
    let text = match (check.value.map(number), &check.threshold) {
        (Some(value), Some(threshold)) => format!("{metric}: {value} against {threshold}"),
        (Some(value), None) => format!("{metric}: {value}"),
        (None, _) => format!("{metric}: {}", check.why.as_deref().unwrap_or("no answer")),
    };
    plain(&text, CHECK_MAX)
}

/// As people write it, whatever its size.
fn number(value: f64) -> String {
    if value == 0.0 || (1e-5..1e16).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

/// From the beginning of the release until the record.
fn duration(record: &Record, release: &Release) -> String {
    let took = record.time.0.duration_since(release.began.0);
    let took = SignedDuration::from_secs(took.as_secs().max(0));
    format!("{took:#}")
}

/// A reason with a capital, as the other headlines have it.
fn sentence(text: &str) -> String {
    let text = plain(text, SENTENCE_MAX);
    let mut letters = text.chars();
    let first = letters.next();
    first.map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// A text on one line, printable, and not long.
pub(super) fn plain(text: &str, characters_max: usize) -> String {
    let printable: String = text
        .chars()
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .collect();
    let words: Vec<_> = printable.split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() <= characters_max {
        return text;
    }
    text.chars().take(characters_max - 1).chain(['…']).collect()
}
