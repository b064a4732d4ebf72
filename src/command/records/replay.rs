//! `davy replay`: decides again what a record says was decided.

use std::path::PathBuf;

use serde_json::json;

use crate::api::record::Record;
use crate::command::{DONE, Format, INCOMPLETE, output};
use crate::records::{self, chain};
use crate::report::replay::{self, Replayed};

/// Decide again from the recorded inputs, by the same rules; it must come to the same.
///
/// Exits with 1 where this Davy decides otherwise than the record says.
#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Files of records; without any, those of the repository that DAVY_GIT_URL names.
    #[arg(value_name = "RECORD")]
    files: Vec<PathBuf>,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(in crate::command) fn run(arguments: &Arguments) -> u8 {
    let records = if arguments.files.is_empty() {
        from_repository()
    } else {
        arguments
            .files
            .iter()
            .map(|path| super::file(path))
            .collect()
    };
    let records = match records {
        Ok(records) => records,
        Err(code) => return code,
    };
    let mut code = DONE;
    for record in &records {
        let replayed = replay::replay(record);
        if !replayed.disagreements.is_empty() {
            code = INCOMPLETE;
        }
        show(arguments.output, record, &replayed);
    }
    code
}

fn from_repository() -> Result<Vec<Record>, u8> {
    let files = crate::command::settings().and_then(|settings| super::read(&settings))?;
    Ok(chain::readable(&files).map(|(_, record)| record).collect())
}

fn show(format: Format, record: &Record, replayed: &Replayed) {
    let path = records::path(record);
    let Replayed {
        steps,
        taken,
        disagreements,
    } = replayed;
    if format == Format::Json {
        let line = json!({
            "path": path,
            "steps": steps,
            "taken": taken,
            "disagreements": disagreements,
        });
        return output::line(&line.to_string());
    }
    let verdict = if disagreements.is_empty() {
        "agrees"
    } else {
        "DISAGREES"
    };
    output::row(&format!(
        "{path}: {verdict}, {steps} steps decided again, {taken} without checks"
    ));
    for disagreement in disagreements {
        output::row(&format!("  {disagreement}"));
    }
}
