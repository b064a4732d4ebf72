//! A promotion that failed: the canary keeps the traffic, and the primary gets its template back.

use crate::api::status::Phase;
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;
use crate::routers::Traffic;
use crate::workloads::Readiness;

use super::claims::outstanding::Outstanding;
use super::claims::{self, Claim};
use super::promotion::{forget_needed, forget_previous};
use super::{conditions, rest, wait, words};

/// The primary did not become ready with what passed the analysis. The canary is healthy and
/// takes all traffic; the primary gets its previous template back.
pub(super) fn fail(snapshot: &Snapshot, outstanding: &Outstanding, why: &str) -> Decision {
    let is_healthy = snapshot.canary_readiness() == Readiness::Ready
        && snapshot.is_applied(&snapshot.revision());
    let traffic = match (snapshot.router.can().weights, is_healthy) {
        (true, true) => Traffic::ALL,
        // Where neither side is well, the traffic stays as it is.
        (true, false) => snapshot.wanted(),
        (false, _) => Traffic::default(),
    };
    Claim::enter_because(snapshot, Phase::Failed, Some(conditions::HEALING))
        .traffic(traffic)
        .fresh_counts()
        .edit(|status| std::mem::swap(&mut status.primary_spec, &mut status.previous_spec))
        .edit(forget_needed)
        .ended(|totals| totals.rollbacks = totals.rollbacks.saturating_add(1))
        .warning(words::promotion_failed(&snapshot.names, why))
        .into_decision(
            outstanding,
            &format!("promotion failed, primary not ready: {why}"),
        )
}

/// Nothing is left to put the primary's template back from: the canary keeps the traffic, and
/// the next revision may be analysed and promoted over the broken primary.
pub(super) fn is_beyond_healing(snapshot: &Snapshot) -> bool {
    !snapshot.has_earlier(&snapshot.status) && snapshot.earlier_template(&snapshot.status).is_none()
}

pub(super) fn healing(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    let has_template = snapshot.has_earlier(&snapshot.status);
    let readiness = snapshot.primary_readiness();
    // With its template back the primary takes the traffic, whatever else is to be done.
    if !(has_template && readiness == Readiness::Ready)
        && let Some(decision) = claims::unfinished(snapshot, outstanding)
    {
        return decision;
    }
    match readiness {
        Readiness::Ready => {
            let text = if has_template {
                words::healed(&snapshot.names)
            } else {
                words::all_to_primary()
            };
            Claim::enter_because(snapshot, Phase::Failed, Some(conditions::HEALED))
                .weight(0)
                .edit(forget_previous)
                .normal(text)
                .warning_when_shown(words::failed(&snapshot.names))
                .into_decision(
                    outstanding,
                    "the primary is ready again and takes the traffic",
                )
        }
        Readiness::Waiting(why) | Readiness::Exceeded(why) if has_template => wait(&format!(
            "the primary gets ready with its previous template: {why}"
        )),
        Readiness::Waiting(_) | Readiness::Exceeded(_) => rest::loudly(
            snapshot,
            outstanding,
            "the primary's previous template is not kept anywhere: the canary keeps the traffic \
             until a new revision is promoted",
        ),
    }
}
