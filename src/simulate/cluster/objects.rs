//! The objects of a cluster in maps that clones share until one of them writes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use super::object::Key;

/// Group and kind.
type KindName = (Arc<str>, Arc<str>);
type OfKind = BTreeMap<Key, Arc<Value>>;

/// Two levels, so that the first write after a fork copies the pointers of one kind, not those of
/// the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects(Arc<BTreeMap<KindName, Arc<OfKind>>>);

impl Objects {
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.of_kind(&key.group, &key.kind)?.get(key)
    }

    pub(super) fn insert(&mut self, key: Key, object: Arc<Value>) {
        let kinds = Arc::make_mut(&mut self.0);
        let of_kind = kinds
            .entry((key.group.clone(), key.kind.clone()))
            .or_default();
        Arc::make_mut(of_kind).insert(key, object);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let kinds = Arc::make_mut(&mut self.0);
        if let Some(of_kind) = kinds.get_mut(&(key.group.clone(), key.kind.clone())) {
            Arc::make_mut(of_kind).remove(key);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.0.values().flat_map(|of_kind| of_kind.iter())
    }

    pub(super) fn of(&self, group: &str, kind: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.of_kind(group, kind)
            .into_iter()
            .flat_map(|of_kind| of_kind.iter())
    }

    /// The objects of one namespace.
    pub(super) fn within<'a>(
        &'a self,
        group: &'a str,
        kind: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first = Key::new(group, kind, namespace, "");
        self.of_kind(group, kind)
            .into_iter()
            .flat_map(move |of_kind| {
                of_kind.range((Bound::Included(first.clone()), Bound::Unbounded))
            })
            .take_while(move |(key, _)| *key.namespace == *namespace)
    }

    /// The objects of one namespace whose names begin like this.
    pub(super) fn beginning<'a>(
        &'a self,
        first: &Key,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> + use<'a> {
        let (namespace, prefix) = (first.namespace.clone(), first.name.clone());
        self.of_kind(&first.group, &first.kind)
            .into_iter()
            .flat_map({
                let first = first.clone();
                move |of_kind| of_kind.range(first.clone()..)
            })
            .take_while(move |(key, _)| {
                key.namespace == namespace && key.name.starts_with(&*prefix)
            })
    }

    fn of_kind(&self, group: &str, kind: &str) -> Option<&Arc<OfKind>> {
        self.0.get(&(Arc::from(group), Arc::from(kind)))
    }
}
