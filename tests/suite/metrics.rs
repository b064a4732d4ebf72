//! Metric checks, by cases that are data: `fixtures/metrics/builtin/<case>` is a Canary and what
//! it asks, `fixtures/metrics/prometheus/<case>` is a reply and what is made of it. A new case is a
//! folder; `TEST_DAVY_UPDATE=1` writes what is expected, for review.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use davy::api::canary::Canary;
use davy::io::address::Allowed;
use davy::io::clock::Clock;
use davy::io::wire::{self, Limits};
use davy::io::{Io, Wire, ask};
use davy::judges::threshold::judge;
use davy::metrics::{
    self, Access, Author, Check, Measured, Next, Origin, Reply, Sources, Templates, Unit,
};
use davy::objects::{Names, Objects, Policy, Problem, View};
use http::Request;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use crate::bed::exporter::Traffic;
use crate::bed::prometheus;
use crate::bed::wait::until;

/// When the replies of the fixtures were given.
const NOW: i64 = 1_700_000_000;

/// For an answer.
const LIMIT: Duration = Duration::from_secs(15);

#[test]
fn a_canary_asks_what_flagger_asks_or_is_refused_by_name() {
    for case in cases("builtin") {
        let text = read(&case.join("canary.yaml"));
        let mut canary: Canary = serde_yaml::from_str(&text).unwrap();
        canary.metadata.namespace = Some("test".to_owned());
        let view = View {
            canary: &canary,
            names: &Names::of(&canary),
            policy: &Policy::default(),
            objects: &Objects::new(),
        };
        let checks = resolved(&view, "http://prometheus:9090", &templates(&case));
        if let Ok(recorded) = fs::read_to_string(case.join("queries.txt")) {
            let asked: Vec<_> = checks.iter().flatten().map(|check| &*check.query).collect();
            assert_eq!(
                asked,
                recorded.lines().collect::<Vec<_>>(),
                "{}",
                case.display()
            );
        }
        let shown = match checks {
            Err(problem) => format!("refused: {problem}\n"),
            Ok(checks) if checks.is_empty() => "nothing is asked\n".to_owned(),
            Ok(checks) => checks.iter().map(shown).collect::<Vec<_>>().join("\n"),
        };
        let sources = Sources {
            metrics_server: "http://prometheus:9090",
            templates: &templates(&case),
        };
        let unasked = metrics::checks(&view, &sources).unasked;
        let unasked = unasked.iter().map(|why| format!("left out: {why}\n"));
        let unasked: Vec<_> = unasked.collect();
        golden(&case, &format!("{shown}{}", unasked.concat()));
    }
}

/// The MetricTemplates of a case.
fn templates(case: &Path) -> Templates {
    let text = fs::read_to_string(case.join("templates.yaml")).unwrap_or_default();
    let documents = serde_yaml::Deserializer::from_str(&text);
    let templates = documents.map(|document| Value::deserialize(document).unwrap());
    let templates = templates.filter(|template| !template.is_null());
    templates
        .map(|template| {
            let name = |field: &str| template["metadata"][field].as_str().unwrap().to_owned();
            let key = (name("namespace"), name("name"));
            (key, Ok(serde_json::from_value(template).unwrap()))
        })
        .collect()
}

/// The checks of a Canary, or what is wrong with the first that cannot be asked.
fn resolved(
    view: &View<'_>,
    metrics_server: &str,
    templates: &Templates,
) -> Result<Vec<Check>, Problem> {
    let sources = Sources {
        metrics_server,
        templates,
    };
    let resolved = metrics::checks(view, &sources);
    match resolved.problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(resolved.checks),
    }
}

fn shown(check: &Check) -> String {
    let Check {
        metric,
        address,
        origin,
        query,
        only_failures,
        scale,
        interval,
        min,
        max,
        unit,
        source,
        author,
        access,
        batch: _,
    } = check;
    if *author != Author::BuiltIn {
        let headers = &access.headers;
        let secret = access.secret.as_ref().map(ToString::to_string);
        return format!(
            "{metric} by {author:?}: {min:?} to {max:?} {unit:?}, over {interval:?}\n\
             from {} at {address} ({origin:?}), headers {headers:?}, {}\n{query}\n",
            access.provider,
            secret.as_deref().unwrap_or("no Secret"),
        );
    }
    format!(
        "{metric} of {source}: {min:?} to {max:?} {unit:?}, x {scale}, over {interval:?}\n\
         from {address} ({origin:?})\n{query}\nif there is none: {}\n",
        only_failures.as_deref().unwrap_or("-")
    )
}

