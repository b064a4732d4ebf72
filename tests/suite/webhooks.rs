//! Webhooks, by cases that are data:
//!
//! | file of `fixtures/webhooks` | |
//! |---|---|
//! | `calls/<case>/given.yaml` | webhooks as a Canary has them, and what they are called about |
//! | `calls/<case>/expected.yaml` | each hook with its requests, or what is wrong with them |
//! | `replies.yaml` | a hook, what earlier passes noted of it, a reply, and what that means |
//! | `texts.yaml` | the Events of each type of hook |
//!
//! `TEST_DAVY_UPDATE=1` writes what is expected anew, for review. A new case is a folder, or an item.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use davy::api::checks::{Webhook, WebhookType};
use davy::api::record::Told;
use davy::api::status::{PendingHook, Phase};
use davy::objects::{Names, Problem};
use davy::simulate::play::Play;
use davy::simulate::scenario::{Crash, Event, Outcome, Scenario};
use davy::webhooks::call::{self, Subject};
use davy::webhooks::reply::{Answer, Called, NoReply, judge};
use davy::webhooks::{Hook, hooks, texts, type_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::golden::{compare, parsed, yaml};

const PATH: &str = "spec.analysis.webhooks";
const MARKER: &str = "MARKER";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    #[serde(default)]
    allows_any_certificate: bool,
    phase: Option<Phase>,
    webhooks: Vec<Webhook>,
    /// What hooks of type event are told.
    told: Option<Told>,
}

