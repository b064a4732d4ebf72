//! The CustomResourceDefinitions that the tests on the shared control plane need: Davy's, installed
//! by the command that its messages name, and Istio's.
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use tokio::sync::OnceCell;

use crate::bed::{control_plane::ControlPlane, program::Program, shared};

/// Once for all tests of the process.
pub(crate) async fn install(cluster: &ControlPlane) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(async || {
            install_ours(cluster).await;
            install_istios(cluster).await;
        })
        .await;
}

/// What the messages about them tell a user to type. Another tool's definitions are in the way
/// without the last flag.
pub(crate) const INSTALL: &str = "davy crds | kubectl apply --server-side --force-conflicts -f -";

/// Does it, and waits until they are served.
pub(crate) async fn install_ours(cluster: &ControlPlane) {
    let words: Vec<_> = INSTALL.split(' ').collect();
    let ["davy", verb, "|", "kubectl", apply @ ..] = &words[..] else {
        panic!("{INSTALL}")
    };
    let printed = Program::new(&[verb]).run().with_code(0).output;
    kubectl(cluster, apply, &printed);
    cluster.until_crds_are_served(&printed).await;
}

/// Runs `kubectl` with this input and answers what it printed.
pub(crate) fn kubectl(cluster: &ControlPlane, arguments: &[&str], input: &str) -> String {
    let mut process = Command::new(cluster.kubectl())
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut stdin = process.stdin.take().expect("it is piped");
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = process.wait_with_output().expect("kubectl ends");
    assert!(output.status.success(), "kubectl {arguments:?}: {output:?}");
    written.expect("kubectl reads its input");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The real ones where they are at hand; else such that take everything.
async fn install_istios(cluster: &ControlPlane) {
    let real = shared().join("crds/istio.yaml");
    if real.is_file() {
        cluster.install_crd_files(&real).await;
        return;
    }
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/story/istio-schemaless.yaml");
    cluster.install_crd_files(&made).await;
}
