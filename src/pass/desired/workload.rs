//! What primary and target should be, by status; what that means for their objects, the workload
//! says.

use crate::api::status::{CanaryStatus, Phase, TargetScale};
use crate::objects::hash::template_hash;
use crate::pass::snapshot::{Snapshot, target_scale, wanted_traffic};
use crate::workloads::{Intent, PrimaryIntent, TargetIntent};

/// Both sides as they should be.
pub(super) fn intent<'a>(snapshot: &'a Snapshot, status: &'a CanaryStatus) -> Intent<'a> {
    let is_ending = status.phase == Some(Phase::Terminating);
    Intent {
        primary: match snapshot.primary() {
            _ if is_ending => PrimaryIntent::Leave,
            Some(_) => existing(snapshot, status),
            None => made(snapshot, status),
        },
        primary_awake: awake(snapshot, status),
        target: match target_scale(status, snapshot.target_replicas()) {
            TargetScale::AsItIs => TargetIntent::AsItIs,
            TargetScale::Up if is_ending => TargetIntent::InPlaceOfPrimary,
            TargetScale::Up => TargetIntent::Up,
            TargetScale::Zero => TargetIntent::Zero,
        },
    }
}

/// A primary that is there: its template changes in a promotion, and in the healing of one.
fn existing<'a>(snapshot: &'a Snapshot, status: &'a CanaryStatus) -> PrimaryIntent<'a> {
    if is_to_be_copied(snapshot, status) {
        let flagger_id = snapshot.flagger_id(status);
        return PrimaryIntent::Copy { flagger_id };
    }
    if is_to_be_made_anew(snapshot, status) {
        let flagger_id = first_id(snapshot, snapshot.copy_hash());
        return PrimaryIntent::Recreate { flagger_id };
    }
    if status.phase == Some(Phase::Failed) && status.previous_spec.is_some() {
        let has_earlier = snapshot.has_earlier(status);
        let earlier = (!has_earlier).then(|| snapshot.earlier_template(status));
        return PrimaryIntent::PutBack {
            template: earlier.flatten(),
        };
    }
    let is_copied = status.phase == Some(Phase::Promoting)
        && status.previous_spec.is_some()
        && snapshot.is_copied(status);
    PrimaryIntent::Keep {
        replicas_min: raised(snapshot, status),
        checksums: if is_copied {
            status.tracked_configs.as_ref()
        } else {
            status.promoted_configs.as_ref()
        },
    }
}

/// A primary that is to take traffic from the canary needs pods for it, whoever took them away.
fn awake(snapshot: &Snapshot, status: &CanaryStatus) -> Option<i64> {
    let is_ending = matches!(
        status.phase,
        Some(Phase::Promoting | Phase::Finalising | Phase::Failed)
    );
    let has_traffic = snapshot.weight() > 0 || wanted_traffic(&snapshot.canary, status).canary > 0;
    (is_ending && has_traffic).then(|| had_replicas(status).unwrap_or(1).max(1))
}

/// The replicas that the primary had when they were last noted.
fn had_replicas(status: &CanaryStatus) -> Option<i64> {
    let scale = status.scale.as_ref();
    scale.and_then(|scale| scale.primary_replicas)
}

/// Whether a promotion has this primary's template still to be copied. Only what was analysed is:
/// where another template has come, the next decision starts over with it.
fn is_to_be_copied(snapshot: &Snapshot, status: &CanaryStatus) -> bool {
    snapshot.target().is_some()
        && status.phase == Some(Phase::Promoting)
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
    snapshot.target().is_some()
        && status.phase == Some(Phase::Initializing)
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
fn made<'a>(snapshot: &'a Snapshot, status: &CanaryStatus) -> PrimaryIntent<'a> {
    let Some(target) = snapshot.target() else {
        return PrimaryIntent::Leave;
    };
    let revision = snapshot.revision();
    let is_first = status.phase == Some(Phase::Initializing);
    let is_analysed = matches!(status.phase, Some(Phase::Promoting | Phase::Finalising))
        && snapshot.is_applied(&revision);
    if !is_first && !is_analysed && !snapshot.is_promoted(&revision) {
        return PrimaryIntent::Leave;
    }
    let restored = snapshot.restored.as_ref().filter(|_| is_first);
    let template = restored.map(|restored| &restored.template);
    let flagger_id = if status.phase == Some(Phase::Promoting) && status.previous_spec.is_some() {
        snapshot.flagger_id(status)
    } else if let Some(template) = template {
        let source = snapshot.workload.with_template(target, template);
        let copy = snapshot
            .workload
            .primary_template(&snapshot.view(), &source);
        first_id(snapshot, Some(template_hash(&copy)))
    } else {
        first_id(snapshot, snapshot.copy_hash())
    };
    PrimaryIntent::Create {
        template,
        replicas_min: had_replicas(status).filter(|_| !is_first),
        flagger_id,
    }
}

/// At rest a count that somebody gave to a target that was at zero is meant for the application:
/// the primary takes it, before the target goes back to zero. With an autoscaler the count is not
/// ours, and neither is the one that a canary had in its analysis.
fn raised(snapshot: &Snapshot, status: &CanaryStatus) -> Option<i64> {
    let count = snapshot.target_replicas();
    let is_at_rest = matches!(
        status.phase,
        Some(Phase::Initialized | Phase::Succeeded | Phase::Failed)
    );
    let was_at_zero = snapshot.target_scale() == TargetScale::Zero
        && target_scale(status, count) == TargetScale::Zero;
    let has_autoscaler = snapshot.canary.spec.autoscaler_ref.is_some();
    (is_at_rest && was_at_zero && !has_autoscaler).then_some(count)
}

/// The id of a primary that has not been promoted to yet, with a template of this hash.
fn first_id(snapshot: &Snapshot, hash: Option<String>) -> String {
    snapshot.flagger_id(&CanaryStatus {
        primary_spec: hash,
        tracked_configs: Some(snapshot.checksums.clone()),
        ..CanaryStatus::default()
    })
}
