//! Durations as users write them in a Canary: `90s`, `1m30s`, `500ms`. What Flagger reads is read here:
//! Go's form, in which units come in any order and numbers may have fractions.
//! Text in, duration out; what a missing or a zero one means is the caller's to say.

use std::time::Duration;

/// Go keeps durations as nanoseconds in 63 bits; what does not fit was never accepted.
const MAX_NANOSECONDS: u64 = i64::MAX.unsigned_abs();

/// Units in nanoseconds. `ms` before `m`, or `5ms` would be five minutes and a stray `s`.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits of a fraction that are read; further ones are below a nanosecond of any unit.
const FRACTION_DIGITS: usize = 15;

/// Numbers with a unit, one after the other, which add up. A sign is none: no time goes backwards.
///
/// The CRD's pattern is not anchored at its end, so texts like `10sx` reach this.
pub fn parse(text: &str) -> Result<Duration, String> {
    nanoseconds(text).map(Duration::from_nanos).ok_or_else(|| {
        format!("{text:?} is not a duration; write it like 30s, 1m or 1m30s (units ms, s, m, h)")
    })
}

fn nanoseconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (unit, after) = UNITS
            .into_iter()
            .find_map(|(name, unit)| Some((unit, after.strip_prefix(name)?)))?;
        let whole = if whole.is_empty() { "0" } else { whole };
        total = total.checked_add(whole.parse::<u64>().ok()?.checked_mul(unit)?)?;
        let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction: u128 = format!("0{fraction}").parse().ok()?;
        let part = fraction * u128::from(unit) / scale;
        total = total.checked_add(u64::try_from(part).ok()?)?;
        rest = after;
    }
    (total <= MAX_NANOSECONDS).then_some(total)
}

/// The digits that a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.split_at(text.len() - rest.len())
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
            ("1.5m", 90_000),
            ("1m1.5s", 61_500),
            (".5s1.s", 1_500),
            ("1500us500\u{b5}s", 2),
            ("1000000ns", 1),
            ("0.3333333333333333333333h", 1_199_999),
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
            "1d",
            ".s",
            "1..5s",
            "1.5",
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
