//! What waits in the outbox for webhooks: the Events of a step, and that a release has ended.

use crate::api::checks::WebhookType;
use crate::api::record::{News, Outcome, Told};
use crate::api::status::{CanaryStatus, Step, StepEvent};
use crate::objects::Names;
use crate::objects::hash::identifier;
use crate::pass::snapshot::Snapshot;
use crate::webhooks;

use super::{outcome, wait};

/// The Events of this step, for the webhook that is told of each.
pub(super) fn tell_events(snapshot: &Snapshot, status: &mut CanaryStatus, step: &Step) {
    // A Canary that has such hooks is told of there and nowhere else, as in Flagger.
    let hooks = hook_places(snapshot, WebhookType::Event);
    let places = if hooks.is_empty() {
        snapshot.policy.event_webhook.iter().cloned().collect()
    } else {
        hooks
    };
    if step.events.is_empty() || places.is_empty() {
        return;
    }
    if let Some(told) = told(snapshot, status, step, step.events.clone()) {
        wait(snapshot, status, places, News::Told(told));
    }
}

/// A release has ended: hooks are called for that, whether it was analysed or not.
pub(super) fn call_back(snapshot: &Snapshot, status: &mut CanaryStatus, step: &Step) {
    let has_ended = matches!(
        outcome(&snapshot.status, status),
        Some(
            Outcome::Promoted | Outcome::RolledBack | Outcome::PromotionFailed | Outcome::Reverted
        )
    );
    let places = hook_places(snapshot, WebhookType::PostRollout);
    if has_ended
        && !places.is_empty()
        && let Some(told) = told(snapshot, status, step, Vec::new())
    {
        wait(snapshot, status, places, News::Told(told));
    }
}

fn hook_places(snapshot: &Snapshot, kind: WebhookType) -> Vec<String> {
    let Names {
        canary, namespace, ..
    } = &snapshot.names;
    webhooks::of_kind(&snapshot.hooks, kind)
        .map(|hook| webhooks::place_of(namespace, canary, &hook.id))
        .collect()
}

/// Tells one revision and its configs from another.
pub(in crate::pass::decide) fn checksum(status: &CanaryStatus) -> String {
    let configs = status.tracked_configs.iter().flatten();
    let revision: Vec<_> = configs.map(|(name, sum)| format!("{name} {sum}")).collect();
    let template = status.last_applied_spec.clone().unwrap_or_default();
    identifier(&[&template, &revision.join("\n")])
}

fn told(
    snapshot: &Snapshot,
    status: &CanaryStatus,
    step: &Step,
    events: Vec<StepEvent>,
) -> Option<Told> {
    let names = &snapshot.names;
    Some(Told {
        namespace: names.namespace.clone(),
        name: names.canary.clone(),
        uid: names.uid.clone(),
        step: step.number,
        time: step.time.clone(),
        phase: status.phase?,
        checksum: checksum(status),
        events,
    })
}
