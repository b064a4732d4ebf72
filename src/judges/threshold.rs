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
            (Verdict::NoData, Some(format!("the value is {value}")))
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
