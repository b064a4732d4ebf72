//! The records of the repository that the settings name, for the verbs that read them.

pub(super) mod backtest;
pub(super) mod history;
pub(super) mod replay;
pub(super) mod report;
pub(super) mod verify;

use std::path::Path;

use crate::api::record::Record;
use crate::io::git::{Kept, Remote, What};
use crate::records;
use crate::records::chain::Filed;
use crate::settings::Settings;
use crate::signature::Verdict;

use crate::command::{UNUSABLE, output};

/// Reads the records, or says what is wrong and with which code to end.
fn read(settings: &Settings) -> Result<Vec<Filed>, u8> {
    let Some(records) = &settings.places.records else {
        output::error("DAVY_GIT_URL: is needed; it says where the records are");
        return Err(UNUSABLE);
    };
    let remote = Remote::new(records.settings.clone()).map_err(|problems| {
        for problem in problems {
            output::error(&problem.to_string());
        }
        UNUSABLE
    })?;
    let runtime = crate::command::runtime()?;
    match runtime.block_on(remote.read(records::FOLDER)) {
        Ok(trail) => Ok(trail.files.into_iter().map(filed).collect()),
        Err(error) => {
            output::error(&error.to_string());
            Err(UNUSABLE)
        }
    }
}

fn filed(kept: Kept) -> Filed {
    let changes = kept.changes.iter().map(|change| {
        let what = match change.what {
            What::Edited(_) => "changed",
            What::Removed => "removed",
            What::Restored(_) => "put back",
        };
        format!(
            "it was {what} by commit {} of {}",
            change.commit.id, change.commit.author
        )
    });
    Filed {
        changes: changes.collect(),
        path: kept.path,
        bytes: kept.bytes,
        commit: kept.added.id,
        at: kept.added.at,
        doubt: doubt(&kept.added.verdict),
    }
}

/// Why a signature is not to be believed.
fn doubt(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Good { .. } => None,
        Verdict::UnknownKey { fingerprint } => Some(format!(
            "signed by a key that nobody allowed, {fingerprint}"
        )),
        Verdict::Untimely {
            principal,
            fingerprint,
        } => Some(format!(
            "signed by the key {fingerprint} of {principal} at a time when it was not allowed"
        )),
        Verdict::Bad { why } => Some(format!("its signature is bad: {why}")),
        Verdict::Missing => Some("not signed".to_owned()),
    }
}

/// One record from a file.
fn file(path: &Path) -> Result<Record, u8> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string());
    bytes
        .and_then(|bytes| records::parse(&bytes))
        .map_err(|why| {
            output::error(&format!("{}: {why}", path.display()));
            UNUSABLE
        })
}
