//! What a pass costs the API server: counted in its audit log by user, not timed. Idle canaries
//! cost the same few lists however many there are, and a weight step its writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::bed;
use crate::bed::audit::AuditEvent;
use crate::bed::wait::until;
use crate::podinfo::Podinfo;

/// Half of them first, then as many again.
const HALF: usize = 200;
/// What a pass over any number of idle canaries may ask, up to the first page of a list.
const REQUESTS_MAX: usize = 15;
/// Objects that are made at the same time.
const AT_ONCE: usize = 16;
/// For 200 applications to roll out and be initialized, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_canaries_cost_nothing_and_a_weight_step_its_writes() {
    let Some(podinfo) = Podinfo::begin("cost").await else {
        return;
    };
    let mut idle: Vec<Requests> = Vec::new();
    for half in 0..2 {
        make(&podinfo, half * HALF..(half + 1) * HALF).await;
        until_rested(&podinfo, (half + 1) * HALF).await;
        let requests = requests_of_a_pass(&podinfo, (half + 1) * HALF, &[]).await;
        tell(&format!(
            "{} idle canaries: {}",
            (half + 1) * HALF,
            table(&requests)
        ));
        idle.push(requests);
    }
    let (few, many) = (&idle[0], &idle[1]);
    assert_eq!(few, many, "{HALF} canaries and twice as many cost the same");
    assert!(count(many) <= REQUESTS_MAX, "{}", table(many));
    assert!(
        many.keys().all(|request| request.starts_with("list ")),
        "nothing is asked for by name: {}",
        table(many)
    );

    // One is released. What its pods take until they are ready is waited for, not counted.
    podinfo.release("canary-0").await;
    pass(&podinfo, 2 * HALF, &["canary-0"]);
    podinfo.until_ready("canary-0").await;
    // The first step also says that the analysis starts.
    for (weight, events) in [(10, 2), (20, 1)] {
        let step = until_stepped_to(&podinfo, "canary-0", weight).await;
        tell(&format!("a step to {weight} %: {}", table(&step)));
        let writes = Requests::from([
            ("create events".to_owned(), events),
            ("patch canaries/status".to_owned(), 1),
            ("patch virtualservices".to_owned(), 1),
        ]);
        let more = difference(&step, many);
        assert_eq!(more, writes, "a weight step costs its writes");
    }
    // So many autoscalers that look for metrics would be in the way of other tests.
    let namespaces: Api<Namespace> = Api::all(podinfo.cluster.client());
    namespaces
        .delete(&podinfo.namespace, &DeleteParams::default())
        .await
        .expect("the namespace can be deleted");
}

/// Deployments that are nobody's, and how large each is.
const OTHERS: usize = 3_000;
const OTHERS_BYTES: usize = 7_000;
const CANARIES: usize = 100;

/// A bench, not a test: how much memory a pass takes in a cluster that has much beside its canaries.
/// The static program where `TEST_DAVY_STATIC` names it; beside it the one that
/// `TEST_DAVY_BEFORE` names.
///
/// ```text
/// TEST_DAVY_TIER=required cargo test --test suite -- --ignored --nocapture memory_of_a_pass
/// ```
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a bench"]
async fn memory_of_a_pass_beside_much_that_is_nobodys() {
    let Some(python) = bed::program("python3").unwrap_or_else(|error| panic!("{error}")) else {
        return;
    };
    let Some(podinfo) = Podinfo::begin("memory").await else {
        return;
    };
    make(&podinfo, 0..CANARIES).await;
    until_rested(&podinfo, CANARIES).await;
    let others = (0..OTHERS).map(nobodys).collect();
    create(&podinfo, "apps/v1", "Deployment", others).await;
    let now = std::env::var_os("TEST_DAVY_STATIC");
    let now = now.unwrap_or_else(|| env!("CARGO_BIN_EXE_davy").into());
    let programs = [
        ("now", Some(now)),
        ("before", std::env::var_os("TEST_DAVY_BEFORE")),
    ];
    for (name, program) in programs {
        let Some(program) = program else { continue };
        for _ in 0..3 {
            let call = podinfo.davy(&["run"]).weighed(&python, &program);
            let ended = tokio::task::block_in_place(|| call.run()).with_code(0);
            let weight = ended.errors.lines().last().unwrap_or_default();
            tell(&format!("{name}: {weight}\n"));
        }
    }
}

/// A Deployment without pods that no Canary names.
fn nobodys(number: usize) -> Value {
    let name = format!("nobodys-{number}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "annotations": {"filling": "x".repeat(OTHERS_BYTES)}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "a", "image": "stefanprodan/podinfo:1.0.0"}]},
            },
        },
    })
}

/// How often each verb was asked of each resource.
type Requests = BTreeMap<String, usize>;

fn count(requests: &Requests) -> usize {
    requests.values().sum()
}

/// Past the capture of the test runner, which would show it for failing tests only.
fn tell(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
}

fn table(requests: &Requests) -> String {
    let mut text = format!("{} requests\n", count(requests));
    for (request, count) in requests {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {count:3} {request}");
    }
    text
}

/// What `more` has beyond `less`.
fn difference(more: &Requests, less: &Requests) -> Requests {
    let mut left = more.clone();
    for (request, count) in less {
        let entry = left.entry(request.clone()).or_default();
        *entry = entry
            .checked_sub(*count)
            .unwrap_or_else(|| panic!("{request}: fewer than idle"));
    }
    left.retain(|_, count| *count > 0);
    left
}

