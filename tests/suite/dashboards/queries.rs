//! The queries, asked of a real Prometheus: a real Davy makes passes over a canary on a real control
//! plane, which is promoted and then rolled back, and pushes its series through a real Pushgateway;
//! the series of the application come from the exporter.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use davy::api::canary::Canary;
use davy::api::record::Record;
use davy::api::status::Phase;
use davy::io::clock::Clock;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use regex::Regex;
use serde_json::{Value, json};

use super::application::Workload;
use super::{Choice, dashboard, list, now, queries, rules, yaml};
use crate::bed::prometheus::Prometheus;
use crate::bed::pushgateway::Pushgateway;
use crate::bed::{control_plane, prometheus, prometheus_of, pushgateway, wait::until};
use crate::home::manifests::install_istio;
use crate::home::stage::Stage;

const DEADLINE: Duration = Duration::from_mins(1);
const CLUSTER: &str = "east";

/// What is there to be asked.
struct Asked {
    /// Its series end with it.
    _gateway: Pushgateway,
    reader: Prometheus,
    namespace: String,
    begun: i64,
}

impl Asked {
    fn choice(&self) -> Choice<'_> {
        Choice {
            cluster: CLUSTER,
            namespace: &self.namespace,
            name: "podinfo",
            rate_interval: "10s",
        }
    }

    fn series(&self, expression: &str, is_of_a_range: bool) -> Vec<Value> {
        let now = now();
        let query = self.choice().put_into(expression);
        if is_of_a_range {
            self.reader.over(&query, self.begun, now, 1)
        } else {
            self.reader.series(&query, now)
        }
    }
}

/// A canary that takes a step at each pass: the first Flagger's, without an interval.
fn quick(metrics_server: &str) -> Value {
    json!({
        "provider": "istio",
        "metricsServer": metrics_server,
        "canaryAnalysis": {
            "threshold": 1, "maxWeight": 50, "stepWeight": 50,
            "metrics": [
                {"name": "istio_requests_total", "threshold": 99, "interval": "5s"},
                {
                    "name": "istio_request_duration_seconds_bucket", "threshold": 500,
                    "interval": "5s",
                },
            ],
        },
    })
}

/// The application, and one whose name begins as its does.
fn applications(namespace: &str) -> impl Fn() -> String + Send + 'static {
    let workloads = [
        Workload::new(namespace, "podinfo", &["7d9f8c6b5d-x2x7k"]),
        Workload::new(
            namespace,
            "podinfo-primary",
            &["6b7c9d4f8-q8w2z", "6b7c9d4f8-m4n5p"],
        ),
        Workload::new(namespace, "podinfo-redis", &["5f6d7c8b9-aaaaa"]),
    ];
    let state = Mutex::new((Instant::now(), workloads));
    move || {
        let mut text = String::new();
        let mut state = state.lock().expect("nobody panics in here");
        let seconds = state.0.elapsed().as_secs_f64();
        state.0 = Instant::now();
        for workload in &mut state.1 {
            workload.serve(seconds, 50.0, 98.0, 80.0);
            workload.requests(&mut text);
            workload.calls(&mut text);
            workload.usage(&mut text);
        }
        text
    }
}

