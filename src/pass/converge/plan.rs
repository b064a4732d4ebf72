//! The pure half of converging: from a snapshot and a status, every object as it should be.
//! It says what; when and whether a step may be taken is decided elsewhere.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::status::{CanaryStatus, Phase};
use crate::objects::{Key, Problem, Rank, SERVICE, Wanted, configs, hash::template_hash, services};
use crate::pass::snapshot::{Snapshot, percent};

/// What status says about the side of the traffic that a phase keeps or gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Not ours to scale yet: the application still runs on it.
    AsItIs,
    Up,
    Zero,
}

/// Every object that Davy looks after for this canary, as status says it should be, in the order
/// of writing. An object that is already so equals the live one.
pub fn plan(snapshot: &Snapshot, status: &CanaryStatus) -> Result<Vec<Wanted>, Problem> {
    let phase = status.phase.unwrap_or(Phase::Initializing);
    let mut wanted = Vec::new();
    if phase == Phase::Terminating {
        wanted.extend(scale(snapshot, Target::Up, status));
        if snapshot.canary_is_up() {
            wanted.extend(services::give_back(&snapshot.view(), snapshot.target()));
            wanted.extend(snapshot.router.restore(&snapshot.view()));
        }
        return Ok(wanted);
    }
    let initializing = phase == Phase::Initializing;
    let target_object = snapshot.target().unwrap_or(&Value::Null);
    wanted.push(services::canary(&snapshot.view(), target_object)?);
    let primary = primary(snapshot, status, phase)?;
    if let Some(wanted_primary) = primary.iter().find(|wanted| wanted.rank == Rank::Primary) {
        // A promotion moves the primary's pods; until it has, the Services lead to those there are.
        let pods = snapshot.primary().unwrap_or(&wanted_primary.object);
        wanted.push(services::primary(&snapshot.view(), pods)?);
        // Clients follow the apex Service: it moves to the primary when that can answer.
        if !initializing || snapshot.primary_is_ready() {
            wanted.push(services::apex(&snapshot.view(), pods)?);
        }
    }
    wanted.extend(primary);
    if !initializing || snapshot.primary_is_ready() {
        if let Some(autoscaler) = snapshot.autoscaler
            && snapshot.primary().is_some()
        {
            wanted.extend(autoscaler.render(&snapshot.view())?);
        }
        wanted.extend(
            snapshot
                .router
                .render(&snapshot.view(), percent(status.canary_weight)),
        );
    }
    wanted.extend(scale(snapshot, target(phase, status), status));
    wanted.sort_by(|a, b| (a.rank, &a.key).cmp(&(b.rank, &b.key)));
    Ok(wanted)
}

/// The objects of a plan that the cluster does not show as they should be.
pub fn differing(snapshot: &Snapshot, plan: &[Wanted]) -> BTreeSet<Key> {
    plan.iter()
        .filter(|wanted| {
            snapshot
                .objects
                .get(&wanted.key)
                .is_none_or(|o| **o != wanted.object)
        })
        .map(|wanted| wanted.key.clone())
        .collect()
}

/// The primary and what its template refers to.
fn primary(
    snapshot: &Snapshot,
    status: &CanaryStatus,
    phase: Phase,
) -> Result<Vec<Wanted>, Problem> {
    let view = snapshot.view();
    let Some(target) = snapshot.target() else {
        return Ok(Vec::new());
    };
    let copies = |mut wanted: Vec<Wanted>, object: Value| {
        wanted.push(Wanted {
            key: snapshot.primary_key(),
            rank: Rank::Primary,
            object,
        });
        wanted
    };
    let Some(live) = snapshot.primary() else {
        // A lost primary comes back only as what was promoted: the target may carry anything.
        let known = phase == Phase::Initializing || snapshot.is_promoted(&snapshot.revision());
        return if known {
            let restored = snapshot.restored.as_ref();
            let restored = restored
                .map(|restored| snapshot.workload.with_template(target, &restored.template));
            let source = restored.as_ref().unwrap_or(target);
            let template = snapshot.workload.template(source);
            let primary = snapshot.workload.new_primary(&view, source);
            let id = snapshot.flagger_id(&initial(snapshot, &primary));
            Ok(copies(
                configs::copies(&view, template)?,
                with_flagger_id(snapshot, &primary, &id),
            ))
        } else {
            Ok(Vec::new())
        };
    };
    if phase == Phase::Promoting && !snapshot.is_copied(status) {
        // Only what was analysed is copied; another template has come, and the next decision
        // starts over with it.
        if snapshot.copy_hash() != status.primary_spec
            || status
                .tracked_configs
                .as_ref()
                .is_some_and(|had| *had != snapshot.checksums)
        {
            return Ok(copies(Vec::new(), live.clone()));
        }
        let template = snapshot.workload.template(target);
        let mut wanted = configs::previous_copies(&view, template)?;
        wanted.extend(configs::copies(&view, template)?);
        let id = snapshot.flagger_id(status);
        return Ok(copies(
            wanted,
            snapshot.workload.promoted(&view, live, target, &id),
        ));
    }
    let healing = phase == Phase::Failed && status.previous_spec.is_some();
    if healing
        && !snapshot.has_earlier(status)
        && let Some(template) = snapshot.earlier_template(status)
    {
        let wanted = configs::restored_copies(&view)?;
        return Ok(copies(
            wanted,
            snapshot.workload.with_template(live, template),
        ));
    }
    Ok(copies(
        Vec::new(),
        raised(snapshot, live, target, phase, status),
    ))
}

