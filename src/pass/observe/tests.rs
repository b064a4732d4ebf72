//! The lists of a pass: what may not be read, what cannot be, and a server that has no time yet.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::io::{Wire, wire};

/// Answers by path; what it does not know is an empty list.
fn cluster(
    answer: impl Fn(&str) -> Option<(u16, Value)> + Clone + Send + Sync + 'static,
) -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = asked.clone();
    let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
        let path = request.uri().path().to_owned();
        paths.lock().unwrap().push(path.clone());
        let (code, body) = answer(&path).unwrap_or((200, json!({"items": []})));
        let response = Response::builder().status(code).header("Retry-After", "1");
        std::future::ready(Ok(response.body(Bytes::from(body.to_string())).unwrap()))
    }));
    (Cluster::new(wire::kube_client(&wire)), asked)
}

fn canaries() -> Value {
    json!({"items": [{
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "provider": "istio", "service": {"port": 80},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"},
        },
    }]})
}

async fn world_of(cluster: &Cluster) -> World {
    let policy = Arc::new(Policy::default());
    world(cluster, &Scope::Cluster, &policy, None, "", &Clock::System)
        .await
        .unwrap()
}

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

#[tokio::test]
async fn what_may_not_be_listed_everywhere_is_listed_where_canaries_are() {
    let (cluster, asked) = cluster(|path| match path {
        "/apis/flagger.app/v1beta1/canaries" => Some((200, canaries())),
        DEPLOYMENTS => Some((403, json!({"reason": "Forbidden", "message": "no"}))),
        "/apis/apps/v1/namespaces/shop/deployments" => Some((
            200,
            json!({"items": [
                {"metadata": {"name": "cart", "namespace": "shop"}},
                {"metadata": {"name": "nobodys", "namespace": "shop"}},
            ]}),
        )),
        _ => None,
    });
    let world = world_of(&cluster).await;
    let kept: Vec<_> = world.objects["shop"]
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(kept, ["Deployment cart"]);
    assert!(world.unreadable.is_empty(), "{:?}", world.unreadable);
    let asked = asked.lock().unwrap();
    let of_deployments = asked.iter().filter(|path| path.ends_with("deployments"));
    assert_eq!(of_deployments.count(), 2);
}

#[tokio::test]
async fn an_api_server_that_starts_is_waited_for() {
    let first = Arc::new(Mutex::new(true));
    let (cluster, asked) = cluster(move |path| {
        let is_first = std::mem::take(&mut *first.lock().unwrap());
        let busy = json!({"message": "starting"});
        (path == "/apis/flagger.app/v1beta1/canaries").then(|| {
            if is_first {
                (429, busy)
            } else {
                (200, canaries())
            }
        })
    });
    let world = world_of(&cluster).await;
    assert_eq!(world.canaries.len(), 1);
    let asked = asked.lock().unwrap();
    let of_canaries = asked.iter().filter(|path| path.ends_with("canaries"));
    assert_eq!(of_canaries.count(), 2);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_holds_up_its_canary_alone() {
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let (cluster, _) = cluster(move |path| match path {
        "/apis/flagger.app/v1beta1/canaries" => Some((200, canaries())),
        DEPLOYMENTS => Some((
            200,
            json!({"items": [
                {"metadata": {"name": "cart", "namespace": "shop"}, "spec": deep},
            ]}),
        )),
        _ => None,
    });
    let world = world_of(&cluster).await;
    let workload = workloads::of_kind("Deployment").unwrap();
    let why =
        |namespace: &str, name: &str| world.unreadable(namespace, &Key::new(workload.kind(), name));
    let said = why("shop", "cart").unwrap();
    assert!(said.contains("recursion limit exceeded"), "{said}");
    assert_eq!(why("shop", "cart-primary"), None);
    assert_eq!(why("other", "cart"), None);
}
