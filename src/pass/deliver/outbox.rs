//! Delivering what the outboxes hold: the promotion records of a pass, in one commit. An entry
//! leaves its outbox only after proof that it arrived, in a write of its own that no claim waits
//! for; killed between the two, the next pass finds the record there and takes the entry out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::record::{OutboxEntry, Record};
use crate::io::cluster::{Cluster, Error};
use crate::io::git::{self, File, Remote, RemoteSettings};
use crate::objects::CANARY;
use crate::pass::claim;
use crate::pass::report::Report;
use crate::records;

/// The name of the Git repository among the places that an entry waits for.
pub const GIT: &str = "git";

/// A conflict that comes back this often has another writer who does not stop; the entry stays for
/// the next pass.
const ATTEMPTS: u32 = 3;

/// Where records go, and what commits bear besides what they hold.
#[derive(Clone, Debug)]
pub struct Records {
    /// Read anew with each delivery: credentials are rotated.
    pub settings: RemoteSettings,
    /// A token by which a build server leaves a commit alone, such as `[skip ci]`.
    pub skip_ci: Option<String>,
}

impl Records {
    /// The repository, with the files read that the settings name.
    ///
    /// On failure: everything that is wrong with them at once. Whoever writes records must sign.
    pub fn remote(&self) -> Result<Remote, Vec<String>> {
        let settings = &self.settings;
        let needed = [
            ("DAVY_GIT_AUTHOR", settings.author.is_none()),
            (
                "DAVY_GIT_SIGNING_KEY_FILE",
                settings.signing_key_file.is_none(),
            ),
            (
                "DAVY_GIT_ALLOWED_SIGNERS_FILE",
                settings.allowed_signers_file.is_none(),
            ),
        ];
        let missing = needed.into_iter().filter(|(_, is_missing)| *is_missing);
        let mut problems: Vec<_> = missing
            .map(|(setting, _)| format!("{setting}: is needed to commit promotion records"))
            .collect();
        match Remote::new(settings.clone()) {
            Ok(remote) if problems.is_empty() => return Ok(remote),
            Ok(_) => {}
            Err(wrong) => problems.extend(wrong.iter().map(ToString::to_string)),
        }
        Err(problems)
    }
}

/// The records that wait for Git, by canary as `namespace/name`: as the pass read them, or as it
/// left them.
pub fn waiting(canaries: &[Canary], report: &Report) -> BTreeMap<String, Vec<Record>> {
    let read: BTreeMap<String, _> = canaries
        .iter()
        .filter_map(|canary| Some((canary, canary.status.as_ref()?)))
        .filter(|(_, status)| !status.outbox.is_empty())
        .map(|(canary, status)| (crate::pass::name_of(canary), status))
        .collect();
    let handled = report.canaries.iter().filter_map(|handled| {
        let status = handled
            .status
            .as_deref()
            .or_else(|| read.get(&handled.canary).copied())?;
        let entries = status.outbox.iter().filter_map(entry);
        let waiting = entries.filter(|entry| entry.to.iter().any(|place| place == GIT));
        let records: Vec<_> = waiting.map(|entry| entry.record).collect();
        (!records.is_empty()).then(|| (handled.canary.clone(), records))
    });
    handled.collect()
}

/// An entry that this version can read; others are somebody else's to deliver.
fn entry(value: &Value) -> Option<OutboxEntry> {
    serde_json::from_value(value.clone()).ok()
}

/// What is left of an entry once these records have arrived; nothing if it waits for no other place.
fn left(value: Value, delivered: &[Record]) -> Option<Value> {
    let Some(mut entry) = entry(&value).filter(|entry| delivered.contains(&entry.record)) else {
        return Some(value);
    };
    entry.to.retain(|place| place != GIT);
    let is_waiting = !entry.to.is_empty();
    is_waiting.then(|| serde_json::to_value(entry).unwrap_or(value))
}

