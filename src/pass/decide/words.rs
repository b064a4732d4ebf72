//! The texts of Events: Flagger's, letter for letter, since people and dashboards look for them.

use crate::api::status::Phase;
use crate::objects::Names;

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

pub(super) fn primary_not_ready(names: &Names, why: &str) -> String {
    format!("{}.{} not ready: {why}", names.primary, names.namespace)
}

pub(super) fn canary_not_ready(word: &str, names: &Names, why: &str) -> String {
    format!(
        "canary {word} {}.{} not ready: {why}",
        names.target, names.namespace
    )
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

pub(super) fn threshold_reached(names: &Names, failed: i64) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!("Rolling back {canary}.{namespace} failed checks threshold reached {failed}")
}

pub(super) fn failed(names: &Names) -> String {
    format!(
        "Canary failed! Scaling down {}.{}",
        names.canary, names.namespace
    )
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
