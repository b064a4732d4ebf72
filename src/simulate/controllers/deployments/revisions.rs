//! Which `ReplicaSet` has the template of the Deployment: made if there is none, numbered, and the
//! oldest ones removed.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::super::cluster::object::{child, map, number, text};
use super::super::super::cluster::{Cluster, Key};
use super::super::owned::{owner_reference, template_hash};
use super::{DESIRED, MANAGER, MAX, REVISION, Rollout, scaling, status};

const HASH: &str = "pod-template-hash";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";

/// Annotations of a Deployment that are not for its sets.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// Whether two templates are the same but for the hash that the controller puts in.
pub(super) fn same_template(one: &Value, other: &Value) -> bool {
    let bare = |template: &Value| {
        let mut template = template.clone();
        let metadata = child(&mut template, "metadata");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(HASH);
            if labels.is_empty() {
                metadata.remove("labels");
            }
        }
        template
    };
    bare(one) == bare(other)
}

/// Finds or makes the new set, gives it the highest revision, and says so on the Deployment.
pub(super) fn sync(cluster: &mut Cluster, key: &Key, now: Timestamp, may_create: bool) {
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    let revision = 1 + rollout
        .old
        .iter()
        .map(|set| revision_of(set))
        .max()
        .unwrap_or(0);
    match &rollout.new {
        Some(new) => keep_new(cluster, &rollout, new, revision, now),
        None if may_create => create(cluster, &rollout, revision, now),
        None => {}
    }
}

fn keep_new(
    cluster: &mut Cluster,
    rollout: &Rollout,
    new: &Arc<Value>,
    revision: i64,
    now: Timestamp,
) {
    let deployment = &rollout.deployment;
    let mut set = new.as_ref().clone();
    annotate(deployment, &mut set, revision);
    put_min_ready(deployment, &mut set);
    if set != **new && cluster.replace(set.clone(), MANAGER, now).is_err() {
        return;
    }
    let name = text(new, "/metadata/name");
    let mut deployment = deployment.as_ref().clone();
    set_revision(&mut deployment, &set);
    if status::condition(&deployment["status"], "Progressing").is_none()
        && has_deadline(&deployment)
    {
        let message = format!("Found new replica set \"{name}\"");
        status::progress(&mut deployment, "True", "FoundNewReplicaSet", &message, now);
    }
    if deployment != *rollout.deployment {
        drop(cluster.replace_status(deployment, MANAGER, now));
    }
}

fn create(cluster: &mut Cluster, rollout: &Rollout, revision: i64, now: Timestamp) {
    let owner = &rollout.deployment;
    let collisions = number(owner, "/status/collisionCount").unwrap_or(0);
    let hash = template_hash(&owner["spec"]["template"], collisions);
    let name = format!("{}-{hash}", text(owner, "/metadata/name"));
    let mut template = owner["spec"]["template"].clone();
    let labels = child(&mut template, "metadata")
        .entry("labels")
        .or_insert_with(|| json!({}));
    map(labels).insert(HASH.into(), hash.clone().into());
    let labels = labels.clone();
    let mut selector = owner["spec"]["selector"].clone();
    child(&mut selector, "matchLabels").insert(HASH.into(), hash.into());
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "replicas": scaling::size_at_birth(rollout),
            "selector": selector,
            "template": template,
        },
    });
    put_min_ready(owner, &mut set);
    annotate(owner, &mut set, revision);
    scaling::note_size(rollout, &mut set);
    let mut deployment = owner.as_ref().clone();
    match cluster.create(set, MANAGER, now) {
        Ok(set) => {
            set_revision(&mut deployment, &set);
            if has_deadline(&deployment) {
                let message = format!("Created new replica set \"{name}\"");
                status::progress(
                    &mut deployment,
                    "True",
                    "NewReplicaSetCreated",
                    &message,
                    now,
                );
            }
        }
        // A set of an older Deployment of this name has not been collected yet: another name next
        // time.
        Err(refusal) if refusal.reason == "AlreadyExists" => {
            child(&mut deployment, "status")
                .insert("collisionCount".into(), (collisions + 1).into());
        }
        Err(_) => return,
    }
    drop(cluster.replace_status(deployment, MANAGER, now));
}

/// Copies the annotations of the Deployment and puts the revision, if it is higher than the one
/// that is there.
fn annotate(deployment: &Value, set: &mut Value, revision: i64) {
    let before = set["metadata"]["annotations"][REVISION]
        .as_str()
        .map(str::to_owned);
    let annotations = annotations(set);
    let copied = deployment["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten();
    for (name, value) in copied.filter(|(name, _)| !OWN.contains(&name.as_str())) {
        annotations.insert(name.clone(), value.clone());
    }
    let number = before
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    if number < revision {
        annotations.insert(REVISION.into(), revision.to_string().into());
        if let Some(before) = before {
            let history = match annotations.get(HISTORY).and_then(Value::as_str) {
                Some(history) => format!("{history},{before}"),
                None => before,
            };
            annotations.insert(HISTORY.into(), history.into());
        }
    }
}

pub(super) fn annotations(object: &mut Value) -> &mut Map<String, Value> {
    map(child(object, "metadata")
        .entry("annotations")
        .or_insert_with(|| json!({})))
}

fn put_min_ready(deployment: &Value, set: &mut Value) {
    match deployment["spec"].get("minReadySeconds") {
        Some(seconds) => drop(child(set, "spec").insert("minReadySeconds".into(), seconds.clone())),
        None => drop(child(set, "spec").remove("minReadySeconds")),
    }
}

fn set_revision(deployment: &mut Value, set: &Value) {
    let revision = set["metadata"]["annotations"][REVISION].clone();
    annotations(deployment).insert(REVISION.into(), revision);
}

fn revision_of(set: &Value) -> i64 {
    set["metadata"]["annotations"][REVISION]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

pub(super) fn has_deadline(deployment: &Value) -> bool {
    number(deployment, "/spec/progressDeadlineSeconds")
        .is_some_and(|seconds| seconds != i64::from(i32::MAX))
}

/// Removes the oldest sets beyond `revisionHistoryLimit`. Called only once the rollout is complete.
pub(super) fn clean_up(cluster: &mut Cluster, key: &Key, now: Timestamp) {
    let Some(rollout) = Rollout::read(cluster, key) else {
        return;
    };
    let Some(limit) = number(&rollout.deployment, "/spec/revisionHistoryLimit") else {
        return;
    };
    let mut old = rollout.old;
    old.retain(|set| set["metadata"].get("deletionTimestamp").is_none());
    old.sort_by_key(|set| revision_of(set));
    let surplus = old
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    for set in &old[..surplus] {
        let is_idle = number(set, "/status/replicas").unwrap_or(0) == 0
            && number(set, "/spec/replicas") == Some(0)
            && number(set, "/metadata/generation") <= number(set, "/status/observedGeneration");
        if is_idle {
            drop(cluster.delete(&Key::of(set), MANAGER, now));
        }
    }
}
