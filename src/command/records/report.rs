//! `davy report`: what was released in sum, as numbers or as a page.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;

use crate::command::{DONE, Format, UNUSABLE, output};
use crate::io::clock::Clock;
use crate::report::{Period, Since, Trail, dora, html, text};

/// Report what was released: DORA's metrics, or a page of all rollouts.
///
/// Reads the promotion records in the repository that DAVY_GIT_URL names.
///
/// The metrics are those of dora.dev:
///
/// Deployment frequency: promotions over the time.
///
/// Change lead time: from the commit (the target's annotation flagger.app/commit-time) to the
/// promotion, where that is known.
///
/// Change fail rate: rollbacks and failed promotions, of them and the promotions together. What was
/// superseded or reverted came to no verdict and does not count; a rollback does, although only a
/// part of the traffic has seen it.
///
/// Failed deployment recovery time (time to restore): from a failure to the same canary's next
/// promotion. Failures in a row are one, from the first.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dora", "html"]))]
pub(in crate::command) struct Arguments {
    /// DORA's metrics, in all and by canary.
    #[arg(long)]
    dora: bool,
    /// A page of them and of every rollout, in one file that needs no other; without FILE to
    /// standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    html: Option<PathBuf>,
    /// Only what ended since then: a date (UTC) like 2026-01-31, or a duration like 30d, 2w or 12h.
    /// Without it, since the first record.
    #[arg(long, value_name = "DATE|DURATION")]
    since: Option<Since>,
    /// How the metrics are written.
    #[arg(
        short,
        long,
        value_enum,
        default_value = "text",
        conflicts_with = "html"
    )]
    output: Format,
}

pub(in crate::command) fn run(arguments: &Arguments) -> u8 {
    match report(arguments) {
        Ok(()) => DONE,
        Err(code) => code,
    }
}

fn report(arguments: &Arguments) -> Result<(), u8> {
    let now = Clock::System.now();
    let since = since(arguments, now).map_err(|why| {
        output::error(&format!("--since: {why}"));
        UNUSABLE
    })?;
    let files = crate::command::settings().and_then(|settings| super::read(&settings))?;
    let trail = Trail::new(&files);
    let period = Period::new(since, trail.times(), now);
    let dora = dora::measure(trail.records(), period);
    match &arguments.html {
        Some(file) if file.as_os_str() == "-" => output::line(&html::page(&trail, &dora)),
        Some(file) => std::fs::write(file, html::page(&trail, &dora)).map_err(|error| {
            output::error(&format!("writing {}: {error}", file.display()));
            UNUSABLE
        })?,
        None => output::line(&match arguments.output {
            Format::Text => text::table(&dora, &trail),
            Format::Json => as_data(&dora, &trail),
        }),
    }
    Ok(())
}

fn since(arguments: &Arguments, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let since = arguments.since.as_ref();
    since.map(|since| since.before(now)).transpose()
}

fn as_data(dora: &dora::Dora, trail: &Trail<'_>) -> String {
    let mut data = json!(dora);
    let (read, doubted) = trail.doubted();
    let unreadable = trail.unreadable;
    data["records"] = json!({ "read": read, "doubted": doubted, "unreadable": unreadable });
    data.to_string()
}
