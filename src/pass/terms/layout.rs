//! Which objects a canary's traffic goes through: those that the Canary names, or those that status
//! remembers while the traffic has not moved.

use crate::api::canary::Canary;
use crate::api::status::Layout;
use crate::objects::{Names, Policy};

/// The routing provider of a canary.
pub fn provider<'a>(canary: &'a Canary, policy: &'a Policy) -> &'a str {
    canary
        .spec
        .provider
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or(&policy.mesh_provider)
}

/// The objects that a Canary asks its traffic to go through.
pub fn wanted(canary: &Canary, policy: &Policy) -> Layout {
    let names = Names::of(canary);
    Layout {
        provider: provider(canary, policy).to_owned(),
        target_kind: canary.spec.target_ref.kind.clone(),
        target: names.target,
        service: names.apex,
        ..Layout::default()
    }
}

/// The objects that the traffic goes through by now.
pub fn current(canary: &Canary) -> Option<&Layout> {
    canary.status.as_ref()?.layout.as_ref()
}

/// The names of the objects that the traffic goes through: those that status remembers, or those
/// that the Canary asks for.
pub fn names(canary: &Canary) -> Names {
    let names = Names::of(canary);
    match current(canary) {
        Some(layout) if !layout.target.is_empty() && !layout.service.is_empty() => {
            names.laid_out(&layout.target, &layout.service)
        }
        _ => names,
    }
}

/// The layout that the Canary asks for, where the traffic goes through another one.
pub fn moves_to(canary: &Canary, policy: &Policy) -> Option<Layout> {
    let now = current(canary)?;
    let wanted = wanted(canary, policy);
    let id = |layout: &Layout| {
        (
            layout.provider.clone(),
            layout.target_kind.clone(),
            layout.target.clone(),
            layout.service.clone(),
        )
    };
    (id(now) != id(&wanted)).then_some(wanted)
}
