//! The README's section "On your cluster", followed from top to bottom: each command as it stands
//! there, each manifest applied, in the order in which one reads them.
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use davy::api::status::Phase;

use super::{
    manifests::install_istio,
    stage::{Stage, deployment, program},
};
use crate::bed::{control_plane, prometheus};

/// How long somebody watches a loop before it is stopped with Ctrl-C: two intervals of 30 s for
/// clients to move to the primary, and the pass after it.
const WATCHED_SECONDS: u32 = 90;

/// What is read in a section, in order.
enum Read {
    Command(String),
    Manifest(String),
}

fn section(title: &str) -> Vec<Read> {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme
        .split_once(&format!("## {title}\n"))
        .expect("the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let mut read = Vec::new();
    for block in section.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap_or_default();
        match language {
            "console" => {
                let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
                read.extend(commands.map(|command| Read::Command(command.to_owned())));
            }
            "yaml" => read.push(Read::Manifest(text.to_owned())),
            other => panic!("a block of {other} that nobody knows how to follow"),
        }
    }
    read
}

#[tokio::test]
async fn on_your_cluster_is_followed_from_top_to_bottom() {
    let (Some(cluster), Some(metrics)) = (control_plane().await, prometheus().await) else {
        return;
    };
    let stage = Stage::new(cluster, "reader").await;
    install_istio(cluster).await;
    cluster
        .apply_yaml(&deployment("podinfo"), &stage.namespace)
        .await;
    for name in ["podinfo", "podinfo-primary"] {
        metrics
            .exporter()
            .serve(&stage.namespace, name, 100.0, 50.0);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let built = folder.path().join("target/dist");
    fs::create_dir_all(&built).expect("a folder");
    // What the first command builds; it is built already.
    symlink(program(), built.join("davy")).expect("a link");
    let kubeconfig = folder.path().join("kubeconfig");
    fs::copy(cluster.kubeconfig(), &kubeconfig).expect("a kubeconfig");
    let namespace = format!(
        "kubectl config set-context --current --namespace={}",
        stage.namespace
    );
    follow(&stage, folder.path(), &namespace);
    // Exports last as they do in a reader's shell. Others' canaries are on this cluster too.
    let mut exports = format!("export DAVY_NAMESPACE={}", stage.namespace);
    let mut said = Vec::new();
    for read in section("On your cluster") {
        let command = match read {
            Read::Manifest(text) => format!("kubectl apply -f - <<'END'\n{text}END"),
            Read::Command(command) if command == "cargo build --profile dist" => continue,
            Read::Command(command) if command.starts_with("export ") => {
                // Where the port is forwarded to.
                let command = command.replace("http://localhost:9090", &metrics.url());
                exports = format!("{exports}\n{command}");
                continue;
            }
            Read::Command(command) if command.contains(" --every ") => {
                format!("timeout --preserve-status --signal=TERM {WATCHED_SECONDS} {command}")
            }
            Read::Command(command) => command,
        };
        let output = follow(&stage, folder.path(), &format!("{exports}\n{command}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push((command, text));
    }
    let text = |part: &str| {
        let found = said.iter().find(|(command, _)| command.contains(part));
        found.map_or("", |(_, text)| &**text)
    };
    assert!(text("get canaries").contains("Initialized"), "{said:#?}");
    assert!(
        text("describe canary").contains("Initialization done!"),
        "{said:#?}"
    );
    let status = stage.status("podinfo").await;
    assert_eq!(status.phase, Some(Phase::Initialized));
}

fn follow(stage: &Stage, folder: &Path, command: &str) -> Output {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(folder)
        .env("PATH", stage.path())
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .output()
        .expect("a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{errors}");
    output
}