/// Delivers the records, and takes those from the outboxes that are seen to have arrived.
///
/// # On failure
/// What is wrong, for the summary of the pass; nothing is lost, and the next pass tries again.
pub async fn deliver(
    cluster: &Cluster,
    records: &Records,
    waiting: BTreeMap<String, Vec<Record>>,
) -> Vec<String> {
    let all: Vec<&Record> = waiting.values().flatten().collect();
    let Some(newest) = all.iter().map(|record| record.time.0).max() else {
        return Vec::new();
    };
    let message = message(&all, records.skip_ci.as_deref());
    let remote = match records.remote() {
        Ok(remote) => remote,
        Err(problems) => return problems,
    };
    if let Err(error) = push(&remote, &all, &message, newest).await {
        return vec![format!("{} records not in Git yet: {error}", all.len())];
    }
    let mut problems = Vec::new();
    for (name, records) in &waiting {
        if let Err(error) = forget(cluster, name, records).await {
            problems.push(format!("outbox of Canary {name}: {error}"));
        }
    }
    problems
}

/// Pushes the records. One that finds another at its place, as after the Canary was made anew,
/// goes beside it.
async fn push(
    remote: &Remote,
    all: &[&Record],
    message: &str,
    at: Timestamp,
) -> Result<(), git::Error> {
    let file = |record: &Record, path: String| File {
        path,
        bytes: records::bytes(record),
    };
    let mut files: Vec<File> = all
        .iter()
        .map(|record| file(record, records::path(record)))
        .collect();
    loop {
        match remote.deliver(files.clone(), message, at).await {
            Ok(_) => return Ok(()),
            Err(git::Error::Occupied { path }) => {
                let place = files.iter().position(|file| file.path == path);
                let other = place.map(|place| (place, records::other_path(all[place])));
                match other.filter(|(_, other)| *other != path) {
                    Some((place, other)) => files[place] = file(all[place], other),
                    None => return Err(git::Error::Occupied { path }),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Takes delivered records from an outbox.
async fn forget(cluster: &Cluster, name: &str, delivered: &[Record]) -> Result<(), Error> {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    let mut last = Error::Conflict;
    for _ in 0..ATTEMPTS {
        let canary = match cluster.get(&CANARY, namespace, name).await {
            Ok(canary) => claim::parse(canary)?,
            // Its outbox is gone with it.
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        let status = canary.status.clone().unwrap_or_default();
        let mut next = status.clone();
        let outbox = next.outbox.into_iter();
        next.outbox = outbox.filter_map(|value| left(value, delivered)).collect();
        if next == status {
            return Ok(());
        }
        match claim::write(cluster, &canary, &next).await {
            Ok(_) => return Ok(()),
            // Whether it was carried out shows when it is read again.
            Err(error @ (Error::Conflict | Error::Unanswered(_))) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// What the commit says: one line for people, and trailers for `git log --grep`.
fn message(all: &[&Record], skip_ci: Option<&str>) -> String {
    let subject = match all {
        [record] => in_words(record),
        all => format!("{} promotion records", all.len()),
    };
    let token = skip_ci.map(|token| format!(" {token}")).unwrap_or_default();
    let mut message = format!("{subject}{token}\n\n");
    if let [_, _, ..] = all {
        for record in all {
            message = format!("{message}{}\n", in_words(record));
        }
        message.push('\n');
    }
    for record in all {
        let Record {
            cluster,
            namespace,
            canary,
            step,
            outcome,
            ..
        } = record;
        message =
            format!("{message}Davy-Record: {cluster}/{namespace}/{canary} {step} {outcome}\n");
    }
    message
}

fn in_words(record: &Record) -> String {
    let images = |images: &[String]| images.join(", ");
    let change = record.release.as_ref().map(|release| {
        let from = release.from.as_ref().map(|from| images(&from.images));
        match from {
            Some(from) => format!(": {from} → {}", images(&release.to.images)),
            None => format!(": {}", images(&release.to.images)),
        }
    });
    let line = format!(
        "{}/{} {}{}",
        record.namespace,
        record.canary,
        record.outcome,
        change.unwrap_or_default()
    );
    // Image names are texts of users: nothing in them may begin another line.
    line.chars()
        .filter(|character| !character.is_control())
        .collect()
}
