//! The pieces of `kustomize/` and `config/samples/`: each can be used, and says what it is to say.
use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use davy::api::status::Phase;
use kube::api::ListParams;
use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::{Stage, davy};
use crate::bed::{control_plane, control_plane::ControlPlane, wait::until};

fn objects(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))
}

/// A kustomization, and what becomes of it.
fn built(cluster: &ControlPlane, kustomization: &str, files: &[(&str, &str)]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    for part in ["kustomize", "config"] {
        let copied = Command::new("cp")
            .arg("-r")
            .args([source.join(part), folder.path().join(part)])
            .status();
        assert!(copied.expect("cp starts").success());
    }
    let mine = folder.path().join("kustomize/mine");
    fs::create_dir(&mine).expect("a folder");
    for (name, text) in [("kustomization.yaml", kustomization)].iter().chain(files) {
        fs::write(mine.join(name), text).expect("a file");
    }
    let output = Command::new(cluster.kubectl())
        .arg("kustomize")
        .arg(&mine)
        .output()
        .expect("kubectl starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{kustomization}{said}");
    objects(&String::from_utf8(output.stdout).expect("text"))
}

fn with_component(cluster: &ControlPlane, name: &str) -> Vec<Value> {
    let text = format!("resources: [../base]\ncomponents: [../components/{name}]\n");
    built(cluster, &text, &[])
}

#[tokio::test]
async fn components_change_what_they_are_for() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let settings = |objects: &[Value]| of_kind(objects, "ConfigMap")["data"].clone();
    let pushing = with_component(cluster, "pushgateway");
    let url = &settings(&pushing)["DAVY_PUSHGATEWAY_URL"];
    assert_eq!(url, "http://pushgateway.monitoring:9091");
    let plain = with_component(cluster, "kubernetes");
    assert_eq!(settings(&plain)["DAVY_MESH_PROVIDER"], "kubernetes");
    let often = with_component(cluster, "every-10s");
    let pod = pod_of(of_kind(&often, "CronJob"));
    let arguments = json!(["run", "--every", "10s", "--for", "50s"]);
    assert_eq!(pod["containers"][0]["args"], arguments);
    // The last pass of a Job has ended when the next Job begins.
    assert_eq!(settings(&often)["DAVY_PASS_DEADLINE"], "9s");
}

#[tokio::test]
async fn loop_goes_into_the_pods_of_an_application() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let text = "resources: [../base, application.yaml]
components: [../components/beside-an-application]
";
    let application = "apiVersion: apps/v1
kind: Deployment
metadata: {name: application, labels: {davy: beside}}
spec:
  selector: {matchLabels: {app: application}}
  template:
    metadata: {labels: {app: application}}
    spec:
      containers: [{name: application, image: application}]
";
    let objects = built(cluster, text, &[("application.yaml", application)]);
    assert!(objects.iter().all(|object| object["kind"] != "CronJob"));
    let pod = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["name"], "application");
    let davy = &pod["initContainers"][0];
    assert_eq!(
        (&davy["name"], &davy["restartPolicy"]),
        (&json!("davy"), &json!("Always"))
    );
    assert_eq!(pod["serviceAccountName"], "davy");
    // The application's own containers see no token of that account.
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert!(pod["containers"][0]["volumeMounts"].is_null());
    let mount = &davy["volumeMounts"][0];
    assert_eq!(mount["name"], pod["volumes"][0]["name"]);
    assert_eq!(mount["mountPath"], MOUNTED);
    assert_hardened(davy);
}

/// Where a program in a pod looks for its account.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn pod_of(workload: &Value) -> &Value {
    let spec = &workload["spec"];
    if workload["kind"] == "CronJob" {
        &spec["jobTemplate"]["spec"]["template"]["spec"]
    } else {
        &spec["template"]["spec"]
    }
}

/// Beyond what Pod Security asks for, which the API server judges by itself.
fn assert_hardened(container: &Value) {
    let context = &container["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    for resource in ["cpu", "memory"] {
        assert!(container["resources"]["limits"][resource].is_string());
    }
}

