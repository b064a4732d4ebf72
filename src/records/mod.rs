//! Promotion records as files: where they stand, their bytes, and the digest by which the next one
//! names them. Pure.

pub mod chain;

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::record::{Record, VERSION};

/// The folder of all records in a repository.
pub const FOLDER: &str = "records";

/// The field that a file has as an object, and a status as its text.
const TEMPLATE: &str = "template";

/// A file larger than this is no record of ours: they are bounded by what a status may hold.
const BYTES_MAX: usize = 1 << 20;

/// Where the records of a cluster stand in the repository.
pub fn folder_of(cluster: &str) -> String {
    format!("{FOLDER}/{cluster}")
}

/// Where the records of a canary stand in the repository.
pub fn folder(cluster: &str, namespace: &str, canary: &str) -> String {
    format!("{}/{namespace}/{canary}", folder_of(cluster))
}

/// Where a record stands in the repository.
pub fn path(record: &Record) -> String {
    let folder = folder(&record.cluster, &record.namespace, &record.canary);
    format!("{folder}/{:08}-{}.yaml", record.step, record.outcome)
}

/// Where it stands if there is another one at its [`path`]: numbers of steps begin anew with a
/// Canary that was made again, or whose status was lost.
pub fn other_path(record: &Record) -> String {
    let digest = digest(&bytes(record));
    let short: String = digest
        .trim_start_matches("sha256:")
        .chars()
        .take(8)
        .collect();
    path(record).replace(".yaml", &format!(".{short}.yaml"))
}

/// Why a record cannot be a file, if so: its names become a path, and are held against the
/// grammar of Kubernetes for namespaces and names, and of the settings for clusters.
pub fn unfit(record: &Record) -> Option<String> {
    let Record {
        cluster,
        namespace,
        canary,
        ..
    } = record;
    let is_label = |text: &str| !text.contains('.') && is_subdomain(text) && text.len() <= 63;
    let fits = [
        ("cluster", cluster, is_cluster(cluster)),
        ("namespace", namespace, is_label(namespace)),
        ("canary", canary, is_subdomain(canary)),
    ];
    if let Some((what, name, _)) = fits.into_iter().find(|(_, _, fits)| !fits) {
        return Some(format!("{name:?} is no name of a {what}"));
    }
    let size = bytes(record).len();
    (size > BYTES_MAX).then(|| format!("it is larger than {BYTES_MAX} bytes"))
}

/// A DNS subdomain, RFC 1123.
fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let bytes = part.as_bytes();
        let [Some(first), Some(last)] = [bytes.first(), bytes.last()] else {
            return false;
        };
        is_letter(*first)
            && is_letter(*last)
            && bytes
                .iter()
                .all(|letter| is_letter(*letter) || *letter == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// What the settings take for the name of a cluster.
fn is_cluster(text: &str) -> bool {
    text.len() <= 253
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A name as a part of a Git reference (`git-check-ref-format(1)`): no two dots stand together, and
/// neither a dot nor `.lock` is its end.
pub fn in_reference(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_odd = match letter {
            '.' => {
                let rest: String = letters.clone().collect();
                rest.is_empty() || rest.starts_with('.') || rest == "lock" || encoded.is_empty()
            }
            letter => !letter.is_ascii_alphanumeric() && !"-_".contains(letter),
        };
        if is_odd {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing into a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(letter);
        }
    }
    encoded
}

/// The file itself. Two passes that deliver one record write the same bytes.
pub fn bytes(record: &Record) -> Vec<u8> {
    // Nothing in a record can fail to be written; should it ever, the file says so.
    let file = serde_yaml::to_value(record).and_then(|mut file| {
        if let (Some(text), Some(place)) = (&record.template, file.get_mut(TEMPLATE)) {
            *place = serde_yaml::to_value(template(text))?;
        }
        serde_yaml::to_string(&file)
    });
    file.unwrap_or_else(|error| format!("# {error}\n"))
        .into_bytes()
}

/// A pod template of a record; one that is none stays the text that it was.
pub fn template(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The digest of a record's file, as the next record has it.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let mut text = "sha256:".to_owned();
    for byte in digest {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads a file back.
pub fn parse(bytes: &[u8]) -> Result<Record, String> {
    if bytes.len() > BYTES_MAX {
        return Err(format!("it is larger than {BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut file: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    if let Some(place) = file.get_mut(TEMPLATE).filter(|place| place.is_mapping()) {
        let template: Value =
            serde_yaml::from_value(place.clone()).map_err(|error| error.to_string())?;
        *place = serde_yaml::Value::String(template.to_string());
    }
    let record: Record = serde_yaml::from_value(file).map_err(|error| error.to_string())?;
    if record.version > VERSION {
        return Err(format!(
            "it has version {}, and this Davy reads up to {VERSION}",
            record.version
        ));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::{in_reference, is_cluster, is_subdomain};

    #[test]
    fn names_in_references_are_what_git_takes() {
        for (name, expected) in [
            ("prod", "prod"),
            ("eu-1.prod_a", "eu-1.prod_a"),
            ("a..b", "a%2E.b"),
            ("a.", "a%2E"),
            ("a.lock", "a%2Elock"),
            ("a.lock.b", "a.lock.b"),
            (".a", "%2Ea"),
            ("a/b c~^:?*[\\", "a%2Fb%20c%7E%5E%3A%3F%2A%5B%5C"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(in_reference(name), expected);
        }
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        for name in ["a", "a-b", "a.b", "1", "x.lock"] {
            assert!(is_subdomain(name), "{name}");
        }
        for name in [
            "", "A", "a..b", ".a", "a.", "-a", "a-", "a/b", "..", ".git", "a_b", "é",
        ] {
            assert!(!is_subdomain(name), "{name}");
        }
        assert!(is_cluster("Eu_1.prod") && !is_cluster("../prod") && !is_cluster(""));
    }
}
