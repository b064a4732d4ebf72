//! The Events of hooks: Flagger's, letter for letter, since people and dashboards look for them.

use crate::api::checks::WebhookType;
use crate::objects::Names;
use crate::webhooks::Hook;

/// What is said of a hook that has consented; of types that Flagger is silent about, nothing.
pub fn passed(hook: &Hook) -> Option<String> {
    let what = match hook.kind {
        WebhookType::ConfirmRollout => "Confirm-rollout",
        WebhookType::PreRollout => "Pre-rollout",
        WebhookType::ConfirmTrafficIncrease => "Confirm-traffic-increase",
        WebhookType::ConfirmPromotion => "Confirm-promotion",
        WebhookType::PostRollout => "Post-rollout",
        WebhookType::Rollback => "Rollback",
        WebhookType::Rollout | WebhookType::Event => return None,
    };
    Some(format!("{what} check {} passed", hook.name))
}

/// What is said of a hook that has not consented, and why.
pub fn halted(names: &Names, hook: &Hook, why: &str) -> String {
    let halt = format!("Halt {}.{} advancement", names.canary, names.namespace);
    let name = &hook.name;
    match hook.kind {
        WebhookType::ConfirmRollout => format!("{halt} waiting for approval {name}"),
        WebhookType::PreRollout => format!("{halt} pre-rollout check {name} failed {why}"),
        WebhookType::ConfirmTrafficIncrease => {
            format!("{halt} waiting for traffic increase approval {name}")
        }
        WebhookType::ConfirmPromotion => {
            format!("{halt} waiting for promotion approval {name}")
        }
        WebhookType::PostRollout => format!("Post-rollout hook {name} failed {why}"),
        WebhookType::Rollback => format!("Rollback hook {name} not signaling a rollback"),
        WebhookType::Rollout | WebhookType::Event => {
            format!("{halt} external check {name} failed {why}")
        }
    }
}

/// What is said of a hook that has not answered yet, and will be asked again.
pub fn pending(names: &Names, hook: &Hook, why: &str) -> String {
    let Names {
        canary, namespace, ..
    } = names;
    format!(
        "Halt {canary}.{namespace} advancement waiting for {}: {why}",
        hook.name
    )
}
