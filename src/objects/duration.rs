//! Durations as users write them in a Canary: `90s`, `1m30s`, `500ms`.
//! Text in, duration out; what a missing or a zero one means is the caller's to say.

use std::time::Duration;

/// Flagger keeps durations as nanoseconds in 63 bits; what does not fit was never accepted.
const MAX_MILLISECONDS: u64 = 9_223_372_036_854;

/// Numbers with a unit (`ms`, `s`, `m` or `h`), one after the other, which add up.
///
/// The CRD's pattern is not anchored at its end, so texts like `10sx` reach this.
pub fn parse(text: &str) -> Result<Duration, String> {
    milliseconds(text)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!(
                "{text:?} is not a duration; write it like 30s, 1m or 1m30s (units ms, s, m, h)"
            )
        })
}

fn milliseconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        // `ms` before `m`, or `5ms` would be five minutes and a stray `s`.
        let (unit, after) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
            .into_iter()
            .find_map(|(unit, milliseconds)| Some((milliseconds, after.strip_prefix(unit)?)))?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after;
    }
    (total <= MAX_MILLISECONDS).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_add_up() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("5m10ms", 300_010),
            ("1h0m1s", 3_601_000),
            ("30s1m", 90_000),
            ("0010s", 10_000),
            ("2562047h", 9_223_369_200_000),
        ] {
            assert_eq!(
                parse(text).map(|d| d.as_millis()),
                Ok(milliseconds),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused_and_named() {
        for text in [
            "",
            " ",
            "s",
            "10",
            "10sx",
            "10 s",
            " 10s",
            "-5s",
            "+5s",
            "1.5m",
            "1d",
            "5M",
            "m5",
            "10s\n",
            "٣s",
            "2562048h",
            "18446744073709551615ms",
            "18446744073709551616s",
            "9999999999999999999999h",
            "1e3s",
        ] {
            let why = parse(text).err().unwrap_or_default();
            assert!(
                why.starts_with(&format!("{text:?} is not a duration")),
                "{why}"
            );
        }
    }
}
