//! Notifiers, by cases that are data. `fixtures/notifiers/records/<case>.yaml` is a record that
//! every notifier tells; what else there is stands with its notifier:
//!
//! | file of `fixtures/notifiers/<kind>` | |
//! |---|---|
//! | `channel.yaml` | the channel, and the links that the settings name |
//! | `<case>/channel.yaml` | another one, for this case |
//! | `<case>/record.yaml` | the record; when absent, the one of `records`, or else its `promoted` |
//! | `<case>/request.yaml` | the request, headers and body whole, or why there is none |
//! | `replies.yaml` | replies, and whether each proves that the message has arrived |
//!
//! `fixtures/notifiers/event/<case>` holds what a step told (`told.yaml`) and the requests of the
//! event webhook. `TEST_DAVY_UPDATE=1` writes requests and verdicts anew, for review. A new case is a
//! folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use davy::api::record::{Record, Told};
use davy::notifiers::{self, Channel, Link, News, Notifier, event};
use davy::objects::Problem;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::golden::{compare, parsed, yaml};

type Request = Result<http::Request<Bytes>, Problem>;

/// Folders of `fixtures/notifiers` that are no notifier's.
const SHARED: [&str; 2] = ["event", "records"];

#[test]
fn every_case_is_told_as_recorded() {
    let mut wrong = Vec::new();
    for kind in notifiers::kinds() {
        let notifier = notifiers::notifier(kind).unwrap();
        for case in cases(kind) {
            let (given, record) = (Given::of(&case), record(&case));
            let request = given.request(notifier, &record);
            if let Ok(request) = &request {
                assert_eq!(request.method(), "POST", "{}", case.display());
                let again = given.request(notifier, &record).unwrap();
                assert_eq!(request.headers(), again.headers(), "{}", case.display());
                assert_eq!(request.body(), again.body(), "{}", case.display());
            }
            wrong.extend(compare(&case.join("request.yaml"), &shown(&request)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_step_is_told_as_flagger_tells_it() {
    let mut wrong = Vec::new();
    for case in entries(&fixtures().join("event")) {
        let told: Told = parsed(&case.join("told.yaml"));
        let address = "https://hooks.example.com/events?team=shop";
        let requests = (0..=told.events.len()).map(|index| event::request(address, &told, index));
        let requests: Vec<_> = requests.map(|request| shown(&request)).collect();
        wrong.extend(compare(&case.join("request.yaml"), &requests.join("---\n")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_notifier_is_one_file_one_line_and_one_folder() {
    let kinds: Vec<_> = notifiers::kinds().map(str::to_owned).collect();
    let unique: BTreeSet<_> = kinds.iter().cloned().collect();
    assert_eq!(unique.len(), kinds.len(), "a kind twice in {kinds:?}");

    let mut folders: BTreeSet<_> = entries(&fixtures()).iter().map(|it| name(it)).collect();
    for shared in SHARED {
        assert!(folders.remove(shared), "{shared} is missing");
    }
    assert_eq!(unique, folders, "kinds, folders of fixtures/notifiers");

    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notifiers");
    let mut files: BTreeSet<_> = entries(&source).iter().map(|it| name(it)).collect();
    for shared in ["mod.rs", "words.rs", "attachment.rs", "event.rs"] {
        assert!(files.remove(shared), "{shared} is missing");
    }
    let expected: BTreeSet<_> = unique.iter().map(|kind| format!("{kind}.rs")).collect();
    assert_eq!(files, expected, "files of src/notifiers");
}

/// Of one kind of news, one notifier would otherwise be seen and another not.
#[test]
fn every_notifier_tells_every_record() {
    for kind in notifiers::kinds() {
        for record in entries(&fixtures().join("records")) {
            let folder = fixtures().join(kind).join(record.file_stem().unwrap());
            assert!(folder.is_dir(), "{} is missing", folder.display());
        }
    }
}

#[test]
fn unknown_kind_names_the_known_ones() {
    let problem = notifiers::notifier("slak").err().map(|it| it.to_string());
    let expected = "spec.type: \"slak\" is not supported; \
                    known are discord, gchat, grafana, msteams, rocket, slack, webhook";
    assert_eq!(problem.as_deref(), Some(expected));
}

#[test]
fn only_a_proof_is_taken_for_one() {
    #[derive(Deserialize, Serialize)]
    struct Reply {
        status: u16,
        #[serde(default)]
        body: String,
        #[serde(default)]
        delivered: String,
    }
    let mut wrong = Vec::new();
    for kind in notifiers::kinds() {
        let notifier = notifiers::notifier(kind).unwrap();
        let path = fixtures().join(kind).join("replies.yaml");
        let mut replies: Vec<Reply> = parsed(&path);
        assert!(replies.iter().any(|reply| reply.status >= 300), "{kind}");
        for reply in &mut replies {
            let body = Bytes::from(reply.body.clone());
            let response = http::Response::builder().status(reply.status).body(body);
            let delivered = notifier.delivered(&response.unwrap());
            reply.delivered = delivered.err().unwrap_or_else(|| "yes".to_owned());
            assert!(
                !reply.delivered.contains("MARKER"),
                "{kind}: {}",
                reply.delivered
            );
        }
        wrong.extend(compare(&path, &yaml(&replies)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever knows them can write to the channel.
#[test]
fn addresses_tokens_and_keys_are_told_to_nobody() {
    const MARKER: &str = "MARKER";
    let address = format!("https://hooks.example.com/{MARKER}?token={MARKER}");
    let whole = Channel {
        address: address.clone(),
        token: Some(format!("xoxb-{MARKER}")),
        signing_key: Some(MARKER.repeat(5).into_bytes()),
        ..Channel::default()
    };
    let with_address = |address: String| Channel {
        address,
        ..whole.clone()
    };
    let mut channels = vec![
        whole.clone(),
        with_address(String::new()),
        with_address(format!("{MARKER}/path")),
        with_address(format!("ftp://{MARKER}.example.com/")),
        with_address(format!("https://{MARKER} .example.com/")),
        with_address(format!("https:///{MARKER}")),
    ];
    channels.push(Channel {
        token: Some(format!("{MARKER}\n")),
        ..whole.clone()
    });
    channels.push(Channel {
        signing_key: Some(MARKER.into()),
        ..whole.clone()
    });
    let record: Record = parsed(&fixtures().join("records/rolled-back.yaml"));
    for kind in notifiers::kinds() {
        let notifier = notifiers::notifier(kind).unwrap();
        for (channel, key) in channels
            .iter()
            .flat_map(|it| [(it, "key-1"), (it, "a.b\n")])
        {
            let news = News {
                record: &record,
                idempotency_key: key,
                links: &[],
                sent_at: record.time.0,
            };
            let told = match notifier.request(channel, &news) {
                Ok(request) => {
                    let body = String::from_utf8(request.body().to_vec()).unwrap();
                    format!("{:?}\n{body}", request.headers())
                }
                Err(problem) => format!("{problem}\n{problem:?}"),
            };
            let told = format!("{channel:?}\n{told}");
            assert!(!told.contains(MARKER), "{kind} tells {told}");
        }
    }
    let told: Told = parsed(&fixtures().join("event/advance/told.yaml"));
    let problem = event::request(&format!("{MARKER}://"), &told, 0).err();
    assert!(!format!("{problem:?}").contains(MARKER));
    assert!(problem.is_some());
}

/// Discord refuses a message that is longer anywhere, and then nobody hears of the release.
#[test]
fn messages_are_no_longer_than_the_channels_take() {
    let units = |value: &Value| value.as_str().unwrap().encode_utf16().count();
    for case in cases("discord") {
        let Ok(request) = Given::of(&case).request(&notifiers::discord::Discord, &record(&case))
        else {
            continue;
        };
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let embed = &body["attachments"][0];
        assert!(units(&embed["author_name"]) <= 256, "{embed}");
        assert!(units(&embed["text"]) <= 4_096, "{embed}");
        let mut total = units(&embed["author_name"]) + units(&embed["text"]);
        let fields = embed["fields"].as_array().unwrap();
        assert!(fields.len() <= 25, "{embed}");
        for field in fields {
            assert!(units(&field["value"]) <= 1_024, "{field}");
            total += units(&field["title"]) + units(&field["value"]);
        }
        assert!(total <= 6_000, "{total} in {}", case.display());
        assert!(units(&body["username"]) <= 80, "{body}");
    }
    // Teams: 28 KB; Google Chat: 32,000 bytes; Slack: 40,000 characters.
    for kind in ["slack", "msteams", "rocket", "gchat"] {
        let notifier = notifiers::notifier(kind).unwrap();
        for case in cases(kind) {
            let request = Given::of(&case).request(notifier, &record(&case));
            let length = request.map_or(0, |request| request.body().len());
            assert!(length <= 28_000, "{length} bytes in {}", case.display());
        }
    }
}

/// People read them on a phone.
#[test]
fn a_promoted_release_is_told_in_a_few_short_lines() {
    let record: Record = parsed(&fixtures().join("records/promoted.yaml"));
    let text = notifiers::words::Words::of(&record).text();
    assert!(text.lines().count() <= 5, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

/// What a case gives to its notifier.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Given {
    address: String,
    token: Option<String>,
    room: Option<String>,
    username: Option<String>,
    signing_key: Option<String>,
    idempotency_key: Option<String>,
    /// Titles and addresses.
    links: Vec<BTreeMap<String, String>>,
}

impl Given {
    fn of(case: &Path) -> Self {
        let own = case.join("channel.yaml");
        parsed(&if own.exists() {
            own
        } else {
            case.with_file_name("channel.yaml")
        })
    }

    fn request(&self, notifier: &dyn Notifier, record: &Record) -> Request {
        let channel = Channel {
            address: self.address.clone(),
            token: self.token.clone(),
            room: self.room.clone(),
            username: self.username.clone(),
            signing_key: self.signing_key.clone().map(String::into_bytes),
        };
        let links = self.links.iter().map(|link| Link {
            title: link["title"].clone(),
            address: link["address"].clone(),
        });
        let key = format!("{}-{}-{}", record.uid, record.step, record.outcome);
        let news = News {
            record,
            idempotency_key: self.idempotency_key.as_deref().unwrap_or(&key),
            links: &links.collect::<Vec<_>>(),
            sent_at: record.time.0 + SignedDuration::from_mins(1),
        };
        notifier.request(&channel, &news)
    }
}

fn record(case: &Path) -> Record {
    let own = case.join("record.yaml");
    let shared = |name: &str| fixtures().join(format!("records/{name}.yaml"));
    let all = [own, shared(&name(case)), shared("promoted")];
    parsed(all.iter().find(|path| path.exists()).unwrap())
}

/// A request as people review it.
fn shown(request: &Request) -> String {
    let request = match request {
        Ok(request) => request,
        Err(problem) => return yaml(&json!({ "problem": problem.to_string() })),
    };
    let headers = request.headers().iter();
    let headers: BTreeMap<_, _> = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    yaml(&json!({ "uri": request.uri().to_string(), "headers": headers, "body": body }))
}

fn cases(kind: &str) -> Vec<PathBuf> {
    let mut cases = entries(&fixtures().join(kind));
    cases.retain(|path| path.is_dir());
    assert!(!cases.is_empty(), "{kind} has no case");
    cases
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/notifiers")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = read.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
