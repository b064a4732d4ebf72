//! Where no release is under way: the beginning, rest, a move to objects of other names, the end.

use crate::api::status::{ConditionStatus, Layout, Phase, TargetScale};
use crate::objects::Problem;
use crate::pass::questions::{Answered, Answers};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::Decision;
use crate::pass::terms::layout;
use crate::workloads::Readiness;

use super::claims::outstanding::{Outstanding, leads_clients};
use super::claims::{self, Claim};
use super::hooks::approval;
use super::{analysis, ask, conditions, healing, judging, rest, wait, words};

/// A Canary without status: everything that it needs beside the application.
pub(super) fn start(snapshot: &Snapshot, outstanding: &Outstanding, answers: &Answers) -> Decision {
    if snapshot.target().is_none() {
        return wait(&words::target_missing(snapshot));
    }
    let layout = Layout {
        primary_is_new: snapshot.primary().is_none(),
        ..layout::wanted(&snapshot.canary, &snapshot.policy)
    };
    let mut claim = Claim::enter(snapshot, Phase::Initializing)
        .weight(0)
        .edit(|status| status.layout = Some(layout))
        .target(TargetScale::AsItIs);
    if !snapshot.terms.skip_analysis {
        claim = match answers.to_probes(&snapshot.checks) {
            Answered::NotYet(questions) => return ask(questions),
            Answered::All(None) => claim.normal(words::providers_available()),
            Answered::All(Some(error)) => claim.warning(words::providers_missing(&error)),
        };
    }
    claim = claim.warnings(&judging::unasked(snapshot));
    if let Some(restored) = &snapshot.restored {
        claim = claim.normal(words::restored(&snapshot.names, &restored.record));
    }
    for adopted in adopted(snapshot) {
        claim = claim.normal(words::adopted(&snapshot.names, &adopted));
    }
    if let Some(rival) = snapshot.rivals.first() {
        claim = claim.warning(words::rival(&snapshot.names, rival));
    }
    claim.into_decision(outstanding, "new Canary detected, starting initialization")
}

/// Objects of the user's that lead traffic and are taken into our hands.
fn adopted(snapshot: &Snapshot) -> Vec<String> {
    let leading = snapshot
        .weight_keys()
        .into_iter()
        .chain([snapshot.apex_key()]);
    leading
        .filter_map(|key| {
            let object = snapshot.objects.get(&key)?;
            crate::objects::controller_uid(object)
                .is_none()
                .then(|| key.to_string())
        })
        .collect()
}

/// The primary gets ready, then clients are led to it, then their old connections end.
pub(super) fn initializing(snapshot: &Snapshot, outstanding: &Outstanding) -> Decision {
    if let Some(decision) = claims::unfinished(snapshot, outstanding) {
        return decision;
    }
    // Also where the analysis is skipped, and past any deadline: before the primary answers there
    // is nothing to send traffic to, and the target still has it.
    if let Readiness::Waiting(why) | Readiness::Exceeded(why) = snapshot.primary_readiness() {
        let text = words::primary_not_ready(snapshot, &why);
        return claims::say(snapshot, outstanding, &text);
    }
    let layout = snapshot.layout();
    if !layout.clients_moved {
        let claim = Claim::new(snapshot).edit(|status| {
            let layout = status
                .layout
                .get_or_insert_with(|| layout::wanted(&snapshot.canary, &snapshot.policy));
            layout.clients_moved = true;
        });
        return claim.into_decision(
            outstanding,
            "the primary is ready, and clients are led to it",
        );
    }
    if !snapshot.is_drained() {
        return wait("clients move to the primary");
    }
    initialized(snapshot, outstanding, &layout)
}

fn initialized(snapshot: &Snapshot, outstanding: &Outstanding, layout: &Layout) -> Decision {
    let moved_back = layout
        .moved_from
        .filter(|from| matches!(from, Phase::Succeeded | Phase::Failed));
    if let Some(from) = moved_back
        && snapshot.primary_hash() == snapshot.status.primary_spec
    {
        // The application is the same, and what was found out about its versions holds.
        return Claim::enter(snapshot, from)
            .weight(0)
            .target(TargetScale::Up)
            .edit(forget_move)
            .normal(words::initialized(&snapshot.names))
            .into_decision(outstanding, "the traffic goes through the new objects");
    }
    let is_known = layout.moved_from.is_some()
        && snapshot.primary_hash() == snapshot.status.primary_spec
        && snapshot.status.last_promoted_spec.is_some();
    let mut claim = Claim::enter(snapshot, Phase::Initialized)
        .weight(0)
        .fresh_counts()
        .target(zero_if_drained(snapshot))
        .edit(forget_move);
    let is_same = snapshot.is_stored_as(
        snapshot.copy_hash().as_deref(),
        snapshot.primary_hash().as_deref(),
    );
    if is_same {
        claim = claim.promoted(&snapshot.revision());
    } else if !is_known {
        // The primary was there before and runs something else: the target is a new revision.
        claim = claim.never_promoted();
    }
    claim
        .normal(words::initialized(&snapshot.names))
        .into_decision(outstanding, "initialization done")
}

