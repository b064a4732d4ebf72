//! What can be told of a set of records: whether each is what it was, and none is missing. The
//! digest that each record holds of the one before it makes a chain of every canary's records.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::record::Record;
use crate::records;

/// A record's file in the history of the repository.
#[derive(Clone, Debug)]
pub struct Filed {
    pub path: String,
    /// As it was added.
    pub bytes: Vec<u8>,
    /// The commit that added it, and its time.
    pub commit: String,
    pub at: Timestamp,
    /// Why its signature is not to be believed, if so.
    pub doubt: Option<String>,
    /// What commits did to the file since, in words.
    pub changes: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    pub what: String,
    /// The record is not to be believed, or one is missing. What has an innocent cause is no breach.
    pub is_breach: bool,
}

/// The records that can be read, in order of their files.
pub fn readable(files: &[Filed]) -> impl Iterator<Item = (&Filed, Record)> {
    files
        .iter()
        .filter_map(|file| Some((file, records::parse(&file.bytes).ok()?)))
}

/// Everything that is wrong with the records. `known` are digests that must be among them, such as
/// those that the cluster holds as its last.
pub fn verify(files: &[Filed], known: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    let mut breach = |path: &str, what: String| {
        findings.insert(Finding {
            path: path.to_owned(),
            what,
            is_breach: true,
        });
    };
    for file in files {
        if let Some(doubt) = &file.doubt {
            breach(&file.path, format!("commit {}: {doubt}", file.commit));
        }
        for change in &file.changes {
            breach(&file.path, change.clone());
        }
        match records::parse(&file.bytes) {
            Err(why) => breach(&file.path, format!("it cannot be read: {why}")),
            Ok(record) => {
                if ![records::path(&record), records::other_path(&record)].contains(&file.path) {
                    let place = records::path(&record);
                    breach(&file.path, format!("what it holds belongs to {place}"));
                }
            }
        }
    }
    let by_digest: BTreeMap<String, (&Filed, Record)> = readable(files)
        .map(|(file, record)| (records::digest(&file.bytes), (file, record)))
        .collect();
    let mut followers: BTreeMap<&str, Vec<&Filed>> = BTreeMap::new();
    for (file, record) in by_digest.values() {
        let Some(previous) = &record.previous else {
            continue;
        };
        followers.entry(previous).or_default().push(file);
        match by_digest.get(previous) {
            None => breach(
                &file.path,
                format!("the record before it, {previous}, is missing or was changed"),
            ),
            Some((_, before))
                if (&before.uid, &before.cluster) != (&record.uid, &record.cluster) =>
            {
                breach(
                    &file.path,
                    "the record before it is another canary's".to_owned(),
                );
            }
            Some((earlier, before)) => {
                if earlier.at > file.at || before.time.0 > record.time.0 {
                    breach(
                        &file.path,
                        format!("it is older than the record before it, {}", earlier.path),
                    );
                }
            }
        }
    }
    for followers in followers.values().filter(|followers| followers.len() > 1) {
        for file in followers {
            breach(&file.path, "another record follows the same one".to_owned());
        }
    }
    for (canary, digest) in known {
        if !by_digest.contains_key(digest) {
            breach(
                canary,
                format!("the cluster's last record, {digest}, is not in the repository"),
            );
        }
    }
    findings.extend(fresh_starts(&by_digest));
    findings.into_iter().collect()
}

/// Chains that begin although the canary had records before: its status was lost, or somebody took
/// it away.
fn fresh_starts(by_digest: &BTreeMap<String, (&Filed, Record)>) -> Vec<Finding> {
    let mut starts: BTreeMap<(&str, &str), Vec<(&Filed, &Record)>> = BTreeMap::new();
    for (file, record) in by_digest.values() {
        if record.previous.is_none() {
            let canary = (&*record.cluster, &*record.uid);
            starts.entry(canary).or_default().push((file, record));
        }
    }
    let later = starts.values_mut().flat_map(|starts| {
        starts.sort_by_key(|(_, record)| record.time.0);
        starts.iter().skip(1)
    });
    let findings = later.map(|(file, _)| Finding {
        path: file.path.clone(),
        what: "the chain starts anew here: the Canary's status was lost".to_owned(),
        is_breach: false,
    });
    findings.collect()
}
