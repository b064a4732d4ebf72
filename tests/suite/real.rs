//! Canaries as people write them, by the kinds of shape that public manifests have: each file of
//! `fixtures/real` is one kind, applied as it stands, and its release goes through to Succeeded. What
//! it refers to — the target, an autoscaler, an Ingress, templates — is filled in where the file
//! has it not. `refused.yaml` has the kinds that Flagger's definition or controller refuses too, with what
//! is said of each.

use std::fs;
use std::path::{Path, PathBuf};

use davy::simulate::expect;
use davy::simulate::play::Play;
use davy::simulate::scenario::{self, Scenario};
use davy::simulate::transcript::{self, Style};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golden::{parsed, yaml};

/// An event that a Canary expects of its release.
const SAYS: &str = "says";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    /// What kind of mistake it is.
    shape: String,
    /// In what is said of it.
    says: String,
    canary: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/real")
}

#[tokio::test]
async fn canaries_as_people_write_them_go_through_to_succeeded() {
    let entries = fs::read_dir(folder()).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.ends_with("refused.yaml"));
    files.sort();
    assert!(files.len() > 15, "the manifests are there");
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# "), "{} says nothing", file.display());
        let manifests = scenario::documents(&text).unwrap();
        if let Err(why) = released(&manifests).await {
            wrong.push(format!("{}: {why}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_flagger_refuses_is_refused_by_name() {
    let refused: Vec<Refused> = parsed(&folder().join("refused.yaml"));
    let mut wrong = Vec::new();
    for Refused {
        shape,
        says,
        canary,
    } in refused
    {
        let said = one_pass(&[canary]).await;
        if !said.contains(&says) {
            wrong.push(format!("{shape}: expected\n{says}\ngot\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Plays a release of what the manifests describe.
async fn released(manifests: &[Value]) -> Result<(), String> {
    let canary = canary(manifests);
    let events: Vec<_> = canary["metadata"]["annotations"][SAYS]
        .as_str()
        .into_iter()
        .collect();
    let script = json!({
        "about": "A release of a Canary as people write it.",
        // Nobody calls a release back.
        "hooks": { "storm": 403 },
        "steps": [{ "until": "Initialized" }, { "image": "2.0" }, { "until": "Succeeded" }],
        "expect": {
            "phase": "Succeeded", "primaryImage": "2.0", "noErrors": true, "events": events,
        },
    });
    let bed = tempfile::tempdir().unwrap();
    let scenario = of(bed.path(), manifests, &script);
    let play = Play::new(scenario.clone()).map_err(|why| why.to_string())?;
    let transcript = play.play().await;
    let met = expect::judge(&scenario, &transcript);
    let failed: Vec<_> = met
        .iter()
        .filter_map(|expectation| {
            Some(format!(
                "{}: {}",
                expectation.name,
                expectation.failure.as_ref()?
            ))
        })
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n"))
    }
}

/// What is said where the manifests are applied, and by a pass over them.
async fn one_pass(manifests: &[Value]) -> String {
    let script = json!({ "about": "One pass.", "steps": [{ "passes": 1 }] });
    let bed = tempfile::tempdir().unwrap();
    match Play::new(of(bed.path(), manifests, &script)) {
        Err(why) => why.to_string(),
        Ok(play) => transcript::text(&play.play().await, &[], Style::default()),
    }
}

/// A scenario of the manifests and of what they refer to.
fn of(bed: &Path, manifests: &[Value], script: &Value) -> Scenario {
    let namespaces = manifests.iter().map(|it| &it["metadata"]["namespace"]);
    let mut namespaces: Vec<_> = namespaces.filter_map(Value::as_str).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let namespace =
        |name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let mut objects: Vec<_> = namespaces.into_iter().map(namespace).collect();
    objects.extend(around(canary(manifests)));
    objects.extend(manifests.iter().cloned());
    let documents: Vec<_> = objects.iter().map(yaml).collect();
    fs::write(bed.join("cluster.yaml"), documents.join("---\n")).unwrap();
    fs::write(bed.join("script.yaml"), yaml(script)).unwrap();
    Scenario::read(bed).unwrap_or_else(|why| panic!("{why}"))
}

fn canary(manifests: &[Value]) -> &Value {
    let mut canaries = manifests.iter().filter(|it| it["kind"] == "Canary");
    canaries.next().expect("a Canary")
}

/// What a Canary refers to besides the templates and alert providers beside it.
fn around(canary: &Value) -> Vec<Value> {
    let spec = &canary["spec"];
    let metadata = |name: &Value| {
        let mut metadata = canary["metadata"].clone();
        metadata["name"] = name.clone();
        metadata
    };
    let mut objects = Vec::new();
    let target = &spec["targetRef"];
    if target.is_object() {
        objects.push(workload(spec, &metadata(&target["name"])));
    }
    let autoscaler = &spec["autoscalerRef"];
    let of_target =
        json!({ "apiVersion": "apps/v1", "kind": target["kind"], "name": target["name"] });
    if autoscaler["kind"] == "HorizontalPodAutoscaler" {
        objects.push(json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata(&autoscaler["name"]),
            "spec": {
                "scaleTargetRef": of_target,
                "minReplicas": 2,
                "maxReplicas": 4,
                "metrics": [{ "type": "Resource", "resource": {
                    "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 },
                } }],
            },
        }));
    } else if autoscaler.is_object() {
        objects.push(json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": metadata(&autoscaler["name"]),
            "spec": {
                "scaleTargetRef": { "name": target["name"] },
                "minReplicaCount": 2,
                "triggers": [{ "type": "prometheus", "name": "pages", "metadata": {
                    "serverAddress": "http://prometheus.watch:9090",
                    "query": "sum(rate(pages_total[2m]))",
                    "threshold": "100",
                } }],
            },
        }));
    }
    let ingress = &spec["ingressRef"];
    if ingress.is_object() {
        let service = &spec["service"];
        let name = [&service["name"], &target["name"]];
        let name = name.into_iter().find(|name| name.is_string());
        let backend = json!({ "service": { "name": name, "port": { "number": service["port"] } } });
        objects.push(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata(&ingress["name"]),
            "spec": { "rules": [{ "host": "www.example.org", "http": { "paths": [
                { "path": "/", "pathType": "Prefix", "backend": backend },
            ] } }] },
        }));
    }
    objects
}

/// A target with the port that the Canary leads to.
fn workload(spec: &Value, metadata: &Value) -> Value {
    let service = &spec["service"];
    let port = match &service["targetPort"] {
        Value::String(name) => json!({ "name": name, "containerPort": 8080 }),
        Value::Number(number) => json!({ "containerPort": number }),
        _ => json!({ "containerPort": service["port"].as_i64().unwrap_or(8080) }),
    };
    let labels = json!({ "app": metadata["name"] });
    let container = json!({ "name": "main", "image": "example/main:1.0", "ports": [port] });
    json!({
        "apiVersion": "apps/v1",
        "kind": spec["targetRef"]["kind"],
        "metadata": metadata,
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "terminationGracePeriodSeconds": 0, "containers": [container] },
            },
        },
    })
}
