//! The terms of a canary's release: its analysis with defaults filled in and units resolved.
//! What cannot be resolved is a problem that names the field.

pub mod layout;

use jiff::{SignedDuration, Timestamp};

use crate::api::analysis::{Analysis, OnNoData};
use crate::api::canary::Canary;
use crate::api::status::AnalysisSettings;
use crate::objects::{Policy, Problem, duration};
use crate::routers::Router;
use crate::workloads::ReadinessRule;

/// Flagger raises anything shorter: below it, a check's window and a rollout's states blur.
const INTERVAL_MIN: SignedDuration = SignedDuration::from_secs(10);
const INTERVAL_DEFAULT: SignedDuration = SignedDuration::from_secs(60);
const HOLD_DEADLINE_DEFAULT: SignedDuration = SignedDuration::from_hours(1);
const PROGRESS_DEADLINE_SECONDS_DEFAULT: i64 = 600;
/// Flagger's count for provider `kubernetes` when the manifest names none.
const ITERATIONS_DEFAULT: i64 = 10;
/// Timers fire early and late; a pass this much early is still on time.
const EARLY_MAX: SignedDuration = SignedDuration::from_secs(5);

#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the manifest"
)]
pub struct Terms {
    /// `None` where a first-generation manifest names no interval: due at each pass.
    pub interval: Option<SignedDuration>,
    pub threshold: i64,
    pub error_threshold: i64,
    pub on_no_data: OnNoData,
    pub hold_deadline: SignedDuration,
    pub progress_deadline_seconds: i64,
    pub strategy: Strategy,
    /// The canary gets copies of requests: before the first weight, or through all iterations of
    /// blue/green. An A/B test goes without.
    pub mirror: bool,
    /// The manifest asks for weights where the provider has none.
    pub weights_unsupported: bool,
    pub step_weight_promotion: u8,
    pub primary_ready_threshold: i64,
    pub canary_ready_threshold: i64,
    pub skip_analysis: bool,
    pub flagger_counting: bool,
}

/// How traffic moves to the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By these weights in turn; at the last one the canary is promoted.
    Weights(Vec<u8>),
    /// Blue/green: the analysis passes `total` times without traffic (or once more with all of
    /// it, where the router has weights), then the canary is promoted.
    Iterations { total: i64, shifts_traffic: bool },
    /// A/B test: the requests that match go to the canary from the first iteration on. When the
    /// analysis has passed `total` times the canary is promoted, and never had all of the traffic.
    Matches { total: i64 },
}

/// The analysis as the Canary writes it, under today's name or the first Flagger's.
pub fn analysis(canary: &Canary) -> Option<&Analysis> {
    canary.spec.analysis()
}

/// What the analysis is judged by, for a later pass that finds the Canary invalid.
pub fn settings(canary: &Canary) -> Option<AnalysisSettings> {
    let analysis = analysis(canary)?;
    Some(AnalysisSettings {
        interval: analysis.interval.clone(),
        threshold: analysis.threshold,
        error_threshold: analysis.error_threshold,
        on_no_data: analysis.on_no_data,
        hold_deadline: analysis.hold_deadline.clone(),
        progress_deadline_seconds: canary.spec.progress_deadline_seconds,
        metrics: analysis.metrics.clone(),
    })
}

/// The Canary as it was when it was last valid, as far as an analysis is judged by it. It takes no
/// further step: one weight stands for all.
pub fn last_valid(canary: &Canary, settings: &AnalysisSettings) -> Canary {
    let mut canary = canary.clone();
    let settings = settings.clone();
    canary.spec.progress_deadline_seconds = settings.progress_deadline_seconds;
    canary.spec.skip_analysis = None;
    let analysis = Analysis {
        interval: settings.interval,
        threshold: settings.threshold,
        error_threshold: settings.error_threshold,
        on_no_data: settings.on_no_data,
        hold_deadline: settings.hold_deadline,
        step_weight: Some(100),
        metrics: settings.metrics,
        ..Analysis::default()
    };
    let spec = &mut canary.spec;
    // Names of checks are those of the form that the analysis has.
    let is_of_first_flagger = spec.analysis.is_none() && spec.canary_analysis.is_some();
    (spec.analysis, spec.canary_analysis) = if is_of_first_flagger {
        (None, Some(analysis))
    } else {
        (Some(analysis), None)
    };
    canary
}

