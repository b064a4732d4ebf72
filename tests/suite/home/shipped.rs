//! What is shipped without being run here: that it holds together, and that the Roles are those
//! which `davy rbac` prints.
use std::{collections::BTreeSet, path::Path, process::Output};

use serde_json::Value;

use super::{
    rights::{rights, shipped},
    stage::{Stage, davy},
};
use crate::bed::control_plane;

fn rbac(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    davy()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("rbac")
        .args(arguments)
        .envs(settings.iter().copied())
        .output()
        .expect("the program starts")
}

fn printed(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_yaml::from_slice(&output.stdout).expect("YAML")
}

const SAMPLES: [&str; 4] = [
    "-f",
    "config/samples/istio.yaml",
    "-f",
    "config/samples/kubernetes.yaml",
];

#[tokio::test]
async fn shipped_roles_are_those_that_rbac_prints() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let stage = Stage::new(cluster, "shipped").await;
    let kustomize = Path::new(env!("CARGO_MANIFEST_DIR")).join("kustomize");
    let wide = printed(&rbac(&SAMPLES, &[]));
    assert_eq!(wide["kind"], "ClusterRole");
    let narrow = printed(&rbac(&SAMPLES, &[("DAVY_NAMESPACE", "test")]));
    assert_eq!(narrow["kind"], "Role");
    assert_eq!(narrow["metadata"]["namespace"], "test");
    for (overlay, role) in [
        ("cronjob", &wide),
        ("sidecar", &wide),
        ("namespaced", &narrow),
    ] {
        let folder = kustomize.join("overlays").join(overlay);
        let built = stage.kubectl(&["kustomize", folder.to_str().expect("a path")]);
        assert_eq!(shipped(&built), rights(role), "{overlay}");
        let cluster_wide = ["ClusterRole", "Namespace", "CustomResourceDefinition"];
        let found = cluster_wide
            .iter()
            .any(|kind| built.contains(&format!("\nkind: {kind}")));
        assert_eq!(found, overlay != "namespaced", "{overlay}");
    }
    let base = stage.kubectl(&[
        "kustomize",
        kustomize.join("base").to_str().expect("a path"),
    ]);
    let plain = ["-f", "config/samples/kubernetes.yaml"];
    assert_eq!(shipped(&base), rights(&printed(&rbac(&plain, &[]))));
}

#[test]
fn rbac_leaves_out_what_the_canaries_do_not_need() {
    let resources = |role: &Value| -> BTreeSet<String> {
        rights(role)
            .into_iter()
            .map(|(_, _, resource)| resource)
            .collect()
    };
    let all = resources(&printed(&rbac(&SAMPLES, &[])));
    let untracked = [("DAVY_CONFIG_TRACKING", "false")];
    let less = resources(&printed(&rbac(&SAMPLES, &untracked)));
    let left_out: Vec<_> = all.difference(&less).cloned().collect();
    assert_eq!(left_out, ["configmaps", "secrets"]);
    let plain = ["-f", "config/samples/kubernetes.yaml"];
    let less = resources(&printed(&rbac(&plain, &[])));
    let left_out: Vec<_> = all.difference(&less).cloned().collect();
    let unneeded = [
        "configmaps",
        "destinationrules",
        "horizontalpodautoscalers",
        "secrets",
        "virtualservices",
    ];
    assert_eq!(left_out, unneeded);
}

/// The rights of the component, and of a Secret only where a MetricTemplate names one.
#[test]
fn rbac_gives_what_metric_templates_need() {
    let of = |incident: &str| {
        let file = format!("fixtures/incidents/{incident}/cluster.yaml");
        rights(&printed(&rbac(&["-f", &file], &[])))
    };
    let right = |verb: &str, group: &str, resource: &str| {
        (verb.to_owned(), group.to_owned(), resource.to_owned())
    };
    let templates = right("list", "flagger.app", "metrictemplates");
    let secrets = right("get", "", "secrets");
    let open = of("metric-template-deleted-midway");
    assert!(
        open.contains(&templates) && !open.contains(&secrets),
        "{open:?}"
    );
    let closed = of("secret-of-a-metric-template-comes");
    assert!(
        closed.contains(&templates) && closed.contains(&secrets),
        "{closed:?}"
    );
    let component =
        include_str!("../../../kustomize/components/metric-templates/kustomization.yaml");
    let component: Value = serde_yaml::from_str(component).expect("YAML");
    let patch = component["patches"][0]["patch"].as_str().expect("a patch");
    let operations: Value = serde_yaml::from_str(patch).expect("YAML");
    let operations = operations.as_array().expect("operations");
    let rules: Vec<_> = operations
        .iter()
        .map(|operation| operation["value"].clone())
        .collect();
    let shipped = rights(&serde_json::json!({ "rules": rules }));
    assert_eq!(shipped, BTreeSet::from([templates, secrets]));
}

#[test]
fn rbac_names_the_canary_that_needs_what_there_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("canary.yaml");
    let sample = include_str!("../../../config/samples/kubernetes.yaml");
    let text = sample.replace("provider: kubernetes", "provider: carrier-pigeon");
    std::fs::write(&file, text).expect("a file");
    let output = rbac(&["-f", file.to_str().expect("a path")], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Canary frontend: spec.provider: \"carrier-pigeon\""),
        "{said}"
    );
}

#[tokio::test]
async fn rbac_reads_the_canaries_of_a_cluster() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let stage = Stage::new(cluster, "rbac").await;
    let analysis = serde_json::json!({"interval": "10s", "threshold": 1, "iterations": 1});
    let spec = serde_json::json!({"provider": "kubernetes", "analysis": analysis});
    stage.application("podinfo", &spec).await;
    let plain = ["-f", "config/samples/kubernetes.yaml"];
    let of_files = printed(&rbac(&plain, &[]));
    let of_cluster = printed(&stage.davy(&["rbac"], &[]));
    assert_eq!(rights(&of_cluster), rights(&of_files));
}

#[test]
fn settings_are_all_explained() {
    let text = include_str!("../../../config/settings.env");
    let explained: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert_eq!(explained, davy::settings::NAMES);
    // And they are settings: as they stand there, a pass could be made with them.
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let variables = variables.filter(|(name, _)| name.starts_with("DAVY_"));
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    davy::settings::Settings::from_variables(owned).expect("settings that can be used");
}
