//! `ConfigMaps` and Secrets of a pod template: which are tracked, their checksums, and the copies
//! that a primary uses, so that a change reaches it only by a promotion.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::objects::metadata::{self, CONFIG_TRACKING};
use crate::objects::references::{self, Reference};
use crate::objects::{CONFIG_MAP, Key, Problem, Rank, SECRET, View, Wanted, hash};

/// Types of Secrets that hold an application's configuration; others belong to controllers.
const TRACKED_TYPES: [&str; 4] = [
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// What `status` keeps of the configs, by status key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// Of the contents of each tracked config.
    pub tracked: BTreeMap<String, String>,
    /// The resourceVersions that were looked at, also of those which turned out not to be
    /// tracked, so that a later pass need not read them again.
    pub versions: BTreeMap<String, String>,
}

/// The name of a config in `status`: `configmap/settings`.
pub fn status_key(key: &Key) -> String {
    format!("{}/{}", key.kind.kind.to_lowercase(), key.name)
}

/// The config behind a name in `status`.
pub fn key_of_status(status_key: &str) -> Option<Key> {
    let (kind, name) = status_key.split_once('/')?;
    match kind {
        "configmap" => Some(Key::new(&CONFIG_MAP, name)),
        "secret" => Some(Key::new(&SECRET, name)),
        _ => None,
    }
}

/// The copy that the primary uses.
pub fn copy_key(config: &Key) -> Key {
    Key::new(config.kind, format!("{}-primary", config.name))
}

/// What that copy held before the last promotion.
pub fn previous_key(config: &Key) -> Key {
    Key::new(config.kind, format!("{}-primary-previous", config.name))
}

/// The configs that are tracked. One that has to be there and is not is a problem.
pub fn tracked(view: &View<'_>, template: &Value) -> Result<Vec<Key>, Problem> {
    let mut tracked = Vec::new();
    for reference in referred(view, template) {
        match standing(view, &reference.key) {
            Standing::Tracked => tracked.push(reference.key),
            Standing::Untracked => {}
            Standing::Unread => return Err(unread_contents(&reference.key)),
            Standing::Missing if reference.is_optional => {}
            Standing::Missing => {
                let target = &view.canary.spec.target_ref;
                let why = format!(
                    "{} {} refers to {}, which does not exist",
                    target.kind, target.name, reference.key
                );
                return Err(Problem::field("spec.targetRef", why));
            }
        }
    }
    Ok(tracked)
}

/// The configs whose contents have to be read before `checksums` can tell: those of which only
/// metadata is there, and which are not at the version that `status` speaks of.
pub fn unread(view: &View<'_>, template: &Value) -> Vec<Key> {
    let is_unknown = |key: &Key| {
        view.object(key.kind, &key.name).is_some_and(|object| {
            is_metadata_only(object) && !is_opted_out(object) && !is_known(view, key, object)
        })
    };
    let keys = referred(view, template).map(|reference| reference.key);
    keys.filter(is_unknown).collect()
}

/// The checksums of the tracked configs; of those that have not changed since, from `status`.
pub fn checksums(view: &View<'_>, template: &Value) -> Result<Checksums, Problem> {
    let mut checksums = Checksums::default();
    for key in tracked(view, template)? {
        let Some(object) = view.object(key.kind, &key.name) else {
            continue;
        };
        let checksum = if !is_metadata_only(object) {
            hash::config_checksum(object)
        } else if is_known(view, &key, object) {
            recorded(view, &key).cloned().unwrap_or_default()
        } else {
            return Err(unread_contents(&key));
        };
        checksums.tracked.insert(status_key(&key), checksum);
    }
    for Reference { key, .. } in referred(view, template) {
        let object = view.object(key.kind, &key.name);
        let version = object.and_then(|object| object["metadata"]["resourceVersion"].as_str());
        if let Some(version) = version {
            checksums
                .versions
                .insert(status_key(&key), version.to_owned());
        }
    }
    Ok(checksums)
}

/// The `-primary` copies as a promotion of this template writes them.
pub fn copies(view: &View<'_>, template: &Value) -> Result<Vec<Wanted>, Problem> {
    let copy = |config: &Key| {
        let source = contents(view, config)?;
        let mut wanted = filled(view, copy_key(config), source, Rank::Config)?;
        let prefixes = &view.policy.include_label_prefix;
        let labels = metadata::included(&metadata::labels(source), prefixes);
        metadata::set_labels(&mut wanted.object, labels);
        Ok(wanted)
    };
    tracked(view, template)?.iter().map(copy).collect()
}

/// Whether an object is there at the very version that `status` speaks of.
pub fn is_at_known_version(view: &View<'_>, key: &Key) -> bool {
    view.object(key.kind, &key.name)
        .is_some_and(|object| is_known(view, key, object))
}

