//! A Kubernetes control plane on loopback: etcd, API server, controller manager, scheduler, and KWOK
//! in place of three kubelets. Real in everything but the containers.
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicU32,
    time::Duration,
};

use http::Request;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::{audit, identity::Authority, keeper::Keeper, wait::free_port};

/// How the simulated kubelets treat nodes and pods.
const STAGES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/cluster/kwok/stages.yaml"
);
/// A cold start takes about ten seconds on two idle cores; the rest is for a busy machine.
const START_DEADLINE: Duration = Duration::from_mins(2);
/// The administrator's group: RBAC lets it do everything.
const ADMINISTRATORS: &str = "system:masters";

/// Shared by all tests of the process; each works in a namespace of its own.
pub(crate) struct ControlPlane {
    pub(super) keeper: Keeper,
    pub(super) authority: Authority,
    pub(crate) server: String,
    pub(super) namespaces: AtomicU32,
    kubeconfig: PathBuf,
    config: Config,
    binaries: PathBuf,
}

impl ControlPlane {
    /// Starts everything and waits until a pod runs, which takes all five of them.
    pub(super) async fn start(binaries: &Path) -> Result<Self, String> {
        let mut keeper = Keeper::new("cluster")?;
        let authority = Authority::new(keeper.folder())?;
        let etcd = start_etcd(&mut keeper, binaries)?;
        let server = start_api_server(&mut keeper, binaries, &authority, &etcd)?;
        let administrator = authority.user("bed", Some(ADMINISTRATORS))?;
        let kubeconfig = authority.kubeconfig("bed", &server, &administrator.as_user())?;
        let config = config(&kubeconfig).await?;
        let control_plane = Self {
            keeper,
            authority,
            server,
            namespaces: AtomicU32::new(0),
            kubeconfig,
            config,
            binaries: binaries.to_owned(),
        };
        control_plane.finish_start().await
    }

    /// The administrator's kubeconfig: user `bed`, who may do everything.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client of the administrator. A new one for each call, because a client does not outlive
    /// the runtime that it was made in, and every test has its own.
    pub(crate) fn client(&self) -> Client {
        Client::try_from(self.config.clone()).expect("the configuration has served before")
    }

    /// A `kubectl` of the same version.
    pub(crate) fn kubectl(&self) -> PathBuf {
        self.binaries.join("kubectl")
    }

    async fn finish_start(mut self) -> Result<Self, String> {
        let client = self.client();
        self.keeper
            .ready("the API server is ready", START_DEADLINE, async || {
                let request = Request::get("/readyz").body(Vec::new());
                let request = request.map_err(|error| error.to_string())?;
                client
                    .request_text(request)
                    .await
                    .map_err(|error| chain(&error))
            })
            .await?;
        self.start_controllers()?;
        self.keeper
            .ready("three nodes exist", START_DEADLINE, async || {
                create_nodes(&client).await
            })
            .await?;
        self.keeper
            .ready("a pod runs", START_DEADLINE, async || probe(&client).await)
            .await?;
        Ok(self)
    }