#[test]
fn every_case_is_called_as_recorded() {
    let mut wrong = Vec::new();
    let mut cases: Vec<_> = fs::read_dir(fixtures().join("calls"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    for case in cases {
        let given: Given = parsed(&case.join("given.yaml"));
        let expected = match hooks(PATH, &given.webhooks, given.allows_any_certificate) {
            Ok(hooks) => hooks.iter().map(|hook| shown(hook, &given)).collect(),
            Err(problems) => problems.iter().map(|it| json!(it.to_string())).collect(),
        };
        let text = yaml(&Value::Array(expected));
        assert!(!text.contains(MARKER), "{}: {text}", case.display());
        wrong.extend(compare(&case.join("expected.yaml"), &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn shown(hook: &Hook, given: &Given) -> Value {
    assert!(!format!("{hook:?}").contains(MARKER));
    let subject = Subject {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: "5f1c2a9e-0000-4000-8000-000000000001".to_owned(),
        phase: given.phase.unwrap_or(Phase::Progressing),
        checksum: "85d557f47b".to_owned(),
        step: 7,
    };
    let requests: Vec<_> = match (&given.told, hook.kind) {
        (Some(told), WebhookType::Event) => (0..=told.events.len())
            .map(|index| request(&call::event(hook, told, index)))
            .collect(),
        (Some(told), _) => vec![request(&call::request(hook, &Subject::of(told)))],
        (None, _) => vec![request(&call::request(hook, &subject))],
    };
    json!({
        "id": hook.id,
        "timeout": format!("{:?}", hook.timeout),
        "retries": hook.retries,
        "muteAlert": hook.mute_alert,
        "anyCertificate": hook.any_certificate,
        "isGate": hook.is_gate(),
        "requests": requests,
    })
}

/// A request whole: its body is text, whose order is Flagger's too.
fn request(request: &Result<http::Request<Bytes>, Problem>) -> Value {
    let request = match request {
        Ok(request) => request,
        Err(problem) => return json!({ "problem": problem.to_string() }),
    };
    let headers = request.headers().iter();
    let headers: BTreeMap<_, _> = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    json!({
        "request": format!("{} {}", request.method(), request.uri()),
        "headers": headers,
        "body": String::from_utf8(request.body().to_vec()).unwrap(),
    })
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReplyCase {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retries: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// What earlier passes noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<PendingHook>,
    /// Status, and a Location after it; `late`, or why it failed.
    reply: String,
    #[serde(default)]
    means: Value,
}

#[test]
fn every_reply_means_what_is_recorded() {
    let path = fixtures().join("replies.yaml");
    let mut cases: Vec<ReplyCase> = parsed(&path);
    for case in &mut cases {
        let webhook = Webhook {
            name: "load".to_owned(),
            url: case.url.clone().unwrap_or("http://tester.test/".to_owned()),
            timeout: case.timeout.clone(),
            retries: case.retries,
            ..Webhook::default()
        };
        let hook = &hooks(PATH, &[webhook], false).unwrap()[0];
        let called = Called {
            pending: case.pending.as_ref(),
            now: "2026-01-01T00:01:00Z".parse().unwrap(),
            within: hook.timeout.min(Duration::from_secs(15)),
            step: case.pending.as_ref().map_or(7, |pending| pending.step),
        };
        let (first, rest) = case.reply.split_once(' ').unwrap_or((&case.reply, ""));
        let reply = match (&*case.reply, first.parse::<u16>()) {
            ("late", _) => Err(NoReply::Late),
            (_, Ok(status)) => {
                let mut response = http::Response::builder().status(status);
                if !rest.is_empty() {
                    response = response.header("Location", rest);
                }
                Ok(response.body(Bytes::from(MARKER)).unwrap())
            }
            (why, Err(_)) => Err(NoReply::Failed(why.to_owned())),
        };
        case.means = match judge(hook, &called, &reply) {
            Answer::Consent => json!("consent"),
            Answer::Refusal(why) => json!({ "refusal": why }),
            Answer::Pending(note, why) => json!({ "pending": note, "why": why }),
        };
    }
    let text = yaml(&cases);
    assert!(!text.contains(MARKER), "{text}");
    let wrong = compare(&path, &text);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn every_type_has_flaggers_texts() {
    let names = Names {
        canary: "podinfo".to_owned(),
        namespace: "test".to_owned(),
        ..Names::default()
    };
    let types = [
        WebhookType::ConfirmRollout,
        WebhookType::PreRollout,
        WebhookType::Rollout,
        WebhookType::ConfirmTrafficIncrease,
        WebhookType::ConfirmPromotion,
        WebhookType::PostRollout,
        WebhookType::Rollback,
        WebhookType::Event,
    ];
    let shown: BTreeMap<_, _> = types
        .into_iter()
        .map(|kind| {
            let webhook = Webhook {
                r#type: kind,
                name: "check".to_owned(),
                url: "http://tester.test/".to_owned(),
                ..Webhook::default()
            };
            let hook = &hooks(PATH, &[webhook], false).unwrap()[0];
            let texts = json!({
                "passed": texts::passed(hook),
                "halted": texts::halted(&names, hook, "500 Internal Server Error"),
                "pending": texts::pending(&names, hook, "no answer yet, 1m allowed"),
            });
            (type_name(kind), texts)
        })
        .collect();
    let wrong = compare(&fixtures().join("texts.yaml"), &yaml(&shown));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// Each hook is called about the same as by Flagger: in these phases, with this metadata.
#[tokio::test]
async fn recorded_hooks_are_called_with_the_same_payloads() {
    let recorded = fs::read_to_string(parity().join("hooks.txt")).unwrap();
    let mut expected: Vec<(String, Value)> = Vec::new();
    for line in recorded.lines() {
        let (path, body) = line.split_once(' ').unwrap();
        let call = (
            path.replace("/hook/", ""),
            without_checksum(body.as_bytes()),
        );
        if !expected.contains(&call) {
            expected.push(call);
        }
    }
    let mut play = Play::new(Scenario::read(&parity()).unwrap()).unwrap();
    for event in play_steps(&parity()) {
        play.happen(&event).await.unwrap();
    }
    let mut found: Vec<(String, Value)> = Vec::new();
    for called in &play.world.lock().called {
        let call = (called.name.clone(), without_checksum(&called.body));
        if called.name != "events" && !found.contains(&call) {
            found.push(call);
        }
    }
    assert_eq!(found, expected);
}

/// Killed after a call and before its claim, a pass leaves nothing behind: the next one asks by the
/// same key, so that a receiver that looks does its work once.
#[tokio::test]
async fn a_question_has_one_key_wherever_a_pass_is_killed() {
    let undisturbed = keys(None).await;
    assert!(
        undisturbed["load"] > 1 && undisturbed["after"] == 1,
        "{undisturbed:?}"
    );
    for call in 1..=24 {
        for outcome in [Outcome::NotSent, Outcome::Answered] {
            let killed = keys(Some(Crash { call, outcome })).await;
            assert_eq!(killed, undisturbed, "killed at call {call} ({outcome:?})");
        }
    }
}

/// How many keys each hook is called by in a release, the pass after the first weight being killed.
async fn keys(crash: Option<Crash>) -> BTreeMap<String, usize> {
    let mut play = Play::new(Scenario::read(&parity()).unwrap()).unwrap();
    let steps = [
        Event::Until(Phase::Initialized),
        Event::Image("1.2.1".to_owned()),
        Event::Weight(25),
    ];
    let steps = steps.into_iter().chain(crash.map(Event::Crash));
    for event in steps.chain([Event::Until(Phase::Succeeded)]) {
        play.happen(&event).await.unwrap();
    }
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for called in &play.world.lock().called {
        let keys = keys.entry(called.name.clone()).or_default();
        keys.insert(called.idempotency_key.clone());
    }
    // These are asked, or told, in every pass.
    keys.retain(|name, _| name != "rollback" && name != "events");
    keys.into_iter()
        .map(|(name, keys)| (name, keys.len()))
        .collect()
}

fn without_checksum(body: &[u8]) -> Value {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    assert!(body["checksum"].is_string(), "{body}");
    body["checksum"] = Value::Null;
    body
}

fn play_steps(folder: &Path) -> Vec<Event> {
    Scenario::read(folder).unwrap().script.steps
}

fn parity() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parity/istio-hooks")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/webhooks")
}