#[test]
fn a_reply_is_a_number_only_if_it_is_exactly_that() {
    for case in cases("prometheus") {
        let data: Value = serde_json::from_str(&read(&case.join("reply.json"))).unwrap();
        let mut check = check(&data["check"]);
        let reply = reply(&data);
        let mut replies = vec![reply.clone()];
        if data["second"].is_object() {
            check.only_failures = Some("vector(2)".to_owned());
            replies.push(self::reply(&data["second"]));
        }
        let provider = metrics::provider();
        let now = Timestamp::from_second(NOW).unwrap();
        let next = provider.next(std::slice::from_ref(&check), &replies, now);
        let Next::Done(measured) = next else {
            panic!("{}: {next:?}", case.display());
        };
        let [measured] = &*measured else {
            panic!("{}: {measured:?}", case.display())
        };
        let judgement = judge(measured, &check);
        let halt = metrics::halt_text(&names(), &check, &judgement);
        let mut text = format!("measured: {measured:?}\n");
        let status = serde_json::to_value(judgement.status(&check.metric)).unwrap();
        for (key, value) in status.as_object().unwrap() {
            writeln!(text, "{key}: {value}").unwrap();
        }
        writeln!(text, "halt: {}", halt.as_deref().unwrap_or("-")).unwrap();
        writeln!(
            text,
            "online: {}",
            provider.online(&reply).err().as_deref().unwrap_or("yes")
        )
        .unwrap();
        assert!(
            !text.contains("MARKER"),
            "{}: shows the body: {text}",
            case.display()
        );
        assert!(
            text.len() < 2_000,
            "{}: too long for an Event",
            case.display()
        );
        golden(&case, &text);
    }
}

fn names() -> Names {
    Names::of(&canary("test", "podinfo", &Value::Null))
}

fn canary(namespace: &str, target: &str, analysis: &Value) -> Canary {
    let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": target });
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": { "name": target, "namespace": namespace },
        "spec": { "targetRef": reference, "analysis": analysis },
    });
    serde_json::from_value(canary).unwrap()
}

/// The check of a case; `request-success-rate` with Flagger's usual bound if it says nothing.
fn check(data: &Value) -> Check {
    let metric = data["metric"].as_str().unwrap_or("request-success-rate");
    Check {
        metric: metric.to_owned(),
        address: "http://prometheus:9090".to_owned(),
        origin: Origin::Settings,
        query: "vector(1)".to_owned(),
        only_failures: None,
        scale: data["scale"].as_f64().unwrap_or(1.0),
        interval: Duration::from_mins(1),
        min: if data.is_null() {
            Some(99.0)
        } else {
            data["min"].as_f64()
        },
        max: data["max"].as_f64(),
        unit: match metric {
            "request-success-rate" => Unit::Percent,
            "request-duration" => Unit::Milliseconds,
            _ => Unit::Plain,
        },
        source: "istio".to_owned(),
        author: match metric {
            "request-success-rate" | "request-duration" => Author::BuiltIn,
            _ => Author::Template("errors.test".to_owned()),
        },
        access: Access::default(),
        batch: None,
    }
}

fn reply(data: &Value) -> Reply {
    if let Some(trouble) = data["trouble"].as_str() {
        return Err(trouble.to_owned());
    }
    let status = u16::try_from(data["status"].as_u64().unwrap()).unwrap();
    let mut response = http::Response::builder().status(status);
    if let Some(kind) = data["contentType"].as_str() {
        response = response.header("content-type", kind);
    }
    // A text is a body that is not JSON, or broken JSON.
    let body = data["body"]
        .as_str()
        .map_or_else(|| data["body"].to_string(), str::to_owned);
    Ok(response.body(Bytes::from(body)).unwrap())
}

