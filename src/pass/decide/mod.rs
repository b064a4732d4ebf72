//! The decision: from a snapshot, and the answers of its checks, to the next status. Total and
//! pure: no clock, no I/O, no `Result`. The rules are those of the protocol's model, in its order.

mod analysis;
mod claims;
mod conditions;
mod promotion;
mod records;
mod reverts;
pub mod rules;
mod words;

use crate::api::status::{EventType, Phase};
use crate::pass::converge::plan::{differing, plan};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::{Answers, Decision, Step};
use crate::workloads::Readiness;

use claims::{Claim, Gap};

/// The first question: are checks due in this pass?
pub fn are_checks_due(snapshot: &Snapshot) -> bool {
    decide(snapshot, None).step == Step::Ask
}

/// The second question: what is the next status? Without answers where checks are due, the
/// decision is to ask.
pub fn decide(snapshot: &Snapshot, answers: Option<&Answers>) -> Decision {
    if let Some(decision) = before_the_phase(snapshot) {
        return decision;
    }
    let current = match plan(snapshot, &snapshot.status) {
        Ok(current) => current,
        Err(problem) => return refuse(problem),
    };
    let gap = Gap::of(snapshot, &differing(snapshot, &current));
    if let Some(decision) = traffic_first(snapshot, &gap) {
        return decision;
    }
    match snapshot.phase() {
        None => start(snapshot, &gap, answers),
        Some(Phase::Initializing) => initializing(snapshot, &gap),
        Some(
            Phase::Initialized
            | Phase::Succeeded
            | Phase::Failed
            | Phase::Waiting
            | Phase::Terminated,
        ) => at_rest(snapshot, &gap),
        Some(Phase::Progressing | Phase::WaitingPromotion) => {
            analysis::progressing(snapshot, &gap, answers)
        }
        Some(Phase::Promoting) => promotion::promoting(snapshot, &gap),
        Some(Phase::Finalising) => promotion::finalising(snapshot, &gap),
        Some(Phase::Terminating) => terminating(snapshot, &gap),
    }
}

/// What does not depend on the phase: deletion, suspension, the finalizer, taking over.
fn before_the_phase(snapshot: &Snapshot) -> Option<Decision> {
    let metadata = &snapshot.canary.metadata;
    let spec = &snapshot.canary.spec;
    let has_finalizer = metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == crate::pass::FINALIZER);
    if metadata.deletion_timestamp.is_some() {
        return if !has_finalizer {
            Some(rest("the Canary is being deleted"))
        } else if snapshot.phase() == Some(Phase::Terminating) {
            None
        } else {
            let current = plan(snapshot, &snapshot.status).unwrap_or_default();
            let gap = Gap::of(snapshot, &differing(snapshot, &current));
            let claim = Claim::enter(snapshot, Phase::Terminating)
                .normal(words::terminating(&snapshot.names));
            Some(claim.because(
                &gap,
                "the Canary is being deleted: the target comes up first",
            ))
        };
    }
    if spec.suspend == Some(true) {
        return Some(rest("suspended"));
    }
    if snapshot.target().is_none() {
        let names = &snapshot.names;
        let kind = &spec.target_ref.kind;
        let why = format!("{kind} {}/{} does not exist", names.namespace, names.target);
        return Some(refuse(crate::objects::Problem::field(
            "spec.targetRef",
            why,
        )));
    }
    let wants_finalizer = spec.revert_on_deletion == Some(true);
    if wants_finalizer != has_finalizer {
        let reason = if wants_finalizer {
            "the finalizer is put on, since spec.revertOnDeletion is set"
        } else {
            "the finalizer is taken off, since spec.revertOnDeletion is not set"
        };
        let step = Step::Finalizer {
            present: wants_finalizer,
        };
        return Some(Decision {
            step,
            reason: reason.to_owned(),
        });
    }
    if snapshot.status.step.is_none() && snapshot.phase().is_some() {
        let claim = Claim::new(snapshot);
        return Some(claim.because(
            &Gap::default(),
            "the status of another controller is adopted",
        ));
    }
    None
}

/// What traffic asks for before anything else: no side gets it back that cannot carry it, and
/// what somebody took off the canary stays off until its checks have passed again.
fn traffic_first(snapshot: &Snapshot, gap: &Gap) -> Option<Decision> {
    let phase = snapshot.phase()?;
    let (shown, wanted) = (snapshot.weight(), snapshot.status_weight());
    let has_route = snapshot.route_weight.is_some() && phase != Phase::Terminating;
    let waits = has_route
        && shown > wanted
        && !snapshot.primary_can_carry()
        && snapshot.target_replicas() > 0;
    let starts = analysis::is_new_revision(snapshot);
    if waits && !starts && matches!(phase, Phase::Progressing | Phase::WaitingPromotion) {
        // A new analysis goes on where the traffic is: its promotion is what mends a primary.
        let claim = Claim::new(snapshot).weight(shown);
        let reason = format!("the canary keeps {shown} % while the primary is not ready");
        return Some(claim.because(gap, &reason));
    }
    if waits && !starts && phase != Phase::Promoting && !snapshot.is_healing() {
        let reason = format!("the canary keeps {shown} % until the primary is ready");
        return Some(Decision {
            step: Step::Wait,
            reason,
        });
    }
    if has_route && gap.lowered {
        let by = gap
            .lowered_by
            .as_deref()
            .map(|by| format!(" by {by}"))
            .unwrap_or_default();
        let reason = format!("canary weight was lowered from {wanted} to {shown}{by}");
        let total = match snapshot.terms.strategy {
            crate::pass::terms::Strategy::Iterations { total, .. } => total,
            crate::pass::terms::Strategy::Weights(_) => i64::MAX,
        };
        let claim = Claim::new(snapshot).weight(shown).iterations_at_most(total);
        return Some(claim.because(gap, &reason));
    }
    None
}

