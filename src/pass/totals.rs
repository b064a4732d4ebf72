//! The counts over a canary's life, from which the series are made: how often it was promoted and
//! rolled back, and how long its analyses took, as a histogram. Plain arithmetic on status.

use crate::api::status::Totals;

/// Upper bounds of the histogram's buckets; one more takes what is longer than a week.
///
/// An analysis takes minutes to hours: Prometheus' default bounds end at ten seconds.
pub const BOUNDS: [f64; 14] = [
    10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0,
    86_400.0, 604_800.0,
];

/// Counts an analysis that took so long.
pub fn observe(totals: &mut Totals, seconds: f64) {
    // A clock that was set back must not make a counter fall.
    let seconds = seconds.max(0.0);
    let mut counts = buckets(totals);
    let place = BOUNDS.iter().position(|bound| seconds <= *bound);
    let count = &mut counts[place.unwrap_or(BOUNDS.len())];
    *count = count.saturating_add(1);
    totals.analysis_seconds = counts.into();
    totals.analysis_seconds_sum += seconds;
}

/// The count of each bucket by itself, whatever another version of Davy, or a hand, has stored.
pub fn buckets(totals: &Totals) -> [i64; BOUNDS.len() + 1] {
    let mut counts = [0_i64; BOUNDS.len() + 1];
    for (place, count) in totals.analysis_seconds.iter().enumerate() {
        let place = place.min(BOUNDS.len());
        counts[place] = counts[place].saturating_add((*count).max(0));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Totals, buckets, observe};

    #[test]
    fn analyses_are_counted_in_the_bucket_that_holds_them() {
        let mut totals = Totals::default();
        for seconds in [-5.0, 10.0, 10.1, 1e9] {
            observe(&mut totals, seconds);
        }
        let counts = buckets(&totals);
        assert_eq!((counts[0], counts[1], counts[BOUNDS.len()]), (2, 1, 1));
        assert_eq!(counts.iter().sum::<i64>(), 4);
        assert!((totals.analysis_seconds_sum - (1e9 + 20.1)).abs() < 1e-6);
    }

    #[test]
    fn stored_counts_of_any_shape_are_read() {
        let totals = Totals {
            analysis_seconds: [vec![-1], vec![1; 40]].concat(),
            ..Totals::default()
        };
        let counts = buckets(&totals);
        assert_eq!(counts[0], 0);
        assert_eq!(counts.iter().sum::<i64>(), 40);
    }
}
