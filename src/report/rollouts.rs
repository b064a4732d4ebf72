//! Which records are rollouts: each terminal record is one, and so is a new revision that no record
//! has followed yet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Period;
use crate::api::record::{Outcome, Record};
use crate::records;
use crate::records::chain::{self, Filed, Finding};

/// The readable records, each once, with everything that is wrong with any file.
#[derive(Clone, Debug)]
pub struct Trail<'a> {
    entries: Vec<Rollout<'a>>,
    findings: Vec<Finding>,
    /// Files that are no records of ours, or of a later Davy.
    pub unreadable: usize,
}

/// A record with the file it came from.
#[derive(Clone, Debug)]
pub struct Rollout<'a> {
    pub file: &'a Filed,
    pub record: Record,
    pub digest: String,
    /// Why the record is not to be believed.
    pub doubts: Vec<String>,
}

impl<'a> Trail<'a> {
    pub fn new(files: &'a [Filed]) -> Self {
        let findings = chain::verify(files, &BTreeMap::new());
        let mut doubts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for finding in findings.iter().filter(|finding| finding.is_breach) {
            let of_file = doubts.entry(&finding.path).or_default();
            of_file.push(finding.what.clone());
        }
        let mut known = BTreeSet::new();
        let mut readable = 0;
        let mut entries: Vec<_> = chain::readable(files)
            .inspect(|_| readable += 1)
            .map(|(file, record)| Rollout {
                digest: records::digest(&file.bytes),
                doubts: doubts.get(&*file.path).cloned().unwrap_or_default(),
                file,
                record,
            })
            // One that was filed at two places is still one.
            .filter(|entry| known.insert(entry.digest.clone()))
            .collect();
        entries.sort_by_key(|entry| (entry.record.time.0, entry.record.step));
        Self {
            entries,
            unreadable: files.len() - readable,
            findings,
        }
    }

    /// The records, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> + Clone {
        self.entries.iter().map(|entry| &entry.record)
    }

    pub fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.records().map(|record| record.time.0)
    }

    /// How many records there are, and how many of them are not to be believed.
    pub fn doubted(&self) -> (usize, usize) {
        let doubted = self.entries.iter().filter(|entry| !entry.doubts.is_empty());
        (self.entries.len(), doubted.count())
    }

    /// Everything that `davy verify` would find without asking a cluster.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The rollouts whose record was made in this time, newest first.
    pub fn rollouts(&self, period: Period) -> Vec<&Rollout<'a>> {
        let mut last = BTreeMap::new();
        for record in self.records() {
            last.insert(key(record), (record.time.0, record.step));
        }
        let is_last =
            |record: &Record| last.get(&key(record)) == Some(&(record.time.0, record.step));
        let rollouts = self.entries.iter().rev().filter(|entry| {
            let record = &entry.record;
            period.contains(record.time.0)
                && match record.outcome {
                    Outcome::Initialized | Outcome::Held => false,
                    Outcome::NewRevision => is_last(record),
                    Outcome::Promoted
                    | Outcome::RolledBack
                    | Outcome::PromotionFailed
                    | Outcome::Superseded
                    | Outcome::Reverted => true,
                }
        });
        rollouts.collect()
    }
}

/// What a canary is called. One that was made again is the same to those who release with it.
pub(super) fn key(record: &Record) -> (&str, &str, &str) {
    (&record.cluster, &record.namespace, &record.canary)
}
