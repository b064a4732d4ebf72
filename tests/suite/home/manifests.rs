//! The shipped manifests on the real control plane: Davy does all that it does under the shipped
//! Role, is refused nothing, and leaves no right unused.
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use davy::api::status::Phase;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{
    kubelet::{Kubelet, TAG},
    rights::{Right, asked, right, shipped},
    stage::{Stage, program},
};
use crate::bed::{control_plane, control_plane::ControlPlane, prometheus, prometheus::Prometheus};
use crate::git::place::{Over, Place};

/// A minute until the first Job, three for what is awaited, and the rest for a busy machine.
const DEADLINE: Duration = Duration::from_mins(12);

#[tokio::test]
async fn cronjob_overlay_releases_under_its_role() {
    run_under_manifests("cronjob", "- ../components/every-10s\n", false).await;
}

#[tokio::test]
async fn sidecar_overlay_releases_under_its_role() {
    run_under_manifests("sidecar", "", false).await;
}

#[tokio::test]
async fn namespaced_overlay_releases_under_its_role() {
    run_under_manifests("namespaced", "- ../components/git\n", true).await;
}

/// The repository of promotion records, where an overlay has the component for it.
async fn repository(stage: &Stage) -> Option<Place> {
    let place = Place::new(Over::Ssh).await?;
    let settings = &place.settings;
    let files = [
        ("ssh-key", &settings.ssh_key_file),
        ("known-hosts", &settings.known_hosts_file),
        ("signing-key", &settings.signing_key_file),
        ("allowed-signers", &settings.allowed_signers_file),
    ];
    let files = files.map(|(name, path)| {
        let path = path.as_deref().expect("a file");
        format!("--from-file={name}={}", path.display())
    });
    // As kustomize names it with the suffix of these tests' names.
    let secret = [
        "-n",
        &*stage.namespace,
        "create",
        "secret",
        "generic",
        "davy-git",
    ];
    let arguments: Vec<&str> = secret
        .into_iter()
        .chain(files.iter().map(|it| &**it))
        .collect();
    stage.kubectl(&arguments);
    Some(place)
}

/// What the repository holds after the releases, as real git believes it.
fn recorded(stage: &Stage, place: &Place) {
    place.check();
    let files = place.git(&["ls-tree", "-r", "--name-only", "main"]);
    let outcomes = |canary: &str| -> Vec<String> {
        let folder = format!("records/default/{}/{canary}/", stage.namespace);
        let names = files.lines().filter_map(|path| path.strip_prefix(&folder));
        let outcome = |name: &str| name.split_once('-').map(|(_, outcome)| outcome.to_owned());
        names.filter_map(outcome).collect()
    };
    let begun = ["initialized.yaml", "new-revision.yaml"];
    assert_eq!(
        outcomes("podinfo"),
        [&begun[..], &["promoted.yaml"]].concat()
    );
    assert_eq!(
        outcomes("broken"),
        [&begun[..], &["rolled-back.yaml"]].concat()
    );
}

