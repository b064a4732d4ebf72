//! podinfo in a namespace of the test's own on the real control plane: applied and changed as its
//! user does, its requests served to the real Prometheus, its passes made by the real binary.
mod definitions;
mod looks;
mod stand_in;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bed::{
    control_plane,
    control_plane::ControlPlane,
    program::{Ended, Program},
    prometheus,
    prometheus::Prometheus,
};

pub(crate) use definitions::{INSTALL, install as install_definitions, install_ours, kubectl};
pub(crate) use looks::{is_waiting, once_each};
pub(crate) use stand_in::{stand_in, vector};

/// Between two passes, so that a wait does not eat the machine.
const PAUSE: Duration = Duration::from_secs(1);
/// For what takes passes: the longest is a promotion in steps of 10 s, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(10);

/// The application of one test.
pub(crate) struct Podinfo {
    pub(crate) cluster: &'static ControlPlane,
    pub(crate) prometheus: &'static Prometheus,
    pub(crate) namespace: String,
    /// Whom the binary is to the API server; by it the audit log tells its requests.
    pub(crate) user: String,
    kubeconfig: PathBuf,
}

/// What one pass said of podinfo.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// `stepped`, `rested`, `waited`, …
    pub(crate) outcome: String,
    pub(crate) phase: String,
    pub(crate) weight: u64,
    pub(crate) reason: String,
    pub(crate) checks: Value,
}

impl Podinfo {
    /// A namespace, definitions and metrics of a healthy application; `None` when the cluster tier is
    /// skipped.
    pub(crate) async fn begin(prefix: &str) -> Option<Self> {
        let cluster = control_plane().await?;
        definitions::install(cluster).await;
        Self::begin_on(cluster, prefix).await
    }

    /// The same on a control plane with such definitions as the test installs.
    pub(crate) async fn begin_on(cluster: &'static ControlPlane, prefix: &str) -> Option<Self> {
        let prometheus = prometheus().await?;
        let namespace = cluster.namespace(prefix).await;
        let user = format!("davy-{namespace}");
        let kubeconfig = cluster.kubeconfig_for(&user, Some("system:masters"));
        let podinfo = Self {
            cluster,
            prometheus,
            namespace,
            user,
            kubeconfig,
        };
        podinfo.serve(100.0, 50.0);
        Some(podinfo)
    }

    /// As its requests are answered from now on.
    pub(crate) fn serve(&self, success_percent: f64, p99_milliseconds: f64) {
        let exporter = self.prometheus.exporter();
        exporter.serve(
            &self.namespace,
            "podinfo",
            success_percent,
            p99_milliseconds,
        );
    }

    pub(crate) async fn apply(&self, manifests: &str) {
        self.cluster.apply_yaml(manifests, &self.namespace).await;
    }

    /// Changes the target's image to this tag.
    pub(crate) async fn image(&self, tag: &str) {
        self.full_image(&format!("stefanprodan/podinfo:{tag}"))
            .await;
    }

    /// Changes the target's image, registry and all.
    pub(crate) async fn full_image(&self, value: &str) {
        let path = "/spec/template/spec/containers/0/image";
        let patch = json!([{"op": "replace", "path": path, "value": value}]);
        self.edit("apps/v1", "Deployment", "podinfo", &patch).await;
    }

    /// A JSON patch by somebody who is not Davy.
    pub(crate) async fn edit(&self, api_version: &str, kind: &str, name: &str, patch: &Value) {
        let objects = self
            .cluster
            .objects(api_version, kind, Some(&self.namespace));
        let parameters = PatchParams {
            field_manager: Some("somebody-else".to_owned()),
            ..PatchParams::default()
        };
        let patch = serde_json::from_value(patch.clone()).expect("a JSON patch");
        objects
            .await
            .patch(name, &parameters, &Patch::<Value>::Json(patch))
            .await
            .unwrap_or_else(|error| panic!("changing {kind} {name}: {error}"));
    }

    /// A call of the binary for this namespace; settings can be set anew.
    pub(crate) fn davy(&self, arguments: &[&str]) -> Program {
        Program::new(arguments)
            .set("KUBECONFIG", &self.kubeconfig)
            .set("DAVY_NAMESPACE", &self.namespace)
            .set("DAVY_METRICS_SERVER", self.prometheus.url())
    }

    /// One pass; every canary must be handled.
    pub(crate) fn pass(&self) -> Pass {
        self.seen(&self.davy(&["run", "-o", "json"]).run().with_code(0))
    }

    /// What a call said of podinfo.
    pub(crate) fn seen(&self, ended: &Ended) -> Pass {
        let said = ended.canary(&format!("{}/podinfo", self.namespace));
        let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
        Pass {
            outcome: text("outcome"),
            phase: text("phase"),
            weight: said["weight"].as_u64().expect("a weight"),
            reason: text("reason"),
            checks: said["checks"].clone(),
        }
    }

    /// Passes, one a second, until one is as wanted: those that took a step, and the last.
    pub(crate) async fn passes_until(
        &self,
        what: &str,
        wanted: impl Fn(&Pass) -> bool,
    ) -> Vec<Pass> {
        let end = Instant::now() + DEADLINE;
        let mut taken = Vec::new();
        loop {
            let pass = self.pass();
            let is_wanted = wanted(&pass);
            if is_wanted || pass.outcome == "stepped" {
                taken.push(pass.clone());
            }
            if is_wanted {
                return taken;
            }
            assert!(
                Instant::now() < end,
                "{what}: not within {DEADLINE:?}: {pass:?}, after {taken:#?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until there is nothing left to do, which must be in this phase.
    pub(crate) async fn passes_until_rest_in(&self, phase: &str) -> Vec<Pass> {
        let passes = self
            .passes_until(phase, |pass| pass.outcome == "rested")
            .await;
        let last = passes.last().expect("the one that rested");
        assert_eq!(last.phase, phase, "{passes:#?}");
        passes
    }

    /// Until the canary has been given this weight.
    pub(crate) async fn passes_until_weight(&self, weight: u64) -> Vec<Pass> {
        let has_weight = |pass: &Pass| pass.weight == weight;
        self.passes_until(&format!("weight {weight}"), has_weight)
            .await
    }
}

/// A file of the fixtures.
pub(crate) fn fixture(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The weights that passes left behind, each once.
pub(crate) fn weights(passes: &[Pass]) -> Vec<u64> {
    let mut weights: Vec<_> = passes.iter().map(|pass| pass.weight).collect();
    weights.dedup();
    weights
}