/// A canary that was promoted and rolled back, of which a record waits.
async fn asked() -> Option<Asked> {
    let (cluster, metrics) = (control_plane().await?, prometheus().await?);
    let gateway = pushgateway().await?;
    let reader = prometheus_of(&gateway).await?;
    let stage = Stage::new(cluster, "dashboard").await;
    install_istio(cluster).await;
    let namespace = stage.namespace.clone();
    let begun = now();
    reader.exporter().also(applications(&namespace));
    let judged = metrics.exporter();
    judged.serve(&namespace, "podinfo", 100.0, 50.0);
    let url = gateway.url();
    let settings = [
        ("DAVY_PUSHGATEWAY_URL", &*url),
        ("DAVY_ALLOW_ADDRESSES", "127.0.0.0/8"),
        ("DAVY_CLUSTER_NAME", CLUSTER),
    ];
    stage.application("podinfo", &quick(&metrics.url())).await;
    let passes = async |phase| stage.passes_until("podinfo", phase, &settings).await;
    passes(Phase::Initialized).await;
    // Seen at zero before they rise, as they are by a Prometheus that was there before.
    seen(
        &reader,
        &format!("flagger_canary_failures_total{{namespace=\"{namespace}\"}} == 0"),
    )
    .await;
    stage.release("podinfo", "1.0.1").await;
    passes(Phase::Progressing).await;
    // A pass follows the other faster than Prometheus looks.
    until("the canary has traffic", DEADLINE, async || {
        stage.davy(&["run"], &settings);
        match stage.status("podinfo").await.canary_weight {
            Some(50) => Ok(()),
            weight => Err(format!("{weight:?}")),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    let with_traffic =
        format!("flagger_canary_weight{{workload=\"podinfo\",namespace=\"{namespace}\"}} == 50");
    seen(&reader, &with_traffic).await;
    passes(Phase::Succeeded).await;
    judged.serve(&namespace, "podinfo", 50.0, 50.0);
    let failing = format!(
        "sum(rate(istio_requests_total{{destination_workload_namespace=\"{namespace}\",\
         response_code=\"500\"}}[5s])) > 10"
    );
    seen(metrics, &failing).await;
    stage.release("podinfo", "1.0.2").await;
    passes(Phase::Progressing).await;
    passes(Phase::Failed).await;
    // As if the repository were down; this pass has none, so it delivers nothing.
    let canaries: Api<Canary> = Api::namespaced(cluster.client(), &namespace);
    let released = canaries.get("podinfo").await.expect("the Canary");
    let record = json!({
        "version": 1, "tool": "davy", "cluster": CLUSTER, "namespace": namespace,
        "canary": "podinfo", "uid": released.metadata.uid, "step": 1, "outcome": "initialized",
        "time": Clock::System.now().to_string(), "reason": "",
    });
    let parsed: Record = serde_json::from_value(record.clone()).expect("a record");
    let digest = davy::records::digest(&davy::records::bytes(&parsed));
    let waiting = json!([{"to": ["git"], "record": record}]);
    let patch = Patch::Merge(json!({"status": {"outbox": waiting, "lastRecord": digest}}));
    canaries
        .patch_status("podinfo", &PatchParams::default(), &patch)
        .await
        .expect("the outbox is written");
    stage.davy(&["run"], &settings);
    seen(&reader, "davy_outbox_entries == 1").await;
    // Nobody knows what it ran: the target has a version that failed.
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), &namespace);
    deployments
        .delete("podinfo-primary", &DeleteParams::default())
        .await
        .expect("the primary is deleted");
    until("the primary is missed", DEADLINE, async || {
        stage.davy(&["run"], &settings);
        let status = stage.status("podinfo").await;
        let reasons = status.conditions.iter().map(|condition| &*condition.reason);
        if reasons.clone().any(|reason| reason == "PrimaryNotReady") {
            return Ok(());
        }
        Err(reasons.collect::<Vec<_>>().join(", "))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    seen(
        &reader,
        "davy_canary_ready{reason=\"PrimaryNotReady\"} == 0",
    )
    .await;
    Some(Asked {
        _gateway: gateway,
        reader,
        namespace,
        begun,
    })
}

async fn seen(prometheus: &Prometheus, query: &str) {
    until(query, DEADLINE, async || {
        let now = now();
        match prometheus.series(query, now).len() {
            0 => Err("no series".to_owned()),
            _ => Ok(()),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn dashboards_find_what_they_ask_for() {
    let Some(asked) = asked().await else { return };
    every_query_finds_series(&asked).await;
    values_are_those_of_the_canary(&asked);
    pods_of_primary_and_canary_are_told_apart(&asked);
    flaggers_dashboards_find_series(&asked);
    rules_are_about_series_that_there_are(&asked);
}

async fn every_query_finds_series(asked: &Asked) {
    let dashboard = dashboard();
    until("every query finds series", DEADLINE, async || {
        let silent: Vec<_> = queries(&dashboard)
            .into_iter()
            .filter(|query| {
                let series = asked.series(&query.expression, query.is_of_a_range);
                series.is_empty()
            })
            .map(|query| format!("{}: {}", query.of, query.expression))
            .collect();
        match silent.as_slice() {
            [] => Ok(()),
            silent => Err(format!("these do not:\n{}", silent.join("\n"))),
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
}

/// The numbers of a panel at the end, each with the labels that tell it.
fn shown(asked: &Asked, title: &str, letter: &str) -> Vec<(String, f64)> {
    let dashboard = dashboard();
    let panel = list(&dashboard["panels"])
        .find(|panel| panel["title"] == title)
        .unwrap_or_else(|| panic!("no panel {title}"));
    let target = list(&panel["targets"])
        .find(|target| target["refId"] == letter)
        .unwrap_or_else(|| panic!("{title} has no query {letter}"));
    let expression = target["expr"].as_str().expect("a query");
    let mut shown: Vec<_> = asked
        .series(expression, false)
        .iter()
        .map(|series| {
            let labels = series["metric"].as_object().into_iter().flatten();
            let labels: Vec<_> = labels
                .filter(|(name, _)| !["cluster", "namespace"].contains(&&***name))
                .map(|(_, value)| value.as_str().unwrap_or_default())
                .collect();
            let value = series["value"][1].as_str().expect("a number");
            (labels.join(" "), value.parse().expect("a number"))
        })
        .collect();
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    shown
}

fn values_are_those_of_the_canary(asked: &Asked) {
    let one = |labels: &str, value: f64| vec![(labels.to_owned(), value)];
    for (title, letter, wanted) in [
        ("Canaries", "A", one("", 1.0)),
        ("In progress", "A", one("", 0.0)),
        ("Failed", "A", one("", 1.0)),
        // Its primary is down.
        ("Not handled", "A", one("", 1.0)),
        ("Promoted", "A", one("", 1.0)),
        ("Rolled back", "A", one("", 1.0)),
        ("Records that wait", "A", one("", 1.0)),
    ] {
        assert_eq!(shown(asked, title, letter), wanted, "{title}");
    }
    let dashboard = dashboard();
    let table = list(&dashboard["panels"])
        .find(|panel| panel["title"] == "Canaries one by one")
        .expect("the table");
    let found: Vec<_> = list(&table["targets"])
        .map(|target| {
            let series = asked.series(target["expr"].as_str().expect("a query"), false);
            assert_eq!(series.len(), 1, "{target}: {series:?}");
            series[0].clone()
        })
        .collect();
    let number = |place: usize| found[place]["value"][1].as_str().expect("a number");
    assert_eq!(found[0]["metric"]["phase"], "Failed");
    assert_eq!(
        [1, 2, 4, 5].map(number),
        ["2", "0", "1", "1"],
        "status, weight, promoted, rolled back: {found:#?}"
    );
    let age: f64 = number(3).parse().expect("a number");
    assert!(
        (0.0..300.0).contains(&age),
        "the age of the last pass: {age}"
    );
    for series in found {
        assert_eq!(series["metric"]["name"], "podinfo", "{series}");
    }
    let verdicts = shown(asked, "Checks now", "A");
    assert_eq!(
        verdicts,
        [
            (
                "istio_request_duration_seconds_bucket <= 500 pass".to_owned(),
                1.0
            ),
            ("istio_requests_total >= 99 fail".to_owned(), 1.0),
        ]
    );
    // Of 98 % that succeed.
    let errors = shown(asked, "Canary: errors", "A");
    assert!(
        matches!(&*errors, [(_, percent)] if (percent - 2.0).abs() < 0.1),
        "{errors:?}"
    );
}

fn pods_of_primary_and_canary_are_told_apart(asked: &Asked) {
    for what in ["CPU", "memory", "restarts"] {
        let names = |who: &str| {
            let shown = shown(asked, &format!("{who}: {what}"), "A");
            shown.into_iter().map(|(pod, _)| pod).collect::<Vec<_>>()
        };
        assert_eq!(
            names("Primary"),
            [
                "podinfo-primary-6b7c9d4f8-m4n5p",
                "podinfo-primary-6b7c9d4f8-q8w2z"
            ]
        );
        assert_eq!(names("Canary"), ["podinfo-7d9f8c6b5d-x2x7k"]);
    }
    // Neither the pause container's, nor the proxy's, nor the sum of all.
    let memory = shown(asked, "Canary: memory", "A");
    assert_eq!(memory, [("podinfo-7d9f8c6b5d-x2x7k".to_owned(), 41e6)]);
}

/// Who comes from Flagger has dashboards already.
fn flaggers_dashboards_find_series(asked: &Asked) {
    let flagger = yaml("fixtures/dashboards/flagger.yaml");
    let mut silent = Vec::new();
    let mut count = 0;
    for entry in flagger
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, it)| list(it))
    {
        let selector = entry["selector"].as_str().expect("a selector");
        let query = selector
            .replace("$primary", "podinfo-primary")
            .replace("$canary", "podinfo")
            .replace("$namespace", &asked.namespace);
        count += 1;
        if asked.series(&query, false).is_empty() {
            silent.push(format!("{}: {query}", entry["panel"]));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert!(count > 25, "{count} selectors");
}

/// An alert on a series that nobody pushes is quiet for ever.
fn rules_are_about_series_that_there_are(asked: &Asked) {
    let selector = Regex::new(r"\b(davy|flagger|push)_[a-z_]+(\{[^}]*\})?").expect("a pattern");
    let mut silent = Vec::new();
    let mut count = 0;
    for (name, expression) in rules::expressions() {
        for found in selector.find_iter(&expression) {
            count += 1;
            if asked.series(found.as_str(), true).is_empty() {
                silent.push(format!("{name}: {}", found.as_str()));
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert!(count > 10, "{count} selectors");
    // These are true of this canary by now.
    for alert in ["CanaryFailed", "CanaryRolledBack", "CanaryPrimaryDown"] {
        let mut expressions = rules::expressions();
        let (_, expression) = expressions
            .find(|(name, _)| name == alert)
            .expect("the alert");
        let found = asked.series(&expression, false);
        assert_eq!(found.len(), 1, "{alert}: {found:?}");
        assert_eq!(found[0]["metric"]["name"], "podinfo", "{alert}");
        assert_eq!(found[0]["metric"]["namespace"], *asked.namespace, "{alert}");
        assert_eq!(found[0]["metric"]["cluster"], CLUSTER, "{alert}");
    }
}