fn forget_move(status: &mut crate::api::status::CanaryStatus) {
    if let Some(layout) = &mut status.layout {
        layout.moved_from = None;
    }
}

/// Initialized, Succeeded, Failed: a new revision starts, anything else is only kept as it is.
pub(super) fn at_rest(
    snapshot: &Snapshot,
    outstanding: &Outstanding,
    answers: &Answers,
) -> Decision {
    if snapshot.is_healing() && !healing::is_beyond_healing(snapshot) {
        return healing::healing(snapshot, outstanding);
    }
    if analysis::is_new_revision(snapshot)
        && let Some(decision) = approval::to_begin(snapshot, outstanding, answers)
    {
        return decision;
    }
    if let Some(decision) = moving(snapshot, outstanding) {
        return decision;
    }
    let phase = snapshot.phase();
    if snapshot.status_weight() == 0
        && !snapshot.is_healing()
        && phase != Some(Phase::Waiting)
        && !outstanding.is_route_unfinished(snapshot)
        && let Some(decision) = scale_down(snapshot, outstanding)
    {
        return decision;
    }
    if let Some(decision) = claims::unfinished(snapshot, outstanding) {
        return decision;
    }
    if snapshot.is_healing() {
        return healing::healing(snapshot, outstanding);
    }
    if snapshot.status_weight() > 0 {
        if snapshot.primary().is_none() {
            let lost = words::primary_lost(&snapshot.names);
            let text = format!("{lost}; the canary keeps the traffic until then");
            return loudly(snapshot, outstanding, &text);
        }
        if !snapshot.primary_can_carry() {
            return wait("the canary keeps the traffic until the primary is ready");
        }
        let reason = "the primary is ready and takes the traffic back";
        return Claim::new(snapshot)
            .weight(0)
            .into_decision(outstanding, reason);
    }
    if phase == Some(Phase::Failed)
        && (snapshot.is_on_primary() || snapshot.is_promoted(&snapshot.revision()))
        && !snapshot.is_applied(&snapshot.revision())
    {
        // The failed revision was taken back; pushed again it is a new one.
        let reason = "the target is set back to the promoted revision";
        return Claim::new(snapshot)
            .applied(&snapshot.revision())
            .into_decision(outstanding, reason);
    }
    if snapshot.primary().is_none() {
        return loudly(snapshot, outstanding, &words::primary_lost(&snapshot.names));
    }
    if snapshot.primary_available() == 0 && !snapshot.primary_is_put_to_zero() {
        let (Readiness::Waiting(why) | Readiness::Exceeded(why)) = snapshot.primary_readiness()
        else {
            return rest("no new revision");
        };
        return loudly(
            snapshot,
            outstanding,
            &words::primary_not_ready(snapshot, &why),
        );
    }
    if let Some(ready) = conditions::ready(&snapshot.status)
        && ready.reason == conditions::PRIMARY_DOWN
        && ready.status == ConditionStatus::False
    {
        let reason = "the primary has ready pods again";
        return Claim::new(snapshot).into_decision(outstanding, reason);
    }
    if conditions::is_refused(&snapshot.status) {
        // By whoever wrote it: nothing is left for us to write.
        let reason = "what was refused is as it should be";
        return Claim::new(snapshot).into_decision(outstanding, reason);
    }
    if snapshot.status.observed_generation != snapshot.canary.metadata.generation {
        // Until it is, health reads as not known.
        let reason = "the Canary was changed; there is no new revision";
        return Claim::new(snapshot).into_decision(outstanding, reason);
    }
    let is_foreign = snapshot.status.primary_spec.is_some()
        && !snapshot.is_stored_as(
            snapshot.status.primary_spec.as_deref(),
            snapshot.primary_hash().as_deref(),
        );
    if is_foreign {
        return rest("the primary's template was changed by somebody else");
    }
    if phase == Some(Phase::Waiting) {
        return approval::waiting(snapshot, outstanding);
    }
    rest(match phase {
        Some(Phase::Failed) => "failed; waiting for a new revision",
        _ => "no new revision",
    })
}

