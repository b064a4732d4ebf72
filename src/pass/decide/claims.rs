//! How a decision becomes a claim: the next status, and the objects that it makes be written.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{
    CanaryStatus, CheckStatus, EventType, Layout, Phase, Scale, Step as ClaimedStep, StepEvent,
    StepObject, TargetScale, Totals, Traffic, Wait, Waits,
};
use crate::objects::Key;
use crate::pass::desired::{Desired, desired};
use crate::pass::snapshot::{Revision, Snapshot, wanted_weight};
use crate::pass::step::{Claimed, Decision, Step, Write, Writes};
use crate::pass::{terms, totals};

use super::NORMAL;
use super::conditions::{self, Cause};
use super::outstanding::{self, Outstanding};
use super::{bounds, records, words};

/// A reason to wait, each with a clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Rollout,
    Evidence,
    Primary,
}

impl Reason {
    pub(super) fn of(self, waits: &Waits) -> Option<&Wait> {
        match self {
            Self::Rollout => waits.rollout.as_ref(),
            Self::Evidence => waits.evidence.as_ref(),
            Self::Primary => waits.primary.as_ref(),
        }
    }

    fn slot(self, waits: &mut Waits) -> &mut Option<Wait> {
        match self {
            Self::Rollout => &mut waits.rollout,
            Self::Evidence => &mut waits.evidence,
            Self::Primary => &mut waits.primary,
        }
    }
}

/// How far a rollout is, in pods.
pub(super) fn progress(snapshot: &Snapshot, object: Option<&serde_json::Value>) -> i64 {
    object.map_or(0, |object| snapshot.workload.progress(object))
}

