//! What a rollback asks of the place that manifests come from.

use std::collections::BTreeMap;

use crate::api::record::{ImageChange, News, Outcome, Revert, Version};
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
    let images = changes(from, &release.to);
    // Where only configs were released the image is not to blame.
    if images.is_empty() {
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

/// The images that are to be what they were, by the names of their containers, whatever order they
/// stand in. None where a container came or went: without it the other images may not fit.
fn changes(before: &Version, now: &Version) -> Vec<ImageChange> {
    let (old, new) = (by_container(before), by_container(now));
    if !old.keys().eq(new.keys()) {
        return Vec::new();
    }
    let pairs = new.into_iter().map(|(name, image)| (image, old[name]));
    let changed = pairs.filter(|(now, before)| now != before);
    let mut images: Vec<ImageChange> = changed
        .map(|(now, before)| ImageChange {
            from: now.to_owned(),
            to: before.to_owned(),
        })
        .collect();
    images.sort_by(|one, other| one.from.cmp(&other.from));
    images.dedup();
    // One image cannot become two.
    let is_ambiguous = images.windows(2).any(|pair| pair[0].from == pair[1].from);
    if is_ambiguous { Vec::new() } else { images }
}

fn by_container(version: &Version) -> BTreeMap<&str, &str> {
    let names = version.containers.iter().map(String::as_str);
    let images = version.images.iter().map(String::as_str);
    names.zip(images).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(containers: &[(&str, &str)]) -> Version {
        let (containers, images) = containers
            .iter()
            .map(|(name, image)| ((*name).to_owned(), (*image).to_owned()))
            .unzip();
        Version {
            images,
            containers,
            spec: String::new(),
        }
    }

    #[test]
    fn images_go_back_by_the_names_of_their_containers() {
        let before = version(&[("app", "app:1"), ("proxy", "proxy:1")]);
        let told = |now: &[(&str, &str)]| -> Vec<String> {
            let changes = changes(&before, &version(now));
            let told = changes.iter().map(|it| format!("{} > {}", it.from, it.to));
            told.collect()
        };
        assert_eq!(
            told(&[("app", "app:2"), ("proxy", "proxy:1")]),
            ["app:2 > app:1"]
        );
        // In another order.
        assert_eq!(
            told(&[("proxy", "proxy:1"), ("app", "app:2")]),
            ["app:2 > app:1"]
        );
        // One is there instead of another.
        assert_eq!(told(&[("app", "app:2"), ("mesh", "proxy:1")]), [""; 0]);
        assert_eq!(told(&[("app", "app:2")]), [""; 0]);
        assert_eq!(told(&[("app", "app:1"), ("proxy", "proxy:1")]), [""; 0]);
        // One image in place of two.
        assert_eq!(told(&[("app", "both:2"), ("proxy", "both:2")]), [""; 0]);
    }
}
