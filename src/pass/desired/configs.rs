//! The primary's copies of configs: one thing with its template, copied, restored and repaired
//! together with it.

use serde_json::Value;

use crate::api::status::{CanaryStatus, Phase};
use crate::objects::configs;
use crate::pass::snapshot::Snapshot;

use super::Desired;

/// The copies as a promotion of this template writes them.
pub(super) fn copies(snapshot: &Snapshot, template: &Value, desired: &mut Desired) {
    desired.try_add_all(snapshot, configs::copies(&snapshot.view(), template));
}

/// The copies, and what they held before, for a promotion that fails.
pub(super) fn before_and_after(snapshot: &Snapshot, template: &Value, desired: &mut Desired) {
    let before = configs::previous_copies(&snapshot.view(), template);
    desired.try_add_all(snapshot, before);
    copies(snapshot, template, desired);
}

/// The copies as they were before the promotion that failed.
pub(super) fn restored(snapshot: &Snapshot, desired: &mut Desired) {
    desired.try_add_all(snapshot, configs::restored_copies(&snapshot.view()));
}

/// The copies as the template that the primary has was promoted with: one that is gone or holds
/// something else is written again, as far as what it should hold is to be found.
pub(super) fn repaired(snapshot: &Snapshot, status: &CanaryStatus, desired: &mut Desired) {
    let is_copied = status.phase == Some(Phase::Promoting)
        && status.previous_spec.is_some()
        && snapshot.is_copied(status);
    let checksums = if is_copied {
        &status.tracked_configs
    } else {
        &status.promoted_configs
    };
    if let Some(checksums) = checksums {
        for copy in configs::repaired_copies(&snapshot.view(), checksums) {
            desired.add(snapshot, copy);
        }
    }
}
