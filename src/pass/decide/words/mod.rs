//! The texts of Events: Flagger's, letter for letter, since people and dashboards look for them.

pub(super) mod conditions;

use jiff::SignedDuration;

use crate::api::status::{Layout, Phase};
use crate::objects::{Key, Names};
use crate::pass::snapshot::Snapshot;
use crate::routers::Traffic;

pub(super) fn providers_available() -> String {
    "all the metrics providers are available!".to_owned()
}

pub(super) fn providers_missing(error: &str) -> String {
    format!("Error checking metric providers: {error}")
}

pub(super) fn restored(names: &Names, record: &str) -> String {
    format!(
        "{}.{} starts from the last promoted revision, of {record}",
        names.primary, names.namespace
    )
}

pub(super) fn primary_not_ready(snapshot: &Snapshot, why: &str) -> String {
    let prefix = snapshot.workload.primary_prefix();
    let Names {
        primary, namespace, ..
    } = &snapshot.names;
    format!("{prefix}{primary}.{namespace} not ready: {why}")
}

pub(super) fn canary_not_ready(snapshot: &Snapshot, why: &str) -> String {
    let word = snapshot.workload.word();
    let Names {
        target, namespace, ..
    } = &snapshot.names;
    format!("canary {word} {target}.{namespace} not ready: {why}")
}

pub(super) fn initialized(names: &Names) -> String {
    format!("Initialization done! {}.{}", names.canary, names.namespace)
}

pub(super) fn scaling_up(names: &Names) -> String {
    format!(
        "New revision detected! Scaling up {}.{}",
        names.target, names.namespace
    )
}

pub(super) fn restarting(names: &Names) -> String {
    format!(
        "New revision detected! Restarting analysis for {}.{}",
        names.target, names.namespace
    )
}

pub(super) fn starting(names: &Names) -> String {
    format!(
        "Starting canary analysis for {}.{}",
        names.target, names.namespace
    )
}

pub(super) fn weights_unsupported() -> [String; 2] {
    [
        "Progressive traffic is not supported when using the kubernetes provider".to_owned(),
        "Setting canaryAnalysis.iterations: 10".to_owned(),
    ]
}

/// The canary's share of the traffic.
pub(super) fn share(traffic: Traffic) -> String {
    let weight = traffic.canary;
    let of = if traffic.matched {
        " of the requests that match"
    } else {
        ""
    };
    let copies = if traffic.mirror { " and copies" } else { "" };
    format!("{weight} %{of}{copies}")
}

pub(super) fn weight(names: &Names, weight: u8) -> String {
    format!(
        "Advance {}.{} canary weight {weight}",
        names.canary, names.namespace
    )
}

pub(super) fn iteration(names: &Names, iteration: i64, total: i64) -> String {
    format!(
        "Advance {}.{} canary iteration {iteration}/{total}",
        names.canary, names.namespace
    )
}

pub(super) fn all_to_canary() -> String {
    "Routing all traffic to canary".to_owned()
}

pub(super) fn all_to_canary_after_mirroring() -> String {
    "Stop traffic mirroring and route all traffic to canary".to_owned()
}

pub(super) fn copying(names: &Names) -> String {
    let Names {
        target,
        primary,
        namespace,
        ..
    } = names;
    format!("Copying {target}.{namespace} template spec to {primary}.{namespace}")
}

pub(super) fn all_to_primary() -> String {
    "Routing all traffic to primary".to_owned()
}

pub(super) fn primary_weight(names: &Names, weight: u8) -> String {
    format!(
        "Advance {}.{} primary weight {weight}",
        names.canary, names.namespace
    )
}

pub(super) fn promoted(names: &Names) -> String {
    format!(
        "Promotion completed! Scaling down {}.{}",
        names.target, names.namespace
    )
}

pub(super) fn skipped(names: &Names) -> String {
    let Names {
        target, namespace, ..
    } = names;
    format!("Promotion completed! Canary analysis was skipped for {target}.{namespace}")
}

/// Ours: Flagger analyses a target that was set back, and promotes it once more.
pub(super) fn reverting(names: &Names) -> String {
    let Names {
        target, namespace, ..
    } = names;
    format!("{target}.{namespace} was set back to the promoted revision! Ending analysis")
}

/// Ours, see `reverting`.
pub(super) fn reverted(names: &Names) -> String {
    format!(
        "Analysis ended! Scaling down {}.{}",
        names.target, names.namespace
    )
}

/// Ours: Flagger asks on for what was taken back.
pub(super) fn withdrawn(names: &Names) -> String {
    let Names {
        target, namespace, ..
    } = names;
    format!("{target}.{namespace} was set back to the promoted revision before it was approved")
}

