//! What the definition of the status allows: a text or list that grew longer would make the whole
//! claim invalid, and with it whatever it decides about traffic.

use crate::api::status::{CanaryStatus, CheckStatus, StepEvent};
use crate::api::text;

const REASON_MAX: usize = 1_024;
const MESSAGE_MAX: usize = 1_024;
const THRESHOLD_MAX: usize = 128;
const NAME_MAX: usize = 253;
const CHECKS_MAX: usize = 256;
const OBJECTS_MAX: usize = 256;
/// More texts than this are not posted for one step; the API server's patience is not ours.
const EVENTS_MAX: usize = 5;
const CONDITIONS_MAX: usize = 16;
const STORED_MAX: usize = 64;

/// A text of so many characters at most, cut where it must be.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max - 1).collect();
    format!("{kept}…")
}

/// A reason as status keeps it.
pub(in crate::pass::decide) fn reason(text: &str) -> String {
    cut(text, REASON_MAX)
}

/// The first Events count as much as the last one, which says how it ended.
pub(in crate::pass::decide) fn of_events(events: &mut Vec<StepEvent>) {
    while events.len() > EVENTS_MAX {
        events.remove(EVENTS_MAX - 2);
    }
    for event in events {
        // The API server counts bytes here.
        event.message = text::cut(&event.message, MESSAGE_MAX).to_owned();
    }
}

pub(in crate::pass::decide) fn of_status(status: &mut CanaryStatus) {
    if let Some(text) = &mut status.reason {
        *text = reason(text);
    }
    status.checks.truncate(CHECKS_MAX);
    status.checks.iter_mut().for_each(of_check);
    status.conditions.truncate(CONDITIONS_MAX);
    for condition in &mut status.conditions {
        condition.message = cut(&condition.message, REASON_MAX);
    }
    let excess = status.stored.len().saturating_sub(STORED_MAX);
    status.stored.drain(..excess);
    if let Some(step) = &mut status.step {
        step.objects.truncate(OBJECTS_MAX);
    }
}

fn of_check(check: &mut CheckStatus) {
    check.metric = cut(&check.metric, NAME_MAX);
    if let Some(threshold) = &mut check.threshold {
        *threshold = cut(threshold, THRESHOLD_MAX);
    }
    if let Some(why) = &mut check.why {
        *why = cut(why, REASON_MAX);
    }
}
