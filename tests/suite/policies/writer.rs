//! A tool such as Flux: it has manifests, and applies them from the server's side under a field manager of
//! its own, again and again.
use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::bed::control_plane::ControlPlane;

use super::row::{Git, documents};

/// It applies in a thread of its own, beside passes that block.
pub(super) struct Writer {
    tool: Arc<Tool>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Tool {
    cluster: &'static ControlPlane,
    namespace: String,
    manager: String,
    /// Locked while they are applied, so that what was released is never followed by what was before.
    manifests: Mutex<Vec<Value>>,
}

impl Writer {
    pub(super) async fn begin(
        cluster: &'static ControlPlane,
        namespace: &str,
        git: &Git,
        manifests: &str,
    ) -> Self {
        let tool = Arc::new(Tool {
            cluster,
            namespace: namespace.to_owned(),
            manager: git.manager.clone(),
            manifests: Mutex::new(documents(manifests)),
        });
        tool.apply().await;
        let (stop, stopped) = mpsc::channel();
        let thread = git.seconds.map(|seconds| {
            let tool = Arc::clone(&tool);
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = runtime.expect("a runtime");
                let period = Duration::from_secs(seconds);
                while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                    runtime.block_on(tool.apply());
                }
            })
        });
        Self {
            tool,
            stop: Some(stop),
            thread,
        }
    }

    /// A release by way of Git, where the target's manifest is there: whether it is.
    pub(super) async fn release(&self, image: &str) -> bool {
        let mut has_target = false;
        for manifest in self.tool.manifests.lock().await.iter_mut() {
            if manifest["kind"] == "Deployment" {
                manifest["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
                has_target = true;
            }
        }
        if has_target {
            self.tool.apply().await;
        }
        has_target
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            // A panic beside another one would abort the whole suite.
            if !thread::panicking() {
                ended.expect("the writer could write");
            }
        }
    }
}

impl Tool {
    async fn apply(&self) {
        for manifest in self.manifests.lock().await.iter() {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let (api_version, kind) = (text(&manifest["apiVersion"]), text(&manifest["kind"]));
            let name = text(&manifest["metadata"]["name"]);
            let namespace = Some(self.namespace.as_str());
            let objects = self.cluster.objects(&api_version, &kind, namespace).await;
            let parameters = PatchParams::apply(&self.manager).force();
            let object: DynamicObject =
                serde_json::from_value(manifest.clone()).expect("an object");
            let applied = objects
                .patch(&name, &parameters, &Patch::Apply(&object))
                .await;
            applied.unwrap_or_else(|error| panic!("applying {kind} {name}: {error}"));
        }
    }
}
