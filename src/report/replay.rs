//! Deciding again from what a record holds: `davy replay` must come to the same, and
//! `davy backtest` asks what another policy would have come to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::record::{self, Evidence, Outcome, Record, Terms};
use crate::api::status::{CheckStatus, Phase, Verdict};
use crate::judges;
use crate::metrics::{self, Access, Author, Check, Measured, Origin, Unit};
use crate::pass::decide::rules::{Next, Position, Rules};
use crate::pass::snapshot::percent;

/// What came of deciding again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Steps that were decided again.
    pub steps: usize,
    /// Steps that did not stand on checks, such as a deadline's: taken as they were recorded.
    pub taken: usize,
    /// Where the record says otherwise.
    pub disagreements: Vec<String>,
}

/// Decides every step of a record again that stands on checks.
pub fn replay(record: &Record) -> Replayed {
    let mut replayed = Replayed::default();
    let (Some(release), Some(terms)) = (&record.release, &record.analysis) else {
        return replayed;
    };
    let rules = Rules::from(terms);
    let mut before: Option<&Evidence> = None;
    for (place, after) in release.steps.iter().enumerate() {
        // Behind the first step others may have been left out.
        let is_known = place != 1 || release.steps_left_out == 0;
        let position = before.filter(|_| is_known).map(position);
        before = Some(after);
        let Some(position) = position.filter(|_| !after.checks.is_empty()) else {
            replayed.taken += 1;
            continue;
        };
        replayed.steps += 1;
        let verdicts: Vec<_> = after
            .checks
            .iter()
            .map(|check| judged(check, terms, &mut replayed.disagreements, after.step))
            .collect();
        let next = rules.next(position, &verdicts);
        if let Err(why) = agrees(next, position, after) {
            let step = after.step;
            replayed.disagreements.push(format!("step {step}: {why}"));
        }
    }
    replayed
}

fn position(step: &Evidence) -> Position {
    Position {
        weight: percent(Some(step.weight)),
        iterations: step.iterations,
        mirrored: step.mirrored,
        failed_checks: step.failed_checks,
        held_checks: step.held_checks,
    }
}

/// The verdict on a recorded value; one that was recorded otherwise is a disagreement.
fn judged(
    check: &CheckStatus,
    terms: &Terms,
    disagreements: &mut Vec<String>,
    step: i64,
) -> Verdict {
    let bounds = terms
        .checks
        .iter()
        .find(|asked| asked.metric == check.metric);
    let (Some(value), Some(bounds)) = (check.value, bounds) else {
        // There is no number to judge: only that it does not pass can be told.
        if check.verdict == Verdict::Pass && check.hook.is_none() {
            let metric = &check.metric;
            disagreements.push(format!("step {step}: {metric} passed without a number"));
        }
        return check.verdict;
    };
    let verdict = judges::threshold::judge(&Measured::Value(value), &asked(bounds)).verdict;
    if verdict != check.verdict {
        let metric = &check.metric;
        let (now, then) = (verdict, check.verdict);
        disagreements.push(format!(
            "step {step}: {metric} is {now:?}, and was {then:?}"
        ));
    }
    verdict
}

/// The check as far as a judge looks at it.
fn asked(check: &record::Check) -> Check {
    Check {
        metric: check.metric.clone(),
        address: String::new(),
        origin: Origin::Settings,
        query: check.query.clone(),
        only_failures: None,
        scale: 1.0,
        interval: Duration::ZERO,
        min: check.min,
        max: check.max,
        unit: if metrics::is_in_milliseconds(&check.metric) {
            Unit::Milliseconds
        } else {
            Unit::Plain
        },
        source: String::new(),
        author: Author::BuiltIn,
        access: Access::default(),
        batch: None,
    }
}

/// Whether a step came to what follows.
fn agrees(next: Next, before: Position, after: &Evidence) -> Result<(), String> {
    let goes_on = matches!(after.phase, Phase::Progressing | Phase::WaitingPromotion);
    let now = position(after);
    let as_decided = match next {
        Next::RollBack(_) | Next::GiveUp(_) => after.phase == Phase::Failed,
        Next::Promote => after.phase == Phase::Promoting,
        Next::Count(failed) => {
            goes_on && now.failed_checks == failed && now.weight == before.weight
        }
        Next::Hold(held) => goes_on && now.held_checks == held && now.weight == before.weight,
        Next::Mirror => goes_on && now.mirrored,
        Next::Weight(weight) => goes_on && now.weight == weight,
        Next::Iteration(iterations) => goes_on && now.iterations == iterations,
        Next::AllToCanary => goes_on && now.weight == 100,
        Next::LastLook => goes_on && now.iterations == before.iterations + 1,
    };
    if as_decided {
        return Ok(());
    }
    let phase = after.phase;
    Err(format!(
        "{next:?} follows, and it came to {phase:?} with {now:?}"
    ))
}

/// Another policy to judge recorded checks by; what is not given stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Failed checks that roll back.
    pub threshold: Option<i64>,
    /// Bounds by metric.
    pub min: BTreeMap<String, f64>,
    pub max: BTreeMap<String, f64>,
}

/// What a release would have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Every recorded check would have let it go on to its promotion.
    Promoted,
    /// It would have been rolled back in this step, at this weight.
    RolledBack { step: i64, weight: i64 },
    /// It would have gone on beyond what was recorded.
    Unknown,
}

/// Judges the recorded checks of a release that ended under another policy; none where there were
/// no checks.
pub fn backtest(record: &Record, policy: &Policy) -> Option<Fate> {
    let (release, terms) = (record.release.as_ref()?, record.analysis.as_ref()?);
    let mut terms = terms.clone();
    terms.threshold = policy.threshold.unwrap_or(terms.threshold);
    for check in &mut terms.checks {
        check.min = policy.min.get(&check.metric).copied().or(check.min);
        check.max = policy.max.get(&check.metric).copied().or(check.max);
    }
    let rules = Rules::from(&terms);
    let (mut failed, mut weight, mut is_judged) = (0, 0, false);
    for step in &release.steps {
        if step.checks.is_empty() {
            weight = step.weight;
            continue;
        }
        is_judged = true;
        let verdicts: Vec<_> = step
            .checks
            .iter()
            .map(|check| judged(check, &terms, &mut Vec::new(), step.step))
            .collect();
        let position = Position {
            failed_checks: failed,
            ..position(step)
        };
        match rules.next(position, &verdicts) {
            Next::Count(count) => failed = count,
            Next::RollBack(_) | Next::GiveUp(_) => {
                let step = step.step;
                return Some(Fate::RolledBack { step, weight });
            }
            _ => weight = step.weight,
        }
    }
    is_judged.then_some(match record.outcome {
        Outcome::Promoted | Outcome::PromotionFailed => Fate::Promoted,
        _ => Fate::Unknown,
    })
}
