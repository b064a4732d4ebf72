//! The series of a pass: on the page, in a real Pushgateway, and in the Prometheus that reads it.
use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use davy::{
    api::{
        canary::Canary,
        status::{CanaryStatus, Phase},
    },
    pass::{
        deliver::{self, series},
        report::{Handled, Outcome, Report},
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::stage::{Stage, davy};
use crate::bed::{
    control_plane, prometheus, prometheus_of, pushgateway,
    wait::{free_port, get, until},
};

const DEADLINE: Duration = Duration::from_mins(1);

fn canary(name: &str, status: &Value) -> Canary {
    serde_json::from_value(json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "analysis": {"interval": "10s", "threshold": 1, "stepWeight": 10},
        },
        "status": status,
    }))
    .expect("a Canary")
}

fn report(canaries: &[Canary], handled: Vec<Handled>) -> Report {
    let mut report = Report::new(Timestamp::from_second(1_000).expect("a time"));
    for handled in handled {
        report.add(handled);
    }
    report.finish(canaries.iter(), 1.5, 7);
    report
}

#[test]
fn page_tells_all_that_status_says() {
    let progressing = canary(
        "podinfo",
        &json!({
            "phase": "Progressing", "canaryWeight": 30, "iterations": 3,
            "checks": [
                {
                    "metric": "request-success-rate", "verdict": "pass", "value": 99.5,
                    "threshold": ">= 99",
                },
                {
                    "metric": "request-duration", "verdict": "pass", "value": 250.0,
                    "threshold": "<= 500",
                },
                {"metric": "silent", "verdict": "noData"},
            ],
            "totals": {
                "promotions": 5, "skipped": 2, "rollbacks": 1,
                "analysisSeconds": [0, 3, 1], "analysisSecondsSum": 140.5,
                "drift": {"Deployment/kubectl-scale": 2, "Service/acme/operator": 1},
            },
            "outbox": [
                {"to": ["git"], "record": {"time": "1970-01-01T00:16:00Z"}},
                {"to": ["event-webhook"], "told": {"time": "1970-01-01T00:15:00Z"}},
                {"to": ["elsewhere"], "what": "an entry of another version"},
            ],
        }),
    );
    let failed = canary(
        "broken",
        &json!({
            "phase": "Failed", "canaryWeight": 0,
            "conditions": [{
                "type": "Ready", "status": "False", "reason": "PrimaryNotReady",
                "message": "the primary has no ready pods",
            }],
        }),
    );
    let new = canary("new", &Value::Null);
    let handled = vec![Handled::new("test/podinfo", Outcome::Stepped, "")];
    let page = series::text(&report(&[progressing, failed, new], handled), "istio");
    let kept = include_str!("../../../fixtures/home/series.txt");
    let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_eq!(page, kept, "\n{page}");
}

#[test]
fn page_shows_what_this_pass_claimed() {
    let stored = canary(
        "podinfo",
        &json!({"phase": "Progressing", "canaryWeight": 30}),
    );
    let mut handled = Handled::new("test/podinfo", Outcome::Stepped, "");
    handled.status = Some(Box::new(CanaryStatus {
        phase: Some(Phase::Progressing),
        canary_weight: Some(40),
        ..CanaryStatus::default()
    }));
    let page = series::text(&report(&[stored], vec![handled]), "istio");
    assert!(
        page.contains("flagger_canary_weight{workload=\"podinfo\",namespace=\"test\"} 40\n"),
        "{page}"
    );
}

#[test]
fn pass_that_was_slower_tells_nothing() {
    let stored = canary(
        "podinfo",
        &json!({"phase": "Progressing", "canaryWeight": 30}),
    );
    let rested = Handled::new("test/podinfo", Outcome::Rested, "");
    let told = deliver::page(
        &report(std::slice::from_ref(&stored), vec![rested]),
        "istio",
    );
    assert!(told.is_some());
    let superseded = Handled::new("test/podinfo", Outcome::Superseded, "");
    let told = deliver::page(&report(&[stored], vec![superseded]), "istio");
    assert_eq!(told, None);
}

/// A canary that takes a step at each pass: the first Flagger's, without an interval.
fn quick(metrics_server: &str) -> Value {
    json!({
        "provider": "kubernetes",
        "metricsServer": metrics_server,
        "canaryAnalysis": {
            "threshold": 1, "iterations": 1,
            "metrics": [{"name": "istio_requests_total", "threshold": 99, "interval": "5s"}],
        },
    })
}

