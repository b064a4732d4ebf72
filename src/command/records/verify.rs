//! `davy verify`: whether the promotion records are to be believed, and all there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::command::{DONE, Format, INCOMPLETE, UNUSABLE, output};
use crate::io;
use crate::io::cluster::{Cluster, Listed};
use crate::objects::CANARY;
use crate::records::chain;
use crate::settings::Settings;

/// Verify the promotion records in Git: signatures, chain of digests, gaps.
///
/// Believes the keys that DAVY_GIT_ALLOWED_SIGNERS_FILE allows. Exits with 1 if anything is wrong.
#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Also ask the cluster for each canary's last record: only that shows that the newest ones
    /// were not taken away.
    #[arg(long)]
    cluster: bool,
    /// How the findings are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(in crate::command) fn run(arguments: &Arguments) -> u8 {
    match crate::command::settings().and_then(|settings| check(arguments, &settings)) {
        Ok(code) | Err(code) => code,
    }
}

fn check(arguments: &Arguments, settings: &Settings) -> Result<u8, u8> {
    let files = super::read(settings)?;
    let known = if arguments.cluster {
        let runtime = crate::command::runtime()?;
        runtime.block_on(last_records(settings)).map_err(|error| {
            output::error(&error);
            UNUSABLE
        })?
    } else {
        BTreeMap::new()
    };
    let findings = chain::verify(&files, &known);
    let breaches = findings.iter().filter(|finding| finding.is_breach).count();
    for finding in &findings {
        let chain::Finding {
            path,
            what,
            is_breach,
        } = finding;
        output::row(&match arguments.output {
            Format::Json => json!({ "path": path, "what": what, "breach": is_breach }).to_string(),
            Format::Text if *is_breach => format!("{path}: {what}"),
            Format::Text => format!("{path}: note: {what}"),
        });
    }
    if arguments.output == Format::Text {
        output::line(&format!("{} records, {breaches} findings", files.len()));
    }
    Ok(if breaches == 0 { DONE } else { INCOMPLETE })
}

/// The digest of each canary's last record that is not waiting in its outbox any more.
async fn last_records(settings: &Settings) -> Result<BTreeMap<String, String>, String> {
    let io = io::real(&settings.allowed)
        .await
        .map_err(|error| io::cluster::chain(&error))?;
    let cluster = Cluster::new(io.kube_client());
    let canaries = cluster.list(&CANARY, &settings.scope, None).await;
    let canaries = canaries.map_err(|error| crate::pass::could_not_start(&error))?;
    // One that was left out would pass for one whose records are all there.
    let canaries: Vec<Value> = canaries
        .into_iter()
        .map(Listed::whole)
        .collect::<Result<_, _>>()?;
    let last = canaries.iter().filter_map(|canary| {
        let waits = !canary["status"]["outbox"]
            .as_array()
            .is_none_or(Vec::is_empty);
        let digest = canary["status"]["lastRecord"].as_str().filter(|_| !waits)?;
        let text = |field: &str| canary["metadata"][field].as_str().unwrap_or_default();
        let name = format!("Canary {}/{}", text("namespace"), text("name"));
        Some((name, digest.to_owned()))
    });
    Ok(last.collect())
}
