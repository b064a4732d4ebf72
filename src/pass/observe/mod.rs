//! Reading the world: the Canaries first, then their objects by one list for each kind, then what
//! only some canaries need. Reads only, always the most recent state.

mod canary;
mod configs;
mod problems;
mod restored;
mod templates;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;

use crate::api::canary::Canary;
use crate::api::status::Phase;
use crate::io::clock::Clock;
use crate::io::cluster::{Cluster, Error, Listed, Scope};
use crate::metrics::Templates;
use crate::objects::configs::{copy_key, key_of_status};
use crate::objects::{
    CANARY, CONFIG_MAP, Key, Kind, Names, Objects, Policy, Problem, SERVICE, references,
};
use crate::pass::deliver::records::Records;
use crate::pass::terms::layout;
use crate::{routers, workloads};

use restored::Promotions;

pub use canary::snapshot;
pub use problems::hooks;

/// Lists of namespaces that are under way together.
const LISTS_AT_ONCE: usize = 8;

/// A server that wants to be left alone for longer is asked by the next pass.
const BUSY_SECONDS_MAX: u64 = 10;

/// What canaries name, by namespace.
type Keys = BTreeMap<String, BTreeSet<Key>>;

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
    templates: Templates,
    objects: BTreeMap<String, Objects>,
    /// Other objects of the routers' kinds, by namespace: some may claim what a canary's do.
    others: BTreeMap<String, Objects>,
    /// Only canaries that need it are held up.
    unreadable: Vec<Unreadable>,
}

/// What could not be read: a kind, in all namespaces or one, or one object of it.
#[derive(Debug)]
struct Unreadable {
    kind: &'static Kind,
    namespace: Option<String>,
    name: Option<String>,
    why: String,
}

impl Unreadable {
    /// Whether the object is among it.
    fn holds(&self, namespace: &str, key: &Key) -> bool {
        *self.kind == *key.kind
            && self.namespace.as_deref().is_none_or(|it| it == namespace)
            && self.name.as_deref().is_none_or(|it| it == key.name)
    }
}

/// Reads the Canaries of `scope` and every object that they name. From `records` it is read later,
/// should a primary have to start from one.
pub async fn world(
    cluster: &Cluster,
    scope: &Scope,
    policy: &Arc<Policy>,
    records: Option<&Records>,
    metrics_server: &str,
    clock: &Clock,
) -> Result<World, Error> {
    let mut canaries = Vec::new();
    let mut malformed = Vec::new();
    // Before any of their objects: objects read first would let a fresh claim stand on a stale
    // route.
    let listed = all_canaries(cluster, scope, clock).await?;
    // Not before: a pass that was held up until here would take what others have written meanwhile
    // for the future, and set their clocks back.
    let now = clock.now();
    for Listed {
        namespace,
        name,
        object,
    } in listed
    {
        let canary = object.and_then(|object| {
            serde_json::from_value::<Canary>(object).map_err(|error| error.to_string())
        });
        match canary {
            Ok(canary) => canaries.push(canary),
            Err(why) => malformed.push((
                format!("{namespace}/{name}"),
                Problem(format!("not a valid Canary: {why}")),
            )),
        }
    }
    let mut wanted: Keys = BTreeMap::new();
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
        templates: Templates::new(),
        objects: BTreeMap::new(),
        others: BTreeMap::new(),
        unreadable: Vec::new(),
    };
    let kinds: BTreeSet<&'static Kind> = wanted.values().flatten().map(|key| key.kind).collect();
    let lists = kinds
        .into_iter()
        .map(|kind| list(cluster, scope, kind, false, &wanted));
    for lists in futures::future::join_all(lists).await {
        for (kind, namespace, listed) in lists {
            world.keep(kind, namespace, kind.kind, listed, &wanted);
        }
    }
    templates::list(cluster, scope, &mut world).await;
    let config_maps = world.config_maps();
    if !config_maps.is_empty() {
        let lists = list(cluster, scope, &CONFIG_MAP, true, &config_maps).await;
        for (kind, namespace, listed) in lists {
            world.keep(
                kind,
                namespace,
                "PartialObjectMetadata",
                listed,
                &config_maps,
            );
        }
    }
    Ok(world)
}