    fn start_controllers(&mut self) -> Result<(), String> {
        let (binaries, authority) = (self.binaries.clone(), &self.authority);
        let kubeconfig = |user: &str| {
            let certified = authority.user(user, Some(ADMINISTRATORS))?;
            let path = authority.kubeconfig(user, &self.server, &certified.as_user())?;
            Ok::<_, String>(format!("--kubeconfig={}", path.display()))
        };
        let manager = [
            kubeconfig("system:kube-controller-manager")?,
            format!("--root-ca-file={}", authority.certificate().display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // A busy machine may keep KWOK from renewing a lease; that must not evict pods.
            "--node-monitor-grace-period=24h".to_owned(),
            "--kube-api-qps=300".to_owned(),
            "--kube-api-burst=600".to_owned(),
        ];
        let scheduler = [
            kubeconfig("system:kube-scheduler")?,
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=300".to_owned(),
            "--kube-api-burst=600".to_owned(),
        ];
        let kwok = [
            kubeconfig("kwok")?,
            format!("--config={STAGES}"),
            "--manage-all-nodes=true".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            "--cidr=10.64.0.0/12".to_owned(),
        ];
        for (name, arguments) in [
            ("kube-controller-manager", &manager[..]),
            ("kube-scheduler", &scheduler[..]),
            ("kwok", &kwok[..]),
        ] {
            self.keeper.start(name, &binaries.join(name), arguments)?;
        }
        Ok(())
    }
}

/// Its data is thrown away with the test run, so it need not reach the disk.
fn start_etcd(keeper: &mut Keeper, binaries: &Path) -> Result<String, String> {
    let client = format!("http://127.0.0.1:{}", free_port()?);
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let arguments = [
        format!("--data-dir={}", keeper.folder().join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=bed={peer}"),
        "--name=bed".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    keeper.start("etcd", &binaries.join("etcd"), &arguments)?;
    Ok(client)
}

fn start_api_server(
    keeper: &mut Keeper,
    binaries: &Path,
    authority: &Authority,
    etcd: &str,
) -> Result<String, String> {
    let port = free_port()?;
    let certified = authority.server("kube-apiserver")?;
    let tokens = authority.token_keys()?;
    let authority = authority.certificate();
    let mut arguments = vec![
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // It would publish itself under a loopback address, which Endpoints refuse.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.32.0.0/16".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // Asks whether the one who writes a blocking ownerReference may hold its owner back.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--tls-cert-file={}", certified.certificate.display()),
        format!("--tls-private-key-file={}", certified.key.display()),
        format!("--client-ca-file={}", authority.display()),
        format!("--service-account-key-file={}", tokens.public.display()),
        format!(
            "--service-account-signing-key-file={}",
            tokens.private.display()
        ),
        format!("--cert-dir={}", keeper.folder().display()),
    ];
    arguments.extend(audit::arguments(keeper.folder())?);
    keeper.start(
        "kube-apiserver",
        &binaries.join("kube-apiserver"),
        &arguments,
    )?;
    Ok(format!("https://127.0.0.1:{port}"))
}

async fn config(kubeconfig: &Path) -> Result<Config, String> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| chain(&error))?;
    Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .map_err(|error| chain(&error))
}

async fn create_nodes(client: &Client) -> Result<(), String> {
    let nodes: Api<Node> = Api::all(client.clone());
    for number in 1..=3 {
        let node: Node = serde_json::from_value(json!({
            "metadata": {
                "name": format!("node-{number}"),
                "labels": {"kubernetes.io/os": "linux", "type": "kwok"},
            },
        }))
        .map_err(|error| error.to_string())?;
        match nodes.create(&PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.map_err(|error| chain(&error))?),
        }
    }
    Ok(())
}

/// A pod that runs shows that the controller manager made the service account, the scheduler found
/// a node, and KWOK started it there.
async fn probe(client: &Client) -> Result<(), String> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let Some(pod) = pods.get_opt("probe").await.map_err(|error| chain(&error))? else {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "probe"},
            "spec": {"containers": [{"name": "probe", "image": "probe"}]},
        }))
        .map_err(|error| error.to_string())?;
        let created = pods.create(&PostParams::default(), &pod).await;
        return created
            .map_err(|error| chain(&error))
            .and(Err("just created".to_owned()));
    };
    let status = pod.status.unwrap_or_default();
    let mut conditions = status.conditions.iter().flatten();
    if !conditions.any(|it| it.type_ == "Ready" && it.status == "True") {
        return Err(format!("the pod is {}", status.phase.unwrap_or_default()));
    }
    let deleted = pods.delete("probe", &DeleteParams::default()).await;
    deleted.map(drop).map_err(|error| chain(&error))
}

/// An error with its causes, which carry what matters ("connection refused").
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
