//! The primary and what its template refers to, and the target with its replicas.

use serde_json::Value;

use crate::api::status::{CanaryStatus, Phase, TargetScale};
use crate::objects::{Rank, Wanted, hash::template_hash};
use crate::pass::snapshot::{Snapshot, target_scale, wanted_weight};

use super::{Desired, configs};

/// The primary as it should be, if there is to be one.
pub(super) fn primary(
    snapshot: &Snapshot,
    status: &CanaryStatus,
    desired: &mut Desired,
) -> Option<Value> {
    let object = match snapshot.primary() {
        Some(live) => existing(snapshot, status, live, desired),
        None => made(snapshot, status, desired)?,
    };
    let object = awake(snapshot, status, object);
    desired.add(
        snapshot,
        Wanted {
            key: snapshot.primary_key(),
            rank: Rank::Primary,
            object: object.clone(),
        },
    );
    // Services follow the pods that there are, not those that are to come.
    Some(snapshot.primary().cloned().unwrap_or(object))
}

/// A primary that is there: its template changes in a promotion, and in the healing of one.
fn existing(
    snapshot: &Snapshot,
    status: &CanaryStatus,
    live: &Value,
    desired: &mut Desired,
) -> Value {
    let workload = snapshot.workload;
    let view = snapshot.view();
    let target = snapshot.target();
    if let Some(target) = target
        && is_to_be_copied(snapshot, status)
    {
        let template = workload.template(target);
        configs::before_and_after(snapshot, template, desired);
        let id = snapshot.flagger_id(status);
        return workload.promoted(&view, live, target, &id);
    }
    if let Some(target) = target
        && is_to_be_made_anew(snapshot, status)
    {
        configs::copies(snapshot, workload.template(target), desired);
        let made = workload.promoted(&view, live, target, "");
        let id = snapshot.flagger_id(&initial(snapshot, &made));
        return with_flagger_id(snapshot, &made, &id);
    }
    let healing = status.phase == Some(Phase::Failed) && status.previous_spec.is_some();
    if healing {
        configs::restored(snapshot, desired);
        if !snapshot.has_earlier(status)
            && let Some(template) = snapshot.earlier_template(status)
        {
            return workload.with_template(live, template);
        }
        return live.clone();
    }
    configs::repaired(snapshot, status, desired);
    raised(snapshot, status, live)
}

/// A primary that is to take traffic from the canary needs pods for it, whoever took them away.
fn awake(snapshot: &Snapshot, status: &CanaryStatus, primary: Value) -> Value {
    let is_ending = matches!(
        status.phase,
        Some(Phase::Promoting | Phase::Finalising | Phase::Failed)
    );
    let had = status
        .scale
        .as_ref()
        .and_then(|scale| scale.primary_replicas);
    let has_traffic = snapshot.weight() > 0 || wanted_weight(status) > 0;
    if is_ending && has_traffic && snapshot.workload.replicas(&primary) == 0 {
        return snapshot.workload.scaled(&primary, had.unwrap_or(1).max(1));
    }
    primary
}

/// Whether a promotion has this primary's template still to be copied. Only what was analysed is:
/// where another template has come, the next decision starts over with it.
fn is_to_be_copied(snapshot: &Snapshot, status: &CanaryStatus) -> bool {
    status.phase == Some(Phase::Promoting)
        && status.previous_spec.is_some()
        && !snapshot.is_copied(status)
        && snapshot.copy_hash() == status.primary_spec
        && status
            .tracked_configs
            .as_ref()
            .is_none_or(|had| *had == snapshot.checksums)
}

/// Whether a primary that has never served follows a target that was mended meanwhile.
fn is_to_be_made_anew(snapshot: &Snapshot, status: &CanaryStatus) -> bool {
    let is_new = status
        .layout
        .as_ref()
        .is_some_and(|layout| layout.primary_is_new && !layout.clients_moved);
    status.phase == Some(Phase::Initializing)
        && is_new
        && snapshot.restored.is_none()
        && !snapshot.primary_is_ready()
        && !snapshot.is_stored_as(
            snapshot.copy_hash().as_deref(),
            snapshot.primary_hash().as_deref(),
        )
}

/// A primary that is not there. A lost one comes back only as what was promoted, or what is being:
/// the target may carry anything.
fn made(snapshot: &Snapshot, status: &CanaryStatus, desired: &mut Desired) -> Option<Value> {
    let target = snapshot.target()?;
    let workload = snapshot.workload;
    let revision = snapshot.revision();
    let is_first = status.phase == Some(Phase::Initializing);
    let is_analysed = matches!(status.phase, Some(Phase::Promoting | Phase::Finalising))
        && snapshot.is_applied(&revision);
    if !is_first && !is_analysed && !snapshot.is_promoted(&revision) {
        return None;
    }
    let restored = snapshot.restored.as_ref().filter(|_| is_first);
    let restored = restored.map(|restored| workload.with_template(target, &restored.template));
    let source = restored.as_ref().unwrap_or(target);
    configs::copies(snapshot, workload.template(source), desired);
    let mut primary = workload.new_primary(&snapshot.view(), source);
    if !is_first {
        let had = status
            .scale
            .as_ref()
            .and_then(|scale| scale.primary_replicas);
        let replicas = workload.replicas(&primary).max(had.unwrap_or(0));
        primary = workload.scaled(&primary, replicas);
    }
    let id = if status.phase == Some(Phase::Promoting) && status.previous_spec.is_some() {
        snapshot.flagger_id(status)
    } else {
        snapshot.flagger_id(&initial(snapshot, &primary))
    };
    Some(with_flagger_id(snapshot, &primary, &id))
}

/// At rest a count that somebody gave to a target that was at zero is meant for the application:
/// the primary takes it, before the target goes back to zero. With an autoscaler the count is not
/// ours, and neither is the one that a canary had in its analysis.
fn raised(snapshot: &Snapshot, status: &CanaryStatus, live: &Value) -> Value {
    let count = snapshot.target_replicas();
    let is_at_rest = matches!(
        status.phase,
        Some(Phase::Initialized | Phase::Succeeded | Phase::Failed)
    );
    let was_at_zero = snapshot.target_scale() == TargetScale::Zero
        && target_scale(status, count) == TargetScale::Zero;
    let has_autoscaler = snapshot.canary.spec.autoscaler_ref.is_some();
    if is_at_rest && was_at_zero && !has_autoscaler && count > snapshot.workload.replicas(live) {
        snapshot.workload.scaled(live, count)
    } else {
        live.clone()
    }
}

/// The target with as many replicas as it should have. Between zero and not zero the count
/// belongs to the user and the autoscaler.
pub(super) fn target(snapshot: &Snapshot, status: &CanaryStatus) -> Option<Wanted> {
    let live = snapshot.target()?;
    let replicas = snapshot.workload.replicas(live);
    let object = match target_scale(status, replicas) {
        TargetScale::Up if replicas == 0 => {
            let count = match (status.phase, snapshot.primary()) {
                (Some(Phase::Terminating), Some(primary)) => snapshot.workload.replicas(primary),
                _ => snapshot.workload.replicas_up(&snapshot.view(), live),
            };
            snapshot.workload.scaled(live, count.max(1))
        }
        TargetScale::Zero if replicas != 0 => snapshot.workload.scaled(live, 0),
        TargetScale::AsItIs | TargetScale::Up | TargetScale::Zero => live.clone(),
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
    snapshot.workload.with_template(primary, &template)
}