/// A Canary without status: everything that it needs beside the application.
fn start(snapshot: &Snapshot, gap: &Gap, answers: Option<&Answers>) -> Decision {
    let mut claim = Claim::enter(snapshot, Phase::Initializing).weight(0);
    let asks = !snapshot.terms.skip_analysis && snapshot.has_metrics();
    match answers {
        None if asks => {
            return Decision {
                step: Step::Ask,
                reason: String::new(),
            };
        }
        Some(Answers::Providers(Ok(()))) => claim = claim.normal(words::providers_available()),
        Some(Answers::Providers(Err(error))) => {
            claim = claim.warning(words::providers_missing(error));
        }
        None | Some(Answers::Checks(_)) if !snapshot.terms.skip_analysis => {
            claim = claim.normal(words::providers_available());
        }
        None | Some(Answers::Checks(_)) => {}
    }
    if let Some(restored) = &snapshot.restored {
        claim = claim.normal(words::restored(&snapshot.names, &restored.record));
    }
    claim.because(gap, "new Canary detected, starting initialization")
}

fn initializing(snapshot: &Snapshot, gap: &Gap) -> Decision {
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    // Also where the analysis is skipped, and past any deadline: before the primary answers there
    // is nothing to send traffic to, and the target still has it.
    if let Readiness::Waiting(why) | Readiness::Exceeded(why) = snapshot.primary_readiness() {
        return claims::say(
            snapshot,
            gap,
            words::primary_not_ready(&snapshot.names, &why),
        );
    }
    if !snapshot.is_drained() {
        return wait("clients move to the primary");
    }
    let mut claim = Claim::enter(snapshot, Phase::Initialized).weight(0);
    claim = if snapshot.copy_hash() == snapshot.primary_hash() {
        claim.promoted(&snapshot.revision())
    } else {
        // The primary was there before and runs something else: the target is a new revision.
        claim.never_promoted()
    };
    claim
        .normal(words::initialized(&snapshot.names))
        .because(gap, "initialization done")
}

/// Initialized, Succeeded, Failed: a new revision starts, anything else is only kept as it is.
fn at_rest(snapshot: &Snapshot, gap: &Gap) -> Decision {
    if snapshot.is_healing() && !promotion::is_beyond_healing(snapshot) {
        return promotion::healing(snapshot, gap);
    }
    if analysis::is_new_revision(snapshot) {
        return analysis::begin(snapshot, gap);
    }
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    if snapshot.is_healing() {
        return promotion::healing(snapshot, gap);
    }
    let phase = snapshot.phase();
    if phase == Some(Phase::Failed) && snapshot.status_weight() > 0 {
        if !snapshot.primary_can_carry() {
            return wait("the canary keeps the traffic until the primary is ready");
        }
        let reason = "the primary is ready and takes the traffic back";
        return Claim::new(snapshot).weight(0).because(gap, reason);
    }
    if phase == Some(Phase::Failed)
        && snapshot.is_on_primary()
        && !snapshot.is_applied(&snapshot.revision())
    {
        // The failed revision was taken back; pushed again it is a new one.
        let reason = "the target is set back to the promoted revision";
        return Claim::new(snapshot)
            .applied(&snapshot.revision())
            .because(gap, reason);
    }
    if snapshot.target_replicas() > 0 && phase != Some(Phase::Waiting) {
        return wait("the canary is scaled to zero when its connections have drained");
    }
    if snapshot.primary().is_none() {
        return wait(
            "the primary is missing, and the target carries another revision than the promoted one: set it back, and the primary is made again",
        );
    }
    if snapshot.status.observed_generation != snapshot.canary.metadata.generation {
        // Until it is, health reads as not known.
        return Claim::new(snapshot)
            .because(gap, "the Canary was changed; there is no new revision");
    }
    let foreign = snapshot.status.primary_spec.is_some()
        && snapshot.status.primary_spec != snapshot.primary_hash();
    if foreign {
        return rest("the primary's template was changed by somebody else");
    }
    rest(match phase {
        Some(Phase::Failed) => "failed; waiting for a new revision",
        _ => "no new revision",
    })
}

fn terminating(snapshot: &Snapshot, gap: &Gap) -> Decision {
    if snapshot.target().is_none() {
        let step = Step::Finalizer { present: false };
        let reason = "the target is gone, and nothing is left to give back".to_owned();
        return Decision { step, reason };
    }
    if let Some(decision) = claims::unfinished(snapshot, gap) {
        return decision;
    }
    if !snapshot.canary_is_up() {
        return wait("the target comes up before its primary goes");
    }
    let said = words::terminated(&snapshot.names);
    let step = snapshot.status.step.as_ref();
    if step.is_some_and(|step| step.events.iter().any(|event| event.message == said)) {
        let step = Step::Finalizer { present: false };
        return Decision {
            step,
            reason: "everything is as it was before the Canary".to_owned(),
        };
    }
    Claim::new(snapshot)
        .normal(said)
        .because(gap, "the target serves; the Canary may go")
}

fn refuse(problem: crate::objects::Problem) -> Decision {
    Decision {
        reason: problem.to_string(),
        step: Step::Refuse(vec![problem]),
    }
}

fn rest(reason: &str) -> Decision {
    Decision {
        step: Step::Rest,
        reason: reason.to_owned(),
    }
}

fn wait(reason: &str) -> Decision {
    Decision {
        step: Step::Wait,
        reason: reason.to_owned(),
    }
}

/// The kind of an Event that says what happened rather than what is wrong.
const NORMAL: EventType = EventType::Normal;