#[tokio::test]
async fn five_promotions_by_one_shot_passes_count_five() {
    let (Some(cluster), Some(metrics), Some(gateway)) = (
        control_plane().await,
        prometheus().await,
        pushgateway().await,
    ) else {
        return;
    };
    let Some(reader) = prometheus_of(&gateway).await else {
        return;
    };
    let stage = Stage::new(cluster, "series").await;
    let namespace = &*stage.namespace;
    metrics.exporter().serve(namespace, "podinfo", 100.0, 50.0);
    let (url, server) = (gateway.url(), metrics.url());
    let settings = [
        ("DAVY_PUSHGATEWAY_URL", &*url),
        ("DAVY_ALLOW_ADDRESSES", "127.0.0.0/8"),
        ("DAVY_CLUSTER_NAME", "east"),
    ];
    stage.application("podinfo", &quick(&server)).await;
    stage.application("other", &quick(&server)).await;
    for name in ["podinfo", "other"] {
        stage
            .passes_until(name, Phase::Initialized, &settings)
            .await;
    }
    for number in 1..=5 {
        stage.release("podinfo", &format!("1.0.{number}")).await;
        stage
            .passes_until("podinfo", Phase::Progressing, &settings)
            .await;
        stage
            .passes_until("podinfo", Phase::Succeeded, &settings)
            .await;
    }
    let labels = format!("name=\"podinfo\",namespace=\"{namespace}\"");
    let strategy = "deployment_strategy=\"blue-green\",analysis_status=\"completed\"";
    let counter = format!("flagger_canary_successes_total{{{labels},{strategy}}}");
    reader
        .until(&counter, |count| is(count, 5.0), DEADLINE)
        .await;
    // The histogram adds up: as many analyses as promotions, and what they took together.
    let histogram = "flagger_canary_duration_seconds";
    for series in ["_count", "_bucket"] {
        let bound = if series == "_bucket" {
            ",le=\"+Inf\""
        } else {
            ""
        };
        let query = format!("{histogram}{series}{{{labels}{bound}}}");
        reader.until(&query, |count| is(count, 5.0), DEADLINE).await;
    }
    let totals = stage.status("podinfo").await.totals.expect("totals");
    assert!(totals.analysis_seconds_sum > 0.0);
    let query = format!("{histogram}_sum{{{labels}}}");
    let sum = totals.analysis_seconds_sum;
    reader
        .until(&query, |it| (it - sum).abs() < 0.01, DEADLINE)
        .await;
    // Sent again, it is the same.
    stage.davy(&["run"], &settings);
    assert_eq!(reader.ask(&counter).map(|count| is(count, 5.0)), Some(true));
    let of_canary = [
        format!("flagger_canary_status{{{labels}}} == 1"),
        format!("flagger_canary_failures_total{{{labels},{strategy}}} == 0"),
        format!("flagger_canary_metric_analysis{{{labels},metric=\"istio_requests_total\"}}"),
        format!("flagger_canary_weight{{workload=\"podinfo\",namespace=\"{namespace}\"}} == 0"),
        format!(
            "flagger_canary_weight{{workload=\"podinfo-primary\",namespace=\"{namespace}\"}} == 100"
        ),
        format!("flagger_canary_total{{namespace=\"{namespace}\"}} == 2"),
        "flagger_info{mesh_provider=\"istio\"}".to_owned(),
        "davy_pass_last_success_timestamp_seconds".to_owned(),
        "davy_pass_duration_seconds > 0".to_owned(),
        "davy_pass_canaries{outcome=\"rested\"} == 2".to_owned(),
        "davy_pass_api_requests > 0".to_owned(),
    ];
    for query in of_canary {
        reader.until(&query, |_| true, DEADLINE).await;
    }
    delete_and_see_it_gone(&stage, &settings, &gateway);
}

fn delete_and_see_it_gone(
    stage: &Stage,
    settings: &[(&str, &str)],
    gateway: &crate::bed::pushgateway::Pushgateway,
) {
    // What another cluster, or another scope, has pushed stays.
    let west = [settings[0], settings[1], ("DAVY_CLUSTER_NAME", "west")];
    stage.davy(&["run"], &west);
    stage.kubectl(&["-n", &stage.namespace, "delete", "canary", "other"]);
    stage.davy(&["run"], settings);
    let page = gateway.metrics();
    let of = |cluster: &str, target: &str| {
        page.lines()
            .filter(|line| line.contains(&format!("cluster=\"{cluster}\"")))
            .any(|line| line.contains(&format!("name=\"{target}\"")))
    };
    assert!(of("east", "podinfo") && !of("east", "other"), "{page}");
    assert!(of("west", "podinfo") && of("west", "other"), "{page}");
}

fn is(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < 1e-9
}

#[tokio::test]
async fn pushgateway_that_does_not_serve_changes_the_summary_only() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let stage = Stage::new(cluster, "unpushed").await;
    let absent = format!("http://127.0.0.1:{}", free_port().expect("a port"));
    for (url, says) in [
        (absent, "metrics not pushed: PUT http://127.0.0.1"),
        (silent(), "metrics not pushed: PUT http://127.0.0.1"),
        (refusing(), "metrics not pushed: Pushgateway answers 400"),
    ] {
        let output = stage.davy(&["run"], &[("DAVY_PUSHGATEWAY_URL", &url)]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("0 canaries; "), "{said}");
        assert!(said.contains(says), "{said}");
        assert_eq!(output.status.code(), Some(0));
    }
}

/// A server that takes a request and never answers.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let kept: Vec<_> = listener.incoming().flatten().collect();
        drop(kept);
    });
    url
}

fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut vec![0; 65_536]);
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = std::io::Write::write_all(&mut connection, answer);
        }
    });
    url
}

#[tokio::test]
async fn loop_serves_its_series_and_its_health() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let stage = Stage::new(cluster, "listening").await;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let mut running = davy()
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("DAVY_NAMESPACE", &stage.namespace)
        .args(["run", "--every", "1s", "--listen", &address.to_string()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    let served = until("the series are served", DEADLINE, async || {
        let (status, page) = get(address, "/metrics").map_err(|error| error.to_string())?;
        if page.contains("davy_pass_canaries") {
            Ok((status, page))
        } else {
            Err(format!("{status} {page}"))
        }
    })
    .await;
    let health = get(address, "/healthz");
    let _ = running.kill();
    let _ = running.wait();
    assert_eq!(served.expect("a page").0, 200);
    assert_eq!(health.expect("an answer"), (200, "OK\n".to_owned()));
}
