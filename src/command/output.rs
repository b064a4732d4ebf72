//! The one place that writes to people and pipes.

use std::io::{IsTerminal, Write};

/// Writes a line of the result. A reader that has gone away is no error of ours.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Says what went wrong, to people.
pub(super) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
}

/// Whether the result may carry colour: a terminal, and nobody said NO_COLOR.
pub(super) fn has_colour() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
