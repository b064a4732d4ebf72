//! How a decision becomes a claim: the next status and the objects that it will write.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{
    CanaryStatus, CheckStatus, EventType, Phase, Step as ClaimedStep, StepEvent, StepObject, Totals,
};
use crate::objects::metadata::writers;
use crate::objects::{Key, services};
use crate::pass::converge::plan::{differing, plan};
use crate::pass::snapshot::{Revision, Snapshot, percent};
use crate::pass::step::{Decision, Step};
use crate::pass::totals;

use super::NORMAL;
use super::conditions::{self, Cause};
use super::records;

/// More texts than this are not posted for one step; the API server's patience is not ours.
const EVENTS_MAX: usize = 5;

/// How far the cluster is from what status says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// Claimed, and written by nobody since: to be finished as claimed.
    pub(super) open: BTreeSet<Key>,
    /// Not as status says for another reason: to be claimed anew.
    pub(super) drift: BTreeSet<Key>,
    /// Of the last claim, and not seen to have been written for it.
    unproven: BTreeSet<Key>,
    /// Somebody took traffic off the canary; it is not raised again without a gate.
    pub(super) lowered: bool,
    /// Who, where it can be told.
    pub(super) lowered_by: Option<String>,
}

impl Gap {
    pub(super) fn of(snapshot: &Snapshot, wrong: &BTreeSet<Key>) -> Self {
        let open = snapshot.open();
        let route_is_open = open.iter().any(|key| snapshot.is_route(key));
        let lowered = snapshot
            .route_weight
            .is_some_and(|shown| shown < snapshot.status_weight())
            && !route_is_open;
        let drift = wrong
            .iter()
            .filter(|key| !open.contains(*key))
            .filter(|key| !lowered || !snapshot.is_route(key))
            .cloned()
            .collect();
        let lowered_by = if lowered { last_writer(snapshot) } else { None };
        Self {
            open,
            drift,
            unproven: snapshot.unproven(),
            lowered,
            lowered_by,
        }
    }

    fn carried(&self) -> impl Iterator<Item = &Key> {
        self.open.iter().chain(&self.drift)
    }
}

/// The field manager that wrote the route last, if not we.
fn last_writer(snapshot: &Snapshot) -> Option<String> {
    let routes = snapshot.router.keys(&snapshot.names).into_iter();
    let last = routes
        .filter_map(|key| snapshot.objects.get(&key))
        .flat_map(|route| writers(route))
        .max_by_key(|entry| entry["time"].as_str().unwrap_or_default().to_owned())?;
    last["manager"]
        .as_str()
        .filter(|by| *by != crate::pass::FIELD_MANAGER)
        .map(str::to_owned)
}

/// The next status while it is put together.
pub(super) struct Claim<'a> {
    snapshot: &'a Snapshot,
    status: CanaryStatus,
    events: Vec<StepEvent>,
    /// Whether the checks are this step's own.
    asked: bool,
}

