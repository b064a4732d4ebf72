//! The rules of the API server that a pass stands on, each compared with a real one before it was
//! written down here.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cluster;

mod history;
mod lists;
mod objects;
mod refusals;
mod schemas;
mod updates;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/test/deployments";
const PODINFO: &str = "/apis/apps/v1/namespaces/test/deployments/podinfo";
const CONFIGS: &str = "/api/v1/namespaces/test/configmaps";
const SERVICES: &str = "/api/v1/namespaces/test/services";
const THINGS: &str = "/apis/a.b/v1/namespaces/test/things";
const THING: &str = "/apis/a.b/v1/namespaces/test/things/one";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

struct Answer {
    code: u16,
    body: Value,
    text: String,
    warnings: Vec<String>,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Sends a request with more headers than most need.
fn send(
    cluster: &mut Cluster,
    (method, path, media_type): (&str, &str, &str),
    body: &Value,
    accept: &str,
    now: Timestamp,
) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type)
        .header("accept", accept)
        .header("user-agent", "kubectl/v1.36")
        .body(Bytes::from(body))
        .unwrap();
    let response = cluster.handle(&request, now);
    let warnings = response.headers().get_all("warning").iter();
    Answer {
        code: response.status().as_u16(),
        body: serde_json::from_slice(response.body()).unwrap_or(Value::Null),
        text: String::from_utf8_lossy(response.body()).into_owned(),
        warnings: warnings
            .map(|value| value.to_str().unwrap().to_owned())
            .collect(),
    }
}

fn ask(cluster: &mut Cluster, line: (&str, &str, &str), body: &Value) -> Answer {
    send(cluster, line, body, JSON, now())
}

fn get(cluster: &mut Cluster, path: &str) -> Answer {
    ask(cluster, ("GET", path, JSON), &Value::Null)
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"app": "podinfo"}},
            "template": {
                "metadata": {"labels": {"app": "podinfo"}},
                "spec": {"containers": [{"name": "app", "image": "app:1.0", "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

fn crd() -> Value {
    let spec = json!({
        "type": "object",
        "required": ["host"],
        "properties": {
            "host": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[a-z.]+$"},
            "replicas": {"type": "integer"},
            "weight": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 100},
            "mode": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
            "note": {"type": "string", "nullable": true},
            "port": {"x-kubernetes-int-or-string": true},
            "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "routes": {
                "type": "array",
                "maxItems": 2,
                "items": {"type": "object", "properties": {"to": {"type": "string"}}},
            },
            "match": {
                "type": "object",
                "oneOf": [{"required": ["exact"]}, {"required": ["prefix"]}],
                "properties": {"exact": {"type": "string"}, "prefix": {"type": "string"}},
            },
        },
    });
    let schema = json!({"openAPIV3Schema": {
        "type": "object",
        "properties": {
            "spec": spec,
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    }});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name,
            "served": true,
            "storage": storage,
            "schema": schema,
            "subresources": {
                "status": {},
                "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.weight"},
            },
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.a.b"},
        "spec": {
            "group": "a.b",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version("v1alpha1", false), version("v1", true)],
        },
    })
}

fn thing() -> Value {
    json!({
        "apiVersion": "a.b/v1",
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": "test"},
        "spec": {"host": "a.b"},
    })
}

/// A cluster with a Deployment and a custom resource.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    for object in [deployment(), crd(), thing()] {
        cluster.apply(object, "user", now()).unwrap();
    }
    cluster
}

fn version(cluster: &mut Cluster, path: &str) -> String {
    get(cluster, path).body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}
