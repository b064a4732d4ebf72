//! Every write in a namespace as a watch of the API server tells it, in the order of the commits.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::bed::control_plane::ControlPlane;
use crate::bed::wait::until;
use crate::proof::invariants::watched::{Change, Watched};

const DEADLINE: Duration = Duration::from_mins(1);

/// What Davy writes, and what it decides by.
const KINDS: [(&str, &str); 9] = [
    ("flagger.app/v1beta1", "Canary"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.istio.io/v1", "VirtualService"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Event"),
];

/// A watch of all kinds, to be ended by [`History::end`].
pub(super) struct History {
    seen: Shared,
    followed: Vec<(Api<DynamicObject>, JoinHandle<String>)>,
}

type Shared = Arc<Mutex<Vec<Seen>>>;

/// An event of a watch as it arrived.
struct Seen {
    /// A number, and the same sequence for all kinds: they are in one store.
    version: u64,
    r#type: &'static str,
    object: Value,
    at: Timestamp,
}

impl History {
    /// Begins before there is anything to be told of; what is there already comes first.
    pub(super) async fn begin(cluster: &ControlPlane, namespace: &str) -> Self {
        let seen = Shared::default();
        let mut followed = Vec::new();
        for (api_version, kind) in KINDS {
            let objects = cluster.objects(api_version, kind, Some(namespace)).await;
            let listed = objects.list(&ListParams::default()).await;
            let listed = listed.unwrap_or_else(|error| panic!("listing {kind}: {error}"));
            for object in &listed.items {
                let mut object = json!(object);
                // Items of a list come without these.
                object["apiVersion"] = api_version.into();
                object["kind"] = kind.into();
                keep(&seen, "ADDED", object);
            }
            let version = listed.metadata.resource_version.expect("a list has one");
            let following = follow(objects.clone(), version, seen.clone());
            followed.push((objects, tokio::spawn(following)));
        }
        Self { seen, followed }
    }

    /// What was written until now.
    ///
    /// # Panics
    /// When the server could not tell everything: a history with a gap cannot be judged.
    pub(super) async fn end(self) -> Vec<Change> {
        for (objects, following) in self.followed {
            until("every write was seen", DEADLINE, async || {
                let listed = objects.list(&ListParams::default()).await;
                let listed = listed.map_err(|error| error.to_string())?;
                let seen = lock(&self.seen);
                let is_seen = |object: &DynamicObject| {
                    seen.iter().any(|it| {
                        it.object["metadata"]["uid"] == json!(object.uid())
                            && it.object["metadata"]["resourceVersion"]
                                == json!(object.resource_version())
                    })
                };
                match listed.iter().find(|object| !is_seen(object)) {
                    None => Ok(()),
                    Some(object) => Err(format!("{} is newer", object.name_any())),
                }
            })
            .await
            .unwrap_or_else(|error| panic!("{error}"));
            if following.is_finished() {
                let why = following.await;
                panic!("the watch has broken off: {why:?}");
            }
            following.abort();
        }
        let mut seen = std::mem::take(&mut *lock(&self.seen));
        seen.sort_by_key(|seen| seen.version);
        let mut watched = Watched::new("davy");
        seen.into_iter()
            .filter_map(|seen| watched.event(seen.r#type, seen.object, seen.at))
            .collect()
    }
}

/// Keeps every write from a version on; ends only when the server cannot tell them all, and says
/// why.
async fn follow(objects: Api<DynamicObject>, mut version: String, seen: Shared) -> String {
    // Shorter than what a server or a client would end on its own account. Bookmarks, which are
    // asked for by default, keep the version young where nothing is written.
    let parameters = WatchParams::default().timeout(240);
    let mut failures = 0;
    loop {
        match objects.watch(&parameters, &version).await {
            Ok(events) => {
                let mut events = pin!(events);
                while let Some(event) = events.next().await {
                    let (r#type, object) = match event {
                        Ok(WatchEvent::Added(object)) => ("ADDED", object),
                        Ok(WatchEvent::Modified(object)) => ("MODIFIED", object),
                        Ok(WatchEvent::Deleted(object)) => ("DELETED", object),
                        Ok(WatchEvent::Bookmark(bookmark)) => {
                            version = bookmark.metadata.resource_version;
                            continue;
                        }
                        // 410: what came after the version is forgotten, and no list brings it back.
                        Ok(WatchEvent::Error(status)) => return status.to_string(),
                        // The connection; what comes next is asked for from the last version.
                        Err(_) => break,
                    };
                    failures = 0;
                    version = object.resource_version().unwrap_or_default();
                    keep(&seen, r#type, json!(object));
                }
            }
            Err(kube::Error::Api(status)) => return status.to_string(),
            Err(error) if failures >= 10 => return error.to_string(),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "when the event has arrived")]
fn keep(seen: &Shared, r#type: &'static str, object: Value) {
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.and_then(|version| version.parse().ok());
    lock(seen).push(Seen {
        version: version.expect("a resourceVersion is a number"),
        r#type,
        object,
        at: Timestamp::now(),
    });
}

fn lock(seen: &Shared) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