#[test]
fn the_request_keeps_the_path_of_the_address_and_tells_whose_it_is() {
    let mut check = check(&Value::Null);
    check.query = "sum( a{b=~\"c|d\"}[1m] ) / 2 * 100 + é".to_owned();
    let query = "/api/v1/query?query=\
                 sum%28+a%7Bb%3D~%22c%7Cd%22%7D%5B1m%5D+%29+%2F+2+%2A+100+%2B+%C3%A9";
    for (address, base) in [
        ("http://prometheus:9090", "http://prometheus:9090"),
        ("http://prometheus:9090/", "http://prometheus:9090"),
        (
            "https://mimir.example.com/prometheus/",
            "https://mimir.example.com/prometheus",
        ),
        ("http://prometheus/a/b?tenant=x", "http://prometheus/a/b"),
        ("http://[fd00::1]:9090", "http://[fd00::1]:9090"),
    ] {
        for origin in [Origin::Settings, Origin::Resource] {
            check.address = address.to_owned();
            check.origin = origin;
            let next = metrics::provider().next(std::slice::from_ref(&check), &[], Timestamp::MIN);
            let Next::Ask(requests) = next else {
                panic!("{address}: {next:?}")
            };
            assert_eq!(requests[0].uri().to_string(), format!("{base}{query}"));
            let untrusted = requests[0]
                .extensions()
                .get::<metrics::Untrusted>()
                .is_some();
            assert_eq!(untrusted, origin == Origin::Resource);
        }
    }
}

/// The second question is asked for the checks that found nothing, and for no other.
#[test]
fn only_what_finds_nothing_is_asked_twice() {
    let some = Check {
        only_failures: Some("vector(2)".to_owned()),
        ..check(&Value::Null)
    };
    let none = check(&Value::Null);
    let checks = [some.clone(), none, some];
    let now = Timestamp::from_second(NOW).unwrap();
    let vector = |result: Value| {
        let data = json!({ "resultType": "vector", "result": result });
        reply(&json!({ "status": 200, "body": { "status": "success", "data": data } }))
    };
    let value = |value: &str| vector(json!([{ "metric": {}, "value": [NOW, value] }]));
    let empty = || vector(json!([]));
    let provider = metrics::provider();
    let mut replies = vec![value("1"), empty(), empty()];
    let Next::Ask(requests) = provider.next(&checks, &replies, now) else {
        panic!("does not ask again")
    };
    let asked: Vec<_> = requests
        .iter()
        .map(|request| request.uri().query())
        .collect();
    assert_eq!(asked, [Some("query=vector%282%29")]);
    replies.push(value("0.5"));
    let Next::Done(measured) = provider.next(&checks, &replies, now) else {
        panic!("asks a third time")
    };
    let no_data = Measured::NoData("no values found".to_owned());
    assert_eq!(
        measured,
        [Measured::Value(1.0), no_data, Measured::Value(0.0)]
    );
}

/// A check whose address is wrong must not take another one's answer.
#[test]
fn answers_stay_with_their_checks() {
    let good = check(&Value::Null);
    let bad = Check {
        address: "prometheus:9090".to_owned(),
        ..good.clone()
    };
    let checks = [good.clone(), bad.clone(), good];
    let now = Timestamp::from_second(NOW).unwrap();
    let provider = metrics::provider();
    let Next::Ask(requests) = provider.next(&checks, &[], now) else {
        panic!("asks nothing")
    };
    assert_eq!(requests.len(), 2);
    let value = |value: &str| {
        let series = json!([{ "metric": {}, "value": [NOW, value] }]);
        let data = json!({ "resultType": "vector", "result": series });
        reply(&json!({ "status": 200, "body": { "status": "success", "data": data } }))
    };
    let Next::Done(measured) = provider.next(&checks, &[value("1"), value("2")], now) else {
        panic!("asks again")
    };
    assert_eq!(measured[0], Measured::Value(1.0));
    assert!(matches!(measured[1], Measured::Error(_)));
    assert_eq!(measured[2], Measured::Value(2.0));
    assert!(matches!(provider.next(&[bad], &[], now), Next::Done(_)));
    assert!(matches!(provider.next(&[], &[], now), Next::Done(_)));
}

/// The queries and the parser against the real thing.
#[tokio::test]
async fn a_real_prometheus_is_asked_and_understood() {
    let Some(prometheus) = prometheus().await else {
        return;
    };
    let io = io();
    let mut together = (Vec::new(), Vec::new());
    for (target, traffic, expected) in kinds_of_traffic() {
        if let Some(traffic) = traffic {
            prometheus
                .exporter()
                .serve_traffic("metrics", target, traffic);
        }
        let checks = both_checks("metrics", target, &prometheus.url());
        let system = metrics::System {
            address: prometheus.url(),
            origin: Origin::Settings,
            access: Access::default(),
        };
        let probed = ask::probe(&io, metrics::provider(), &system, LIMIT).await;
        assert_eq!(probed, Ok(()));
        until_measured(target, &io, &checks, &expected).await;
        together.0.extend(checks);
        together.1.extend(expected);
    }
    // All of them by one query for each metric.
    until_measured("together", &io, &together.0, &together.1).await;
}

