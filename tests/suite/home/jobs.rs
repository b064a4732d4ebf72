//! The recipes for CI, run as they stand.
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

use super::stage::Stage;
use crate::bed::{control_plane, prometheus};

/// A machine of a CI system: the programs on the PATH, the kubeconfig, the variables of the recipe.
fn recipe(stage: &Stage, script: &str, variables: &[(&str, &str)]) -> Output {
    Command::new("sh")
        .args(["-e", "-c", script])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", stage.path())
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .env("RELEASE_PAUSE", "1")
        .env("DAVY_ALLOW_ADDRESSES", "127.0.0.0/8")
        .envs(variables.iter().copied())
        .output()
        .expect("a shell")
}

fn assert_code(output: &Output, code: i32) {
    let said = [&*output.stdout, &*output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{said}");
}

/// A canary that takes a step at each pass.
fn quick(server: &str) -> Value {
    json!({
        "provider": "kubernetes",
        "metricsServer": server,
        "canaryAnalysis": {
            "threshold": 1, "iterations": 1,
            "metrics": [{"name": "istio_requests_total", "threshold": 99, "interval": "5s"}],
        },
    })
}

#[tokio::test]
async fn release_ends_with_the_code_of_its_end() {
    let (Some(cluster), Some(metrics)) = (control_plane().await, prometheus().await) else {
        return;
    };
    let stage = Stage::new(cluster, "release").await;
    let namespace = stage.namespace.clone();
    metrics.exporter().serve(&namespace, "podinfo", 100.0, 50.0);
    let canary = format!("{namespace}/podinfo");
    let release = |seconds: &str| {
        let script = format!("jobs/release {canary} {seconds}");
        recipe(&stage, &script, &[])
    };
    assert_code(&release("120"), 2);
    stage.application("podinfo", &quick(&metrics.url())).await;
    assert_code(&release("120"), 0);
    stage.release("podinfo", "1.0.1").await;
    assert_code(&release("120"), 0);
    let totals = stage.status("podinfo").await.totals.expect("totals");
    assert_eq!((totals.promotions, totals.rollbacks), (1, 0));
    metrics.exporter().serve(&namespace, "podinfo", 50.0, 50.0);
    stage.release("podinfo", "1.0.2").await;
    assert_code(&release("120"), 3);
    // It is not there yet, and will not be in no time.
    stage.release("podinfo", "stuck").await;
    assert_code(&release("3"), 4);
    let analysis = json!({"interval": "10s", "threshold": 1, "iterations": 1});
    let odd = json!({"provider": "osm", "analysis": analysis});
    stage.application("odd", &odd).await;
    let output = recipe(&stage, &format!("jobs/release {namespace}/odd 1"), &[]);
    assert_code(&output, 1);
    assert_code(&recipe(&stage, "jobs/release", &[]), 2);
}

#[tokio::test]
async fn recipes_of_ci_systems_release_an_image() {
    let (Some(cluster), Some(metrics)) = (control_plane().await, prometheus().await) else {
        return;
    };
    let stage = Stage::new(cluster, "recipes").await;
    let namespace = stage.namespace.clone();
    metrics.exporter().serve(&namespace, "podinfo", 100.0, 50.0);
    stage.application("podinfo", &quick(&metrics.url())).await;
    let canary = format!("{namespace}/podinfo");
    assert_code(&recipe(&stage, &format!("jobs/release {canary}"), &[]), 0);
    for (file, image) in [
        ("github-actions.yaml", "stefanprodan/podinfo:2.0.0"),
        ("gitlab-ci.yaml", "stefanprodan/podinfo:3.0.0"),
    ] {
        let variables = [
            ("CANARY", &*canary),
            ("DEPLOYMENT", "podinfo"),
            ("CONTAINER", "podinfo"),
            ("IMAGE", image),
        ];
        assert_code(&recipe(&stage, &script(file), &variables), 0);
        let primary = stage.objects("apps/v1", "Deployment").await;
        let primary = primary.get("podinfo-primary").await.expect("the primary");
        let container = &primary.data["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image, "{file}");
    }
}

/// The commands of a recipe that are not about the CI system itself.
fn script(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("jobs")
        .join(file);
    let text = fs::read_to_string(path).expect("a recipe");
    let recipe: Value = serde_yaml::from_str(&text).expect("YAML");
    let job = &recipe["jobs"]["release"];
    let lines: Vec<&str> = if job.is_null() {
        let script = recipe["release"]["script"].as_array().expect("a script");
        script.iter().filter_map(Value::as_str).collect()
    } else {
        let steps = job["steps"].as_array().expect("steps");
        let steps = steps.iter().filter(|step| step["name"] != "cluster");
        steps.filter_map(|step| step["run"].as_str()).collect()
    };
    assert!(lines.len() >= 2, "{file}: {lines:?}");
    lines.join("\n")
}
