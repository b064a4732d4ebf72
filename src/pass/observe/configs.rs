//! Reading the configs that a canary tracks, and the primary's copies of them.

use std::collections::BTreeMap;

use crate::api::status::Phase;
use crate::io::cluster::Cluster;
use crate::objects::hash::config_checksum;
use crate::objects::{CONFIG_MAP, Key, Problem, SECRET, configs, references};
use crate::pass::decide::rules::{Next, Position, Rules};
use crate::pass::snapshot::Snapshot;

use super::World;
use super::canary::{read, read_again};

/// ConfigMaps and Secrets of one canary: each costs a request, and an application that refers to
/// more would use up what is there for all.
const TRACKED_MAX: usize = 128;

/// Whether this pass may copy the target to the primary, or back: then contents are needed. In an
/// analysis the rules tell, by the position that the decision will take its step from.
fn may_copy(snapshot: &Snapshot) -> bool {
    let Snapshot { status, terms, .. } = snapshot;
    match status.phase {
        _ if status.step.is_none() || snapshot.primary().is_none() => true,
        None | Some(Phase::Initializing | Phase::Promoting) => true,
        Some(Phase::Failed) => status.previous_spec.is_some(),
        Some(Phase::Progressing | Phase::WaitingPromotion) => {
            let position = Position {
                weight: snapshot.status_weight(),
                iterations: status.iterations.unwrap_or(0),
                ..Position::default()
            };
            terms.skip_analysis || Rules::from(terms).advance(position) == Next::Promote
        }
        Some(_) => false,
    }
}

/// Reads the tracked configs: contents where they have changed since their checksum was taken or
/// will be copied, and the copies where they will be written or are not as they were.
pub(super) async fn read_configs(cluster: &Cluster, world: &World, snapshot: &mut Snapshot) {
    let template = snapshot
        .target()
        .map(|target| snapshot.workload.template(target).into_owned());
    if let Some(template) = template.filter(|_| snapshot.policy.config_tracking) {
        let copying = may_copy(snapshot);
        let restored = snapshot.restored.clone();
        let restored = restored.as_ref().map(|restored| &restored.template);
        let templates = [Some(&template), restored].into_iter().flatten();
        let mut references: Vec<Key> = templates
            .flat_map(references::of)
            .map(|reference| reference.key)
            .collect();
        if references.len() > TRACKED_MAX {
            let text = format!(
                "the pod template of {} {} refers to {} ConfigMaps and Secrets; at most \
                 {TRACKED_MAX} are tracked",
                snapshot.workload.kind().kind,
                snapshot.names.target,
                references.len(),
            );
            snapshot.problems.push(Problem(text));
            references.truncate(TRACKED_MAX);
        }
        let mut needed = Vec::new();
        for key in references {
            if *key.kind == CONFIG_MAP && !copying {
                take_listed(world, snapshot, &key);
                continue;
            }
            if copying {
                needed.extend([configs::copy_key(&key), configs::previous_key(&key)]);
            }
            needed.push(key);
        }
        read(cluster, snapshot, needed).await;
        let unread = configs::unread(&snapshot.view(), &template);
        read_again(cluster, snapshot, unread).await;
        match configs::checksums(&snapshot.view(), &template) {
            Ok(checksums) => {
                snapshot.checksums = checksums.tracked;
                snapshot.versions = checksums.versions;
            }
            // What cannot be looked at counts as unchanged: it starts nothing.
            Err(problem) => {
                if snapshot.unreachable.is_empty() {
                    snapshot.problems.push(problem);
                }
                snapshot.checksums = snapshot.status.tracked_configs.clone().unwrap_or_default();
            }
        }
        if let Some(restored) = &snapshot.restored
            && let Err(problem) = configs::tracked(&snapshot.view(), &restored.template)
        {
            let problem = restored.problem(&problem);
            snapshot.problems.push(problem);
        }
        read_copies(cluster, world, snapshot).await;
    }
    // What a claim named is looked at, whatever the phase has become since.
    let objects = snapshot.status.step.iter().flat_map(|step| &step.objects);
    let named: Vec<Key> = objects
        .filter_map(|object| {
            let kind = [&CONFIG_MAP, &SECRET]
                .into_iter()
                .find(|kind| kind.kind == object.kind)?;
            (object.api_version == "v1").then(|| Key::new(kind, &*object.name))
        })
        .collect();
    read(cluster, snapshot, named).await;
}