#[tokio::test]
async fn pods_are_hardened_and_jobs_are_bounded() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let job = objects(include_str!("../../../jobs/job.yaml"));
    let mut workloads = vec![of_kind(&job, "Job").clone()];
    for (overlay, kind) in [
        ("cronjob", "CronJob"),
        ("namespaced", "CronJob"),
        ("sidecar", "Deployment"),
    ] {
        let text = format!("resources: [../overlays/{overlay}]\n");
        let objects = built(cluster, &text, &[]);
        workloads.push(of_kind(&objects, kind).clone());
        let account = of_kind(&objects, "ServiceAccount");
        assert_eq!(account["automountServiceAccountToken"], false);
    }
    for workload in &workloads {
        let pod = pod_of(workload);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let profile = &pod["securityContext"]["seccompProfile"];
        assert_eq!(profile["type"], "RuntimeDefault");
        assert_hardened(&pod["containers"][0]);
        let spec = &workload["spec"];
        let (job, template) = match workload["kind"].as_str() {
            Some("CronJob") => {
                assert_eq!(spec["concurrencyPolicy"], "Forbid");
                assert!(spec["startingDeadlineSeconds"].is_number());
                // A Job by hand must not be swept away before its end was seen.
                for bound in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
                    assert_eq!(spec[bound], 3, "{bound}");
                }
                (
                    Some(&spec["jobTemplate"]["spec"]),
                    &spec["jobTemplate"]["spec"]["template"],
                )
            }
            Some("Job") => (Some(spec), &spec["template"]),
            _ => (None, &spec["template"]),
        };
        if let Some(job) = job {
            assert_eq!(job["backoffLimit"], 0);
            // Above the pass deadline, 50 s, and above a loop of 50 s and its last pass.
            assert!(job["activeDeadlineSeconds"].as_i64() > Some(100));
        }
        let metadata = &template["metadata"];
        assert_eq!(metadata["labels"]["sidecar.istio.io/inject"], "false");
        assert_eq!(metadata["annotations"]["linkerd.io/inject"], "disabled");
    }
}

#[tokio::test]
async fn samples_apply_and_run() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    super::manifests::install_istio(cluster).await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples");
    for (file, canary) in [("kubernetes.yaml", "frontend"), ("istio.yaml", "podinfo")] {
        let stage = Stage::new(cluster, "sample").await;
        let text = fs::read_to_string(samples.join(file)).expect("a sample");
        cluster.apply_yaml(&text, &stage.namespace).await;
        stage.passes_until(canary, Phase::Initialized, &[]).await;
    }
}

/// As they stand, with the namespace that they bring. The simulated nodes run the pod, which has
/// no effect here: what it does is tested under manifests in a namespace of a test's own.
#[tokio::test]
async fn command_of_the_readme_brings_a_job_whose_pod_is_admitted() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let readme = include_str!("../../../README.md");
    let command = readme
        .lines()
        .find_map(|line| line.strip_prefix("$ kubectl apply --server-side -k"))
        .expect("a command");
    let stage = Stage::new(cluster, "readme").await;
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("kubectl apply --server-side --force-conflicts -k{command}"),
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", stage.path())
        .env("KUBECONFIG", cluster.kubeconfig())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("Warning"),
        "{said}"
    );
    let pods = cluster.objects("v1", "Pod", Some("davy-system")).await;
    until("the pod is there", Duration::from_mins(3), async || {
        let listed = pods.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| error.to_string())?;
        let names = listed
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>();
        if names.iter().any(|name| name.starts_with("davy-")) {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    sees_the_whole_cluster(&stage).await;
    stage.kubectl(&["-n", "davy-system", "delete", "cronjob", "davy"]);
}

/// Under the shipped `ClusterRole` a pass reads the canaries of every namespace. It only shows its
/// steps: others' canaries are on this cluster too.
async fn sees_the_whole_cluster(stage: &Stage) {
    let cluster = stage.cluster;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::copy(cluster.kubeconfig(), &kubeconfig).expect("a kubeconfig");
    let token = stage.kubectl(&["-n", "davy-system", "create", "token", "davy"]);
    let script = "kubectl config set-credentials davy --token=$TOKEN && \
                  kubectl config set-context --current --user=davy";
    let set = Command::new("sh")
        .args(["-c", script])
        .env("TOKEN", token.trim())
        .env("PATH", stage.path())
        .env("KUBECONFIG", &kubeconfig)
        .output();
    assert!(set.expect("a shell").status.success());
    let mark = cluster.audit_mark();
    let output = davy()
        .args(["run", "--dry-run", "-o", "json"])
        .env("KUBECONFIG", &kubeconfig)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{errors}");
    let requests = cluster
        .audit(mark, "system:serviceaccount:davy-system:davy")
        .await;
    let left_out = left_out_of("cronjob");
    let refused = requests.iter().filter(|it| it.code == 403);
    let refused: Vec<_> = refused
        .filter(|it| !left_out.contains(&it.resource))
        .collect();
    assert!(refused.is_empty() && !requests.is_empty(), "{refused:#?}");
}

/// Resources that only components have rights for which this overlay leaves out: the Canaries of others
/// on this cluster may ask for any.
fn left_out_of(overlay: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kustomize");
    let text = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    let overlay = text(
        &root
            .join("overlays")
            .join(overlay)
            .join("kustomization.yaml"),
    );
    let resources = |is_in: bool| {
        let components = fs::read_dir(root.join("components")).expect("components");
        let components = components.map(|entry| entry.expect("an entry").path());
        let chosen = components.filter(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let line = format!("- ../../components/{name}");
            overlay.lines().any(|it| it == line) == is_in
        });
        let lines: String = chosen
            .map(|folder| text(&folder.join("kustomization.yaml")))
            .collect();
        let lists = lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix("resources: ["));
        lists
            .flat_map(|list| list.trim_end_matches(']').split(','))
            .map(|resource| resource.trim().to_owned())
            .collect::<BTreeSet<_>>()
    };
    resources(false)
        .difference(&resources(true))
        .cloned()
        .collect()
}
