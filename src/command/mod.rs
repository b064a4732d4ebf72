//! The verbs, one a file. Each reads its arguments, calls the library, and shows what came of it.
#![expect(clippy::doc_markdown, reason = "--help shows backticks as they are")]

mod crds;
mod log;
mod output;
mod rbac;
mod records;
mod run;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use self::records::{backtest, history, replay, report, verify};
use crate::settings::Settings;

/// Everything that was asked for is done, or nothing was to do.
const DONE: u8 = 0;
/// Some canaries could not be handled.
const INCOMPLETE: u8 = 1;
/// Usage or configuration: the pass could not start.
const UNUSABLE: u8 = 2;

/// Progressive delivery for Kubernetes in a single pass.
///
/// Reads Flagger's Canary resources and their status, takes at most one gated step for each, and
/// exits. Settings are environment variables; see config/settings.env.
#[derive(Debug, Parser)]
#[command(name = "davy", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Arguments),
    Simulate(simulate::Arguments),
    Crds(crds::Arguments),
    Rbac(rbac::Arguments),
    History(history::Arguments),
    Verify(verify::Arguments),
    Replay(replay::Arguments),
    Backtest(backtest::Arguments),
    Report(report::Arguments),
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the verb that the process was called with.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // Its message may hold whatever was at hand: texts of others, or a secret.
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        output::error(&format!("a bug in davy, at {place}"));
    }));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Also where it is only --help or --version that ends the parsing.
            let code = if error.use_stderr() { UNUSABLE } else { DONE };
            output::usage(&error);
            return ExitCode::from(code);
        }
    };
    let code = match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Crds(arguments) => crds::run(&arguments),
        Verb::Rbac(arguments) => rbac::run(&arguments),
        Verb::History(arguments) => history::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Backtest(arguments) => backtest::run(&arguments),
        Verb::Report(arguments) => report::run(&arguments),
    };
    ExitCode::from(code)
}

/// The settings of the process; what is wrong with them is said, and the code to end with given.
fn settings() -> Result<Settings, u8> {
    // A variable of somebody else's may hold anything; one of ours that is not text is then told as
    // a wrong value.
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    Settings::from_variables(variables).map_err(|invalid| {
        for problem in invalid.0 {
            output::error(&problem);
        }
        UNUSABLE
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| {
        output::error(&format!("starting the runtime: {error}"));
        UNUSABLE
    })
}

fn canary(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}