/// At rest a count that somebody gave to the target is meant for the application: the primary
/// takes it, before the target goes back to zero. With an autoscaler the count is not ours.
fn raised(
    snapshot: &Snapshot,
    live: &Value,
    target: &Value,
    phase: Phase,
    status: &CanaryStatus,
) -> Value {
    let count = snapshot.workload.replicas(target);
    let at_rest = matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed)
        && status.previous_spec.is_none();
    if at_rest && snapshot.autoscaler.is_none() && count > snapshot.workload.replicas(live) {
        snapshot.workload.scaled(live, count)
    } else {
        live.clone()
    }
}

fn target(phase: Phase, status: &CanaryStatus) -> Target {
    match phase {
        Phase::Initializing | Phase::Waiting | Phase::Terminated => Target::AsItIs,
        Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating => Target::Up,
        // A canary that kept the traffic keeps its pods.
        Phase::Failed if status.previous_spec.is_some() || percent(status.canary_weight) > 0 => {
            Target::Up
        }
        Phase::Initialized | Phase::Succeeded | Phase::Failed => Target::Zero,
    }
}

/// The target with as many replicas as it should have. Between zero and not zero the count
/// belongs to the user and the autoscaler.
fn scale(snapshot: &Snapshot, to: Target, status: &CanaryStatus) -> Option<Wanted> {
    let live = snapshot.target()?;
    let replicas = snapshot.workload.replicas(live);
    let object = match to {
        Target::Up if replicas == 0 => {
            let count = match (status.phase, snapshot.primary()) {
                (Some(Phase::Terminating), Some(primary)) => snapshot.workload.replicas(primary),
                _ => snapshot.workload.replicas_up(&snapshot.view(), live),
            };
            snapshot.workload.scaled(live, count.max(1))
        }
        Target::Zero if replicas != 0 && snapshot.weight() == 0 && snapshot.is_drained() => {
            snapshot.workload.scaled(live, 0)
        }
        Target::AsItIs | Target::Up | Target::Zero => live.clone(),
    };
    Some(Wanted {
        key: snapshot.target_key(),
        rank: Rank::Target,
        object,
    })
}

/// The status by which a first primary is named.
fn initial(snapshot: &Snapshot, primary: &Value) -> CanaryStatus {
    CanaryStatus {
        primary_spec: Some(template_hash(snapshot.workload.template(primary))),
        tracked_configs: Some(snapshot.checksums.clone()),
        ..CanaryStatus::default()
    }
}

fn with_flagger_id(snapshot: &Snapshot, primary: &Value, id: &str) -> Value {
    let mut template = snapshot.workload.template(primary).clone();
    template["metadata"]["annotations"]["flagger-id"] = id.into();
    debug_assert_eq!(
        template_hash(&template),
        template_hash(snapshot.workload.template(primary)),
        "flagger-id is not part of a hash"
    );
    snapshot.workload.with_template(primary, &template)
}

impl Snapshot {
    /// Whether the target can answer for the application again, before its primary goes.
    pub fn canary_is_up(&self) -> bool {
        self.canary_available() > 0 && self.canary_readiness() == crate::workloads::Readiness::Ready
    }

    /// The apex Service, by which clients find the application.
    pub fn apex_key(&self) -> Key {
        Key::new(&SERVICE, &*self.names.apex)
    }
}
