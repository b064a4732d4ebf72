//! Metrics systems by cases that are data: each folder of `fixtures/metrics/providers/<type>` is a
//! MetricTemplate with its Secret and what the system answers (`case.yaml`), and what is asked and made
//! of each answer (`expected.txt`). A new case is a folder; `TEST_DAVY_UPDATE=1` writes what is expected,
//! for review.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use davy::api::canary::Canary;
use davy::api::metric_template::{MetricTemplate, MetricTemplateSpec};
use davy::judges::threshold::judge;
use davy::metrics::{self, Check, Next, Reply, Sources, System, Templates};
use davy::objects::{Names, Objects, Policy, View};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golden::assert_holds;

/// When the replies of the fixtures were given.
const NOW: i64 = 1_700_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    template: MetricTemplateSpec,
    /// Of the metric besides its name and templateRef.
    #[serde(default)]
    metric: Value,
    /// The data of the Secret that the template names.
    #[serde(default)]
    secret: BTreeMap<String, String>,
    /// Whether the operator lets a template do without certificates.
    #[serde(default)]
    allows_any_certificate: bool,
    /// The replies to what is asked before the query: for a token.
    #[serde(default)]
    before: Vec<Given>,
    #[serde(default)]
    replies: BTreeMap<String, Given>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default = "ok")]
    status: u16,
    /// A text is a body that is not JSON, or none that a reader of JSON takes.
    #[serde(default)]
    body: Value,
    /// Why there is no reply.
    trouble: Option<String>,
}

fn ok() -> u16 {
    200
}

#[test]
fn every_system_is_asked_as_flagger_asks_and_understood() {
    let mut seen = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/metrics/providers");
    for folder in folders(&root) {
        for case in folders(&folder) {
            let file = fs::read_to_string(case.join("case.yaml")).unwrap();
            let data: Case = serde_yaml::from_str(&file)
                .unwrap_or_else(|why| panic!("{}: {why}", case.display()));
            let kind = data.template.provider.r#type.clone();
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(kind, name, "{}", case.display());
            seen.push(name);
            let text = told(data);
            assert!(
                !text.contains("MARKER"),
                "{}: shows the body: {text}",
                case.display()
            );
            assert_holds(&case.join("expected.txt"), &text);
        }
    }
    for provider in metrics::providers() {
        let kind = provider.name();
        assert!(seen.iter().any(|seen| seen == kind), "{kind} has no case");
    }
}

/// What is asked, and what is made of each reply.
fn told(case: Case) -> String {
    let mut metric = json!({
        "name": "errors", "templateRef": { "name": "errors" }, "thresholdRange": { "max": 1 },
    });
    for (key, value) in case.metric.as_object().into_iter().flatten() {
        metric[key] = value.clone();
    }
    let policy = Policy {
        insecure_metrics: case.allows_any_certificate,
        ..Policy::default()
    };
    let mut check = match check(&metric, case.template, &policy) {
        Ok(check) => check,
        Err(problem) => return format!("refused: {problem}\n"),
    };
    let provider = metrics::provider_of(check.access.provider).unwrap();
    for key in provider.secret_keys() {
        if let Some(value) = case.secret.get(*key) {
            check.access.credentials.insert(key, value.clone());
        }
    }
    assert!(
        case.secret
            .values()
            .all(|value| !format!("{check:?}").contains(value)),
        "credentials are shown"
    );
    let system = System {
        address: check.address.clone(),
        origin: check.origin,
        access: check.access.clone(),
    };
    let now = Timestamp::from_second(NOW).unwrap();
    let mut text = match provider.probe(&system, now) {
        Ok(request) => format!("probe: {}", request_line(&request)),
        Err(why) => format!("probe: not sent: {why}\n"),
    };
    let before: Vec<_> = case.before.into_iter().map(reply).collect();
    for known in 0..=before.len() {
        match provider.next(std::slice::from_ref(&check), &before[..known], now) {
            Next::Ask(requests) => {
                for request in requests {
                    write!(text, "asks: {}", request_line(&request)).unwrap();
                }
            }
            Next::Done(measured) => writeln!(text, "not asked: {measured:?}").unwrap(),
        }
    }
    for (name, given) in case.replies {
        let reply = reply(given);
        let replies: Vec<_> = before.iter().cloned().chain([reply.clone()]).collect();
        let next = provider.next(std::slice::from_ref(&check), &replies, now);
        let Next::Done(measured) = next else {
            panic!("{name}: {next:?}")
        };
        let judgement = judge(&measured[0], &check);
        let halt = metrics::halt_text(&names(), &check, &judgement);
        let online = provider.online(&reply).err();
        writeln!(text, "\n{name}: {:?}", measured[0]).unwrap();
        writeln!(text, "  halt: {}", halt.as_deref().unwrap_or("-")).unwrap();
        writeln!(text, "  online: {}", online.as_deref().unwrap_or("yes")).unwrap();
    }
    text
}

/// Method, address, headers and body.
fn request_line(request: &http::Request<Bytes>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    // What a user has not chosen: the cluster's own API, and Google's metadata server.
    let is_own = [None, Some("metadata.google.internal")].contains(&request.uri().host());
    let is_untrusted = request.extensions().get::<metrics::Untrusted>().is_some();
    assert_ne!(is_own, is_untrusted, "{text}");
    for (name, value) in request.headers() {
        writeln!(
            text,
            "  {name}: {}",
            String::from_utf8_lossy(value.as_bytes())
        )
        .unwrap();
    }
    if request
        .extensions()
        .get::<metrics::AnyCertificate>()
        .is_some()
    {
        text.push_str("  of any certificate\n");
    }
    for line in String::from_utf8_lossy(request.body()).lines() {
        writeln!(text, "  > {line}").unwrap();
    }
    text
}

fn check(metric: &Value, template: MetricTemplateSpec, policy: &Policy) -> Result<Check, String> {
    let canary = canary(metric);
    let template = MetricTemplate::new("errors", template);
    let templates = Templates::from([(("test".to_owned(), "errors".to_owned()), Ok(template))]);
    let view = View {
        canary: &canary,
        names: &Names::of(&canary),
        policy,
        objects: &Objects::new(),
    };
    let sources = Sources {
        metrics_server: "http://prometheus:9090",
        templates: &templates,
    };
    let resolved = metrics::checks(&view, &sources);
    match (
        resolved.problems.first(),
        resolved.checks.into_iter().next(),
    ) {
        (None, Some(check)) => Ok(check),
        (Some(problem), _) => Err(problem.to_string()),
        (None, None) => Err("there is no check".to_owned()),
    }
}

fn canary(metric: &Value) -> Canary {
    let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" });
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": { "name": "podinfo", "namespace": "test" },
        "spec": { "targetRef": reference, "analysis": { "metrics": [metric] } },
    });
    serde_json::from_value(canary).unwrap()
}

fn names() -> Names {
    Names::of(&canary(&json!({ "name": "errors" })))
}

fn reply(given: Given) -> Reply {
    if let Some(trouble) = given.trouble {
        return Err(trouble);
    }
    let body = given.body.as_str();
    let body = body.map_or_else(|| given.body.to_string(), str::to_owned);
    let response = http::Response::builder().status(given.status);
    let response = response.extension(metrics::Untrusted);
    Ok(response.body(Bytes::from(body)).unwrap())
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}