/// One query for many workloads gives each of them what its own query gives.
#[tokio::test]
async fn a_thousand_workloads_are_measured_by_a_few_queries_as_by_their_own() {
    let Some(prometheus) = prometheus().await else {
        return;
    };
    let io = io();
    let kinds = kinds_of_traffic();
    let (mut checks, mut expected) = (Vec::new(), Vec::new());
    for number in 0..1_000 {
        let (kind, traffic, measured) = &kinds[number % kinds.len()];
        let (namespace, target) = (format!("team-{}", number % 7), format!("{kind}-{number}"));
        if let Some(traffic) = traffic {
            let exporter = prometheus.exporter();
            exporter.serve_traffic(&namespace, &target, *traffic);
        }
        checks.extend(both_checks(&namespace, &target, &prometheus.url()));
        expected.extend(measured.clone());
    }
    until_measured("together", &io, &checks, &expected).await;
    let queries = Arc::new(AtomicUsize::new(0));
    let (wire, counting) = (io.wire.clone(), queries.clone());
    let counted = Io {
        wire: Wire::new(service_fn(move |request: Request<Bytes>| {
            counting.fetch_add(1, Ordering::Relaxed);
            wire.clone().oneshot(request)
        })),
        clock: Clock::System,
    };
    until_measured("counted", &counted, &checks, &expected).await;
    let queries = queries.load(Ordering::Relaxed);
    assert!(
        queries <= 15,
        "{queries} queries, a third of them second ones"
    );
    for check in &mut checks {
        check.batch = None;
    }
    until_measured("alone", &io, &checks, &expected).await;
}

/// The wire and the clock as they are. No Kubernetes is asked for metrics.
fn io() -> Io {
    let kubernetes = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    Io {
        wire: wire::real(&kubernetes, Limits::default(), Allowed::default()).unwrap(),
        clock: Clock::System,
    }
}

/// What can be behind a workload's name, and what both checks make of it.
fn kinds_of_traffic() -> [(&'static str, Option<Traffic>, [Measured; 2]); 5] {
    let rate = |success_percent: f64, p99_milliseconds: f64| Traffic {
        requests_per_second: 100.0,
        success_percent,
        p99_milliseconds,
    };
    let no_data = || Measured::NoData("no values found".to_owned());
    let value = Measured::Value;
    [
        ("good", Some(rate(100.0, 50.0)), [value(100.0), value(50.0)]),
        (
            "bad",
            Some(rate(69.17, 1500.0)),
            [value(69.17), value(1500.0)],
        ),
        // No series of successes; that there were requests is found out.
        ("broken", Some(rate(0.0, 50.0)), [value(0.0), value(50.0)]),
        // Series that do not grow: 0/0.
        (
            "idle",
            Some(Traffic {
                requests_per_second: 0.0,
                ..rate(100.0, 50.0)
            }),
            [no_data(), no_data()],
        ),
        ("absent", None, [no_data(), no_data()]),
    ]
}

fn both_checks(namespace: &str, target: &str, address: &str) -> Vec<Check> {
    let metrics = json!([
        { "name": "request-success-rate", "interval": "5s", "thresholdRange": { "min": 99 } },
        { "name": "request-duration", "interval": "5s", "thresholdRange": { "max": 500 } },
    ]);
    let canary = canary(namespace, target, &json!({ "metrics": metrics }));
    let view = View {
        canary: &canary,
        names: &Names::of(&canary),
        policy: &Policy::default(),
        objects: &Objects::new(),
    };
    resolved(&view, address, &Templates::new()).unwrap()
}

async fn until_measured(what: &str, io: &Io, checks: &[Check], expected: &[Measured]) {
    until(what, Duration::from_mins(1), async || {
        let now = io.clock.now();
        let measured = ask::ask(io, metrics::provider(), checks, now, LIMIT * 4).await;
        let is_close = |pair: &(&Measured, &Measured)| match pair {
            (Measured::Value(left), Measured::Value(right)) => (left - right).abs() < 1e-6,
            (left, right) => left == right,
        };
        let pairs = measured.iter().zip(expected);
        match pairs.enumerate().find(|(_, pair)| !is_close(pair)) {
            None => Ok(()),
            Some((place, (measured, expected))) => {
                let query = &checks[place].query;
                Err(format!("{measured:?} instead of {expected:?}: {query}"))
            }
        }
    })
    .await
    .unwrap();
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/metrics")
        .join(folder);
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn golden(case: &Path, text: &str) {
    crate::golden::assert_holds(&case.join("expected.txt"), text);
}
