//! The records of the repository that the settings name, for the verbs that read them.

pub(super) mod backtest;
pub(super) mod history;
pub(super) mod replay;
pub(super) mod report;
pub(super) mod verify;

use std::path::Path;

use crate::api::record::Record;
use crate::io::git::Remote;
use crate::pass::deliver::records::filed;
use crate::records;
use crate::records::chain::Filed;
use crate::settings::Settings;

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
        Ok(trail) => Ok(trail.files.iter().map(filed).collect()),
        Err(error) => {
            output::error(&error.to_string());
            Err(UNUSABLE)
        }
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