/// Every Canary. An API server that starts says when it will answer; the pass has a deadline.
async fn all_canaries(
    cluster: &Cluster,
    scope: &Scope,
    clock: &Clock,
) -> Result<Vec<Listed>, Error> {
    loop {
        match cluster.list(&CANARY, scope, None).await {
            Err(Error::Busy { seconds, message }) if seconds <= BUSY_SECONDS_MAX => {
                tracing::warn!(seconds, message, "the API server is busy");
                clock.sleep(Duration::from_secs(seconds.max(1))).await;
            }
            listed => return listed,
        }
    }
}

/// The objects of one kind that canaries name. Whoever may not list a kind in the whole cluster may
/// have the right to in the namespaces that it is about: then there is a list for each of them.
async fn list(
    cluster: &Cluster,
    scope: &Scope,
    kind: &'static Kind,
    metadata_only: bool,
    wanted: &Keys,
) -> Vec<(&'static Kind, Option<String>, Result<Vec<Listed>, Error>)> {
    match list_in(cluster, scope, kind, metadata_only, wanted).await {
        Err(Error::Refused { code: 403, .. }) if *scope == Scope::Cluster => {}
        listed => return vec![(kind, None, listed)],
    }
    let mut namespaces: Vec<String> = Vec::new();
    for (namespace, keys) in wanted {
        if keys.iter().any(|key| *key.kind == *kind) {
            namespaces.push(namespace.clone());
        }
    }
    let lists = namespaces.into_iter().map(|namespace| async move {
        let scope = Scope::Namespace(namespace.clone());
        let listed = list_in(cluster, &scope, kind, metadata_only, wanted).await;
        (kind, Some(namespace), listed)
    });
    futures::stream::iter(lists)
        .buffered(LISTS_AT_ONCE)
        .collect()
        .await
}

async fn list_in(
    cluster: &Cluster,
    scope: &Scope,
    kind: &'static Kind,
    metadata_only: bool,
    wanted: &Keys,
) -> Result<Vec<Listed>, Error> {
    // A route of another name may claim the same hosts.
    let is_route = routers::kinds().any(|route| *route == *kind);
    let is_wanted = |namespace: &str, name: &str| {
        wanted.get(namespace).is_some_and(|keys| {
            !name.is_empty() && (is_route || keys.contains(&Key::new(kind, name)))
        })
    };
    cluster
        .list_wanted(kind, scope, metadata_only, is_wanted)
        .await
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
        keys.extend(router.reads(canary, names).into_iter().map(|(key, _)| key));
    }
    if let (Ok(Some(autoscaler)), Some(reference)) =
        (workloads::autoscaler(canary), &canary.spec.autoscaler_ref)
    {
        keys.extend(autoscaler.keys(names, &reference.name));
    }
    keys
}

impl World {
    /// Keeps what was listed, of all namespaces or one.
    fn keep(
        &mut self,
        kind: &'static Kind,
        namespace: Option<String>,
        named: &str,
        listed: Result<Vec<Listed>, Error>,
        wanted: &Keys,
    ) {
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let why = format!("listing {}: {error}", kind.plural);
                return self.unreadable.push(Unreadable {
                    kind,
                    namespace,
                    name: None,
                    why,
                });
            }
        };
        for Listed {
            namespace,
            name,
            object,
        } in listed
        {
            let key = Key::new(kind, &*name);
            let is_named = wanted
                .get(&namespace)
                .is_some_and(|keys| keys.contains(&key));
            let mut object = match object {
                Ok(object) => object,
                Err(why) => {
                    let why = format!("reading {key} in {namespace}: {why}");
                    self.unreadable.push(Unreadable {
                        kind,
                        namespace: Some(namespace),
                        name: Some(name),
                        why,
                    });
                    continue;
                }
            };
            // Items of a list come without these.
            object["apiVersion"] = kind.api_version().into();
            object["kind"] = named.into();
            let kept = if is_named {
                &mut self.objects
            } else {
                &mut self.others
            };
            kept.entry(namespace)
                .or_default()
                .insert(key, Arc::new(object));
        }
    }

    /// The ConfigMaps that targets refer to, and the copies that primaries use.
    fn config_maps(&self) -> Keys {
        let mut wanted: Keys = BTreeMap::new();
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
            let referred = target.map(|target| references::of(&workload.template(target)));
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

    /// Why an object could not be read, if it could not: it by itself, or the list that it is in.
    fn unreadable(&self, namespace: &str, key: &Key) -> Option<String> {
        let mut unreadable = self.unreadable.iter();
        let found = unreadable.find(|unreadable| unreadable.holds(namespace, key))?;
        Some(found.why.clone())
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
