//! The traffic at every moment: each write of a Service, a pod or the route is recorded, and replayed
//! in the order in which they were made. Whoever gets traffic must have a pod that is ready.
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::bed::wait::until;

use super::{Podinfo, looks::weight_of};

const DEADLINE: Duration = Duration::from_mins(1);

/// The version that stands for everything from before the watch.
const AT_FIRST: u64 = 0;

const KINDS: [(&str, &str); 3] = [
    ("v1", "Service"),
    ("v1", "Pod"),
    ("networking.istio.io/v1", "VirtualService"),
];

/// To be ended by [`Watch::end`].
pub(crate) struct Watch {
    changes: Changes,
    followed: Vec<(Api<DynamicObject>, JoinHandle<()>)>,
}

/// What was replayed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Writes after which the apex Service was there, with a pod that was ready.
    pub(crate) served: usize,
    /// Writes after which the canary had a share of the traffic.
    pub(crate) split: usize,
    /// What must not be, each once, with the count.
    wrong: BTreeMap<String, usize>,
}

type Changes = Arc<Mutex<Vec<Change>>>;

struct Change {
    /// A number, and the same sequence for all kinds: they are in one store.
    version: u64,
    kind: &'static str,
    object: DynamicObject,
    is_gone: bool,
}

impl Podinfo {
    /// Needs a runtime of several threads: passes block the test's own.
    pub(crate) async fn watch(&self) -> Watch {
        let changes = Changes::default();
        let mut followed = Vec::new();
        for (api_version, kind) in KINDS {
            let namespace = Some(self.namespace.as_str());
            let objects = self.cluster.objects(api_version, kind, namespace).await;
            let listed = objects.list(&ListParams::default()).await;
            let listed = listed.unwrap_or_else(|error| panic!("listing {kind}: {error}"));
            let version = listed.metadata.resource_version.expect("a list has one");
            for object in listed.items {
                lock(&changes).push(Change {
                    version: AT_FIRST,
                    kind,
                    object,
                    is_gone: false,
                });
            }
            let following = follow(objects.clone(), kind, version, changes.clone());
            followed.push((objects, tokio::spawn(following)));
        }
        Watch { changes, followed }
    }

    /// Waits until a Deployment has as many ready pods as it asks for.
    pub(crate) async fn until_ready(&self, name: &str) {
        until("its pods are ready", DEADLINE, async || {
            let deployment = self.deployment(name).await;
            let (asked, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
            if status["readyReplicas"] == *asked {
                Ok(())
            } else {
                Err(format!("{status}"))
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

impl Watch {
    /// Replays what was written until now.
    ///
    /// # Panics
    /// When somebody was given traffic who could not answer.
    pub(crate) async fn end(self) -> Seen {
        for (objects, following) in &self.followed {
            until("every write was seen", DEADLINE, async || {
                let listed = objects.list(&ListParams::default()).await;
                let listed = listed.map_err(|error| error.to_string())?;
                let changes = lock(&self.changes);
                let is_seen = |object: &DynamicObject| {
                    let mut same = changes.iter().filter(|it| it.object.uid() == object.uid());
                    same.any(|it| it.object.resource_version() == object.resource_version())
                };
                match listed.iter().find(|object| !is_seen(object)) {
                    None => Ok(()),
                    Some(object) => Err(format!("{} is newer", object.name_any())),
                }
            })
            .await
            .unwrap_or_else(|error| panic!("{error}"));
            assert!(!following.is_finished(), "the watch has broken off");
            following.abort();
        }
        let mut changes = lock(&self.changes);
        changes.sort_by_key(|change| change.version);
        let seen = replay(&changes);
        assert!(seen.wrong.is_empty(), "{seen:#?}");
        seen
    }
}

/// Keeps every write from a version on; ends only when the server cannot tell them all.
async fn follow(
    objects: Api<DynamicObject>,
    kind: &'static str,
    mut version: String,
    changes: Changes,
) {
    // Shorter than what a server or a client would end on its own account.
    let parameters = WatchParams::default().timeout(240);
    loop {
        let Ok(events) = objects.watch(&parameters, &version).await else {
            return;
        };
        let mut events = pin!(events);
        while let Some(event) = events.next().await {
            let (object, is_gone) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                Ok(WatchEvent::Deleted(object)) => (object, true),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(WatchEvent::Error(_)) | Err(_) => return,
            };
            version = object.resource_version().unwrap_or_default();
            keep(&changes, kind, object, is_gone);
        }
    }
}

fn keep(changes: &Changes, kind: &'static str, object: DynamicObject, is_gone: bool) {
    let version = object.resource_version().unwrap_or_default();
    let version = version.parse().expect("a resourceVersion is a number");
    let change = Change {
        version,
        kind,
        object,
        is_gone,
    };
    lock(changes).push(change);
}

fn lock(changes: &Changes) -> std::sync::MutexGuard<'_, Vec<Change>> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn replay(changes: &[Change]) -> Seen {
    let mut seen = Seen::default();
    let mut objects = BTreeMap::new();
    for change in changes {
        let key = (change.kind, change.object.name_any());
        if change.is_gone {
            objects.remove(&key);
        } else {
            objects.insert(key, json!(change.object));
        }
        // What was there at first was there at once, whenever each of it was written.
        if change.version != AT_FIRST {
            judge(&objects, &mut seen);
        }
    }
    seen
}

fn judge(objects: &BTreeMap<(&str, String), Value>, seen: &mut Seen) {
    let object = |kind, name: &str| objects.get(&(kind, name.to_owned()));
    let route = object("VirtualService", "podinfo");
    let weight = |host| route.and_then(|route| weight_of(route, host)).unwrap_or(0);
    let sides = ["podinfo-primary", "podinfo-canary"];
    let split = sides.into_iter().filter(|side| weight(side) > 0);
    seen.split += usize::from(weight("podinfo-canary") > 0);
    // Before there is an apex Service nobody sends it requests.
    let apex = ["podinfo"]
        .into_iter()
        .filter(|apex| object("Service", apex).is_some());
    seen.served += apex.clone().count();
    for name in apex.chain(split) {
        let selector = object("Service", name).map(|service| &service["spec"]["selector"]);
        let mut pods = objects.iter().filter(|((kind, _), _)| *kind == "Pod");
        if !pods.any(|(_, pod)| selector.is_some_and(|selector| answers(pod, selector))) {
            let shares = sides.map(weight);
            let text = format!("Service {name}, {selector:?}, has no ready pods; {shares:?}");
            *seen.wrong.entry(text).or_default() += 1;
        }
    }
}

/// Whether a pod is ready and selected.
fn answers(pod: &Value, selector: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    selector
        .as_object()
        .is_some_and(|selector| selector.iter().all(|(key, value)| labels[key] == *value))
        && pod["metadata"]["deletionTimestamp"].is_null()
        && conditions
            .into_iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
