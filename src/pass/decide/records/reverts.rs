//! What a rollback asks of the place that manifests come from.

use crate::api::record::{ImageChange, News, Outcome, Revert};
use crate::api::status::{CanaryStatus, Step};
use crate::pass::snapshot::Snapshot;

use super::{cut, wait};

/// The manifest that asks for what was rolled back is to ask for what the primary runs again.
pub(super) fn note(snapshot: &Snapshot, status: &mut CanaryStatus, step: &Step, outcome: Outcome) {
    let (Some(place), Some(release)) = (&snapshot.policy.reverts, &status.release) else {
        return;
    };
    let (Outcome::RolledBack | Outcome::PromotionFailed, Some(from)) = (outcome, &release.from)
    else {
        return;
    };
    let pairs = release.to.images.iter().zip(&from.images);
    let changed = pairs.filter(|(now, before)| now != before);
    let images: Vec<_> = changed
        .map(|(now, before)| ImageChange {
            from: now.clone(),
            to: before.clone(),
        })
        .collect();
    // Of containers that came or went nobody can say which is which, and where only configs were
    // released the image is not to blame.
    if images.is_empty() || release.to.images.len() != from.images.len() {
        return;
    }
    let names = &snapshot.names;
    let revert = Revert {
        cluster: snapshot.policy.cluster_name.clone(),
        namespace: names.namespace.clone(),
        canary: names.canary.clone(),
        uid: names.uid.clone(),
        step: step.number,
        time: step.time.clone(),
        reason: cut(status.reason.as_deref().unwrap_or_default()),
        kind: snapshot.canary.spec.target_ref.kind.clone(),
        name: names.target.clone(),
        images,
    };
    wait(snapshot, status, vec![place.clone()], News::Revert(revert));
}