/// `by_hand`: Jobs are made from the `CronJob` as people do, and not awaited from its controller.
async fn run_under_manifests(overlay: &str, components: &str, by_hand: bool) {
    let (Some(cluster), Some(metrics)) = (control_plane().await, prometheus().await) else {
        return;
    };
    let stage = Stage::new(cluster, overlay).await;
    install_istio(cluster).await;
    let has_records = components.contains("components/git");
    let place = if has_records {
        repository(&stage).await
    } else {
        None
    };
    if has_records && place.is_none() {
        return;
    }
    let url = place.as_ref().map(|place| place.settings.url.clone());
    let manifests = build(&stage, overlay, components, &metrics.url(), url.as_deref());
    enforce(&stage);
    let file = manifests.path().join("built.yaml");
    let mark = cluster.audit_mark();
    let output = Command::new(cluster.kubectl())
        .env("KUBECONFIG", cluster.kubeconfig())
        .args(["apply", "--server-side", "--force-conflicts", "-f"])
        .arg(&file)
        .output()
        .expect("kubectl starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("Warning"),
        "{said}"
    );
    if by_hand {
        suspend(&stage).await;
    }
    let ended = release(&stage, metrics, by_hand).await;
    let suffix = &stage.namespace;
    let user = format!("system:serviceaccount:{}:davy-{suffix}", stage.namespace);
    let requests = cluster.audit(mark, &user).await;
    let denied: Vec<_> = requests.iter().filter(|it| it.code == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");
    let mut shipped = shipped(&fs::read_to_string(&file).expect("the manifests"));
    // No request, but a question of an admission plugin, which the test bed has on.
    let finalizers = ("update", "flagger.app", "canaries/finalizers");
    assert!(shipped.remove(&right(finalizers)));
    let asked: BTreeSet<Right> = requests.iter().map(asked).collect();
    assert_eq!(asked, shipped, "asked on the left, shipped on the right");
    assert!(ended.iter().all(|code| *code == 0), "exit codes {ended:?}");
    if let Some(place) = &place {
        recorded(&stage, place);
    }
    if by_hand {
        pass_at_once(&stage).await;
    }
    if overlay == "cronjob" {
        assert!(
            !ended.is_empty(),
            "no Job of the CronJob has run to its end"
        );
    }
}

/// The overlay as a user makes it his own: a namespace, an image, settings.
fn build(
    stage: &Stage,
    overlay: &str,
    components: &str,
    server: &str,
    git: Option<&str>,
) -> tempfile::TempDir {
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
    let namespace = &stage.namespace;
    // Names that are not in a namespace get a suffix: other tests apply these manifests too.
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
nameSuffix: -{namespace}
resources:
- ../overlays/{overlay}
components:
{components}- settings
images:
- {{name: davy, newTag: {TAG}}}
"
    );
    fs::write(mine.join("kustomization.yaml"), text).expect("a file");
    let settings = format!(
        "apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
configMapGenerator:
- name: davy-settings
  behavior: merge
  literals:
  - DAVY_NAMESPACE={namespace}
  - DAVY_METRICS_SERVER={server}
{}",
        git.map(|url| format!("  - DAVY_GIT_URL={url}\n"))
            .unwrap_or_default()
    );
    fs::create_dir(mine.join("settings")).expect("a folder");
    fs::write(mine.join("settings/kustomization.yaml"), settings).expect("a file");
    let built = stage.kubectl(&["kustomize", mine.to_str().expect("a path")]);
    // The namespace's port is not the kubelet's: two overlays listen on one machine.
    let built = built.replace("0.0.0.0:8080", "127.0.0.1:0");
    fs::write(folder.path().join("built.yaml"), built).expect("a file");
    folder
}

/// As the shipped Namespace has it, also for the overlay that ships none.
fn enforce(stage: &Stage) {
    let level = "pod-security.kubernetes.io/enforce=restricted";
    let warn = "pod-security.kubernetes.io/warn=restricted";
    stage.kubectl(&["label", "namespace", &stage.namespace, level, warn]);
}

async fn suspend(stage: &Stage) {
    let jobs = stage.objects("batch/v1", "CronJob").await;
    let name = format!("davy-{}", stage.namespace);
    let patch = json!({"spec": {"suspend": true}});
    jobs.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .expect("the CronJob");
}

/// Initializes two canaries, promotes one and rolls the other back, with nothing running but what
/// the manifests run. The exit codes of the pods that ended.
async fn release(stage: &Stage, metrics: &Prometheus, by_hand: bool) -> Vec<i32> {
    let namespace = &*stage.namespace;
    for name in ["podinfo", "broken"] {
        metrics.exporter().serve(namespace, name, 100.0, 50.0);
        metrics
            .exporter()
            .serve(namespace, &format!("{name}-primary"), 100.0, 50.0);
    }
    apply_applications(stage).await;
    // One of the overlays runs what is shipped in an image, where that was built.
    let shipped = env::var_os("TEST_DAVY_STATIC").filter(|_| by_hand);
    let program = shipped.map_or_else(program, PathBuf::from);
    let mut kubelet = Kubelet::with(stage, program);
    let mut jobs = by_hand.then(Jobs::default);
    both(
        &mut kubelet,
        &mut jobs,
        Phase::Initialized,
        Phase::Initialized,
    )
    .await;
    // Another writer of the route, of the autoscaler and of the configs that the target uses.
    let rule = json!({"spec": {"host": "somewhere-else"}});
    patch(
        stage,
        "networking.istio.io/v1",
        "DestinationRule",
        "podinfo-canary",
        rule,
    )
    .await;
    let wider = json!({"spec": {"maxReplicas": 5}});
    patch(
        stage,
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "podinfo",
        wider,
    )
    .await;
    let changed = json!({"data": {"wick": "longer"}});
    patch(stage, "v1", "ConfigMap", "podinfo", changed).await;
    let changed = json!({"stringData": {"oil": "colza"}});
    patch(stage, "v1", "Secret", "podinfo", changed).await;
    metrics.exporter().serve(namespace, "broken", 50.0, 50.0);
    stage.release("podinfo", "1.0.1").await;
    stage.release("broken", "1.0.1").await;
    both(&mut kubelet, &mut jobs, Phase::Succeeded, Phase::Failed).await;
    let ended = kubelet.ended.values();
    ended.map(|(code, _)| *code).collect()
}