/// Takes the metadata of a ConfigMap from the list of the pass.
fn take_listed(world: &World, snapshot: &mut Snapshot, key: &Key) {
    if snapshot.keys.contains(key) {
        return;
    }
    snapshot.keys.insert(key.clone());
    if let Some(why) = world.unreadable(&snapshot.names.namespace, key) {
        snapshot.unread.insert(key.clone());
        if !snapshot.unreachable.contains(&why) {
            snapshot.unreachable.push(why);
        }
    }
    let listed = world.objects.get(&snapshot.names.namespace);
    if let Some(metadata) = listed.and_then(|listed| listed.get(key)) {
        snapshot.objects.insert(key.clone(), metadata.clone());
    }
}

/// What the primary's copies should hold by now, by name in `status`.
fn expected_copies(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let status = &snapshot.status;
    match status.phase {
        None | Some(Phase::Initializing) => snapshot.checksums.clone(),
        Some(Phase::Promoting) if snapshot.is_copied(status) => {
            status.tracked_configs.clone().unwrap_or_default()
        }
        Some(_) => status.promoted_configs.clone().unwrap_or_default(),
    }
}

/// The primary's copies of what was promoted, where they are not as a pass has seen them: what is
/// gone or was changed is written again from the config itself, or from what was kept of it.
async fn read_copies(cluster: &Cluster, world: &World, snapshot: &mut Snapshot) {
    let promoted = expected_copies(snapshot);
    let configs: Vec<Key> = promoted
        .keys()
        .filter_map(|name| configs::key_of_status(name))
        .collect();
    let mut secrets = Vec::new();
    for copy in configs.iter().map(configs::copy_key) {
        if *copy.kind == CONFIG_MAP {
            take_listed(world, snapshot, &copy);
        } else {
            secrets.push(copy);
        }
    }
    read(cluster, snapshot, secrets).await;
    let mut unknown = Vec::new();
    for config in configs {
        let copy = configs::copy_key(&config);
        if !configs::is_at_known_version(&snapshot.view(), &copy) {
            unknown.extend([copy, configs::previous_key(&config), config]);
        }
    }
    // Contents that this pass has read already are not asked for twice: between two answers somebody
    // may have changed them, and a snapshot with both agrees with neither.
    unknown.retain(|key| {
        let object = snapshot.objects.get(key);
        object.is_none_or(|object| configs::is_metadata_only(object))
    });
    let is_there = |snapshot: &Snapshot, key: &Key| snapshot.objects.contains_key(key);
    let mut listed = unknown.clone();
    listed.retain(|key| is_there(snapshot, key));
    read_again(cluster, snapshot, unknown).await;
    listed.retain(|key| !is_there(snapshot, key) && !snapshot.unread.contains(key));
    let gone = listed.iter();
    let gone = gone.map(|key| format!("{key} was deleted while it was read"));
    snapshot.unreachable.extend(gone);
    // A later pass need not look at what is as it was promoted.
    for (name, checksum) in &promoted {
        let Some(copy) = configs::key_of_status(name).map(|config| configs::copy_key(&config))
        else {
            continue;
        };
        let is_known = configs::is_at_known_version(&snapshot.view(), &copy);
        let Some(object) = snapshot.objects.get(&copy) else {
            continue;
        };
        let version = object["metadata"]["resourceVersion"].as_str();
        if let Some(version) = version
            && (is_known || config_checksum(object) == *checksum)
        {
            let version = version.to_owned();
            snapshot
                .versions
                .insert(configs::status_key(&copy), version);
        }
    }
}