impl<'a> Claim<'a> {
    /// The same phase, something else in it.
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            status: snapshot.status.clone(),
            events: Vec::new(),
            asked: false,
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
        claim.status.held_since = None;
        claim
    }

    pub(super) fn weight(mut self, weight: u8) -> Self {
        self.status.canary_weight = Some(i64::from(weight));
        self
    }

    /// Every count of an analysis at zero.
    pub(super) fn fresh_counts(mut self) -> Self {
        self.status.iterations = Some(0);
        self.status.failed_checks = Some(0);
        self.status.held_checks = None;
        self.status.held_since = None;
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
        })
    }

    pub(super) fn edit(mut self, edit: impl FnOnce(&mut CanaryStatus)) -> Self {
        edit(&mut self.status);
        self
    }

    pub(super) fn normal(self, message: String) -> Self {
        self.event(NORMAL, message)
    }

    pub(super) fn warning(self, message: String) -> Self {
        self.event(EventType::Warning, message)
    }

    fn event(mut self, r#type: EventType, message: String) -> Self {
        self.events.push(StepEvent { r#type, message });
        self
    }

    /// Completes the claim: number, time, and the objects that differ from what the new status
    /// says. Objects of the step that this one overtakes are taken over, so that a late writer of
    /// the old step meets a conflict; where nothing is known of earlier steps, all are named.
    pub(super) fn because(self, gap: &Gap, reason: &str) -> Decision {
        let Self {
            snapshot,
            mut status,
            mut events,
            asked,
        } = self;
        let shown = snapshot.weight();
        let mut reason = reason.to_owned();
        let lowers = percent(status.canary_weight) < shown;
        if lowers && !snapshot.primary_can_carry() && snapshot.target_replicas() > 0 {
            // Traffic goes back to the primary only when it can carry it.
            status.canary_weight = Some(i64::from(shown));
            reason = format!("{reason}; the canary keeps {shown} % until the primary is ready");
        }
        events.truncate(EVENTS_MAX);
        status.reason = Some(reason.clone());
        status.observed_generation = snapshot.canary.metadata.generation;
        let last = status.last_transition_time.map(|time| time.0);
        let now = last.map_or(snapshot.now, |last| last.max(snapshot.now));
        status.last_transition_time = Some(Time(now));
        status.failed_checks.get_or_insert(0);
        status.iterations.get_or_insert(0);
        status.canary_weight.get_or_insert(0);
        conditions::set_health(&mut status, snapshot.now);
        let route = snapshot.router.fields(&snapshot.view());
        status.named = Some(services::named::of(&snapshot.view(), route));
        let planned = match plan(snapshot, &status) {
            Ok(planned) => planned,
            Err(problem) => return super::refuse(problem),
        };
        let mut named = differing(snapshot, &planned);
        named.extend(gap.carried().chain(&gap.unproven).cloned());
        // What is neither there nor to be there would be unfinished for ever.
        let is_planned = |key: &Key| planned.iter().any(|wanted| wanted.key == *key);
        named.retain(|key| snapshot.objects.contains_key(key) || is_planned(key));
        if snapshot.status.step.is_none() {
            named.extend(planned.into_iter().map(|wanted| wanted.key));
        }
        let step = ClaimedStep {
            number: snapshot.step_number() + 1,
            time: Time(snapshot.now),
            events,
            objects: named.iter().map(|key| recorded(snapshot, key)).collect(),
        };
        records::note(snapshot, &mut status, &step, asked);
        status.step = Some(step);
        Decision {
            step: Step::Claim(Box::new(status)),
            reason,
        }
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

/// The rest of the last claim, or the repair of what has drifted: each is this pass's one step.
/// Where there is both, one claim takes the rest over and repairs, so that a pass that was killed
/// costs no more than one other.
pub(super) fn unfinished(snapshot: &Snapshot, gap: &Gap) -> Option<Decision> {
    if !gap.drift.is_empty() {
        let verb = match snapshot.phase() {
            Some(Phase::Initializing) => "setting up",
            _ => "restoring",
        };
        let reason = format!("{verb} {}", list(gap.carried()));
        return Some(Claim::new(snapshot).because(gap, &reason));
    }
    if !gap.open.is_empty() {
        let reason = format!(
            "finishing step {}: {}",
            snapshot.step_number(),
            list(gap.carried())
        );
        return Some(Decision {
            step: Step::Finish,
            reason,
        });
    }
    None
}

/// Says once what is awaited; later passes wait in silence.
pub(super) fn say(snapshot: &Snapshot, gap: &Gap, text: String) -> Decision {
    if snapshot.status.reason.as_deref() == Some(&text) {
        return Decision {
            step: Step::Wait,
            reason: text,
        };
    }
    Claim::new(snapshot)
        .warning(text.clone())
        .because(gap, &text)
}

/// The same while an analysis or a promotion is held: from the first such pass the clock runs.
pub(super) fn hold(snapshot: &Snapshot, gap: &Gap, text: String) -> Decision {
    if snapshot.status.held_since.is_some() {
        return say(snapshot, gap, text);
    }
    let held = |status: &mut CanaryStatus| status.held_since = Some(Time(snapshot.now));
    Claim::new(snapshot)
        .edit(held)
        .warning(text.clone())
        .because(gap, &text)
}

fn list<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    keys.map(Key::to_string).collect::<Vec<_>>().join(", ")
}
