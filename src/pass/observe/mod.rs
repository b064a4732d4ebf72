//! Reading the world: the Canaries first, then their objects by one list for each kind, then what
//! only some canaries need. Reads only, always the most recent state.

mod canary;
mod configs;
mod problems;
mod restored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::Phase;
use crate::io::cluster::{Cluster, Error, Scope};
use crate::objects::configs::{copy_key, key_of_status};
use crate::objects::{
    CANARY, CONFIG_MAP, Key, Kind, Names, Objects, Policy, Problem, SERVICE, references,
};
use crate::pass::deliver::records::Records;
use crate::pass::terms::layout;
use crate::{routers, workloads};

use restored::Promotions;

pub use canary::snapshot;

/// Everything that was listed once for all canaries of a pass.
pub struct World {
    pub now: Timestamp,
    pub policy: Arc<Policy>,
    pub canaries: Vec<Canary>,
    /// Canaries that are no Canary, with what is wrong: reported on themselves only.
    pub malformed: Vec<(String, Problem)>,
    /// What several Canaries claim at once, by `namespace/name` of each of them.
    pub contested: BTreeMap<String, Vec<Problem>>,
    /// Where it is asked what a primary starts from that is to be made.
    promotions: Option<Promotions>,
    /// The metrics server of canaries that name none.
    metrics_server: String,
    objects: BTreeMap<String, Objects>,
    /// Other objects of the routers' kinds, by namespace: some may claim what a canary's do.
    others: BTreeMap<String, Objects>,
    /// Kinds that could not be read; only canaries that need them are held up.
    unreadable: Vec<(&'static Kind, Error)>,
}

/// Reads the Canaries of `scope` and every object that they name. From `records` it is read later,
/// should a primary have to start from one.
pub async fn world(
    cluster: &Cluster,
    scope: &Scope,
    policy: &Arc<Policy>,
    records: Option<&Records>,
    metrics_server: &str,
    now: Timestamp,
) -> Result<World, Error> {
    let mut canaries = Vec::new();
    let mut malformed = Vec::new();
    // Before any of their objects: objects read first would let a fresh claim stand on a stale
    // route.
    for item in cluster.list(&CANARY, scope, None).await? {
        let name = format!(
            "{}/{}",
            item["metadata"]["namespace"].as_str().unwrap_or_default(),
            item["metadata"]["name"].as_str().unwrap_or_default()
        );
        match serde_json::from_value::<Canary>(item) {
            Ok(canary) => canaries.push(canary),
            Err(error) => malformed.push((name, Problem(format!("not a valid Canary: {error}")))),
        }
    }
    let mut wanted: BTreeMap<String, BTreeSet<Key>> = BTreeMap::new();
    for canary in canaries.iter().filter(|canary| !is_left_alone(canary)) {
        let names = Names::of(canary);
        wanted
            .entry(names.namespace.clone())
            .or_default()
            .extend(keys(canary, policy));
    }
    let mut world = World {
        now,
        policy: policy.clone(),
        contested: problems::contested(&canaries, policy),
        canaries,
        malformed,
        promotions: records.filter(|_| policy.restores).map(Promotions::new),
        metrics_server: metrics_server.to_owned(),
        objects: BTreeMap::new(),
        others: BTreeMap::new(),
        unreadable: Vec::new(),
    };
    let kinds: BTreeSet<&'static Kind> = wanted.values().flatten().map(|key| key.kind).collect();
    let lists = kinds.into_iter().map(|kind| async move {
        let listed = cluster.list(kind, scope, None).await;
        (kind, listed)
    });
    for (kind, listed) in futures::future::join_all(lists).await {
        world.keep(kind, kind.kind, listed, &wanted);
    }
    let config_maps = world.config_maps();
    if !config_maps.is_empty() {
        let listed = cluster.list_metadata(&CONFIG_MAP, scope).await;
        world.keep(&CONFIG_MAP, "PartialObjectMetadata", listed, &config_maps);
    }
    Ok(world)
}

/// The objects that every canary has, whatever its phase: those that its traffic goes through, and
/// those that it asks for.
fn keys(canary: &Canary, policy: &Policy) -> Vec<Key> {
    let provider = layout::provider(canary, policy);
    let kind = &canary.spec.target_ref.kind;
    let mut keys = keys_of(canary, &Names::of(canary), provider, kind);
    if let Some(layout) = layout::current(canary) {
        let names = layout::names(canary);
        keys.extend(keys_of(
            canary,
            &names,
            &layout.provider,
            &layout.target_kind,
        ));
    }
    keys
}

fn keys_of(canary: &Canary, names: &Names, provider: &str, target_kind: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = [&names.apex, &names.apex_primary, &names.apex_canary]
        .map(|name| Key::new(&SERVICE, &**name))
        .into();
    if let Some(workload) = workloads::of_kind(target_kind) {
        keys.push(Key::new(workload.kind(), &*names.target));
        keys.push(Key::new(workload.kind(), &*names.primary));
    }
    if let Ok(router) = routers::router(provider) {
        keys.extend(router.keys(names));
    }
    if let (Ok(Some(autoscaler)), Some(reference)) =
        (workloads::autoscaler(canary), &canary.spec.autoscaler_ref)
    {
        keys.extend(autoscaler.keys(names, &reference.name));
    }
    keys
}

impl World {
    /// Keeps of a list what canaries name; a large cluster has much else.
    fn keep(
        &mut self,
        kind: &'static Kind,
        named: &str,
        listed: Result<Vec<Value>, Error>,
        wanted: &BTreeMap<String, BTreeSet<Key>>,
    ) {
        let items = match listed {
            Ok(items) => items,
            Err(error) => return self.unreadable.push((kind, error)),
        };
        for mut item in items {
            let namespace = item["metadata"]["namespace"].as_str().unwrap_or_default();
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            let key = Key::new(kind, name);
            let Some(keys) = wanted.get(namespace) else {
                continue;
            };
            let kept = if keys.contains(&key) {
                &mut self.objects
            } else if routers::kinds().any(|kind| *kind == *key.kind) {
                &mut self.others
            } else {
                continue;
            };
            let namespace = namespace.to_owned();
            // Items of a list come without these.
            item["apiVersion"] = kind.api_version().into();
            item["kind"] = named.into();
            kept.entry(namespace)
                .or_default()
                .insert(key, Arc::new(item));
        }
    }

