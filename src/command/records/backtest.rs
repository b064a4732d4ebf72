//! `davy backtest`: what another policy would have made of the releases that were.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::record::Outcome;
use crate::command::{DONE, Format, output};
use crate::records::{self, chain};
use crate::report::replay::{Fate, Policy, backtest};

/// Judge the recorded checks under another policy.
///
/// A release that was rolled back has no checks beyond that: where the other policy would have
/// gone on, its end is unknown.
#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Failed checks that roll back.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..))]
    threshold: Option<i64>,
    /// The least value of a metric that passes.
    #[arg(long, value_name = "METRIC=VALUE", value_parser = bound)]
    min: Vec<(String, f64)>,
    /// The greatest value of a metric that passes.
    #[arg(long, value_name = "METRIC=VALUE", value_parser = bound)]
    max: Vec<(String, f64)>,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

fn bound(text: &str) -> Result<(String, f64), String> {
    let (metric, value) = text.split_once('=').ok_or("expected METRIC=VALUE")?;
    match value.parse() {
        Ok(value) if f64::is_finite(value) => Ok((metric.to_owned(), value)),
        _ => Err(format!("\"{value}\" is not a number")),
    }
}

pub(in crate::command) fn run(arguments: &Arguments) -> u8 {
    let files = match crate::command::settings().and_then(|settings| super::read(&settings)) {
        Ok(files) => files,
        Err(code) => return code,
    };
    let policy = Policy {
        threshold: arguments.threshold,
        min: arguments.min.iter().cloned().collect::<BTreeMap<_, _>>(),
        max: arguments.max.iter().cloned().collect(),
    };
    let mut changed = 0;
    let mut judged = 0;
    for (_, record) in chain::readable(&files) {
        let Some(fate) = backtest(&record, &policy) else {
            continue;
        };
        judged += 1;
        let is_other = match fate {
            Fate::RolledBack { .. } => record.outcome != Outcome::RolledBack,
            Fate::Promoted | Fate::Unknown => record.outcome == Outcome::RolledBack,
        };
        changed += usize::from(is_other);
        let path = records::path(&record);
        output::line(&match arguments.output {
            Format::Json => json!({
                "path": path,
                "was": record.outcome,
                "promoted": match fate {
                    Fate::Promoted => Some(true),
                    Fate::RolledBack { .. } => Some(false),
                    Fate::Unknown => None,
                },
                "differs": is_other,
            })
            .to_string(),
            Format::Text => {
                let mark = if is_other { "!" } else { " " };
                format!("{mark} {path}: {}", in_words(fate))
            }
        });
    }
    if arguments.output == Format::Text {
        output::line(&format!(
            "{judged} releases with checks, {changed} would have come otherwise"
        ));
    }
    DONE
}

fn in_words(fate: Fate) -> String {
    match fate {
        Fate::Promoted => "promoted".to_owned(),
        Fate::RolledBack { step, weight } => format!("rolled back in step {step}, at {weight} %"),
        Fate::Unknown => "goes on beyond what was recorded".to_owned(),
    }
}
