//! One query for many checks gives each of them what its own query would have given, whatever the
//! metrics system has: nothing, some, NaN, several series; and whatever it makes of long queries.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use davy::api::canary::Canary;
use davy::metrics::{self, Check, Measured, Next, Reply, Sources, Templates};
use davy::objects::{Names, Objects, Policy, View};
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::draw::Draw;

const NOW: i64 = 1_700_000_000;
const DRAWS: u64 = 3_000;
const NAMESPACES: [&str; 2] = ["a", "b"];
const TARGETS: [&str; 4] = ["x", "x.y", "x-primary", "xay"];
/// Whose labels tell namespace and workload apart, and one whose do not.
const PROVIDERS: [&str; 5] = ["istio", "linkerd", "osm", "nginx", "kubernetes"];

fn checks(provider: &str, namespace: &str, target: &str) -> Vec<Check> {
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": { "name": target, "namespace": namespace },
        "spec": {
            "provider": provider,
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target },
            "analysis": { "metrics": [
                { "name": "request-success-rate", "thresholdRange": { "min": 99 } },
                { "name": "request-duration", "thresholdRange": { "max": 500 } },
            ] },
        },
    });
    let canary: Canary = serde_json::from_value(canary).unwrap();
    let view = View {
        canary: &canary,
        names: &Names::of(&canary),
        policy: &Policy::default(),
        objects: &Objects::new(),
    };
    let sources = Sources {
        metrics_server: "http://prometheus:9090",
        templates: &Templates::new(),
    };
    metrics::checks(&view, &sources).checks
}

fn query(request: &Request<Bytes>) -> String {
    let parameters = request.uri().query().unwrap_or_default();
    let mut parameters = form_urlencoded::parse(parameters.as_bytes());
    parameters
        .find(|(name, _)| name == "query")
        .unwrap()
        .1
        .into_owned()
}

/// What a system says to all that these checks ask, and how often it is asked.
fn measured(checks: &[Check], answer: &dyn Fn(&str) -> Reply) -> (Vec<Measured>, usize) {
    let now = Timestamp::from_second(NOW).unwrap();
    let mut replies = Vec::new();
    for _ in 0..8 {
        match metrics::provider().next(checks, &replies, now) {
            Next::Done(measured) => return (measured, replies.len()),
            Next::Ask(requests) => {
                assert!(!requests.is_empty(), "asks nothing without end");
                replies.extend(requests.iter().map(|request| answer(&query(request))));
            }
        }
    }
    panic!("asks without end")
}

/// A metrics system in which each question about a workload has its own answer.
struct System {
    seed: u64,
    /// What it makes of a query about many.
    of_many: OfMany,
}

#[derive(Clone, Copy, Debug)]
enum OfMany {
    Answers,
    TooLong,
    TooMuch,
    Unlabelled,
    Strangers,
    Down,
}

impl System {
    /// The samples of one workload; the same whoever asks.
    fn samples(&self, question: &str, namespace: &str, workload: &str) -> Vec<Value> {
        let text = format!("{question} {namespace} {workload}");
        let add = |sum: u64, byte: u8| sum.wrapping_mul(31).wrapping_add(u64::from(byte));
        let mut draw = Draw(text.bytes().fold(self.seed, add));
        let sample = |time: i64, value: &str| vec![json!([time, value])];
        match draw.below(12) {
            0..=2 => Vec::new(),
            3 => sample(NOW, "NaN"),
            4 => sample(NOW, "+Inf"),
            5 => sample(NOW - 100_000, "1"),
            6 => sample(NOW + 100_000, "1"),
            7 => sample(NOW, "0"),
            8 => vec![json!([NOW, "1"]), json!([NOW, "2"])],
            9 => sample(NOW, "no number"),
            number => sample(NOW, &format!("{number}.5")),
        }
    }

    fn answer(&self, query: &str) -> Reply {
        if matches!(self.of_many, OfMany::Down) {
            return Err("connection refused".to_owned());
        }
        let is_of_many = query.contains("by (") && !query.contains("by (le)");
        let question = question(query);
        let [namespaces, workloads] = names(query);
        let mut series = Vec::new();
        for namespace in &namespaces {
            for workload in &workloads {
                for sample in self.samples(&question, namespace, workload) {
                    let labels = match (is_of_many, self.of_many) {
                        (false, _) | (true, OfMany::Unlabelled) => json!({}),
                        (true, _) => labels(query, namespace, workload),
                    };
                    series.push(json!({ "metric": labels, "value": sample }));
                }
            }
        }
        match self.of_many {
            OfMany::TooLong if is_of_many => return Ok(response(414, &json!("too long"))),
            OfMany::TooMuch if is_of_many => {
                let error = json!({ "status": "error", "error": "too many samples" });
                return Ok(response(422, &error));
            }
            OfMany::Strangers if is_of_many => {
                let labels = labels(query, "a", "nobody's");
                series.push(json!({ "metric": labels, "value": [NOW, "7"] }));
            }
            _ => {}
        }
        let data = json!({ "resultType": "vector", "result": series });
        Ok(response(200, &json!({ "status": "success", "data": data })))
    }
}

