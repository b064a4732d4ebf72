//! Desired state: from a snapshot and a status, every object as it should be. There is no question
//! of time or readiness in it: what must wait is a phase or a field of status.

mod workload;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::status::{CanaryStatus, Phase};
use crate::objects::{Key, Problem, Wanted, services};
use crate::pass::snapshot::{Snapshot, wanted_traffic};
use crate::workloads::TargetIntent;

/// Every object that Davy looks after for a canary, as a status says it should be.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// In the order of writing. One that is already so equals the live one.
    pub objects: Vec<Wanted>,
    /// What is wrong where an object cannot be made; the others are not held up by it.
    pub problems: Vec<Problem>,
}

impl Desired {
    fn add(&mut self, snapshot: &Snapshot, wanted: Wanted) {
        let key = &wanted.key;
        if !snapshot.foreign.contains(key) && !snapshot.unread.contains(key) {
            self.objects.push(wanted);
        }
    }

    fn try_add(&mut self, snapshot: &Snapshot, wanted: Result<Wanted, Problem>) {
        match wanted {
            Ok(wanted) => self.add(snapshot, wanted),
            Err(problem) => self.problem(problem),
        }
    }

    fn try_add_all(&mut self, snapshot: &Snapshot, wanted: Result<Vec<Wanted>, Problem>) {
        match wanted {
            Ok(wanted) => {
                for wanted in wanted {
                    self.add(snapshot, wanted);
                }
            }
            Err(problem) => self.problem(problem),
        }
    }

    fn problem(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The object under this key.
    pub fn get(&self, key: &Key) -> Option<&Wanted> {
        self.objects.iter().find(|wanted| wanted.key == *key)
    }

    /// The objects that the cluster does not show as they should be.
    pub fn differing(&self, snapshot: &Snapshot) -> BTreeSet<Key> {
        self.objects
            .iter()
            .filter(|wanted| !snapshot.is_as_wanted(&wanted.key, &wanted.object))
            .map(|wanted| wanted.key.clone())
            .collect()
    }
}

/// Every object as `status` says it should be.
pub fn desired(snapshot: &Snapshot, status: &CanaryStatus) -> Desired {
    let mut desired = Desired::default();
    if status.phase == Some(Phase::Terminating) {
        terminating(snapshot, status, &mut desired);
    } else {
        let primary = sides(snapshot, status, &mut desired);
        let layout = status.layout.clone().unwrap_or_else(|| snapshot.layout());
        services(
            snapshot,
            primary.as_ref(),
            layout.clients_moved,
            &mut desired,
        );
        if layout.clients_moved {
            if let Some(autoscaler) = snapshot.autoscaler
                && primary.is_some()
            {
                let mut scalers = autoscaler.render(&snapshot.view());
                // A primary that takes over has as many pods as the traffic needs, whatever its
                // load was before.
                if let Some(needed) = status.scale.as_ref().and_then(|scale| scale.needed)
                    && let Ok(scalers) = &mut scalers
                {
                    for scaler in scalers {
                        scaler.object = autoscaler.raised(scaler.object.take(), needed);
                    }
                }
                desired.try_add_all(snapshot, scalers);
            }
            let traffic = wanted_traffic(&snapshot.canary, status);
            for route in snapshot.router.render(&snapshot.view(), traffic) {
                desired.add(snapshot, route);
            }
        }
    }
    desired
        .objects
        .sort_by(|a, b| (a.rank, &a.key).cmp(&(b.rank, &b.key)));
    desired
}

/// Primary and target. The primary whose pods there are, or else the one that is to come: Services
/// follow it.
fn sides(snapshot: &Snapshot, status: &CanaryStatus, desired: &mut Desired) -> Option<Value> {
    let intent = workload::intent(snapshot, status);
    let rendered = snapshot.workload.render(&snapshot.view(), &intent);
    let key = snapshot.primary_key();
    let mut objects = rendered.objects.iter();
    let primary = objects.find(|wanted| wanted.key == key);
    let primary = primary.map(|wanted| snapshot.primary().unwrap_or(&wanted.object).clone());
    for wanted in rendered.objects {
        desired.add(snapshot, wanted);
    }
    for problem in rendered.problems {
        desired.problem(problem);
    }
    let is_held = match intent.target {
        TargetIntent::AsItIs => None,
        TargetIntent::Up | TargetIntent::InPlaceOfPrimary => Some(false),
        TargetIntent::Zero => Some(true),
    };
    if let (Some(autoscaler), Some(is_held)) = (snapshot.autoscaler, is_held)
        && let Some(users) = autoscaler.hold(&snapshot.view(), is_held)
    {
        desired.add(snapshot, users);
    }
    primary
}

/// A Canary that goes: the target answers for the application, and what was adopted is given back.
fn terminating(snapshot: &Snapshot, status: &CanaryStatus, desired: &mut Desired) {
    sides(snapshot, status, desired);
    let is_given_back = status
        .layout
        .as_ref()
        .is_some_and(|layout| layout.given_back);
    if !is_given_back {
        return;
    }
    let view = snapshot.view();
    if let Some(apex) = services::give_back(&view, snapshot.target()) {
        desired.add(snapshot, apex);
    }
    for route in snapshot.router.give_back(&view) {
        desired.add(snapshot, route);
    }
}

/// The three Services. Those by which clients find the primary change when they are led there, not
/// before; without a primary they stay as they are.
fn services(
    snapshot: &Snapshot,
    primary: Option<&Value>,
    clients_moved: bool,
    desired: &mut Desired,
) {
    let view = snapshot.view();
    if let Some(target) = snapshot.target() {
        desired.try_add(snapshot, services::canary(&view, target));
    }
    let Some(primary) = primary else { return };
    let primary_service = Key::new(&crate::objects::SERVICE, &*snapshot.names.apex_primary);
    if clients_moved || !snapshot.objects.contains_key(&primary_service) {
        desired.try_add(snapshot, services::primary(&view, primary));
    }
    if clients_moved {
        desired.try_add(snapshot, services::apex(&view, primary));
    }
}