/// The clock of a reason, if it runs.
pub(super) fn wait_of(snapshot: &Snapshot, reason: Reason) -> Option<&Wait> {
    let wait = reason.of(snapshot.status.waits.as_ref()?)?;
    (!snapshot.is_over(wait)).then_some(wait)
}

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

    pub(super) fn weight(mut self, weight: u8) -> Self {
        self.status.canary_weight = Some(i64::from(weight));
        self.status.wanted_weight = None;
        self
    }

    /// Every count of an analysis at zero, and every clock.
    pub(super) fn fresh_counts(mut self) -> Self {
        self.status.iterations = Some(0);
        self.status.failed_checks = Some(0);
        self.status.held_checks = None;
        self.status.waits = None;
        self
    }

    /// The counts of an analysis that starts again from its first weight; its clocks go on.
    pub(super) fn from_first_weight(mut self) -> Self {
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

    /// The analysis has taken a step: the interval counts from here.
    pub(super) fn steps(mut self) -> Self {
        self.status.stepped_at = Some(Time(self.snapshot.now));
        self
    }

    pub(super) fn target(mut self, target: TargetScale) -> Self {
        self.status.scale.get_or_insert_default().target = target;
        self
    }

    /// The clock of a reason runs: from now, or since it began.
    pub(super) fn waits(mut self, reason: Reason) -> Self {
        let wait = wait_of(self.snapshot, reason).cloned();
        let best = match reason {
            Reason::Rollout => Some(progress(self.snapshot, self.snapshot.target())),
            Reason::Primary => Some(progress(self.snapshot, self.snapshot.primary())),
            Reason::Evidence => None,
        };
        let waits = self.status.waits.get_or_insert_default();
        *reason.slot(waits) = Some(match wait {
            Some(wait) => Wait { gone: None, ..wait },
            None => Wait {
                since: Time(self.snapshot.now),
                gone: None,
                best,
            },
        });
        self
    }

    /// A rollout has come further than ever: its clock begins anew.
    pub(super) fn progressed(mut self, reason: Reason, best: i64) -> Self {
        let waits = self.status.waits.get_or_insert_default();
        *reason.slot(waits) = Some(Wait {
            since: Time(self.snapshot.now),
            gone: None,
            best: Some(best),
        });
        self
    }

    /// The reason is gone: if it stays so for an interval, its clock begins anew when it returns.
    pub(super) fn waits_no_more(mut self, reason: Reason) -> Self {
        let snapshot = self.snapshot;
        let wait = wait_of(snapshot, reason).cloned();
        let now = Time(snapshot.now);
        if let Some(waits) = &mut self.status.waits {
            *reason.slot(waits) = wait
                .filter(|wait| !has_been_gone(snapshot, wait))
                .map(|wait| Wait {
                    gone: wait.gone.or(Some(now)),
                    ..wait
                });
            if *waits == Waits::default() {
                self.status.waits = None;
            }
        }
        self
    }

    /// There is evidence: its clock stands.
    pub(super) fn has_evidence(mut self) -> Self {
        self.status.held_checks = None;
        if let Some(waits) = &mut self.status.waits {
            waits.evidence = None;
            if *waits == Waits::default() {
                self.status.waits = None;
            }
        }
        self
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

    pub(super) fn warning(self, message: String) -> Self {
        self.event(EventType::Warning, message, false)
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

    /// Completes the claim: number, time, and the objects that differ from what the new status
    /// says. Objects of the step that this one overtakes are taken over, so that a late writer of
    /// the old step meets a conflict; where nothing is known of earlier steps, all are named. A
    /// claim that takes traffic off names the route, and besides it only what it takes over.
    pub(super) fn into_decision(mut self, outstanding: &Outstanding, reason: &str) -> Decision {
        let snapshot = self.snapshot;
        let mut reason = reason.to_owned();
        let shown = snapshot.weight();
        if wanted_weight(&self.status) < shown
            && !snapshot.primary_can_carry()
            && snapshot.canary_available() > 0
        {
            // Traffic goes back to the primary only when it can carry it.
            self = self.weight(shown);
            reason = format!("{reason}; the canary keeps {shown} % until the primary is ready");
        }
        self.complete(&reason);
        let takes_off =
            wanted_weight(&self.status) < shown || snapshot.unreadable_route.is_some();
        let desired = desired(snapshot, &self.status);
        let differing = desired.differing(snapshot);
        let mut named: BTreeSet<Key> = if self.is_word_only {
            BTreeSet::new()
        } else if takes_off {
            let mut named = differing;
            named.retain(|key| snapshot.holds_weight(key));
            named
        } else {
            self.count_repairs(outstanding, &differing);
            let mut named = differing;
            named.retain(|key| !outstanding::is_put_off(snapshot, key));
            named.extend(outstanding.carried().cloned());
            named
        };
        named.extend(outstanding.unfinished.iter().cloned());
        named.extend(outstanding.unconfirmed.iter().cloned());
        if snapshot.status.step.is_none() && !self.is_word_only {
            named.extend(desired.objects.iter().map(|wanted| wanted.key.clone()));
        }
        // What is neither there nor to be there would be unfinished for ever.
        named.retain(|key| snapshot.objects.contains_key(key) || desired.get(key).is_some());
        self.note_traffic(outstanding, &named);
        let Self {
            mut status,
            mut events,
            asked,
            is_independent,
            is_word_only,
            ..
        } = self;
        bounds::of_events(&mut events);
        let step = ClaimedStep {
            number: snapshot.step_number().saturating_add(1),
            time: Time(snapshot.now),
            events,
            objects: named.iter().map(|key| recorded(snapshot, key)).collect(),
        };
        records::note(snapshot, &mut status, &step, asked);
        let mut writes = writes(snapshot, &desired, named, takes_off);
        writes.is_independent |= is_independent;
        if is_word_only {
            writes.objects.clear();
        }
        status.step = Some(step);
        bounds::of_status(&mut status);
        Decision {
            step: Step::Claim(Box::new(Claimed { status, writes })),
            reason,
            problems: Vec::new(),
        }
    }

    /// What every claim says.
    fn complete(&mut self, reason: &str) {
        let snapshot = self.snapshot;
        let status = &mut self.status;
        status.reason = Some(reason.to_owned());
        status.observed_generation = snapshot.canary.metadata.generation;
        let last = status.last_transition_time.as_ref().map(|time| time.0);
        let now = last.map_or(snapshot.now, |last| last.max(snapshot.now));
        status.last_transition_time = Some(Time(now));
        status.failed_checks.get_or_insert(0);
        status.iterations.get_or_insert(0);
        let wanted = wanted_weight(status);
        status.canary_weight = Some(i64::from(wanted));
        status.wanted_weight = None;
        if snapshot.canary.spec.suspend != Some(true) {
            status.suspended_since = None;
        }
        if status.phase.is_some() {
            let layout = status.layout.get_or_insert_with(|| layout_of(snapshot));
            if status.phase != Some(Phase::Initializing) && status.phase != Some(Phase::Terminating)
            {
                layout.primary_is_new = false;
                layout.clients_moved = true;
            }
            note_scale(snapshot, status);
        }
        let is_analysed = matches!(
            status.phase,
            Some(Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting)
        );
        if !is_analysed {
            status.settings = None;
        } else if snapshot.problems.is_empty() {
            status.settings = terms::settings(&snapshot.canary);
        }
        status.state = status.phase.map(|phase| words::state(phase).to_owned());
        status.canary_revision.clone_from(&status.last_applied_spec);
        let unwell = self.unwell.as_ref().map(|(reason, text)| (*reason, &**text));
        conditions::set_health(status, unwell, snapshot.now);
    }

    /// Repairs are counted by whose change they undo, and a fight is said once.
    fn count_repairs(&mut self, outstanding: &Outstanding, differing: &BTreeSet<Key>) {
        if matches!(
            self.snapshot.phase(),
            None | Some(Phase::Initializing | Phase::Terminating)
        ) {
            return;
        }
        let is_ours = |key: &&Key| self.snapshot.objects.contains_key(key);
        let repaired: BTreeSet<Key> = outstanding
            .drifted
            .iter()
            .filter(|key| differing.contains(*key))
            .filter(|key| is_ours(key) || !self.snapshot.unread.contains(*key))
            .cloned()
            .collect();
        let said = outstanding::count_repairs(self.snapshot, &mut self.status, &repaired);
        if let Some(said) = said {
            self.events.push(StepEvent {
                r#type: EventType::Warning,
                message: said,
                when_shown: false,
            });
        }
    }

    /// Remembers which step moved traffic, and when, so that later writes of the same objects for
    /// other reasons put nothing off.
    fn note_traffic(&mut self, outstanding: &Outstanding, named: &BTreeSet<Key>) {
        let snapshot = self.snapshot;
        let before = snapshot.layout();
        let after = self.status.layout.clone().unwrap_or_default();
        let leads = |key: &Key| outstanding::leads_clients(snapshot, key);
        let moves = wanted_weight(&self.status) != snapshot.weight()
            || snapshot.unreadable_route.is_some()
            || after.clients_moved != before.clients_moved
            || after.given_back != before.given_back
            || outstanding.unfinished.iter().any(leads);
        let traffic = self.status.traffic.get_or_insert_default();
        if moves && !self.is_word_only {
            *traffic = Traffic {
                step: snapshot.step_number().saturating_add(1),
                moved_at: None,
                ..traffic.clone()
            };
        } else if named.iter().any(leads) {
            traffic.moved_at = snapshot.moved_at().map(Time);
        }
        if self.status.traffic == Some(Traffic::default()) {
            self.status.traffic = None;
        }
    }
}

/// Whether the reason was away at an earlier pass, an interval ago, and is at this one.
fn has_been_gone(snapshot: &Snapshot, wait: &Wait) -> bool {
    let gone = wait.gone.as_ref().map(|gone| gone.0);
    gone.is_some_and(|gone| snapshot.now.duration_since(gone) >= snapshot.terms.drain())
}

fn layout_of(snapshot: &Snapshot) -> Layout {
    Layout {
        clients_moved: snapshot.layout().clients_moved,
        ..terms::layout(&snapshot.canary, &snapshot.policy)
    }
}

fn note_scale(snapshot: &Snapshot, status: &mut CanaryStatus) {
    let target = crate::pass::snapshot::target_scale(status, snapshot.target_replicas());
    let scale = status.scale.get_or_insert(Scale {
        target,
        ..Scale::default()
    });
    if snapshot.primary_replicas() > 0 {
        scale.primary = Some(snapshot.primary_replicas());
    }
}

fn recorded(snapshot: &Snapshot, key: &Key) -> StepObject {
    StepObject {
        api_version: key.kind.api_version(),
        kind: key.kind.kind.to_owned(),
        name: key.name.clone(),
        resource_version: snapshot.resource_version(key).to_owned(),
    }
}

/// The writes of these objects in their order: what others rely on first, and traffic before pods;
/// where traffic is taken off, that before everything.
fn writes(
    snapshot: &Snapshot,
    desired: &Desired,
    named: impl IntoIterator<Item = Key>,
    takes_traffic_off: bool,
) -> Writes {
    let mut ordered: Vec<_> = named
        .into_iter()
        .map(|key| {
            let wanted = desired.get(&key);
            let is_first = takes_traffic_off && snapshot.holds_weight(&key);
            let rank = wanted.map_or(crate::objects::Rank::PreviousConfig, |wanted| wanted.rank);
            let object = wanted.map(|wanted| wanted.object.clone());
            ((!is_first, rank), Write { key, object })
        })
        .collect();
    ordered.sort_by(|(one, a), (other, b)| (one, &a.key).cmp(&(other, &b.key)));
    Writes {
        objects: ordered.into_iter().map(|(_, write)| write).collect(),
        is_independent: takes_traffic_off,
    }
}

/// Goes on with the last claim: what nobody has written since it is written as it was claimed.
pub(super) fn finish(snapshot: &Snapshot, outstanding: &Outstanding, reason: &str) -> Decision {
    let takes_off = snapshot.status_weight() < snapshot.weight();
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
pub(super) fn say(snapshot: &Snapshot, outstanding: &Outstanding, text: String) -> Decision {
    if snapshot.status.reason.as_deref() == Some(&*bounds::reason(&text)) {
        return super::wait(&text);
    }
    Claim::new(snapshot)
        .warning(text.clone())
        .into_decision(outstanding, &text)
}

/// The same while a clock runs: from the first such pass.
pub(super) fn hold(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    reason: Reason,
    text: String,
) -> Decision {
    let runs = wait_of(snapshot, reason).is_some_and(|wait| wait.gone.is_none());
    if runs {
        return say(snapshot, outstanding, text);
    }
    Claim::new(snapshot)
        .waits(reason)
        .warning(text.clone())
        .into_decision(outstanding, &text)
}