/// A step that finds the canary without connections takes its pods along.
pub(super) fn zero_if_drained(snapshot: &Snapshot) -> TargetScale {
    if snapshot.is_drained() && !snapshot.has_traffic() && has_readable_route(snapshot) {
        TargetScale::Zero
    } else {
        TargetScale::Up
    }
}

/// A route that is gone or cannot be read says nothing of where connections are.
fn has_readable_route(snapshot: &Snapshot) -> bool {
    !snapshot.router.can().weights || snapshot.route_traffic.is_some()
}

/// After a release the canary's pods go, once nothing connects to them any more, and only while the
/// primary serves.
pub(super) fn scale_down(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    if snapshot.target_scale() == TargetScale::Zero || snapshot.target().is_none() {
        return None;
    }
    if snapshot.target_replicas() == 0 {
        let claim = Claim::new(snapshot).target(TargetScale::Zero);
        return Some(
            claim
                .edit(scaled_to_zero(snapshot))
                .into_decision(outstanding, "the canary is at zero"),
        );
    }
    if snapshot.weight() > 0 || !has_readable_route(snapshot) {
        return None;
    }
    // What leads clients is there before anything is taken away.
    let is_gone = |key: &&crate::objects::Key| {
        leads_clients(snapshot, key) && !snapshot.objects.contains_key(*key)
    };
    if outstanding.carried().any(|key| is_gone(&key)) {
        return None;
    }
    if !snapshot.primary_can_carry() && !snapshot.primary_is_put_to_zero() {
        return None;
    }
    if !snapshot.is_drained() {
        return Some(wait(
            "the canary is scaled to zero when its connections have drained",
        ));
    }
    let claim = Claim::new(snapshot).target(TargetScale::Zero);
    Some(
        claim
            .edit(scaled_to_zero(snapshot))
            .independent()
            .into_decision(outstanding, "scaling the canary to zero"),
    )
}

/// From here on the condition says what Flagger's says.
fn scaled_to_zero(
    snapshot: &Snapshot,
) -> impl FnOnce(&mut crate::api::status::CanaryStatus) + use<> {
    let kind = snapshot.canary.spec.target_ref.kind.clone();
    let now = snapshot.now;
    move |status| conditions::scaled_to_zero(status, &kind, now)
}

/// The Canary names other objects than the traffic goes through: they are made beside those that
/// serve, and clients are led to them when they can. The old route gives no traffic to the canary
/// any more.
pub(super) fn moving(snapshot: &Snapshot, outstanding: &Outstanding) -> Option<Decision> {
    let to = snapshot.moves_to.as_ref()?;
    if snapshot.has_traffic() || snapshot.status_weight() > 0 {
        if !snapshot.primary_can_carry() {
            return None;
        }
        let claim = Claim::enter(snapshot, Phase::Progressing)
            .weight(0)
            .fresh_counts()
            .steps();
        return Some(claim.into_decision(
            outstanding,
            "the Canary names other objects: traffic goes back before the route is left",
        ));
    }
    if !snapshot.is_drained() {
        return Some(wait(
            "connections to the canary drain before the route is left",
        ));
    }
    let from = snapshot.phase();
    let before = snapshot.layout();
    let changes_target = before.target != to.target || before.target_kind != to.target_kind;
    let layout = Layout {
        moved_from: from.filter(|phase| {
            matches!(
                phase,
                Phase::Initialized | Phase::Succeeded | Phase::Failed | Phase::Progressing
            )
        }),
        primary_is_new: changes_target,
        ..to.clone()
    };
    let claim = Claim::enter(snapshot, Phase::Initializing)
        .weight(0)
        .fresh_counts()
        .target(TargetScale::AsItIs)
        .edit(|status| {
            status.layout = Some(layout);
            status.previous_spec = None;
            status.traffic = None;
            status.analysis_since = None;
            status.stepped_at = None;
            if changes_target {
                status.primary_spec = None;
                status.promoted_configs = None;
                status.last_promoted_spec = None;
                status.scale = None;
            }
        })
        .normal(words::moving(&snapshot.names, to))
        .word_only();
    Some(claim.into_decision(
        outstanding,
        "the Canary names other objects: the traffic moves",
    ))
}

/// The loudest state there is: an Event, a condition, and a pass that does not end well.
pub(super) fn loudly(snapshot: &Snapshot, outstanding: &Outstanding, text: &str) -> Decision {
    let problems = [Problem(text.to_owned())];
    let mut decision = if conditions::says(snapshot, text) {
        wait(text)
    } else {
        Claim::new(snapshot)
            .unwell(conditions::PRIMARY_DOWN, text)
            .warning(text.to_owned())
            .into_decision(outstanding, text)
    };
    decision.problems = problems.to_vec();
    decision
}
