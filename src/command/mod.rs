//! The verbs, one a file. Each reads its arguments, calls the library, and shows what came of it.

mod crds;
mod log;
mod output;
mod rbac;
mod run;
mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

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
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the verb that the process was called with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Also where it is only --help or --version that ends the parsing.
            let code = if error.use_stderr() { UNUSABLE } else { DONE };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let code = match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Crds(arguments) => crds::run(&arguments),
        Verb::Rbac(arguments) => rbac::run(&arguments),
    };
    ExitCode::from(code)
}
