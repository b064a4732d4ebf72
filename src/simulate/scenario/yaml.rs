//! The YAML files of a scenario, read so that every error says where in its file it is.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_yaml::with::singleton_map_recursive;

/// Scenarios are small; a file that is not one is not read to its end.
const FILE_MAX: u64 = 1 << 20;

/// Why a folder is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", place(path, *at))]
pub struct Unusable {
    pub path: PathBuf,
    /// Line and column, counted from 1, where they are known.
    pub at: Option<(usize, usize)>,
    pub why: String,
}

/// `FILE:LINE:COLUMN`, which editors and terminals make a link of.
fn place(path: &Path, at: Option<(usize, usize)>) -> String {
    let path = path.display();
    at.map_or_else(
        || path.to_string(),
        |(line, column)| format!("{path}:{line}:{column}"),
    )
}

impl Unusable {
    pub(super) fn of(path: &Path, why: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            at: None,
            why: why.into(),
        }
    }

    fn parsing(path: &Path, error: &serde_yaml::Error) -> Self {
        let at = error.location().map(|at| (at.line(), at.column()));
        let mut why = error.to_string();
        if let Some((line, column)) = at {
            // Said once, in front.
            why = why.replace(&format!(" at line {line} column {column}"), "");
        }
        // What is an enum's variant to the parser is a step to its user.
        if why.starts_with("steps[") {
            why = why.replace("]: unknown variant", "]: unknown step");
        }
        Self {
            path: path.to_owned(),
            at,
            why,
        }
    }
}

/// An object as it stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub object: Value,
    /// Counted from 1; `List`s count as one.
    pub document: usize,
    /// The line of the file on which the document begins, counted from 1.
    pub line: usize,
}

/// What a file with a single document says. An enum's variant is a map with one key, or a text.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Unusable> {
    let text = text(path)?;
    singleton_map_recursive::deserialize(serde_yaml::Deserializer::from_str(&text))
        .map_err(|error| Unusable::parsing(path, &error))
}

/// The objects of a file, which may hold several documents; `List`s are taken apart.
pub(super) fn manifests(path: &Path) -> Result<Vec<Manifest>, Unusable> {
    parse_manifests(&text(path)?, path)
}

/// The same of a text; `path` is for errors.
pub(super) fn parse_manifests(text: &str, path: &Path) -> Result<Vec<Manifest>, Unusable> {
    let mut manifests = Vec::new();
    for (index, (line, text)) in documents(text).into_iter().enumerate() {
        let document = index + 1;
        let object = parse_document(&text, line).map_err(|error| {
            let error = Unusable::parsing(path, &error);
            let why = format!("document {document}: {}", error.why);
            Unusable { why, ..error }
        })?;
        for object in taken_apart(object) {
            let manifest = Manifest {
                object,
                document,
                line,
            };
            let missing = ["apiVersion", "kind"]
                .into_iter()
                .find(|field| !manifest.object[*field].is_string());
            if let Some(field) = missing {
                return Err(manifest.unusable(path, &format!("has no {field}")));
            }
            manifests.push(manifest);
        }
    }
    Ok(manifests)
}

/// `line` is where the document begins in its file, for errors.
fn parse_document(text: &str, line: usize) -> Result<Value, serde_yaml::Error> {
    serde_yaml::from_str(text).or_else(|_| {
        // Once more below as many lines as the file has before it: an error may name several.
        let above = "\n".repeat(line - 1);
        serde_yaml::from_str(&format!("{above}{text}"))
    })
}

impl Manifest {
    /// What is wrong with the object, with the place where it stands.
    pub fn unusable(&self, path: &Path, why: &str) -> Unusable {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (
            text(&self.object["kind"]),
            text(&self.object["metadata"]["name"]),
        );
        let mut subject = format!("document {}", self.document);
        for part in [kind, name].iter().filter(|part| !part.is_empty()) {
            subject = format!("{subject} {part}");
        }
        Unusable {
            path: path.to_owned(),
            at: Some((self.line, 1)),
            why: format!("{subject}: {why}"),
        }
    }
}

/// The documents that hold something, each with the line on which it begins. By YAML's rules no
/// text or comment can have one of the two markers at the start of a line.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let begins = line == "---" || line.starts_with("--- ");
        if begins || line == "..." {
            documents.push((index + 1, String::new()));
        }
        if let Some((_, document)) = documents.last_mut() {
            // What stands beside the marker keeps its column.
            let kept = match line.strip_prefix("---") {
                Some(rest) if begins => format!("   {rest}"),
                _ if line == "..." => String::new(),
                _ => line.to_owned(),
            };
            document.push_str(&kept);
            document.push('\n');
        }
    }
    let says_something = |line: &str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
    };
    documents.retain(|(_, document)| document.lines().any(says_something));
    documents
}

fn taken_apart(object: Value) -> Vec<Value> {
    match object {
        Value::Null => Vec::new(),
        mut list if list["kind"] == "List" => match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        },
        object => vec![object],
    }
}

fn text(path: &Path) -> Result<String, Unusable> {
    let unusable = |error: std::io::Error| Unusable::of(path, error.to_string());
    let size = std::fs::metadata(path).map_err(unusable)?.len();
    if size > FILE_MAX {
        let why = format!("is {size} bytes long, at most {FILE_MAX} are read");
        return Err(Unusable::of(path, why));
    }
    std::fs::read_to_string(path).map_err(unusable)
}