impl Terms {
    /// What a Canary that says nothing gets.
    pub fn defaults(policy: &Policy) -> Self {
        Self {
            interval: Some(INTERVAL_DEFAULT),
            threshold: 1,
            error_threshold: 1,
            on_no_data: OnNoData::default(),
            hold_deadline: HOLD_DEADLINE_DEFAULT,
            progress_deadline_seconds: PROGRESS_DEADLINE_SECONDS_DEFAULT,
            strategy: Strategy::Weights(vec![100]),
            mirror: false,
            weights_unsupported: false,
            step_weight_promotion: 0,
            primary_ready_threshold: 100,
            canary_ready_threshold: 100,
            skip_analysis: false,
            flagger_counting: policy.flagger_counting,
        }
    }

    pub fn of(
        canary: &Canary,
        policy: &Policy,
        router: &'static dyn Router,
    ) -> Result<Self, Problem> {
        let spec = &canary.spec;
        let (path, analysis, first_generation) = match (&spec.analysis, &spec.canary_analysis) {
            (Some(analysis), _) => ("spec.analysis", analysis.clone(), false),
            (None, Some(analysis)) => ("spec.canaryAnalysis", analysis.clone(), true),
            // Flagger takes a missing analysis for one that is skipped.
            (None, None) => ("spec.analysis", Analysis::default(), false),
        };
        let skip_analysis = spec.skip_analysis.unwrap_or(false) || self::analysis(canary).is_none();
        let interval = match &analysis.interval {
            Some(text) => Some(parse(&format!("{path}.interval"), text)?.max(INTERVAL_MIN)),
            None if first_generation => None,
            None => Some(INTERVAL_DEFAULT),
        };
        let hold_deadline = match &analysis.hold_deadline {
            Some(text) => match parse(&format!("{path}.holdDeadline"), text)? {
                SignedDuration::ZERO => SignedDuration::MAX,
                deadline => deadline,
            },
            None => HOLD_DEADLINE_DEFAULT,
        };
        let threshold = analysis
            .threshold
            .filter(|threshold| *threshold > 0)
            .unwrap_or(1);
        let (strategy, weights_unsupported) = if skip_analysis {
            (Strategy::Weights(Vec::new()), false)
        } else {
            strategy(path, &analysis, router)?
        };
        let mirror = analysis.mirror == Some(true)
            && analysis.r#match.is_empty()
            && router.can().mirror
            && !skip_analysis;
        Ok(Self {
            interval,
            threshold,
            error_threshold: analysis
                .error_threshold
                .filter(|n| *n > 0)
                .unwrap_or(threshold),
            on_no_data: analysis.on_no_data.unwrap_or_default(),
            hold_deadline,
            progress_deadline_seconds: spec
                .progress_deadline_seconds
                .filter(|seconds| *seconds > 0)
                .unwrap_or(PROGRESS_DEADLINE_SECONDS_DEFAULT),
            strategy,
            mirror,
            weights_unsupported,
            step_weight_promotion: percent(
                &format!("{path}.stepWeightPromotion"),
                analysis.step_weight_promotion.unwrap_or(0),
            )?,
            primary_ready_threshold: analysis.primary_ready_threshold.unwrap_or(100),
            canary_ready_threshold: analysis.canary_ready_threshold.unwrap_or(100),
            skip_analysis,
            flagger_counting: policy.flagger_counting,
        })
    }