/// What the `-primary` copies held when the last promotion was done, kept for one that fails.
///
/// Asked again after a copy was written, it does not take the new contents for the old ones:
/// `promotedConfigs` tells them apart.
pub fn previous_copies(view: &View<'_>, template: &Value) -> Result<Vec<Wanted>, Problem> {
    let mut wanted = Vec::new();
    for config in tracked(view, template)? {
        if is_to_be_kept(view, &config)? {
            let copy = contents(view, &copy_key(&config))?;
            wanted.push(filled(
                view,
                previous_key(&config),
                copy,
                Rank::PreviousConfig,
            )?);
        }
    }
    Ok(wanted)
}

/// The `-primary` copies with what they held before the promotion that `status` speaks of. From
/// `trackedConfigs`, not from the target: its template may be another one by now.
pub fn restored_copies(view: &View<'_>) -> Result<Vec<Wanted>, Problem> {
    let status = view.canary.status.as_ref();
    let recorded = status.and_then(|status| status.tracked_configs.as_ref());
    let configs = recorded
        .into_iter()
        .flatten()
        .filter_map(|(name, _)| key_of_status(name));
    let was_kept = |config: &Key| {
        view.objects.contains_key(&previous_key(config))
            && !matches!(promoted(view, config), Promoted::Absent)
    };
    let restore = |config: Key| {
        let previous = contents(view, &previous_key(&config))?;
        filled(view, copy_key(&config), previous, Rank::Config)
    };
    configs.filter(was_kept).map(restore).collect()
}

/// The `-primary` copies with these checksums, by name in `status`, where they do not have them: from
/// the config itself if that has not changed since, else from what was kept of the copy before a
/// promotion. What is to be found in neither stays as it is, and so does what was not read.
pub fn repaired_copies(view: &View<'_>, checksums: &BTreeMap<String, String>) -> Vec<Wanted> {
    let repaired = checksums.iter().filter_map(|(name, checksum)| {
        let config = key_of_status(name)?;
        let copy = copy_key(&config);
        let holds = |key: &Key| {
            let object = contents(view, key).ok()?;
            (hash::config_checksum(object) == *checksum).then_some(object)
        };
        if view
            .object(copy.kind, &copy.name)
            .is_some_and(is_metadata_only)
            || holds(&copy).is_some()
        {
            return None;
        }
        let source = holds(&config).or_else(|| holds(&previous_key(&config)))?;
        filled(view, copy, source, Rank::Config).ok()
    });
    repaired.collect()
}

/// The template referring to the copies of these configs.
pub fn renamed(template: &Value, tracked: &[Key]) -> Value {
    references::renamed(template, |key| {
        tracked.contains(key).then(|| copy_key(key).name)
    })
}

/// The configs that a primary's template has renamed. Unlike `tracked` this always has an answer:
/// what cannot be looked at now stands as `status` says, so that a primary does not look changed
/// because a config was deleted or not read.
pub fn renames(view: &View<'_>, template: &Value) -> Vec<Key> {
    referred(view, template)
        .filter(|reference| match standing(view, &reference.key) {
            Standing::Tracked => true,
            Standing::Untracked => false,
            Standing::Unread => recorded(view, &reference.key).is_some(),
            Standing::Missing => !reference.is_optional && recorded(view, &reference.key).is_some(),
        })
        .map(|reference| reference.key)
        .collect()
}

/// Whether what the `-primary` copy holds is what a failed promotion would have to go back to,
/// and is not kept yet.
fn is_to_be_kept(view: &View<'_>, config: &Key) -> Result<bool, Problem> {
    if !view.objects.contains_key(&copy_key(config)) {
        return Ok(false);
    }
    let copy = contents(view, &copy_key(config))?;
    let is_written = hash::config_checksum(copy) == hash::config_checksum(contents(view, config)?);
    let checksum = match promoted(view, config) {
        Promoted::Absent => return Ok(false),
        Promoted::Unknown => return Ok(!is_written),
        Promoted::Checksum(checksum) => checksum,
    };
    if view.objects.contains_key(&previous_key(config)) {
        let previous = contents(view, &previous_key(config))?;
        if hash::config_checksum(previous) == *checksum {
            return Ok(false);
        }
    }
    // A copy that somebody edited is what the primary ran with, whatever was promoted.
    Ok(hash::config_checksum(copy) == *checksum || !is_written)
}

/// What `status` says of a config at the last promotion.
enum Promoted<'a> {
    /// Nothing is known of that promotion.
    Unknown,
    /// The primary did not use it, so there is nothing to go back to.
    Absent,
    Checksum(&'a String),
}