fn counted(events: &[AuditEvent]) -> Requests {
    let mut requests = Requests::new();
    // Further pages of a list are of the objects that there are, not of the canaries' doings.
    let first_pages = events
        .iter()
        .filter(|event| !event.uri.contains("continue="));
    for event in first_pages {
        let resource = match &*event.subresource {
            "" => event.resource.clone(),
            subresource => format!("{}/{subresource}", event.resource),
        };
        *requests
            .entry(format!("{} {resource}", event.verb))
            .or_default() += 1;
    }
    requests
}

/// A pass in which all canaries rest but these.
async fn requests_of_a_pass(podinfo: &Podinfo, canaries: usize, but: &[&str]) -> Requests {
    let mark = podinfo.cluster.audit_mark();
    pass(podinfo, canaries, but);
    counted(&podinfo.cluster.audit(mark, &podinfo.user).await)
}

/// What the pass said of the canaries that were not at rest.
fn pass(podinfo: &Podinfo, canaries: usize, but: &[&str]) -> Vec<Value> {
    let report = tokio::task::block_in_place(|| podinfo.davy(&["run", "-o", "json"]).run());
    let report = report.with_code(0).report();
    let mut all = report["canaries"].as_array().cloned().unwrap_or_default();
    assert_eq!(all.len(), canaries);
    all.retain(|canary| canary["outcome"] != "rested");
    for canary in &all {
        let name = canary["canary"].as_str().unwrap_or_default();
        let is_named = but.iter().any(|but| name.ends_with(&format!("/{but}")));
        assert!(is_named, "it is not idle: {canary}");
    }
    all
}

/// The requests of the pass that gave the canary this weight.
async fn until_stepped_to(podinfo: &Podinfo, name: &str, weight: u64) -> Requests {
    until("the weight is raised", DEADLINE, async || {
        let mark = podinfo.cluster.audit_mark();
        let said = pass(podinfo, 2 * HALF, &[name]);
        let requests = counted(&podinfo.cluster.audit(mark, &podinfo.user).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
        match said.first() {
            Some(canary) if canary["outcome"] == "stepped" && canary["weight"] == weight => {
                Ok(requests)
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Real passes until there is nothing left to do.
async fn until_rested(podinfo: &Podinfo, canaries: usize) {
    until("all are initialized", DEADLINE, async || {
        let run = tokio::task::block_in_place(|| podinfo.davy(&["run", "-o", "json"]).run());
        let report = run.report();
        let all = report["canaries"].as_array().cloned().unwrap_or_default();
        let rests =
            |canary: &&Value| canary["outcome"] == "rested" && canary["phase"] == "Initialized";
        let resting = all.iter().filter(rests).count();
        tokio::time::sleep(Duration::from_secs(2)).await;
        if resting == canaries {
            return Ok(());
        }
        let other = all.iter().find(|canary| !rests(canary));
        Err(format!("{resting} of {canaries} rest: {other:?}"))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// Applications with one pod each and their Canaries. One in four refers to a ConfigMap, one in
/// four has an autoscaler.
async fn make(podinfo: &Podinfo, numbers: std::ops::Range<usize>) {
    for kind in [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Canary",
    ] {
        let objects: Vec<Value> = numbers.clone().filter_map(|n| object(kind, n)).collect();
        let api_version = objects[0]["apiVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        create(podinfo, &api_version, kind, objects).await;
    }
}

async fn create(podinfo: &Podinfo, api_version: &str, kind: &str, objects: Vec<Value>) {
    let namespace = Some(podinfo.namespace.as_str());
    let api = podinfo.cluster.objects(api_version, kind, namespace).await;
    let api = &api;
    futures::stream::iter(objects)
        .map(|object| async move {
            let object: DynamicObject = serde_json::from_value(object).expect("an object");
            api.create(&PostParams::default(), &object).await
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(async |_| Ok(()))
        .await
        .unwrap_or_else(|error| panic!("creating {kind}: {error}"));
}

fn object(kind: &str, number: usize) -> Option<Value> {
    let name = format!("canary-{number}");
    let (has_config, has_scaler) = (number % 4 == 1, number % 4 == 2);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": name,
    });
    let spec = match kind {
        "ConfigMap" if has_config => {
            return Some(json!({
                "apiVersion": "v1", "kind": kind, "metadata": {"name": name},
                "data": {"colour": number.to_string()},
            }));
        }
        "Deployment" => {
            let mut container = json!({"name": "podinfod", "image": "stefanprodan/podinfo:1.0.0"});
            if has_config {
                container["envFrom"] = json!([{"configMapRef": {"name": name}}]);
            }
            json!({
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
                },
            })
        }
        "HorizontalPodAutoscaler" if has_scaler => {
            json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2})
        }
        "Canary" => {
            let mut spec = json!({
                "targetRef": target,
                "service": {"port": 80},
                "analysis": {
                    "interval": "10s", "threshold": 2, "maxWeight": 50, "stepWeight": 10,
                    "metrics": [{
                        "name": "request-success-rate",
                        "thresholdRange": {"min": 99},
                        "interval": "10s",
                    }],
                },
            });
            if has_scaler {
                spec["autoscalerRef"] = scaler;
            }
            spec
        }
        _ => return None,
    };
    let api_version = match kind {
        "Deployment" => "apps/v1",
        "Canary" => "flagger.app/v1beta1",
        _ => "autoscaling/v2",
    };
    Some(json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec,
    }))
}

impl Podinfo {
    /// Gives one of the applications another image, and answers its requests.
    async fn release(&self, name: &str) {
        let exporter = self.prometheus.exporter();
        exporter.serve(&self.namespace, name, 100.0, 50.0);
        let path = "/spec/template/spec/containers/0/image";
        let patch = json!([{"op": "replace", "path": path, "value": "stefanprodan/podinfo:1.0.1"}]);
        self.edit("apps/v1", "Deployment", name, &patch).await;
    }
}