    /// The ConfigMaps that targets refer to, and the copies that primaries use.
    fn config_maps(&self) -> BTreeMap<String, BTreeSet<Key>> {
        let mut wanted: BTreeMap<String, BTreeSet<Key>> = BTreeMap::new();
        for canary in self.canaries.iter().filter(|_| self.policy.config_tracking) {
            let names = layout::names(canary);
            let kind = layout::current(canary)
                .map_or(&canary.spec.target_ref.kind, |layout| &layout.target_kind);
            let Some(workload) = workloads::of_kind(kind) else {
                continue;
            };
            let key = Key::new(workload.kind(), &*names.target);
            let target = self
                .objects
                .get(&names.namespace)
                .and_then(|here| here.get(&key));
            let referred = target.map(|target| references::of(workload.template(target)));
            let referred = referred
                .into_iter()
                .flatten()
                .map(|reference| reference.key);
            let promoted = canary.status.iter().flat_map(|status| {
                let promoted = status.promoted_configs.iter().flatten();
                promoted.filter_map(|(name, _)| key_of_status(name))
            });
            let keys = referred
                .chain(promoted)
                .filter(|key| *key.kind == CONFIG_MAP);
            let wanted = wanted.entry(names.namespace).or_default();
            for key in keys {
                wanted.insert(copy_key(&key));
                wanted.insert(key);
            }
        }
        wanted.retain(|_, keys| !keys.is_empty());
        wanted
    }

    /// Why a kind could not be listed, if it could not.
    fn unreadable(&self, kind: &'static Kind) -> Option<String> {
        let mut unreadable = self.unreadable.iter();
        let (kind, error) = unreadable.find(|(unreadable, _)| **unreadable == *kind)?;
        Some(format!("listing {}: {error}", kind.plural))
    }
}

/// Why there is no snapshot of a canary.
#[derive(Clone, Debug, PartialEq)]
pub enum SnapshotError {
    /// The Canary names nothing that could be looked at.
    Invalid(Vec<Problem>),
    /// The API server did not answer.
    Unreachable(String),
}

/// Suspended means untouched; a deletion is seen through all the same, and where a release is under
/// way it is noted once since when its clocks stand still.
pub fn is_left_alone(canary: &Canary) -> bool {
    let is_noted = canary.status.as_ref().is_none_or(|status| {
        let is_release = matches!(
            status.phase,
            Some(Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting)
        );
        status.suspended_since.is_some() || status.step.is_none() || !is_release
    });
    canary.spec.suspend == Some(true) && canary.metadata.deletion_timestamp.is_none() && is_noted
}
