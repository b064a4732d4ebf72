//! A stand-in for the kubelets: each pod of Davy runs as a local process, with the pod's arguments
//! and environment and a token of its `ServiceAccount`. Pods whose image tag holds "stuck" are left
//! alone by the simulated nodes, so those are this one's.
use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tempfile::TempDir;

use super::{
    meddler,
    stage::{Stage, program},
};

/// The tag of the image that Davy's pods have in these tests.
pub(super) const TAG: &str = "stuck";

pub(super) struct Kubelet<'a> {
    stage: &'a Stage,
    program: PathBuf,
    running: BTreeMap<String, Child>,
    /// Exit codes and output of the pods that have ended, by name.
    pub(super) ended: BTreeMap<String, (i32, String)>,
    /// Where the API server is reached by way of somebody who writes at the wrong moment.
    servers: BTreeMap<String, PathBuf>,
    logs: TempDir,
}

impl<'a> Kubelet<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self::with(stage, program())
    }

    /// With another build of the program.
    pub(super) fn with(stage: &'a Stage, program: PathBuf) -> Self {
        Self {
            stage,
            program,
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            servers: BTreeMap::new(),
            logs: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(super) fn stage(&self) -> &'a Stage {
        self.stage
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts the pods that wait, and tells of those that have ended.
    pub(super) async fn work(&mut self) {
        let pods: Api<Pod> = Api::namespaced(self.stage.cluster.client(), &self.stage.namespace);
        let listed = pods.list(&ListParams::default()).await.expect("pods");
        for pod in &listed {
            let name = pod.name_any();
            let spec = pod.spec.as_ref().expect("a spec");
            let image = spec.containers[0].image.clone().unwrap_or_default();
            let is_ours = image == format!("davy:{TAG}");
            let known = self.running.contains_key(&name) || self.ended.contains_key(&name);
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if is_ours && !known && spec.node_name.is_some() && phase == Some("Pending") {
                let child = self.start(pod).await;
                self.running.insert(name.clone(), child);
            }
            let exited = self
                .running
                .get_mut(&name)
                .and_then(|child| child.try_wait().expect("a process of ours"));
            if exited.is_some() {
                self.end(&pods, &name).await;
            }
        }
    }

    async fn start(&mut self, pod: &Pod) -> Child {
        let spec = pod.spec.as_ref().expect("a spec");
        let account = spec.service_account_name.clone().unwrap_or_default();
        assert_eq!(spec.automount_service_account_token, Some(true));
        if !self.servers.contains_key(&account) {
            let kubeconfig = meddler::kubeconfig(self.stage, &account).await;
            self.servers.insert(account.clone(), kubeconfig);
        }
        let container = &spec.containers[0];
        let mut environment = self.environment(container).await;
        let mounted = self.mount(pod).await;
        for value in environment.values_mut() {
            let inside = |(path, local): &(String, PathBuf)| {
                let rest = value.strip_prefix(&**path)?;
                Some(format!("{}{rest}", local.display()))
            };
            if let Some(local) = mounted.iter().find_map(inside) {
                *value = local;
            }
        }
        Command::new(&self.program)
            .env_clear()
            .envs(environment)
            .env("KUBECONFIG", &self.servers[&account])
            .args(container.args.iter().flatten())
            .stdout(Stdio::null())
            .stderr(File::create(self.log(&pod.name_any())).expect("a file"))
            .spawn()
            .expect("the program starts")
    }

    /// The pod's Secrets and empty folders as local ones, by the paths at which it has them.
    async fn mount(&self, pod: &Pod) -> Vec<(String, PathBuf)> {
        let spec = pod.spec.as_ref().expect("a spec");
        let secrets: Api<Secret> =
            Api::namespaced(self.stage.cluster.client(), &self.stage.namespace);
        let mut mounted = Vec::new();
        for mount in spec.containers[0].volume_mounts.iter().flatten() {
            let mut volumes = spec.volumes.iter().flatten();
            let volume = volumes
                .find(|volume| volume.name == mount.name)
                .expect("a volume");
            // The token stands in the kubeconfig.
            if volume.projected.is_some() {
                continue;
            }
            let local = self
                .logs
                .path()
                .join(format!("{}-{}", pod.name_any(), volume.name));
            fs::create_dir(&local).expect("a folder");
            if let Some(source) = &volume.secret {
                let name = source.secret_name.as_deref().expect("a name");
                let secret = secrets.get(name).await.expect("the Secret");
                let mode = u32::try_from(source.default_mode.unwrap_or(0o644)).expect("a mode");
                for (key, value) in secret.data.unwrap_or_default() {
                    let file = local.join(key);
                    fs::write(&file, value.0).expect("a file");
                    fs::set_permissions(&file, Permissions::from_mode(mode)).expect("a mode");
                }
            }
            mounted.push((mount.mount_path.clone(), local));
        }
        mounted
    }

    fn log(&self, pod: &str) -> PathBuf {
        self.logs.path().join(pod)
    }

    async fn environment(&self, container: &Container) -> BTreeMap<String, String> {
        let client = self.stage.cluster.client();
        let config_maps: Api<ConfigMap> = Api::namespaced(client, &self.stage.namespace);
        let mut environment = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            let name = &source.config_map_ref.as_ref().expect("a ConfigMap").name;
            let config_map = config_maps.get(name).await.expect("the settings");
            environment.extend(config_map.data.unwrap_or_default());
        }
        for variable in container.env.iter().flatten() {
            let field = variable
                .value_from
                .as_ref()
                .and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| &*field.field_path) {
                Some("metadata.namespace") => self.stage.namespace.clone(),
                Some(other) => panic!("the stand-in does not know {other}"),
                None => variable.value.clone().unwrap_or_default(),
            };
            environment.insert(variable.name.clone(), value);
        }
        environment
    }

    async fn end(&mut self, pods: &Api<Pod>, name: &str) {
        let mut child = self.running.remove(name).expect("it ran");
        let status = child.wait().expect("a process of ours");
        let code = status.code().unwrap_or(137);
        let said = fs::read_to_string(self.log(name)).expect("its log");
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"status": {
            "phase": phase,
            "containerStatuses": [{
                "name": "davy", "image": format!("davy:{TAG}"), "imageID": "", "ready": false,
                "restartCount": 0, "started": false,
                "state": {"terminated": {"exitCode": code, "reason": "Completed"}},
            }],
        }});
        let patched = pods
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await;
        // A Job that has ended may have taken its pod away.
        if let Err(error) = patched {
            assert!(error.to_string().contains("not found"), "{error}");
        }
        self.ended.insert(name.to_owned(), (code, said));
    }
}

impl Drop for Kubelet<'_> {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
