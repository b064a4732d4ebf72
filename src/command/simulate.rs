//! `davy simulate`: rehearses scenarios on a cluster in memory.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::{DONE, INCOMPLETE, UNUSABLE, output};
use crate::simulate::expect::junit::{self, Suite};
use crate::simulate::expect::{self, Expectation};
use crate::simulate::play::{Play, Transcript};
use crate::simulate::scenario::{Scenario, Unusable};
use crate::simulate::transcript::{self, Style};

/// Rehearse scenarios on a cluster in memory, in virtual time.
///
/// A scenario is a folder with cluster.yaml (the objects a cluster starts with) and script.yaml
/// (what happens, and what is expected). A folder of scenarios is played one after the other.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folders of scenarios.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// How the transcripts are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Junit,
}

/// Columns of the terminals that everybody has.
const TERMINAL_WIDTH: usize = 80;

pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("starting the runtime: {error}"));
            return UNUSABLE;
        }
    };
    let mut suites = Vec::new();
    let mut code = DONE;
    for folder in arguments
        .folders
        .iter()
        .flat_map(|folder| scenarios(folder))
    {
        match runtime.block_on(rehearse(&folder)) {
            Ok((transcript, met)) => {
                show(&transcript, &met, arguments.output);
                if met.iter().any(|expectation| expectation.failure.is_some()) {
                    code = code.max(INCOMPLETE);
                }
                suites.push(Suite {
                    name: transcript.name,
                    outcome: Ok(met),
                });
            }
            Err(error) => {
                let why = error.to_string();
                output::error(&why);
                code = UNUSABLE;
                let name = folder.file_name().unwrap_or(folder.as_os_str());
                let name = name.to_string_lossy().into_owned();
                if arguments.output == Format::Json {
                    output::line(&json!({ "scenario": name, "error": why }).to_string());
                }
                suites.push(Suite {
                    name,
                    outcome: Err(why),
                });
            }
        }
    }
    if arguments.output == Format::Junit {
        output::line(junit::junit(&suites).trim_end());
    }
    code
}

async fn rehearse(folder: &Path) -> Result<(Transcript, Vec<Expectation>), Unusable> {
    let scenario = Scenario::read(folder)?;
    let transcript = Play::new(scenario.clone())?.play().await;
    let met = expect::judge(&scenario, &transcript);
    Ok((transcript, met))
}

fn show(transcript: &Transcript, met: &[Expectation], format: Format) {
    match format {
        Format::Text => {
            let style = Style {
                has_colour: output::has_colour(),
                width: std::io::stdout().is_terminal().then_some(TERMINAL_WIDTH),
            };
            output::line(&transcript::text(transcript, met, style));
        }
        Format::Json => {
            let whole = json!({ "transcript": transcript, "expectations": met });
            output::line(&whole.to_string());
        }
        Format::Junit => {}
    }
}

/// The scenario in a folder, or those in the folders under it, by name.
fn scenarios(folder: &Path) -> Vec<PathBuf> {
    if folder.join("script.yaml").is_file() {
        return vec![folder.to_owned()];
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("script.yaml").is_file())
        .collect();
    found.sort();
    // A folder that is no scenario says so when it is read.
    if found.is_empty() {
        vec![folder.to_owned()]
    } else {
        found
    }
}
