//! Delivering promotion records: those of a pass in one commit.

use std::collections::BTreeMap;

use crate::api::record::{News, OutboxEntry, Record};
use crate::io::git::{self, Change, File, Kept, Remote, RemoteSettings, What};
use crate::pass::deliver::outbox::{Delivered, Entries};
use crate::records;
use crate::records::chain::Filed;

/// The name of the Git repository among the places that an entry waits for.
pub const GIT: &str = "git";

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

/// Delivers the records that wait for Git. One that cannot become a file does not hold the others.
///
/// # On failure
/// What is wrong is for the summary of the pass, beside what was delivered all the same.
pub async fn deliver(records: &Records, waiting: &Entries) -> (Delivered, Vec<String>) {
    let of_git = |entries: &Vec<OutboxEntry>| -> Vec<Record> {
        let waiting = entries.iter().filter(|entry| entry.waits_for(GIT));
        let record = |entry: &OutboxEntry| match &entry.news {
            News::Record(record) => Some((**record).clone()),
            News::Told(_) | News::Revert(_) => None,
        };
        waiting.filter_map(record).collect()
    };
    let waiting: BTreeMap<&String, Vec<Record>> = waiting
        .iter()
        .map(|(canary, entries)| (canary, of_git(entries)))
        .filter(|(_, records)| !records.is_empty())
        .collect();
    let mut delivered = Delivered::default();
    let mut problems = Vec::new();
    let mut fit = Vec::new();
    for (canary, records) in &waiting {
        for record in records {
            match unfit(canary, record) {
                None => fit.push((canary.as_str(), record)),
                Some(why) => problems.push(not_filed(canary, record, &why)),
            }
        }
    }
    if fit.is_empty() {
        return (delivered, problems);
    }
    let remote = match records.remote() {
        Ok(remote) => remote,
        Err(wrong) => return (delivered, [problems, wrong].concat()),
    };
    match push(&remote, &mut fit, records.skip_ci.as_deref()).await {
        Ok(occupied) => {
            problems.extend(occupied);
            for (canary, record) in fit {
                delivered.add(canary, GIT, News::Record(Box::new(record.clone())));
            }
        }
        Err(error) => problems.push(format!("{} records not in Git yet: {error}", fit.len())),
    }
    (delivered, problems)
}

/// Why a record of a canary's outbox cannot be a file. Status may be written by others than Davy,
/// and what it names becomes a path.
fn unfit(canary: &str, record: &Record) -> Option<String> {
    let own = format!("{}/{}", record.namespace, record.canary);
    if own != canary {
        return Some(format!("it is a record of {own}"));
    }
    records::unfit(record)
}

fn not_filed(canary: &str, record: &Record, why: &str) -> String {
    let Record { step, outcome, .. } = record;
    format!("{canary}: the record {step} {outcome} cannot be put into Git: {why}")
}

/// A record's file with what is to be thought of it.
pub fn filed(kept: &Kept) -> Filed {
    let mut changes: Vec<_> = kept.changes.iter().map(in_history).collect();
    if kept.is_too_large {
        changes.push("it is too large to be read".to_owned());
    }
    Filed {
        changes,
        path: kept.path.clone(),
        bytes: kept.bytes.clone(),
        commit: kept.added.id.clone(),
        at: kept.added.at,
        doubt: kept.added.doubt(),
    }
}

/// What a commit did to a file.
fn in_history(Change { what, commit }: &Change) -> String {
    let what = match what {
        What::Edited(_) => "changed",
        What::Removed => "removed",
        What::Restored(_) => "put back",
    };
    format!("it was {what} by commit {} of {}", commit.id, commit.author)
}

/// Pushes the records of these canaries. One that finds another at its place, as after the Canary
/// was made anew, goes beside it; one that finds both places taken is left out, and said.
async fn push(
    remote: &Remote,
    fit: &mut Vec<(&str, &Record)>,
    skip_ci: Option<&str>,
) -> Result<Vec<String>, git::Error> {
    let mut problems = Vec::new();
    let first = fit.iter().map(|(_, record)| records::path(record));
    let mut paths: Vec<_> = first.collect();
    loop {
        let all: Vec<_> = fit.iter().map(|(_, record)| *record).collect();
        let Some(newest) = all.iter().map(|record| record.time.0).max() else {
            return Ok(problems);
        };
        let files = paths.iter().zip(&all).map(|(path, record)| File {
            path: path.clone(),
            bytes: records::bytes(record),
        });
        let message = message(&all, skip_ci);
        match remote.deliver(files.collect(), &message, newest).await {
            Ok(_) => return Ok(problems),
            Err(git::Error::Occupied { path }) => {
                let Some(place) = paths.iter().position(|other| *other == path) else {
                    return Err(git::Error::Occupied { path });
                };
                let other = records::other_path(all[place]);
                if other == path {
                    let (canary, record) = fit.remove(place);
                    let why = git::Error::Occupied { path }.to_string();
                    problems.push(not_filed(canary, record, &why));
                    paths.remove(place);
                } else {
                    paths[place] = other;
                }
            }
            Err(error) => return Err(error),
        }
    }
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
