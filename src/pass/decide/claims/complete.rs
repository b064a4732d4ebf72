//! How a claim is completed: what every claim says, and which objects it names.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{
    CanaryStatus, EventType, Layout, Phase, Scale, Step as ClaimedStep, StepEvent, StepObject,
    Traffic,
};
use crate::objects::{Key, services};
use crate::pass::desired::{Desired, desired};
use crate::pass::snapshot::{Snapshot, wanted_traffic};
use crate::pass::step::{Claimed, Decision, Step, Write, Writes};
use crate::pass::terms::{self, layout};

use super::outstanding::{self, Outstanding};
use super::{Claim, bounds};
use crate::pass::decide::{conditions, records, words};

impl Claim<'_> {
    /// Completes the claim: number, time, and the objects that differ from what the new status
    /// says. Objects of the step that this one overtakes are taken over, so that a late writer of
    /// the old step meets a conflict; where nothing is known of earlier steps, all are named. A
    /// claim that takes traffic off names the route, and besides it only what it takes over.
    pub(in crate::pass::decide) fn into_decision(
        mut self,
        outstanding: &Outstanding,
        reason: &str,
    ) -> Decision {
        let snapshot = self.snapshot;
        let mut reason = reason.to_owned();
        let shown = snapshot.shown();
        if shown.answered().exceeds(self.wanted().answered())
            && !snapshot.primary_can_carry()
            && snapshot.canary_available() > 0
        {
            // Traffic goes back to the primary only when it can carry it.
            self = self.traffic(shown);
            let share = words::share(shown);
            reason = format!("{reason}; the canary keeps {share} until the primary is ready");
        }
        self.complete(&reason);
        let takes_off = self.wanted().only_takes_from(shown) || snapshot.unreadable_route.is_some();
        let desired = desired(snapshot, &self.status);
        self.note_primary(&desired);
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
        // Where nothing is known of earlier claims, a late write may be under way anywhere.
        let is_first = snapshot.status.step.is_none() || snapshot.status.phase.is_none();
        if is_first && self.status.phase.is_some() {
            named.extend(desired.objects.iter().map(|wanted| wanted.key.clone()));
        }
        // What is neither there nor to be there would be unfinished for ever. Where something could not
        // be read, what is to be there is not known: a late pass may still write it.
        let may_come = |key: &Key| {
            desired.get(key).is_some()
                || (!snapshot.unreachable.is_empty() && outstanding.unfinished.contains(key))
        };
        named.retain(|key| snapshot.objects.contains_key(key) || may_come(key));
        self.note_traffic(outstanding, &named, &desired);
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
            objects: named
                .iter()
                .map(|key| recorded(snapshot, key))
                .chain(snapshot.unseen().cloned())
                .collect(),
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

    fn wanted(&self) -> crate::routers::Traffic {
        wanted_traffic(&self.snapshot.canary, &self.status)
    }

    /// What every claim says.
    fn complete(&mut self, reason: &str) {
        let snapshot = self.snapshot;
        self.set_traffic(self.wanted());
        let status = &mut self.status;
        status.reason = Some(reason.to_owned());
        status.observed_generation = snapshot.canary.metadata.generation;
        keep_finished(snapshot, status);
        let last = status.last_transition_time.as_ref().map(|time| time.0);
        let now = last.map_or(snapshot.now, |last| last.max(snapshot.now));
        status.last_transition_time = Some(Time(now));
        status.failed_checks.get_or_insert(0);
        status.iterations.get_or_insert(0);
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
        let route = snapshot.router.fields(&snapshot.view());
        status.named = Some(services::named::of(&snapshot.view(), route));
        status.state = status.phase.map(|phase| words::state(phase).to_owned());
        status.canary_revision.clone_from(&status.last_applied_spec);
        let is_led_past_the_primary = status
            .traffic
            .as_ref()
            .is_some_and(|traffic| traffic.before.is_some());
        let primary_down = (is_led_past_the_primary && snapshot.primary_available() == 0)
            .then(|| words::primary_is_dead(&snapshot.names));
        let unwell = match (&self.unwell, &primary_down) {
            (Some((reason, text)), _) => Some((*reason, &**text)),
            (None, Some(text)) => Some((conditions::PRIMARY_DOWN, &**text)),
            (None, None) => None,
        };
        conditions::set_health(status, unwell, snapshot.now);
    }

    /// The replicas that the primary should have: one that is lost is made again with as many.
    fn note_primary(&mut self, desired: &Desired) {
        let snapshot = self.snapshot;
        let primary = desired.get(&snapshot.primary_key());
        let replicas = primary.map(|primary| snapshot.workload.replicas(&primary.object));
        if let Some(scale) = &mut self.status.scale
            && let Some(replicas) = replicas.filter(|replicas| *replicas > 0)
        {
            scale.primary_replicas = Some(replicas);
        }
    }

    /// Repairs are counted by whose change they undo, and a fight is said once.
    fn count_repairs(&mut self, outstanding: &Outstanding, differing: &BTreeSet<Key>) {
        if matches!(
            self.snapshot.phase(),
            None | Some(Phase::Initializing | Phase::Terminating)
        ) {
            return;
        }
        let repaired: BTreeSet<Key> = outstanding
            .drifted
            .iter()
            .filter(|key| differing.contains(*key))
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
    fn note_traffic(
        &mut self,
        outstanding: &Outstanding,
        named: &BTreeSet<Key>,
        desired: &Desired,
    ) {
        let snapshot = self.snapshot;
        // Clients are led elsewhere, or back.
        let apex = snapshot.apex_key();
        let wanted = desired.get(&apex).map(|wanted| &wanted.object["spec"]);
        let live = snapshot.objects.get(&apex).map(|object| &object["spec"]);
        let is_led_elsewhere = named.contains(&apex) && wanted.is_some() && wanted != live;
        let before = snapshot.layout();
        let after = self.status.layout.clone().unwrap_or_default();
        let leads = |key: &Key| outstanding::leads_clients(snapshot, key);
        let moves = self.wanted() != snapshot.shown()
            || snapshot.unreadable_route.is_some()
            || after.clients_moved != before.clients_moved
            || after.given_back != before.given_back
            || is_led_elsewhere
            || outstanding.unfinished.iter().any(leads)
            || named
                .iter()
                .any(|key| leads(key) && !snapshot.objects.contains_key(key));
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

/// When the last step of the analysis was finished shows by its claim: one that takes no step keeps
/// it, so that the step is observed for as long as before.
fn keep_finished(snapshot: &Snapshot, status: &mut CanaryStatus) {
    let stepped = &mut status.stepped_at;
    if *stepped == snapshot.status.stepped_at
        && let (Some(stepped), Some(finished)) = (stepped, snapshot.finished_at())
    {
        stepped.0 = stepped.0.max(finished);
    }
}

fn layout_of(snapshot: &Snapshot) -> Layout {
    Layout {
        clients_moved: snapshot.layout().clients_moved,
        ..layout::wanted(&snapshot.canary, &snapshot.policy)
    }
}

fn note_scale(snapshot: &Snapshot, status: &mut CanaryStatus) {
    let target = crate::pass::snapshot::target_scale(status, snapshot.target_replicas());
    status.scale.get_or_insert(Scale {
        target,
        ..Scale::default()
    });
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
pub(in crate::pass::decide) fn writes(
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
