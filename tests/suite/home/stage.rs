//! A namespace with an application on the real control plane, and the program that is run on it.
use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use davy::api::{
    canary::Canary,
    status::{CanaryStatus, Phase},
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::{control_plane::ControlPlane, wait::until};

const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) struct Stage {
    pub(crate) cluster: &'static ControlPlane,
    pub(crate) namespace: String,
    programs: TempDir,
}

impl Stage {
    /// A namespace of its own; our definitions are installed.
    pub(crate) async fn new(cluster: &'static ControlPlane, prefix: &str) -> Self {
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/crd");
        for name in ["canaries", "metrictemplates", "alertproviders"] {
            let file = crds.join(format!("{name}.flagger.app.yaml"));
            cluster.install_crd_files(&file).await;
        }
        let namespace = cluster.namespace(prefix).await;
        let programs = tempfile::tempdir().expect("a folder");
        symlink(program(), programs.path().join("davy")).expect("a link");
        symlink(cluster.kubectl(), programs.path().join("kubectl")).expect("a link");
        Self {
            cluster,
            namespace,
            programs,
        }
    }

    /// A PATH with our programs before all others.
    pub(crate) fn path(&self) -> String {
        let others = std::env::var_os("PATH").expect("a PATH");
        let others = others.display();
        format!("{}:{others}", self.programs.path().display())
    }

    /// A Deployment and the Canary that releases it.
    pub(crate) async fn application(&self, name: &str, spec: &Value) {
        self.cluster
            .apply_yaml(&deployment(name), &self.namespace)
            .await;
        self.canary(name, spec).await;
    }

    /// A Canary for the Deployment of its name, which has more in its `spec`.
    pub(crate) async fn canary(&self, name: &str, spec: &Value) {
        let mut canary = json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": {"name": name},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "service": {"port": 9898},
            },
        });
        json_patch::merge(&mut canary["spec"], spec);
        self.cluster
            .apply_yaml(&canary.to_string(), &self.namespace)
            .await;
    }

    /// Runs the program with the administrator's rights in this namespace.
    pub(crate) fn davy(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        davy()
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("DAVY_NAMESPACE", &self.namespace)
            .envs(settings.iter().copied())
            .args(arguments)
            .output()
            .expect("the program starts")
    }

    /// Makes passes until the canary is in this phase.
    pub(crate) async fn passes_until(&self, name: &str, phase: Phase, settings: &[(&str, &str)]) {
        until("the phase is reached", DEADLINE, async || {
            let output = self.davy(&["run"], settings);
            let status = self.status(name).await;
            if status.phase == Some(phase) {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("{:?} {:?}\n{said}", status.phase, status.reason))
        })
        .await
        .unwrap_or_else(|error| panic!("{name} {phase:?}: {error}"));
    }

    pub(crate) async fn status(&self, name: &str) -> CanaryStatus {
        let canaries: Api<Canary> = Api::namespaced(self.cluster.client(), &self.namespace);
        let canary = canaries.get(name).await.expect("the Canary is there");
        canary.status.unwrap_or_default()
    }

    /// Gives the Deployment's container another tag.
    pub(crate) async fn release(&self, name: &str, tag: &str) {
        let containers = json!([{"name": name, "image": format!("stefanprodan/podinfo:{tag}")}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let objects = self.objects("apps/v1", "Deployment").await;
        objects
            .patch(name, &PatchParams::default(), &Patch::Strategic(&patch))
            .await
            .expect("the Deployment is patched");
    }

    pub(crate) async fn objects(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let namespace = Some(&*self.namespace);
        self.cluster.objects(api_version, kind, namespace).await
    }

    /// `kubectl` as the administrator; its standard output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.cluster.kubectl())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments)
            .output()
            .expect("kubectl starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("kubectl writes text")
    }
}

/// The program in an environment without settings.
pub(crate) fn davy() -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DAVY_")) {
        command.env_remove(name);
    }
    command
}

pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_davy"))
}

pub(crate) fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        seccompProfile: {{type: RuntimeDefault}}
      containers:
      - name: {name}
        image: stefanprodan/podinfo:1.0.0
        securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"
    )
}