fn response(status: u16, body: &Value) -> Response<Bytes> {
    let response = Response::builder().status(status);
    response.body(Bytes::from(body.to_string())).unwrap()
}

/// What is asked, whomever it is about: the first metric, and whether only failures are looked for.
fn question(query: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (before, _) = query.split_once('{').unwrap();
    let metric = before.rsplit(|c| !is_name(c)).next();
    format!("{} {}", metric.unwrap(), query.contains(" unless "))
}

/// The labels of namespace and workload in a query, and the values that they are matched with.
fn matchers(query: &str) -> [(String, String); 2] {
    let (_, selector) = query.split_once('{').unwrap();
    let (selector, _) = selector.split_once('}').unwrap();
    let of = |ends: &[&str]| {
        let mut matchers = selector.split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            let value = value.trim_start_matches('~').trim();
            Some((label.trim().to_owned(), value.trim_matches('"').to_owned()))
        });
        let found = matchers.find(|(label, _)| ends.contains(&&**label));
        found.unwrap_or_else(|| panic!("{ends:?} in {query}"))
    };
    [
        of(&[
            "destination_workload_namespace",
            "namespace",
            "destination_namespace",
            "kubernetes_namespace",
        ]),
        of(&[
            "destination_workload",
            "deployment",
            "destination_name",
            "ingress",
            "kubernetes_pod_name",
        ]),
    ]
}

fn names(query: &str) -> [Vec<String>; 2] {
    matchers(query).map(|(_, values)| {
        let values = values
            .replace("\\\\", "")
            .replace("-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)", "");
        values.split('|').map(str::to_owned).collect()
    })
}

fn labels(query: &str, namespace: &str, workload: &str) -> Value {
    let [(first, _), (second, _)] = matchers(query);
    json!({ first: namespace, second: workload })
}

#[test]
fn a_check_among_many_is_measured_as_it_is_alone() {
    let (mut alone_asked, mut together_asked) = (0, 0);
    for seed in 0..DRAWS {
        let mut draw = Draw(seed);
        let provider = *draw.one_of(&PROVIDERS);
        let of_many = match draw.below(8) {
            0 => OfMany::TooLong,
            1 => OfMany::TooMuch,
            2 => OfMany::Unlabelled,
            3 => OfMany::Strangers,
            4 => OfMany::Down,
            _ => OfMany::Answers,
        };
        let system = System { seed, of_many };
        let mut all = Vec::new();
        for _ in 0..draw.below(7) {
            let (namespace, target) = (*draw.one_of(&NAMESPACES), *draw.one_of(&TARGETS));
            all.extend(checks(provider, namespace, target));
        }
        let answer = |query: &str| system.answer(query);
        let mut expected = Vec::new();
        for check in &all {
            let (measured, asked) = measured(std::slice::from_ref(check), &answer);
            expected.extend(measured);
            alone_asked += asked;
        }
        let (together, asked) = measured(&all, &answer);
        together_asked += asked;
        let texts = |all: &[Measured]| all.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>();
        assert_eq!(
            texts(&together),
            texts(&expected),
            "seed {seed}: {provider}, {of_many:?}, {all:#?}"
        );
    }
    assert!(
        together_asked < alone_asked,
        "together {together_asked} queries, alone {alone_asked}"
    );
}

/// One canary asks what Flagger asks; two ask together where labels allow it.
#[test]
fn what_is_asked_of_two_is_one_query_where_labels_allow_it() {
    let mut text = String::new();
    for provider in [
        "istio",
        "linkerd",
        "osm",
        "nginx",
        "kubernetes",
        "appmesh",
        "contour",
        "gloo",
        "kuma",
        "traefik",
        "apisix",
        "skipper",
    ] {
        let one = checks(provider, "test", "podinfo");
        let mut two = one.clone();
        two.extend(checks(provider, "prod", "podinfo.v2"));
        let asked = |checks: &[Check]| -> BTreeSet<String> {
            let Next::Ask(requests) = metrics::provider().next(checks, &[], Timestamp::MIN) else {
                panic!("{provider}: asks nothing")
            };
            requests.iter().map(query).collect()
        };
        let single: BTreeSet<_> = one.iter().map(|check| check.query.clone()).collect();
        assert_eq!(asked(&one), single, "{provider}");
        let together = asked(&two);
        let how = if together.len() == one.len() {
            "together"
        } else {
            "one by one"
        };
        writeln!(text, "{provider}: {how}").unwrap();
        if together.len() == one.len() {
            for query in together {
                writeln!(text, "  {query}").unwrap();
            }
            let empty = json!({
                "status": "success", "data": { "resultType": "vector", "result": [] },
            });
            let replies = [Ok(response(200, &empty)), Ok(response(200, &empty))];
            let now = Timestamp::from_second(NOW).unwrap();
            let next = metrics::provider().next(&two, &replies, now);
            let Next::Ask(requests) = next else {
                panic!("{provider}: {next:?}")
            };
            for request in &requests {
                writeln!(text, "  if there is none: {}", query(request)).unwrap();
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metrics/together.txt");
    if std::env::var_os("DAVY_UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{}", path.display());
}
