//! Promotion records as files: where they stand, their bytes, and the digest by which the next one
//! names them. Pure.

pub mod chain;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::api::record::{Record, VERSION};

/// The folder of all records in a repository.
pub const FOLDER: &str = "records";

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

/// The file itself. Two passes that deliver one record write the same bytes.
pub fn bytes(record: &Record) -> Vec<u8> {
    // Nothing in a record can fail to be written; should it ever, the file says so.
    serde_yaml::to_string(record)
        .unwrap_or_else(|error| format!("# {error}\n"))
        .into_bytes()
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
    let record: Record = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    if record.version > VERSION {
        return Err(format!(
            "it has version {}, and this Davy reads up to {VERSION}",
            record.version
        ));
    }
    Ok(record)
}
