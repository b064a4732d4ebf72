//! The cluster in memory against what a real API server answered: kube-apiserver 1.36.3 without
//! controllers, recorded request by request in `fixtures/conformance`. What an entry does not say
//! differs, does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bytes::Bytes;
use davy::simulate::cluster::Cluster;
use http::Request;
use jiff::Timestamp;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const FOLDER: &str = "fixtures/conformance";
const NAMESPACE: &str = "recorded";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    /// Method and path. `{rv:NAME}`, `{uid:NAME}` and `{token:last}` stand for what the last answer
    /// about that object said, here and in the body.
    ask: String,
    #[serde(default, rename = "as")]
    media_type: String,
    #[serde(default)]
    accept: String,
    #[serde(default)]
    body: Value,
    #[serde(default, rename = "note")]
    _note: String,
    /// What the real server answered, [`forget`] applied.
    answer: Value,
    /// JSON pointers into the answer, at which the cluster in memory is known to differ.
    #[serde(default)]
    differs: Vec<String>,
}

#[test]
fn memory_answers_as_the_real_server_did() {
    let mut files: Vec<_> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let operations: Vec<Operation> = serde_yaml::from_str(&text).unwrap();
        let mut memory = Memory::new();
        for operation in &operations {
            let answer = memory.ask(operation);
            let mut found = BTreeSet::new();
            compare(&operation.answer, &answer, "", &mut found);
            found.retain(|path| {
                !operation
                    .differs
                    .iter()
                    .any(|known| path.starts_with(known))
            });
            let (ask, body) = (&operation.ask, &operation.body);
            assert!(
                found.is_empty(),
                "{}: {ask} {body}\ndiffers at {found:?}\nreal:   {}\nmemory: {answer}",
                file.display(),
                operation.answer,
            );
        }
    }
}

struct Memory {
    cluster: Cluster,
    placeholders: BTreeMap<String, String>,
    numbers: BTreeMap<(&'static str, String), usize>,
}

impl Memory {
    fn new() -> Self {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE},
        });
        let mut cluster = Cluster::new();
        cluster.apply(namespace, "user", now()).unwrap();
        Self {
            cluster,
            placeholders: BTreeMap::from([("namespace".to_owned(), NAMESPACE.to_owned())]),
            numbers: BTreeMap::new(),
        }
    }

    fn ask(&mut self, operation: &Operation) -> Value {
        let (method, path) = operation.ask.split_once(' ').unwrap();
        let body = match &operation.body {
            Value::Null => String::new(),
            body => self.fill_in(&body.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(self.fill_in(path))
            .header("content-type", media_type(&operation.media_type))
            .header("accept", accept(&operation.accept, path))
            .body(Bytes::from(body))
            .unwrap();
        let response = self.cluster.handle(&request, now());
        let mut answer = json!({"code": response.status().as_u16()});
        let mut warnings: Vec<_> = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|warning| warning.to_str().unwrap())
            .collect();
        warnings.sort_unstable();
        if !warnings.is_empty() {
            answer["warnings"] = json!(warnings);
        }
        match serde_json::from_slice::<Value>(response.body()) {
            Ok(body) => {
                self.remember(&body);
                answer["body"] = self.forget(&body);
            }
            Err(_) => answer["text"] = json!(String::from_utf8_lossy(response.body())),
        }
        let text = answer.to_string().replace(NAMESPACE, "{namespace}");
        serde_json::from_str(&text).unwrap()
    }

    fn fill_in(&self, text: &str) -> String {
        let fill = |text: String, (name, value): (&String, &String)| {
            text.replace(&format!("{{{name}}}"), value)
        };
        self.placeholders.iter().fold(text.to_owned(), fill)
    }

    fn remember(&mut self, body: &Value) {
        let metadata = &body["metadata"];
        if let Some(name) = metadata["name"].as_str() {
            for (short, field) in [("rv", "resourceVersion"), ("uid", "uid")] {
                if let Some(value) = metadata[field].as_str() {
                    self.placeholders
                        .insert(format!("{short}:{name}"), value.to_owned());
                }
            }
        }
        if let Some(token) = metadata["continue"]
            .as_str()
            .filter(|token| !token.is_empty())
        {
            self.placeholders
                .insert("token:last".to_owned(), token.to_owned());
        }
    }

    /// Forgets what differs from run to run. Of versions and identities it keeps which are the same:
    /// the first version that is seen is `version-1`.
    fn forget(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let sorted: BTreeMap<_, _> = fields.iter().collect();
                let kept = sorted
                    .into_iter()
                    .filter(|(name, _)| *name != "managedFields");
                let kept = kept.map(|(name, value)| {
                    (
                        name.clone(),
                        self.forget_field(name, value, fields.contains_key("uid")),
                    )
                });
                Value::Object(kept.collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(|item| self.forget(item)).collect(),
            Value::String(text) => forget_text(text).into(),
            simple => simple.clone(),
        }
    }

    fn forget_field(&mut self, name: &str, value: &Value, is_object: bool) -> Value {
        let text = value.as_str().unwrap_or_default();
        match name {
            "resourceVersion" if !text.is_empty() && is_object => self.number("version", text),
            "resourceVersion" if !text.is_empty() => "version".into(),
            "uid" if forget_text(text) == "uid" => self.number("uid", text),
            "creationTimestamp" | "deletionTimestamp" | "lastTransitionTime" | "lastUpdateTime"
                if !text.is_empty() =>
            {
                "time".into()
            }
            "clusterIP" if text != "None" => "address".into(),
            "clusterIPs" if *value != json!(["None"]) => json!(["address"]),
            "nodePort" => "port".into(),
            "continue" if !text.is_empty() => "token".into(),
            _ => self.forget(value),
        }
    }

    fn number(&mut self, what: &'static str, text: &str) -> Value {
        let next = 1 + self
            .numbers
            .keys()
            .filter(|(known, _)| *known == what)
            .count();
        let number = self.numbers.entry((what, text.to_owned())).or_insert(next);
        format!("{what}-{number}").into()
    }
}

