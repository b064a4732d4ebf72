//! How a decision becomes a claim: the next status, and the objects that it makes be written.

pub(super) mod bounds;
mod clocks;
mod complete;
pub(super) mod outstanding;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{
    CanaryStatus, CheckStatus, EventType, PendingHook, Phase, StepEvent, TargetScale, Totals,
};
use crate::pass::snapshot::{Revision, Snapshot, has_matches, wanted_traffic};
use crate::pass::step::{Decision, Step};
use crate::pass::totals;
use crate::routers::Traffic;

use super::NORMAL;
use super::conditions::{self, Cause};
use complete::writes;
use outstanding::Outstanding;

pub(super) use clocks::{Reason, progress, wait_of};

/// The next status while it is put together.
pub(super) struct Claim<'a> {
    snapshot: &'a Snapshot,
    status: CanaryStatus,
    events: Vec<StepEvent>,
    /// Whether the checks are this step's own.
    asked: bool,
    /// Nothing is written for it.
    is_word_only: bool,
    /// What cannot be written holds nothing else up.
    is_independent: bool,
    /// Why the canary is not well, beyond its phase: reason and message of condition Ready.
    unwell: Option<(&'static str, String)>,
}

impl<'a> Claim<'a> {
    /// The same phase, something else in it.
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            status: snapshot.status.clone(),
            events: Vec::new(),
            asked: false,
            is_word_only: false,
            is_independent: false,
            unwell: None,
        }
    }

    pub(super) fn enter(snapshot: &'a Snapshot, phase: Phase) -> Self {
        Self::enter_because(snapshot, phase, None)
    }

    /// `cause` says more than the phase's name where that alone would mislead.
    pub(super) fn enter_because(
        snapshot: &'a Snapshot,
        phase: Phase,
        cause: Option<Cause>,
    ) -> Self {
        let mut claim = Self::new(snapshot);
        let kind = &snapshot.canary.spec.target_ref.kind;
        conditions::set(&mut claim.status, kind, phase, cause, snapshot.now);
        claim
    }

    /// Says something in status and Events, and writes nothing else.
    pub(super) fn word_only(mut self) -> Self {
        self.is_word_only = true;
        self
    }

    /// What cannot be written of this claim holds nothing else of it up.
    pub(super) fn independent(mut self) -> Self {
        self.is_independent = true;
        self
    }

    /// Condition Ready is false for this reason, if there is one, whatever the phase.
    pub(super) fn unwell(mut self, reason: &'static str, message: &str) -> Self {
        if !message.is_empty() {
            self.unwell = Some((reason, message.to_owned()));
        }
        self
    }

    /// So much of the requests that the analysis is about: of those that match where the Canary says
    /// which, else of all.
    pub(super) fn weight(self, weight: u8) -> Self {
        let can_match = self.snapshot.router.can().matches;
        let traffic = if can_match && has_matches(&self.snapshot.canary) {
            Traffic::of_matched(weight)
        } else {
            Traffic::share(weight)
        };
        self.traffic(traffic)
    }

    pub(super) fn traffic(mut self, traffic: Traffic) -> Self {
        self.set_traffic(traffic);
        self
    }

    /// Copies of requests, beside the weight that there is.
    pub(super) fn mirroring(self) -> Self {
        let wanted = wanted_traffic(&self.snapshot.canary, &self.status);
        self.traffic(Traffic {
            mirror: true,
            ..wanted
        })
    }

    fn set_traffic(&mut self, traffic: Traffic) {
        let status = &mut self.status;
        status.canary_weight = Some(i64::from(traffic.canary));
        status.wanted_weight = None;
        if traffic.matched || traffic.mirror || status.traffic.is_some() {
            let memory = status.traffic.get_or_insert_default();
            (memory.matched, memory.mirrored) = (traffic.matched, traffic.mirror);
        }
    }

    /// Every count of an analysis at zero, and every clock.
    pub(super) fn fresh_counts(mut self) -> Self {
        self.status.iterations = Some(0);
        self.status.failed_checks = Some(0);
        self.status.held_checks = None;
        self.status.waits = None;
        self.status.hooks.clear();
        self
    }

    /// The webhooks that have not consented in this pass.
    pub(super) fn hooks(mut self, pending: Vec<PendingHook>) -> Self {
        self.status.hooks = pending;
        self
    }

    /// The counts of an analysis that starts again from its first weight; its clocks go on.
    pub(super) fn starting_again(mut self) -> Self {
        self.status.iterations = Some(0);
        self.status.held_checks = None;
        self
    }

    pub(super) fn iterations(mut self, iterations: i64) -> Self {
        self.status.iterations = Some(iterations);
        self
    }

    pub(super) fn iterations_at_most(self, most: i64) -> Self {
        let iterations = self.status.iterations.unwrap_or(0).min(most);
        self.iterations(iterations)
    }

    pub(super) fn checks(mut self, checks: Vec<CheckStatus>) -> Self {
        self.asked = !checks.is_empty();
        self.status.checks = checks;
        self
    }

    /// The answers of this step, if any were asked; else the last ones stay.
    pub(super) fn answered(self, checks: Vec<CheckStatus>) -> Self {
        if checks.is_empty() {
            self
        } else {
            self.checks(checks)
        }
    }

    /// The analysis has taken a step: the interval counts from here.
    pub(super) fn steps(mut self) -> Self {
        self.status.stepped_at = Some(Time(self.snapshot.now));
        self
    }

    pub(super) fn target(mut self, target: TargetScale) -> Self {
        self.status.scale.get_or_insert_default().target = target;
        self
    }

    /// There is evidence: its clock stands.
    pub(super) fn has_evidence(mut self) -> Self {
        self.status.held_checks = None;
        self.set_wait(Reason::Evidence, None)
    }

    /// The revision that is acted upon from now on.
    pub(super) fn applied(mut self, revision: &Revision) -> Self {
        self.status.last_applied_spec = Some(revision.spec.clone());
        self.status.tracked_configs = Some(revision.configs.clone());
        // Only beside the checksums that were taken at them.
        self.status.config_versions = (revision.configs == self.snapshot.checksums
            && !self.snapshot.versions.is_empty())
        .then(|| self.snapshot.versions.clone());
        self
    }

    /// The revision that the primary has taken over.
    pub(super) fn promoted(mut self, revision: &Revision) -> Self {
        self.status.last_promoted_spec = Some(revision.spec.clone());
        self.status.promoted_configs = Some(revision.configs.clone());
        self.status.primary_spec = self.snapshot.primary_hash();
        self.applied(revision)
    }

    pub(super) fn never_promoted(mut self) -> Self {
        self.status.last_promoted_spec = None;
        self.status.last_applied_spec = None;
        self.status.primary_spec = self.snapshot.primary_hash();
        self
    }

    /// The release has ended: `count` says how, and the time that its analysis took is kept.
    pub(super) fn ended(self, count: impl FnOnce(&mut Totals)) -> Self {
        let now = self.snapshot.now;
        self.edit(|status| {
            let since = status.analysis_since.take();
            let totals = status.totals.get_or_insert_default();
            count(totals);
            if let Some(since) = since {
                totals::observe(totals, now.duration_since(since.0).as_secs_f64());
            }
            status.waits = None;
            status.stepped_at = None;
            if let Some(traffic) = &mut status.traffic {
                traffic.lowered = None;
                traffic.before = None;
            }
        })
    }

    pub(super) fn edit(mut self, edit: impl FnOnce(&mut CanaryStatus)) -> Self {
        edit(&mut self.status);
        self
    }

    pub(super) fn normal(self, message: String) -> Self {
        self.event(NORMAL, message, false)
    }

    pub(super) fn normals(self, messages: impl IntoIterator<Item = String>) -> Self {
        messages.into_iter().fold(self, Self::normal)
    }

    pub(super) fn warning(self, message: String) -> Self {
        self.event(EventType::Warning, message, false)
    }

    pub(super) fn warnings(self, messages: &[String]) -> Self {
        let messages = messages.iter().cloned();
        messages.fold(self, Self::warning)
    }

    /// A warning that is true once the route shows the weight of this claim.
    pub(super) fn warning_when_shown(self, message: String) -> Self {
        self.event(EventType::Warning, message, true)
    }

    fn event(mut self, r#type: EventType, message: String, when_shown: bool) -> Self {
        self.events.push(StepEvent {
            r#type,
            message,
            when_shown,
        });
        self
    }
}

