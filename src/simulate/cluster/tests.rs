//! The rules of the API server that Davy stands on, each as a table of requests and answers.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, Key};

const MERGE: &str = "application/merge-patch+json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/test/deployments";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn ask(cluster: &mut Cluster, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .header("user-agent", "davy/1")
        .body(Bytes::from(body))
        .unwrap();
    let response = cluster.handle(&request, now());
    let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    (response.status().as_u16(), body)
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "app:1.0"}]},
            },
        },
    })
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.apply(deployment("podinfo"), "user", now()).unwrap();
    cluster
}

#[test]
fn a_write_that_changes_nothing_keeps_the_resource_version_and_leaves_no_trace() {
    let mut cluster = cluster();
    let before = (cluster.revision(), cluster.history().count());
    let path = format!("{DEPLOYMENTS}/podinfo");
    let (code, _) = ask(
        &mut cluster,
        "PATCH",
        &path,
        MERGE,
        &json!({"spec": {"replicas": 1}}),
    );
    assert_eq!(
        (code, cluster.revision(), cluster.history().count()),
        (200, before.0, before.1)
    );
}

#[test]
fn a_fork_and_its_original_go_on_by_themselves() {
    let mut original = cluster();
    let mut fork = original.clone();
    let path = format!("{DEPLOYMENTS}/podinfo");
    ask(
        &mut fork,
        "PATCH",
        &path,
        MERGE,
        &json!({"spec": {"replicas": 5}}),
    );
    ask(&mut original, "DELETE", &path, MERGE, &Value::Null);
    let key = Key::new("apps", "Deployment", "test", "podinfo");
    assert_eq!(fork.get(&key).unwrap()["spec"]["replicas"], 5);
    assert_eq!(original.get(&key), None);
    assert_eq!(fork.history().count(), original.history().count());
}