/// Lets the pods run until both canaries are there.
async fn both(
    kubelet: &mut Kubelet<'_>,
    jobs: &mut Option<Jobs>,
    promoted: Phase,
    rolled_back: Phase,
) {
    let stage = kubelet.stage();
    let end = Instant::now() + DEADLINE;
    loop {
        kubelet.work().await;
        // No pass of these has a reason to fail, and it is not to be waited for that all do.
        let failed = kubelet.ended.values().find(|(code, _)| *code != 0);
        assert!(failed.is_none(), "{failed:?}");
        if let Some(jobs) = jobs {
            jobs.make(stage, kubelet.is_idle()).await;
        }
        let podinfo = stage.status("podinfo").await;
        let broken = stage.status("broken").await;
        // A pass that delivers a record is let finish.
        let is_told = podinfo.outbox.is_empty() && broken.outbox.is_empty();
        if is_told && (podinfo.phase, broken.phase) == (Some(promoted), Some(rolled_back)) {
            return;
        }
        assert!(
            Instant::now() < end,
            "{:?} {:?}, {:?} {:?}; {:?}",
            podinfo.phase,
            podinfo.reason,
            broken.phase,
            broken.reason,
            kubelet.ended.values().last()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Jobs made from the `CronJob`, one after the other.
#[derive(Default)]
struct Jobs(u32);

impl Jobs {
    async fn make(&mut self, stage: &Stage, idle: bool) {
        let jobs = stage.objects("batch/v1", "Job").await;
        let last = jobs
            .get_opt(&format!("now-{}", self.0))
            .await
            .expect("Jobs");
        let ended = last.is_none_or(|job| !job.data["status"]["conditions"].is_null());
        if idle && ended {
            self.0 += 1;
            let (from, name) = (
                format!("--from=cronjob/davy-{}", stage.namespace),
                format!("now-{}", self.0),
            );
            stage.kubectl(&["-n", &stage.namespace, "create", "job", &from, &name]);
        }
    }
}

/// `jobs/now` tells by its exit code what became of the pass that it asked for.
async fn pass_at_once(stage: &Stage) {
    let mut kubelet = Kubelet::new(stage);
    let code = now(stage, &mut kubelet).await;
    assert_eq!(code, Some(0), "{:?}", kubelet.ended);
    let analysis = json!({"interval": "10s", "threshold": 1, "iterations": 1});
    let odd = json!({"provider": "osm", "analysis": analysis});
    stage.application("odd", &odd).await;
    assert_eq!(now(stage, &mut kubelet).await, Some(1));
}

async fn now(stage: &Stage, kubelet: &mut Kubelet<'_>) -> Option<i32> {
    let mut now = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/now"))
        .args([&*stage.namespace, &*format!("davy-{}", stage.namespace)])
        .env("PATH", stage.path())
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .spawn()
        .expect("a shell");
    loop {
        kubelet.work().await;
        if let Some(status) = now.try_wait().expect("a process of ours") {
            return status.code();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn patch(stage: &Stage, api_version: &str, kind: &str, name: &str, patch: Value) {
    let objects = stage.objects(api_version, kind).await;
    objects
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
}

async fn apply_applications(stage: &Stage) {
    let analysis = json!({
        "interval": "10s", "threshold": 1, "stepWeight": 50, "maxWeight": 50,
        "metrics": [{
            "name": "request-success-rate", "interval": "5s", "thresholdRange": {"min": 99},
        }],
    });
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo",
    });
    stage
        .cluster
        .apply_yaml(
            include_str!("../../../fixtures/home/podinfo.yaml"),
            &stage.namespace,
        )
        .await;
    let whole = json!({
        "analysis": analysis, "autoscalerRef": autoscaler, "revertOnDeletion": true,
    });
    stage.canary("podinfo", &whole).await;
    stage
        .application("broken", &json!({"analysis": analysis}))
        .await;
}

/// The kinds of the routes, without a schema, where nobody has installed the real ones.
pub(crate) async fn install_istio(cluster: &ControlPlane) {
    let definitions = cluster
        .objects("apiextensions.k8s.io/v1", "CustomResourceDefinition", None)
        .await;
    for (kind, plural) in [
        ("VirtualService", "virtualservices"),
        ("DestinationRule", "destinationrules"),
    ] {
        let name = format!("{plural}.networking.istio.io");
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": "networking.istio.io",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            },
        });
        if definitions
            .get_opt(&name)
            .await
            .expect("definitions")
            .is_some()
        {
            continue;
        }
        let definition = serde_json::from_value(definition).expect("an object");
        match definitions
            .create(&PostParams::default(), &definition)
            .await
        {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            created => drop(created.expect("a definition")),
        }
    }
    for kind in ["VirtualService", "DestinationRule"] {
        cluster
            .objects("networking.istio.io/v1", kind, Some("default"))
            .await;
    }
}