fn promoted<'a>(view: &View<'a>, config: &Key) -> Promoted<'a> {
    let status = view.canary.status.as_ref();
    match status.and_then(|status| status.promoted_configs.as_ref()) {
        None => Promoted::Unknown,
        Some(checksums) => checksums
            .get(&status_key(config))
            .map_or(Promoted::Absent, Promoted::Checksum),
    }
}

/// What a referred config is to this pass.
enum Standing {
    Tracked,
    Untracked,
    Missing,
    /// A Secret whose type is not known: metadata does not tell it.
    Unread,
}

fn standing(view: &View<'_>, key: &Key) -> Standing {
    let Some(object) = view.object(key.kind, &key.name) else {
        return Standing::Missing;
    };
    let is_tracked = if is_opted_out(object) {
        false
    } else if *key.kind == CONFIG_MAP {
        true
    } else if is_metadata_only(object) {
        if !is_known(view, key, object) {
            return Standing::Unread;
        }
        recorded(view, key).is_some()
    } else {
        TRACKED_TYPES.contains(&object["type"].as_str().unwrap_or("Opaque"))
    };
    if is_tracked {
        Standing::Tracked
    } else {
        Standing::Untracked
    }
}

fn referred(view: &View<'_>, template: &Value) -> impl Iterator<Item = Reference> {
    view.policy
        .config_tracking
        .then(|| references::of(template))
        .into_iter()
        .flatten()
}

/// `disable`, and also `disabled`.
fn is_opted_out(object: &Value) -> bool {
    object["metadata"]["annotations"][CONFIG_TRACKING]
        .as_str()
        .is_some_and(|tracking| tracking.starts_with("disable"))
}

/// Whether only the metadata of an object was asked for.
pub fn is_metadata_only(object: &Value) -> bool {
    object["kind"] == "PartialObjectMetadata"
}

/// Whether `status` speaks of this very version of the object.
fn is_known(view: &View<'_>, key: &Key, object: &Value) -> bool {
    let status = view.canary.status.as_ref();
    let versions = status.and_then(|status| status.config_versions.as_ref());
    let version = versions.and_then(|versions| versions.get(&status_key(key)));
    version.is_some_and(|version| object["metadata"]["resourceVersion"] == **version)
}

/// The checksum in `status`, if the config was tracked.
fn recorded<'a>(view: &View<'a>, key: &Key) -> Option<&'a String> {
    view.canary
        .status
        .as_ref()?
        .tracked_configs
        .as_ref()?
        .get(&status_key(key))
}

fn contents<'a>(view: &View<'a>, key: &Key) -> Result<&'a Value, Problem> {
    match view.object(key.kind, &key.name) {
        Some(object) if !is_metadata_only(object) => Ok(object),
        _ => Err(unread_contents(key)),
    }
}

fn unread_contents(key: &Key) -> Problem {
    Problem(format!("contents of {key} were not read"))
}

/// The object of this name with the contents of another: the live one edited, or a new one.
///
/// `immutable` is not copied: the copy has to follow a source that is deleted and made again.
fn filled(view: &View<'_>, key: Key, source: &Value, rank: Rank) -> Result<Wanted, Problem> {
    let mut object = if let Some(live) = view.object(key.kind, &key.name) {
        let live = contents(view, &key).map(|_| live)?;
        refuse_unwritable(&key, live, source)?;
        live.clone()
    } else {
        json!({
            "apiVersion": key.kind.api_version(),
            "kind": key.kind.kind,
            "metadata": { "name": key.name, "namespace": view.names.namespace },
        })
    };
    for field in ["data", "binaryData", "type"] {
        match source.get(field) {
            Some(value) => object[field] = value.clone(),
            None => drop(
                object
                    .as_object_mut()
                    .and_then(|fields| fields.remove(field)),
            ),
        }
    }
    metadata::take_ownership(&mut object, view.names);
    Ok(Wanted { key, rank, object })
}

/// What an API server would not let be written, said before anything is.
fn refuse_unwritable(key: &Key, live: &Value, source: &Value) -> Result<(), Problem> {
    if !live["metadata"]["deletionTimestamp"].is_null() {
        return Err(Problem(format!("{key} is being deleted")));
    }
    if live["type"] != source["type"] {
        let [is, should] = [&live["type"], &source["type"]].map(|of| of.as_str().unwrap_or(""));
        let why = "a type cannot be changed; delete it";
        return Err(Problem(format!(
            "{key} has type \"{is}\", not \"{should}\"; {why}"
        )));
    }
    let differs = ["data", "binaryData"]
        .into_iter()
        .any(|field| live[field] != source[field]);
    if live["immutable"] == true && differs {
        return Err(Problem(format!(
            "{key} is immutable and holds something else; delete it"
        )));
    }
    Ok(())
}
