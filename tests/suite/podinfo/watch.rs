//! Somebody who looks at the traffic all the time, between the passes and during them: whoever gets
//! traffic must have a pod that is ready.
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::bed::wait::until;

use super::{Podinfo, looks::weight_of};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Pods of a side that lost its traffic stay for ten seconds. What was read over a longer time does
/// not belong together.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// To be ended by [`Watch::end`].
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How often the apex Service was there and had ready pods.
    pub(crate) served: usize,
    /// How often the route gave traffic to the canary.
    pub(crate) split: usize,
    /// What must not be, each once, with the count.
    pub(crate) wrong: BTreeMap<String, usize>,
}

impl Podinfo {
    /// Needs a runtime of several threads: passes block the test's own.
    pub(crate) async fn watch(&self) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, namespace) = (self.cluster.client(), self.namespace.clone());
        let route = ("networking.istio.io/v1", "VirtualService");
        let routes = self
            .cluster
            .objects(route.0, route.1, Some(&namespace))
            .await;
        let stopped = stop.clone();
        let looking = tokio::spawn(async move {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::SeqCst) {
                look(&client, &namespace, &routes, &mut seen).await;
                tokio::time::sleep(PAUSE).await;
            }
            seen
        });
        Watch { stop, looking }
    }

    /// Waits until a Deployment has as many ready pods as it asks for.
    pub(crate) async fn until_ready(&self, name: &str) {
        until("its pods are ready", Duration::from_mins(1), async || {
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
    pub(crate) async fn end(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.looking.await.expect("it looks to the end");
        assert!(seen.wrong.is_empty(), "{seen:#?}");
        seen
    }
}

/// The route and the Services first, the pods after them: pods outlive the traffic to them.
async fn look(client: &Client, namespace: &str, routes: &Api<DynamicObject>, seen: &mut Seen) {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let start = Instant::now();
    let (Ok(route), Ok(services), Ok(pods)) = (
        routes.get_opt("podinfo").await,
        services.list(&ListParams::default()).await,
        pods.list(&ListParams::default()).await,
    ) else {
        *seen
            .wrong
            .entry("the API server did not answer".to_owned())
            .or_default() += 1;
        return;
    };
    if start.elapsed() > LOOK_MAX {
        return;
    }
    let mut served = vec!["podinfo"];
    let route = json!(route);
    let weight = |host| weight_of(&route, host).unwrap_or(0);
    served.extend(
        ["podinfo-primary", "podinfo-canary"]
            .into_iter()
            .filter(|host| weight(host) > 0),
    );
    seen.split += usize::from(weight("podinfo-canary") > 0);
    for name in served {
        let service = services
            .iter()
            .find(|it| it.metadata.name.as_deref() == Some(name));
        let selector = service.map(|it| it.spec.as_ref().and_then(|spec| spec.selector.clone()));
        match selector {
            // Before there is one nobody sends requests to it.
            None if name == "podinfo" => {}
            Some(Some(selector)) if pods.iter().any(|pod| is_ready(pod, &selector)) => {
                seen.served += usize::from(name == "podinfo");
            }
            other => {
                let shares = (weight("podinfo-primary"), weight("podinfo-canary"));
                let text = format!("Service {name} has no ready pods: {other:?} {shares:?}");
                *seen.wrong.entry(text).or_default() += 1;
            }
        }
    }
}

fn is_ready(pod: &Pod, selector: &BTreeMap<String, String>) -> bool {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}