/// Goes on with the last claim: what nobody has written since it is written as it was claimed.
pub(super) fn finish(snapshot: &Snapshot, outstanding: &Outstanding, reason: &str) -> Decision {
    let takes_off = snapshot.wanted().only_takes_from(snapshot.shown());
    let named = outstanding.unfinished.iter().cloned();
    Decision {
        step: Step::Finish(writes(snapshot, snapshot.current(), named, takes_off)),
        reason: reason.to_owned(),
        problems: Vec::new(),
    }
}

/// The rest of the last claim, or the repair of what has drifted: each is this pass's one step.
/// Where there is both, one claim takes the rest over and repairs, so that a pass that was killed
/// costs no more than one other.
pub(super) fn unfinished(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if !outstanding.drifted.is_empty() {
        let verb = match snapshot.phase() {
            Some(Phase::Initializing) => "setting up",
            _ => "repairing",
        };
        let reason = format!("{verb} {}", outstanding.repairs(snapshot));
        return Some(Claim::new(snapshot).into_decision(outstanding, &reason));
    }
    if !outstanding.unfinished.is_empty() {
        let reason = format!(
            "finishing step {}: {}",
            snapshot.step_number(),
            outstanding.repairs(snapshot)
        );
        return Some(finish(snapshot, outstanding, &reason));
    }
    None
}

/// Says once what is awaited; later passes wait in silence.
pub(super) fn say(snapshot: &Snapshot, outstanding: &Outstanding, text: &str) -> Decision {
    if snapshot.status.reason.as_deref() == Some(&*bounds::reason(text)) {
        return super::wait(text);
    }
    Claim::new(snapshot)
        .warning(text.to_owned())
        .into_decision(outstanding, text)
}

/// The same while a clock runs: from the first such pass.
pub(super) fn hold(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    reason: Reason,
    text: &str,
) -> Decision {
    let runs = wait_of(snapshot, reason).is_some_and(|wait| wait.gone.is_none());
    if runs {
        return say(snapshot, outstanding, text);
    }
    Claim::new(snapshot)
        .waits(reason)
        .warning(text.to_owned())
        .into_decision(outstanding, text)
}
