//! `davy history`: the promotion records, as a table or as data.

use serde_json::json;

use crate::api::record::{Outcome, Record};
use crate::command::{DONE, Format, output};
use crate::records::chain::{self, Filed};

/// Show what was released: the promotion records in Git.
///
/// Reads the repository that DAVY_GIT_URL names; davy verify tells whether it is to be believed.
#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Only this canary.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = crate::command::canary)]
    canary: Option<(String, String)>,
    /// How the records are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(in crate::command) fn run(arguments: &Arguments) -> u8 {
    let files = match crate::command::settings().and_then(|settings| super::read(&settings)) {
        Ok(files) => files,
        Err(code) => return code,
    };
    let mut records: Vec<_> = chain::readable(&files)
        .filter(|(_, record)| is_chosen(arguments, record))
        .collect();
    records.sort_by_key(|(_, record)| record.time.0);
    match arguments.output {
        Format::Json => {
            for (file, record) in records {
                output::line(&as_data(file, &record));
            }
        }
        Format::Text => table(&records),
    }
    DONE
}

fn is_chosen(arguments: &Arguments, record: &Record) -> bool {
    let chosen = arguments.canary.as_ref();
    chosen.is_none_or(|(namespace, name)| (namespace, name) == (&record.namespace, &record.canary))
}

fn as_data(file: &Filed, record: &Record) -> String {
    json!({
        "path": file.path,
        "commit": file.commit,
        "digest": crate::records::digest(&file.bytes),
        "doubt": file.doubt,
        "record": record,
    })
    .to_string()
}

/// One line for each record; an outcome that is no success stands out by its word.
fn table(records: &[(&Filed, Record)]) {
    let heads = [
        "TIME",
        "CLUSTER",
        "CANARY",
        "STEP",
        "OUTCOME",
        "IMAGES",
        "FIELD MANAGER",
        "SIGNED",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for (file, record) in records {
        rows.push([
            record.time.0.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            record.cluster.clone(),
            format!("{}/{}", record.namespace, record.canary),
            record.step.to_string(),
            record.outcome.to_string(),
            images(record),
            record
                .release
                .as_ref()
                .and_then(|release| release.actor.clone())
                .unwrap_or_default(),
            if file.doubt.is_none() { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..heads.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        output::row(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// What changed: the tags, where only they differ.
fn images(record: &Record) -> String {
    let Some(release) = &record.release else {
        return String::new();
    };
    let to = release.to.images.join(",");
    match (&release.from, record.outcome) {
        (Some(from), outcome) if outcome != Outcome::Initialized => {
            format!("{} → {to}", from.images.join(","))
        }
        _ => to,
    }
}
