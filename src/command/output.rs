//! The one place that writes to people and pipes. Texts of the cluster and of remotes pass it, so
//! nothing that would steer a terminal, or be read in another order than it is written, leaves it
//! as it is: such a character is shown as its JSON escape, with which JSON keeps its value.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use crate::api::text::is_unprintable;

/// What begins and ends a line in colour.
const COLOURS: [&str; 3] = ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[90m"];
const COLOUR_END: &str = "\u{1b}[0m";

/// Writes lines of the result. A reader that has gone away is no error of ours.
pub(super) fn line(text: &str) {
    let lines: Vec<_> = text.split('\n').map(painted).collect();
    let _ = writeln!(std::io::stdout().lock(), "{}", lines.join("\n"));
}

/// Writes what has to stay one line: none of its texts can begin another.
pub(super) fn row(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", printable(text));
}

/// Says what went wrong, to people.
pub(super) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {}", printable(text));
}

/// Writes what the parser of arguments says: help to those who asked, the rest as an error.
pub(super) fn usage(error: &clap::Error) {
    let text = error.render().to_string();
    let lines: Vec<_> = text.trim_end().split('\n').map(printable).collect();
    let text = lines.join("\n");
    let _ = if error.use_stderr() {
        writeln!(std::io::stderr().lock(), "{text}")
    } else {
        writeln!(std::io::stdout().lock(), "{text}")
    };
}

/// Whether the result may carry colour: a terminal, and nobody said NO_COLOR.
pub(super) fn has_colour() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A text with nothing in it that is not shown.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A line as it is shown, in the colour that the whole of it was given.
fn painted(line: &str) -> Cow<'_, str> {
    let framed = COLOURS.iter().find_map(|colour| {
        let inner = line.strip_prefix(colour)?.strip_suffix(COLOUR_END)?;
        Some((colour, inner))
    });
    match framed {
        Some((colour, inner)) => Cow::Owned(format!("{colour}{}{COLOUR_END}", printable(inner))),
        None => printable(line),
    }
}

#[cfg(test)]
mod tests {
    use super::{painted, printable};

    #[test]
    fn what_steers_a_terminal_is_shown_as_its_escape() {
        for (text, shown) in [
            (
                "canary podinfo at 10 % → 20 %",
                "canary podinfo at 10 % → 20 %",
            ),
            ("a\u{1b}[2Jb", "a\\u001b[2Jb"),
            ("a\u{9b}2Jb\u{7f}", "a\\u009b2Jb\\u007f"),
            ("one\r\ntwo\tthree", "one\\u000d\\u000atwo\\u0009three"),
            (
                "\u{202e}gnp.exe\u{2066}\u{200f}\u{61c}",
                "\\u202egnp.exe\\u2066\\u200f\\u061c",
            ),
            ("\u{2028}\u{feff}\u{e0041}", "\\u2028\\ufeff\\udb40\\udc41"),
            // Joined emoji and scripts of the right stay as they are.
            ("👩\u{200d}🚀 שלום", "👩\u{200d}🚀 שלום"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({"why": "a\u{9b}2J \u{202e}b \u{e0041}\n"});
        let shown = printable(&value.to_string()).into_owned();
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }

    #[test]
    fn colour_is_of_a_whole_line_or_none() {
        let own = "\u{1b}[31mrolled back\u{1b}[0m";
        assert_eq!(painted(own), own);
        let inside = "\u{1b}[31mrolled\u{1b}[32m back\u{1b}[0m";
        assert_eq!(painted(inside), "\u{1b}[31mrolled\\u001b[32m back\u{1b}[0m");
        assert_eq!(
            painted("a \u{1b}[31mred\u{1b}[0m"),
            "a \\u001b[31mred\\u001b[0m"
        );
        assert_eq!(
            painted("\u{1b}[5mblinks\u{1b}[0m"),
            "\\u001b[5mblinks\\u001b[0m"
        );
    }
}
