//! The test bed itself: what the other tests take for granted of it.
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{
    control_plane, exporter::Traffic, keeper::Keeper, prometheus, pushgateway, shared, wait::until,
};

const DEADLINE: Duration = Duration::from_mins(1);

fn deployment(name: &str, tag: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: podinfo, image: 'stefanprodan/podinfo:{tag}'}}
"
    )
}

async fn ready_replicas(deployments: &Api<Deployment>, name: &str) -> i32 {
    let status = deployments
        .get_status(name)
        .await
        .expect("the Deployment is there")
        .status;
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

async fn until_ready(deployments: &Api<Deployment>, name: &str) {
    until(
        "two replicas are ready",
        DEADLINE,
        async || match ready_replicas(deployments, name).await {
            2 => Ok(()),
            count => Err(format!("{count} are")),
        },
    )
    .await
    .unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Waits until the kubelet has said of all pods with this image that they are not ready.
async fn until_waiting(pods: &Api<Pod>, app: &str, count: usize) {
    let selected = ListParams::default().labels(&format!("app={app}"));
    until("pods wait for their image", DEADLINE, async || {
        let listed = pods.list(&selected).await.expect("pods can be listed");
        let waiting = listed.iter().filter(|pod| {
            let status = pod.status.as_ref();
            status
                .and_then(|it| it.container_statuses.as_ref())
                .is_some_and(|containers| {
                    containers
                        .iter()
                        .any(|container| !container.ready && container.started.is_some())
                })
        });
        match waiting.count() {
            waiting if waiting >= count => Ok(()),
            waiting => Err(format!("{waiting} do")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{app}: {error}"));
}

#[tokio::test]
async fn deployment_rolls_out_for_real() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("rollout").await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), &namespace);
    cluster
        .apply_yaml(&deployment("podinfo", "1.2.0"), &namespace)
        .await;
    until_ready(&deployments, "podinfo").await;

    cluster
        .apply_yaml(&deployment("podinfo", "1.2.1"), &namespace)
        .await;
    until("the new revision is complete", DEADLINE, async || {
        let deployment = deployments.get("podinfo").await.expect("it is there");
        let status = deployment.status.unwrap_or_default();
        let observed = status.observed_generation == deployment.metadata.generation;
        match (
            observed,
            status.updated_replicas,
            status.replicas,
            status.ready_replicas,
        ) {
            (true, Some(2), Some(2), Some(2)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the rollout ends");
}

#[tokio::test]
async fn stuck_image_never_becomes_ready() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("stuck").await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), &namespace);
    let pods: Api<Pod> = Api::namespaced(cluster.client(), &namespace);
    cluster
        .apply_yaml(&deployment("podinfo", "stuck"), &namespace)
        .await;
    until_waiting(&pods, "podinfo", 2).await;
    assert_eq!(ready_replicas(&deployments, "podinfo").await, 0);

    cluster
        .apply_yaml(&deployment("podinfo", "1.2.2"), &namespace)
        .await;
    until_ready(&deployments, "podinfo").await;
}

#[tokio::test]
async fn primary_stuck_image_is_stuck_on_the_primary_only() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("primary-stuck").await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), &namespace);
    let pods: Api<Pod> = Api::namespaced(cluster.client(), &namespace);
    let both = [
        deployment("podinfo", "primary-stuck"),
        deployment("podinfo-primary", "primary-stuck"),
    ]
    .join("---\n");
    cluster.apply_yaml(&both, &namespace).await;
    until_ready(&deployments, "podinfo").await;
    until_waiting(&pods, "podinfo-primary", 2).await;
    assert_eq!(ready_replicas(&deployments, "podinfo-primary").await, 0);
}

#[tokio::test]
async fn kubectl_works_with_the_administrators_kubeconfig() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("kubectl").await;
    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: lamp}, data: {wick: long}}";
    cluster.apply_yaml(manifest, &namespace).await;
    let output = Command::new(cluster.kubectl())
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(["--namespace", &namespace, "get", "configmap", "lamp"])
        .args(["--output", "jsonpath={.data.wick}"])
        .output()
        .expect("kubectl starts");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "long",
        "{output:?}"
    );

    let objects = cluster.objects("v1", "ConfigMap", Some(&namespace)).await;
    assert_eq!(
        objects.get("lamp").await.expect("it is there").data["data"]["wick"],
        "long"
    );
}

#[tokio::test]
async fn audit_shows_the_requests_of_one_user() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("audit").await;
    let kubeconfig = cluster
        .kubeconfig_for_service_account(&namespace, "reader")
        .await;
    let mark = cluster.audit_mark();
    let pods: Api<Pod> = Api::namespaced(client(&kubeconfig).await, &namespace);
    let refused = pods.list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));

    let user = format!("system:serviceaccount:{namespace}:reader");
    let events = cluster.audit(mark, &user).await;
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((event.verb.as_str(), event.code), ("list", 403));
    assert_eq!(
        (event.resource.as_str(), event.subresource.as_str()),
        ("pods", "")
    );
    assert_eq!(
        (event.namespace.as_str(), event.name.as_str()),
        (namespace.as_str(), "")
    );
    assert!(
        event
            .uri
            .starts_with(&format!("/api/v1/namespaces/{namespace}/pods"))
    );
}