fn forget_text(text: &str) -> String {
    let replacements = [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "uid"),
        (r"record \(\d+\)", "record (version)"),
        (r#"Invalid value: "\{.*\}": "#, "Invalid value: object: "),
    ];
    replacements
        .iter()
        .fold(text.to_owned(), |text, (pattern, replacement)| {
            Regex::new(pattern)
                .unwrap()
                .replace_all(&text, *replacement)
                .into_owned()
        })
}

fn media_type(name: &str) -> String {
    match name {
        "" => "application/json".to_owned(),
        "merge" => "application/merge-patch+json".to_owned(),
        "json" => "application/json-patch+json".to_owned(),
        other => other.to_owned(),
    }
}

fn accept(name: &str, path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    let kind = match (name, last) {
        ("", _) => return "application/json".to_owned(),
        (_, "things" | "configmaps") => "PartialObjectMetadataList",
        _ => "PartialObjectMetadata",
    };
    format!("application/json;as={kind};g=meta.k8s.io;v=v1")
}

/// Where the two differ, as JSON pointers.
fn compare(real: &Value, memory: &Value, path: &str, found: &mut BTreeSet<String>) {
    match (real, memory) {
        (Value::Object(real), Value::Object(memory)) => {
            let names: BTreeSet<_> = real.keys().chain(memory.keys()).collect();
            for name in names {
                let nothing = Value::String("(nothing)".to_owned());
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                let (real, memory) = (real.get(name), memory.get(name));
                compare(
                    real.unwrap_or(&nothing),
                    memory.unwrap_or(&nothing),
                    &path,
                    found,
                );
            }
        }
        (Value::Array(real), Value::Array(memory)) if real.len() == memory.len() => {
            for (index, (real, memory)) in real.iter().zip(memory).enumerate() {
                compare(real, memory, &format!("{path}/{index}"), found);
            }
        }
        _ if real != memory => drop(found.insert(path.to_owned())),
        _ => {}
    }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}