    /// Whether a raise or a count may follow something that happened at `last`.
    pub fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        self.interval.is_none_or(|interval| {
            now.duration_since(last) >= interval - (interval / 10).min(EARLY_MAX)
        })
    }

    /// How long connections may need to leave a side that lost its traffic.
    pub fn drain(&self) -> SignedDuration {
        self.interval.unwrap_or(INTERVAL_MIN).max(INTERVAL_MIN)
    }

    /// How often an analysis without weights has to pass; 0 where there are weights.
    pub fn iterations(&self) -> i64 {
        match self.strategy {
            Strategy::Iterations { total, .. } | Strategy::Matches { total } => total,
            Strategy::Weights(_) => 0,
        }
    }

    pub fn progress_deadline(&self) -> SignedDuration {
        SignedDuration::from_secs(self.progress_deadline_seconds)
    }

    pub fn primary_rule(&self, now: Timestamp) -> ReadinessRule {
        self.rule(now, self.primary_ready_threshold)
    }

    pub fn canary_rule(&self, now: Timestamp) -> ReadinessRule {
        self.rule(now, self.canary_ready_threshold)
    }

    fn rule(&self, now: Timestamp, threshold: i64) -> ReadinessRule {
        ReadinessRule {
            now,
            threshold,
            progress_deadline_seconds: self.progress_deadline_seconds,
        }
    }
}

fn strategy(
    path: &str,
    analysis: &Analysis,
    router: &'static dyn Router,
) -> Result<(Strategy, bool), Problem> {
    let has_weights = router.can().weights;
    let iterations = analysis.iterations.unwrap_or(0);
    if iterations > 0 && !analysis.r#match.is_empty() && router.can().matches {
        return Ok((Strategy::Matches { total: iterations }, false));
    }
    if iterations > 0 {
        let blue_green = Strategy::Iterations {
            total: iterations,
            shifts_traffic: has_weights,
        };
        return Ok((blue_green, false));
    }
    if !has_weights {
        let total = ITERATIONS_DEFAULT;
        return Ok((
            Strategy::Iterations {
                total,
                shifts_traffic: false,
            },
            true,
        ));
    }
    Ok((Strategy::Weights(weights(path, analysis)?), false))
}

/// The weights in turn. `stepWeight` wins over `stepWeights`, and may overshoot `maxWeight` by
/// less than one step, as in Flagger; `stepWeights` are absolute, and a number that does not rise
/// is passed over (Flagger never gets past it).
fn weights(path: &str, analysis: &Analysis) -> Result<Vec<u8>, Problem> {
    let step = percent(
        &format!("{path}.stepWeight"),
        analysis.step_weight.unwrap_or(0),
    )?;
    let max = match percent(
        &format!("{path}.maxWeight"),
        analysis.max_weight.unwrap_or(0),
    )? {
        0 => 100,
        max => max,
    };
    if step > 0 {
        let mut weights = vec![step];
        while let Some(&last) = weights.last()
            && last < max
        {
            weights.push(last.saturating_add(step).min(100));
        }
        return Ok(weights);
    }
    let mut weights: Vec<u8> = Vec::new();
    for (index, weight) in analysis.step_weights.iter().enumerate() {
        let weight = percent(&format!("{path}.stepWeights[{index}]"), *weight)?;
        if weight > weights.last().copied().unwrap_or(0) {
            weights.push(weight);
        }
    }
    if weights.is_empty() {
        let why = "one of iterations, stepWeight or stepWeights must be above 0";
        return Err(Problem::field(path, why));
    }
    Ok(weights)
}

/// Flagger takes more than 100 for 100.
fn percent(field: &str, value: i64) -> Result<u8, Problem> {
    u8::try_from(value.min(100))
        .map_err(|_| Problem::field(field, format!("{value} is not within 0 to 100")))
}

fn parse(field: &str, text: &str) -> Result<SignedDuration, Problem> {
    let duration = duration::parse(text).map_err(|error| Problem::field(field, error))?;
    SignedDuration::try_from(duration).map_err(|_| Problem::field(field, "is too long"))
}
