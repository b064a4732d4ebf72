//! The time that a report is about, and how people ask for it.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

/// From when on records are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Since(Asked);

#[derive(Clone, Debug, PartialEq)]
enum Asked {
    At(Timestamp),
    Ago(SpanBack),
}

/// A span that is not negative. Two are alike if they were written alike.
#[derive(Clone, Debug)]
struct SpanBack(Span);

impl PartialEq for SpanBack {
    fn eq(&self, other: &Self) -> bool {
        self.0.fieldwise() == other.0.fieldwise()
    }
}

impl FromStr for Since {
    type Err = String;

    /// A date (its midnight in UTC), a time with its offset, or a span back from now.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(Asked::At(time)));
        }
        // A civil date would also be read from the front of a time without an offset, of which one
        // cannot know when it was.
        if text.len() == "2026-01-31".len()
            && let Ok(date) = text.parse::<Date>()
        {
            let midnight = date.to_zoned(TimeZone::UTC);
            return midnight
                .map(|midnight| Self(Asked::At(midnight.timestamp())))
                .map_err(|error| error.to_string());
        }
        match text.parse::<Span>() {
            Ok(span) if span.is_positive() => Ok(Self(Asked::Ago(SpanBack(span)))),
            _ => {
                Err("expected a date like 2026-01-31, or a duration like 30d, 2w or 12h".to_owned())
            }
        }
    }
}

impl Since {
    /// The moment that is meant, which may not be after `now`.
    pub fn before(&self, now: Timestamp) -> Result<Timestamp, String> {
        let moment = match &self.0 {
            Asked::At(time) => *time,
            Asked::Ago(SpanBack(span)) => now
                .to_zoned(TimeZone::UTC)
                .checked_sub(*span)
                .map_err(|error| error.to_string())?
                .timestamp(),
        };
        if moment > now {
            return Err(format!("{moment} is yet to come; it is {now}"));
        }
        Ok(moment)
    }
}

/// A time with both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Period {
    /// From `since` to now, but not from before the first record: a time without records would only
    /// make everything look rarer than it is.
    pub fn new(
        since: Option<Timestamp>,
        times: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) -> Self {
        let first = times.min().map_or(now, |first| first.min(now));
        let from = since.map_or(first, |since| since.max(first).min(now));
        Self { from, to: now }
    }

    pub fn contains(self, time: Timestamp) -> bool {
        self.from <= time && time <= self.to
    }

    /// Its length in days of 24 hours.
    pub fn days(self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64() / 86_400.0
    }
}
