//! Metric checks, by cases that are data: `fixtures/metrics/builtin/<case>` is a Canary and what
//! it asks, `fixtures/metrics/prometheus/<case>` is a reply and what is made of it. A new case is a
//! folder; `DAVY_UPDATE=1` writes what is expected, for review.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use davy::api::canary::Canary;
use davy::judges::threshold::judge;
use davy::metrics::{self, Check, Measured, Next, Origin, Reply, Unit};
use davy::objects::{Names, Objects, Policy, View};
use jiff::Timestamp;
use serde_json::{Value, json};

/// When the replies of the fixtures were given.
const NOW: i64 = 1_700_000_000;

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
        let checks = metrics::checks(&view, "http://prometheus:9090");
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
        golden(&case, &shown);
    }
}

fn shown(check: &Check) -> String {
    let Check {
        metric,
        address,
        origin,
        query,
        scale,
        interval,
        min,
        max,
        unit,
        source,
    } = check;
    format!(
        "{metric} of {source}: {min:?} to {max:?} {unit:?}, x {scale}, over {interval:?}\n\
         from {address} ({origin:?})\n{query}\n"
    )
}

#[test]
fn a_reply_is_a_number_only_if_it_is_exactly_that() {
    for case in cases("prometheus") {
        let data: Value = serde_json::from_str(&read(&case.join("reply.json"))).unwrap();
        let check = check(&data["check"]);
        let reply = reply(&data);
        let provider = metrics::provider();
        let now = Timestamp::from_second(NOW).unwrap();
        let Next::Done(measured) = provider.next(
            std::slice::from_ref(&check),
            std::slice::from_ref(&reply),
            now,
        ) else {
            panic!("{}: asks again", case.display());
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
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": { "name": "podinfo", "namespace": "test" },
        "spec": { "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" } },
    });
    Names::of(&serde_json::from_value(canary).unwrap())
}

/// The check of a case; `request-success-rate` with Flagger's usual bound if it says nothing.
fn check(data: &Value) -> Check {
    let metric = data["metric"].as_str().unwrap_or("request-success-rate");
    Check {
        metric: metric.to_owned(),
        address: "http://prometheus:9090".to_owned(),
        origin: Origin::Settings,
        query: "vector(1)".to_owned(),
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
    let path = case.join("expected.txt");
    if std::env::var_os("DAVY_UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(read(&path), text, "{}", path.display());
}
