//! Delivering promotion records: those of a pass in one commit.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::record::{News, OutboxEntry, Record};
use crate::io::git::{self, File, Remote, RemoteSettings};
use crate::pass::deliver::outbox::{Delivered, Entries};
use crate::records;

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

/// Delivers the records that wait for Git.
///
/// # On failure
/// Nothing is delivered, and what is wrong is for the summary of the pass.
pub async fn deliver(records: &Records, waiting: &Entries) -> Result<Delivered, Vec<String>> {
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
    let all: Vec<&Record> = waiting.values().flatten().collect();
    let Some(newest) = all.iter().map(|record| record.time.0).max() else {
        return Ok(Delivered::default());
    };
    let message = message(&all, records.skip_ci.as_deref());
    let remote = records.remote()?;
    if let Err(error) = push(&remote, &all, &message, newest).await {
        return Err(vec![format!(
            "{} records not in Git yet: {error}",
            all.len()
        )]);
    }
    let mut delivered = Delivered::default();
    for (canary, records) in waiting {
        for record in records {
            delivered.add(canary, GIT, News::Record(Box::new(record)));
        }
    }
    Ok(delivered)
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
