//! Times and durations for people.

use jiff::Timestamp;

/// A duration in its two largest units: `3 d 4 h`, `2 h 5 min`, `45 s`.
pub(super) fn words(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = seconds.max(0);
    let largest = UNITS.iter().position(|(size, _)| seconds >= *size);
    let largest = largest.unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[largest];
    let whole = format!("{} {unit}", seconds / size);
    match UNITS.get(largest + 1) {
        Some((smaller, unit)) if seconds % size / smaller > 0 => {
            format!("{whole} {} {unit}", seconds % size / smaller)
        }
        _ => whole,
    }
}

/// Time in UTC, to the second.
pub(super) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A number of deployments in a time, as short as it can be told.
pub(super) fn rate(rate: f64) -> String {
    if rate >= 10.0 || rate == 0.0 {
        format!("{rate:.0}")
    } else if rate >= 0.1 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_600, "1 h"),
            (3_601, "1 h"),
            (7_500, "2 h 5 min"),
            (86_400 * 3 + 3_600 * 4 + 59, "3 d 4 h"),
        ] {
            assert_eq!(words(seconds), expected);
        }
    }
}
