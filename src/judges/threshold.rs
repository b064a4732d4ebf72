//! The judge that Flagger has: a number passes within its bounds, both included.
//! What came back in, verdict out. Only a number outside of its bounds is a failure of the
//! release; that there is no number never is, and never is a pass either.

use crate::api::status::Verdict;
use crate::metrics::{Check, Judgement, Measured, Unit, number};

/// Holds an answer against the check's bounds.
///
/// Every combination of numbers has a verdict: without bounds, or with one that is not a number,
/// it is an error; what is not a finite number is no data.
pub fn judge(measured: &Measured, check: &Check) -> Judgement {
    let (verdict, why) = match measured {
        Measured::Error(why) => (Verdict::Error, Some(why.clone())),
        Measured::NoData(why) => (Verdict::NoData, Some(why.clone())),
        Measured::Value(value) if !value.is_finite() => {
            (Verdict::NoData, Some(format!("the value is {value:+}")))
        }
        Measured::Value(value) => return judged(compared(*value, check.unit), check),
    };
    Judgement {
        verdict,
        value: None,
        threshold: threshold(check),
        outside: None,
        why,
    }
}

fn judged(value: f64, check: &Check) -> Judgement {
    let bound = |bound: Option<f64>| bound.map(|bound| compared(bound, check.unit));
    let (min, max) = (bound(check.min), bound(check.max));
    let outside = match (min, max) {
        (Some(min), _) if value < min => Some(('<', min)),
        (_, Some(max)) if value > max => Some(('>', max)),
        _ => None,
    };
    let (verdict, why) = if min.is_none() && max.is_none() {
        (Verdict::Error, Some("there are no bounds".to_owned()))
    } else if [min, max].iter().flatten().any(|bound| bound.is_nan()) {
        (Verdict::Error, Some("a bound is not a number".to_owned()))
    } else if let Some((sign, bound)) = outside {
        (
            Verdict::Fail,
            Some(format!("{} {sign} {}", number(value), number(bound))),
        )
    } else {
        (Verdict::Pass, None)
    };
    let outside = outside.filter(|_| verdict == Verdict::Fail);
    Judgement {
        verdict,
        value: Some(value),
        threshold: threshold(check),
        outside,
        why,
    }
}

/// Flagger compares durations and their bounds in whole milliseconds. The zero is added because
/// what is cut to nothing from below would be written `-0`.
fn compared(value: f64, unit: Unit) -> f64 {
    match unit {
        Unit::Milliseconds => value.trunc() + 0.0,
        Unit::Percent | Unit::Plain => value,
    }
}

fn threshold(check: &Check) -> String {
    let bound = |sign: &str, bound: Option<f64>| Some(format!("{sign} {}", number(bound?)));
    let bounds = [bound(">=", check.min), bound("<=", check.max)];
    bounds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Check, Measured, Unit, Verdict, judge};
    use crate::metrics::{Access, Author, Origin};

    fn check(min: Option<f64>, max: Option<f64>, unit: Unit) -> Check {
        Check {
            metric: "request-duration".to_owned(),
            address: String::new(),
            origin: Origin::Settings,
            query: String::new(),
            only_failures: None,
            scale: 1.0,
            interval: Duration::ZERO,
            min,
            max,
            unit,
            source: String::new(),
            author: Author::BuiltIn,
            access: Access::default(),
            batch: None,
        }
    }

    /// Every pair of numbers, and no pass without a finite number that is within what bounds
    /// there are.
    #[test]
    fn every_combination_has_the_verdict_that_it_should() {
        let numbers = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            0.0,
            -0.0,
            0.9,
            1.0,
            1.1,
            -0.9,
            -1.0,
            98.999_999_999_999_99,
            99.0,
            500.0,
            500.9,
            1e18,
        ];
        let bounds: Vec<_> = numbers.into_iter().map(Some).chain([None]).collect();
        for value in numbers {
            for (min, max) in bounds
                .iter()
                .flat_map(|min| bounds.iter().map(move |max| (*min, *max)))
            {
                for unit in [Unit::Percent, Unit::Milliseconds, Unit::Plain] {
                    let judgement = judge(&Measured::Value(value), &check(min, max, unit));
                    let cut = |number: f64| {
                        if unit == Unit::Milliseconds {
                            number.trunc()
                        } else {
                            number
                        }
                    };
                    let expected = if !value.is_finite() {
                        Verdict::NoData
                    } else if min.or(max).is_none()
                        || min.is_some_and(f64::is_nan)
                        || max.is_some_and(f64::is_nan)
                    {
                        Verdict::Error
                    } else if min.is_none_or(|min| cut(min) <= cut(value))
                        && max.is_none_or(|max| cut(value) <= cut(max))
                    {
                        Verdict::Pass
                    } else {
                        Verdict::Fail
                    };
                    let case = format!("{value} in {min:?}..={max:?} {unit:?}: {judgement:?}");
                    assert_eq!(judgement.verdict, expected, "{case}");
                    assert_eq!(judgement.why.is_none(), expected == Verdict::Pass, "{case}");
                    assert_eq!(
                        judgement.outside.is_some(),
                        expected == Verdict::Fail,
                        "{case}"
                    );
                    assert_eq!(judgement.value.is_some(), value.is_finite(), "{case}");
                }
            }
        }
    }

    #[test]
    fn bounds_are_written_as_a_user_wrote_them() {
        for (min, max, text) in [
            (Some(99.0), None, ">= 99"),
            (None, Some(500.0), "<= 500"),
            (Some(0.5), Some(99.95), ">= 0.5, <= 99.95"),
            (Some(0.0), Some(1e21), ">= 0, <= 1e21"),
            (Some(0.000_001), None, ">= 1e-6"),
            (None, None, ""),
        ] {
            let judgement = judge(&Measured::Value(1.0), &check(min, max, Unit::Plain));
            assert_eq!(judgement.threshold, text);
        }
    }
}
