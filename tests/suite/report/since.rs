//! From when on is reported, as people ask for it.

use davy::report::{Period, Since};
use jiff::Timestamp;

const NOW: &str = "2026-03-31T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

#[test]
fn dates_times_and_durations_are_understood() {
    for (text, expected) in [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00Z"),
        ("30d", "2026-03-01T12:00:00Z"),
        ("2w", "2026-03-17T12:00:00Z"),
        ("12h", "2026-03-31T00:00:00Z"),
        ("1 month", "2026-02-28T12:00:00Z"),
        ("P1Y", "2025-03-31T12:00:00Z"),
    ] {
        let since: Since = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
        let expected: Timestamp = expected.parse().unwrap();
        assert_eq!(since.before(now()), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_time_or_is_yet_to_come_is_refused() {
    for text in [
        "",
        "yesterday",
        "30",
        "-30d",
        "0d",
        "2026-02-30",
        "2026-01-31T10:00:00",
    ] {
        assert!(text.parse::<Since>().is_err(), "{text}");
    }
    for text in ["2026-04-01", "2026-03-31T12:00:01Z"] {
        let since: Since = text.parse().unwrap();
        assert!(
            since.before(now()).unwrap_err().contains("yet to come"),
            "{text}"
        );
    }
    let since: Since = "19000y".parse().unwrap();
    assert!(since.before(now()).is_err());
}

#[test]
fn a_period_begins_with_the_first_record_at_the_earliest() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let first = time("2026-03-01T00:00:00Z");
    for (since, times, expected) in [
        (None, vec![now(), first], first),
        (Some("2026-02-01T00:00:00Z"), vec![first], first),
        (
            Some("2026-03-15T00:00:00Z"),
            vec![first],
            time("2026-03-15T00:00:00Z"),
        ),
        (None, vec![], now()),
        (Some("2026-03-15T00:00:00Z"), vec![], now()),
        // A record of a clock that is ahead.
        (None, vec![time("2026-05-01T00:00:00Z")], now()),
    ] {
        let period = Period::new(since.map(time), times.clone().into_iter(), now());
        assert_eq!(
            period,
            Period {
                from: expected,
                to: now()
            },
            "{since:?} {times:?}"
        );
    }
}