pub(super) fn threshold_reached(names: &Names, failed: i64) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!("Rolling back {canary}.{namespace} failed checks threshold reached {failed}")
}

pub(super) fn called_back(names: &Names) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!("Rolling back {canary}.{namespace} manual webhook invoked")
}

pub(super) fn failed(names: &Names) -> String {
    format!(
        "Canary failed! Scaling down {}.{}",
        names.canary, names.namespace
    )
}

/// Ours: Flagger says no more than that the canary failed.
pub(super) fn rolling_back(names: &Names, cause: &str) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!("Rolling back {canary}.{namespace}: {cause}")
}

/// Ours, like all that follow up to `promotion_failed`: Flagger's log says it, or nobody.
pub(super) fn refused(names: &Names, why: &str) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!("Canary {canary}.{namespace} does not advance: {why}")
}

pub(super) fn target_missing(snapshot: &Snapshot) -> String {
    let names = &snapshot.names;
    let kind = snapshot.workload.kind().kind;
    format!(
        "spec.targetRef: {kind} {}/{} does not exist",
        names.namespace, names.target
    )
}

pub(super) fn primary_is_dead(names: &Names) -> String {
    let Names {
        primary, namespace, ..
    } = names;
    format!("{primary}.{namespace} has no ready pods! Routing all traffic to canary")
}

pub(super) fn primary_is_back(names: &Names, weight: u8) -> String {
    let Names {
        primary, namespace, ..
    } = names;
    format!("{primary}.{namespace} is ready again! The canary is back at weight {weight}")
}

pub(super) fn primary_lost(names: &Names) -> String {
    let Names {
        primary,
        target,
        namespace,
        ..
    } = names;
    format!(
        "{primary}.{namespace} is missing, and {target} carries another revision than the promoted \
         one: set it back, or release another revision"
    )
}

pub(super) fn rival(names: &Names, rival: &Key) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!(
        "{rival} in {namespace} claims the same hosts as Canary {canary}: the mesh may not split \
         the traffic"
    )
}

pub(super) fn adopted(names: &Names, object: &str) -> String {
    format!(
        "{object} in {} was there before, and is managed from now on",
        names.namespace
    )
}

pub(super) fn moving(names: &Names, to: &Layout) -> String {
    format!(
        "Moving {}.{} to {} {}, Service {}, provider {}",
        names.canary, names.namespace, to.target_kind, to.target, to.service, to.provider
    )
}

pub(super) fn gap_in_passes(names: &Names, gap: SignedDuration) -> String {
    let minutes = SignedDuration::from_mins(gap.as_mins());
    format!(
        "No pass was made for {minutes:#} in the middle of the analysis of {}.{}",
        names.canary, names.namespace
    )
}

/// What the first Flagger, flagger.app/v1alpha1, calls a phase.
pub(super) fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Initializing | Phase::Initialized => "initialized",
        Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising => "running",
        Phase::Succeeded | Phase::Terminating | Phase::Terminated => "finished",
        Phase::Failed => "failed",
    }
}

pub(super) fn promotion_failed(names: &Names, why: &str) -> String {
    let Names {
        target, namespace, ..
    } = names;
    format!("Promotion of {target}.{namespace} failed, primary not ready: {why}")
}

/// Ours: the end of a failed promotion that Flagger has no end for.
pub(super) fn healed(names: &Names) -> String {
    let Names {
        primary, namespace, ..
    } = names;
    format!("{primary}.{namespace} has its previous template back! Routing all traffic to primary")
}

pub(super) fn terminating(names: &Names) -> String {
    format!("Terminating canary {}.{}", names.canary, names.namespace)
}

pub(super) fn terminated(names: &Names) -> String {
    format!("Terminated canary {}.{}", names.canary, names.namespace)
}

/// The message of condition `Promoted` in a phase.
pub(super) fn condition(kind: &str, phase: Phase) -> String {
    match phase {
        Phase::Initialized => format!("{kind} initialization completed."),
        Phase::Waiting | Phase::WaitingPromotion => "Waiting for approval.".to_owned(),
        Phase::Progressing => "New revision detected, progressing canary analysis.".to_owned(),
        Phase::Promoting => {
            "Canary analysis completed, starting primary rolling update.".to_owned()
        }
        Phase::Finalising => {
            "Canary analysis completed, routing all traffic to primary.".to_owned()
        }
        Phase::Succeeded => {
            "Canary analysis completed successfully, promotion finished.".to_owned()
        }
        Phase::Failed => format!("Canary analysis failed, {kind} scaled to zero."),
        Phase::Initializing | Phase::Terminating | Phase::Terminated => {
            format!("New {kind} detected, starting initialization.")
        }
    }
}
