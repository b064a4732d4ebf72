//! The end of a Canary: the target serves again, and what was adopted is given back.

use crate::api::status::{Layout, Phase, TargetScale};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::{Decision, Step};
use crate::pass::terms::layout;

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim};
use super::{decision, wait, words};

/// A Canary that goes: the target answers again, then Services and routes are given back, then
/// connections to the primary end, then the finalizer goes.
pub(super) fn terminating(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    if snapshot.phase() != Some(Phase::Terminating) {
        let layout = Layout {
            given_back: false,
            ..snapshot.layout()
        };
        let claim = Claim::enter(snapshot, Phase::Terminating)
            .target(TargetScale::Up)
            .edit(|status| status.layout = Some(layout))
            .normal(words::terminating(&snapshot.names));
        return claim.into_decision(
            outstanding,
            "the Canary is being deleted: the target comes up first",
        );
    }
    if snapshot.target().is_none() {
        let reason = "the target is gone, and nothing is left to give back";
        return decision(Step::Finalizer { present: false }, reason);
    }
    if let Some(decision) = claims::unfinished(snapshot, outstanding) {
        return decision;
    }
    let layout = snapshot.layout();
    if !layout.given_back {
        if !snapshot.canary_is_up() {
            return wait("the target comes up before its primary goes");
        }
        let claim = Claim::new(snapshot).weight(0).edit(|status| {
            status.layout = Some(Layout {
                given_back: true,
                ..layout
            });
        });
        return claim.into_decision(
            outstanding,
            "the target serves: Services and routes are given back",
        );
    }
    if !snapshot.is_drained() {
        return wait("connections to the primary drain");
    }
    let said = words::terminated(&snapshot.names);
    let step = snapshot.status.step.as_ref();
    if step.is_some_and(|step| step.events.iter().any(|event| event.message == said)) {
        let reason = "everything is as it was before the Canary";
        return decision(Step::Finalizer { present: false }, reason);
    }
    Claim::new(snapshot)
        .normal(said)
        .into_decision(outstanding, "the target serves; the Canary may go")
}

/// Terminating, and not being deleted: somebody wrote that phase by hand. What is there is set up
/// again.
pub(super) fn not_terminating(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    let layout = layout::wanted(&snapshot.canary, &snapshot.policy);
    let claim = Claim::enter(snapshot, Phase::Initializing)
        .weight(0)
        .fresh_counts()
        .edit(|status| status.layout = Some(layout))
        .target(TargetScale::AsItIs);
    claim.into_decision(outstanding, "the Canary is not being deleted: set up again")
}