#[tokio::test]
async fn user_may_do_what_the_group_may() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("user").await;
    let nobody: Api<Pod> = Api::namespaced(
        client(&cluster.kubeconfig_for("mallory", None)).await,
        &namespace,
    );
    assert!(nobody.list(&ListParams::default()).await.is_err());
    let kubeconfig = cluster.kubeconfig_for("alice", Some("system:masters"));
    let administrator: Api<Pod> = Api::namespaced(client(&kubeconfig).await, &namespace);
    assert!(administrator.list(&ListParams::default()).await.is_ok());
}

async fn client(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

#[tokio::test]
async fn crds_of_the_driven_systems_are_served() {
    let folder = shared().join("crds");
    if !folder.is_dir() {
        writeln!(io::stderr(), "skipped: no folder {}", folder.display()).expect("stderr");
        return;
    }
    let Some(cluster) = control_plane().await else {
        return;
    };
    cluster.install_crd_files(&folder).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let route = definitions
        .get("httproutes.gateway.networking.k8s.io")
        .await;
    assert!(route.is_ok());
}

#[tokio::test]
async fn prometheus_answers_what_the_test_asked_the_exporter_for() {
    let Some(prometheus) = prometheus().await else {
        return;
    };
    let answers = async |workload: &str, success_percent: f64, p99_milliseconds: f64| {
        prometheus
            .exporter()
            .serve("smoke", workload, success_percent, p99_milliseconds);
        let labels = format!(
            "reporter=\"destination\",destination_workload_namespace=\"smoke\",\
             destination_workload=~\"{workload}\""
        );
        let rate = format!(
            "sum(rate(istio_requests_total{{{labels},response_code!~\"5.*\"}}[5s])) \
             / sum(rate(istio_requests_total{{{labels}}}[5s])) * 100"
        );
        let duration = format!(
            "histogram_quantile(0.99, sum(rate(\
             istio_request_duration_milliseconds_bucket{{{labels}}}[5s])) by (le))"
        );
        for (query, wanted) in [(rate, success_percent), (duration, p99_milliseconds)] {
            let close = |value: f64| (value - wanted).abs() < 1e-6;
            prometheus.until(&query, close, DEADLINE).await;
        }
    };
    answers("good", 100.0, 50.0).await;
    answers("bad", 69.17, 1500.0).await;
    assert!(prometheus.url().starts_with("http://127.0.0.1:"));
    // The same workload becomes worse.
    answers("good", 69.17, 1500.0).await;
    answers("bad", 0.0, 60_000.0).await;
}

#[tokio::test]
async fn forgotten_workload_has_no_data() {
    let Some(prometheus) = prometheus().await else {
        return;
    };
    let traffic = Traffic {
        requests_per_second: 1.0,
        success_percent: 100.0,
        p99_milliseconds: 50.0,
    };
    prometheus
        .exporter()
        .serve_traffic("smoke", "short", traffic);
    let query = "sum(rate(istio_requests_total{destination_workload=\"short\"}[5s]))";
    prometheus
        .until(query, |rate| (rate - 1.0).abs() < 0.1, DEADLINE)
        .await;
    prometheus.exporter().forget("smoke", "short");
    until(
        "the series has ended",
        DEADLINE,
        async || match prometheus.ask(query) {
            None => Ok(()),
            Some(rate) => Err(format!("the rate is {rate}")),
        },
    )
    .await
    .expect("no data");
}

#[tokio::test]
async fn pushgateway_starts_empty() {
    let Some(pushgateway) = pushgateway().await else {
        return;
    };
    assert!(pushgateway.metrics().contains("go_info"));
    assert!(!pushgateway.metrics().contains("push_time_seconds"));
    assert!(pushgateway.url().starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn process_ends_with_its_keeper() {
    let mut keeper = Keeper::new("smoke").expect("a keeper");
    // It says who it is, and would stay for an hour.
    let arguments = ["-c".to_owned(), "echo $$; exec sleep 3600".to_owned()];
    keeper
        .start("sleeper", Path::new("/bin/sh"), &arguments)
        .expect("a shell");
    let folder = keeper.folder().to_owned();
    let process = until("the process has said who it is", DEADLINE, async || {
        let log = fs::read_to_string(folder.join("sleeper.log")).unwrap_or_default();
        log.trim().parse::<u32>().map_err(|error| error.to_string())
    })
    .await
    .map(|pid| PathBuf::from(format!("/proc/{pid}")))
    .expect("a number");
    assert!(process.exists());
    drop(keeper);
    assert!(!process.exists(), "the process is still there");
    assert!(!folder.exists(), "its folder is still there");
}
