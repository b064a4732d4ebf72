//! What people do meanwhile: images and configs that are good, that fail their checks, that never
//! get ready, and the way back.

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bed::control_plane::ControlPlane;
use crate::bed::exporter::Exporter;
use crate::draw::Draw;
use crate::podinfo::fixture;

/// What becomes of a revision if nobody changes it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// It is promoted.
    Good,
    /// Its requests fail.
    Failing,
    /// Its pods never get ready.
    Stuck,
    /// Its pods get ready, and those of the primary do not.
    StuckOnPrimary,
}
use Quality::{Failing, Good, Stuck, StuckOnPrimary};

/// An application, and what its releases may turn out to be.
pub(super) struct App {
    pub(super) name: &'static str,
    releases: &'static [Quality],
    has_config: bool,
}

const fn app(name: &'static str, releases: &'static [Quality]) -> App {
    App {
        name,
        releases,
        has_config: false,
    }
}

/// Those of `fixtures/story/killed.yaml`.
pub(super) const APPS: [App; 8] = [
    app("steps", &[Good, Failing, Good]),
    app("list", &[Good, Failing, Good]),
    app("green", &[Good, Failing]),
    app("scaled", &[Good, Good, Failing]),
    App {
        name: "configured",
        releases: &[Good, Good, Failing],
        has_config: true,
    },
    app("skipped", &[Good, Stuck, StuckOnPrimary]),
    app("stubborn", &[Good, StuckOnPrimary, Stuck]),
    app("plain", &[Good]),
];

/// The Canary that is deleted and made again; the last in the file.
const DELETED: &str = "plain";

/// The users of one namespace.
pub(super) struct Users<'a> {
    pub(super) cluster: &'a ControlPlane,
    pub(super) exporter: &'a Exporter,
    pub(super) namespace: &'a str,
    /// What each application was last given, by its place in [`APPS`].
    last: [Quality; APPS.len()],
    pub(super) images: u32,
    pub(super) configs: u32,
    pub(super) set_back: u32,
    pub(super) deleted: u32,
}

impl<'a> Users<'a> {
    pub(super) fn new(
        cluster: &'a ControlPlane,
        exporter: &'a Exporter,
        namespace: &'a str,
    ) -> Self {
        for app in &APPS {
            exporter.serve(namespace, app.name, 100.0, 50.0);
        }
        Self {
            cluster,
            exporter,
            namespace,
            last: [Good; APPS.len()],
            images: 0,
            configs: 0,
            set_back: 0,
            deleted: 0,
        }
    }

    /// What the application was last given.
    pub(super) fn last(&self, app: usize) -> Quality {
        self.last[app]
    }

    /// One change of one application.
    pub(super) async fn change(&mut self, draw: &mut Draw) {
        let index = draw.below(APPS.len());
        let app = &APPS[index];
        if app.name == DELETED && draw.happens(60) {
            return self.delete_or_bring_back().await;
        }
        if draw.happens(12) {
            return self.set_back(index).await;
        }
        let quality = *draw.one_of(app.releases);
        let success = if quality == Failing { 50.0 } else { 100.0 };
        self.exporter.serve(self.namespace, app.name, success, 50.0);
        self.last[index] = quality;
        if app.has_config && draw.happens(60) {
            self.configs += 1;
            let value = self.configs.to_string();
            let (kind, patch) = if draw.happens(50) {
                ("ConfigMap", json!({"data": {"colour": value}}))
            } else {
                ("Secret", json!({"stringData": {"word": value}}))
            };
            return self.patch("v1", kind, app.name, &patch).await;
        }
        self.images += 1;
        let tag = match quality {
            Good | Failing => format!("1.0.{}", self.images),
            Stuck => format!("1.0.{}-stuck", self.images),
            StuckOnPrimary => format!("1.0.{}-primary-stuck", self.images),
        };
        self.image(app.name, &format!("stefanprodan/podinfo:{tag}"))
            .await;
    }

    /// Deletes the Canary that is deleted, or makes it again once it is gone.
    async fn delete_or_bring_back(&mut self) {
        if !self.bring_back().await {
            return;
        }
        let canaries = self.canaries().await;
        let deleted = canaries.delete(DELETED, &DeleteParams::default()).await;
        deleted.expect("the Canary can be deleted");
        self.deleted += 1;
    }

    /// Whether all Canaries were there; the one that is gone is made again.
    pub(super) async fn bring_back(&self) -> bool {
        let canary = self.canaries().await.get_opt(DELETED).await;
        if let Some(canary) = canary.expect("Canaries can be read") {
            return canary.metadata.deletion_timestamp.is_none();
        }
        let manifests = fixture("story/killed.yaml");
        let (_, canary) = manifests.rsplit_once("---\n").expect("it is the last");
        self.cluster.apply_yaml(canary, self.namespace).await;
        false
    }

    async fn canaries(&self) -> Api<DynamicObject> {
        let namespace = Some(self.namespace);
        let canaries = self
            .cluster
            .objects("flagger.app/v1beta1", "Canary", namespace);
        canaries.await
    }

    /// Takes the image back to what the primary runs.
    async fn set_back(&mut self, index: usize) {
        let app = &APPS[index];
        let namespace = Some(self.namespace);
        let deployments = self.cluster.objects("apps/v1", "Deployment", namespace);
        let primary = format!("{}-primary", app.name);
        let primary = deployments.await.get_opt(&primary).await;
        let Some(primary) = primary.expect("Deployments can be read") else {
            return;
        };
        let image = json!(primary)["spec"]["template"]["spec"]["containers"][0]["image"].take();
        let image = image.as_str().unwrap_or_default();
        // While a promotion fails there is nothing there to go back to.
        if !image.contains("stuck") {
            self.set_back += 1;
            self.last[index] = Good;
            self.exporter.serve(self.namespace, app.name, 100.0, 50.0);
            self.image(app.name, image).await;
        }
    }

    async fn image(&self, name: &str, image: &str) {
        let containers = json!([{"name": "podinfod", "image": image}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        self.patch("apps/v1", "Deployment", name, &patch).await;
    }

    async fn patch(&self, api_version: &str, kind: &str, name: &str, patch: &Value) {
        let namespace = Some(self.namespace);
        let objects = self.cluster.objects(api_version, kind, namespace).await;
        let parameters = PatchParams {
            field_manager: Some("somebody-else".to_owned()),
            ..PatchParams::default()
        };
        objects
            .patch(name, &parameters, &Patch::Strategic(patch))
            .await
            .unwrap_or_else(|error| panic!("changing {kind} {name}: {error}"));
    }
}
