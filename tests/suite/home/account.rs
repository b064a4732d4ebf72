//! In a pod there is no kubeconfig: the cluster is found by the mounted token of the account.
use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::stage::{Stage, program};
use crate::bed::control_plane;

/// Where the kubelet puts them.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A command that sees `files` there, and nobody else does.
fn in_pod(files: &Path) -> Command {
    let script = r#"mount -t tmpfs none "$(readlink -f /var/run)" &&
        mkdir -p "$2" && mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    let mut command = Command::new("unshare");
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(files)
        .arg(MOUNTED)
        .arg(program());
    command
}

#[tokio::test]
async fn cluster_is_found_by_the_token_that_is_mounted_into_a_pod() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let stage = Stage::new(cluster, "account").await;
    let role = "apiVersion: v1
kind: ServiceAccount
metadata: {name: davy}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: davy}
rules:
- {apiGroups: ['', apps, flagger.app, networking.istio.io], resources: ['*'], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: davy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: davy}
subjects: [{kind: ServiceAccount, name: davy}]
";
    cluster.apply_yaml(role, &stage.namespace).await;
    stage
        .application(
            "podinfo",
            &json!({"provider": "kubernetes", "skipAnalysis": true}),
        )
        .await;
    let kubeconfig = cluster
        .kubeconfig_for_service_account(&stage.namespace, "davy")
        .await;
    let known = fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    let known: Value = serde_json::from_str(&known).expect("JSON, which is YAML too");
    let server = &known["clusters"][0]["cluster"];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(
        text(&server["certificate-authority"]),
        folder.path().join("ca.crt"),
    )
    .expect("a copy");
    fs::write(folder.path().join("namespace"), &stage.namespace).expect("a file");
    let address: http::Uri = text(&server["server"]).parse().expect("a URL");
    let run = || {
        let output = in_pod(folder.path())
            .args(["run", "--dry-run", "--output", "json"])
            .env("DAVY_NAMESPACE", &stage.namespace)
            .env("KUBERNETES_SERVICE_HOST", address.host().expect("a host"))
            .env(
                "KUBERNETES_SERVICE_PORT",
                address.port().expect("a port").as_str(),
            )
            .output()
            .expect("unshare starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let token = folder.path().join("token");
    fs::write(&token, text(&known["users"][0]["user"]["token"])).expect("a file");
    let (code, shown, said) = run();
    assert_eq!(code, Some(0), "{shown}{said}");
    assert!(shown.contains("podinfo"), "{shown}{said}");
    // It is that token: another one is nobody's.
    fs::write(&token, "somebody").expect("a file");
    let (code, shown, said) = run();
    assert_eq!(code, Some(2), "{shown}{said}");
}
