//! Long lines in the columns of a terminal. Every character counts as one column.

/// The lines that a line becomes: broken between words where it can be, and indented but for the
/// first. Nothing of it is lost but blanks at breaks.
pub(super) fn wrapped(line: &str, width: Option<usize>, indent: usize) -> Vec<String> {
    let Some(width) = width.filter(|width| *width > indent + 1) else {
        return vec![line.to_owned()];
    };
    let mut lines = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > width {
        let begins = if lines.is_empty() { 0 } else { indent };
        // A break before the first word would leave a blank line.
        let first = rest.iter().skip(begins).position(|letter| *letter != ' ');
        let first = begins + first.unwrap_or(0);
        let blank = (first..=width).rev().find(|at| rest[*at] == ' ');
        let at = blank.unwrap_or(width);
        let after: String = rest[at..].iter().collect();
        lines.push(rest[..at].iter().collect::<String>().trim_end().to_owned());
        let after = format!("{}{}", " ".repeat(indent), after.trim_start());
        rest = after.chars().collect();
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_between_words_and_nothing_is_lost() {
        for (line, expected) in [
            ("", vec![""]),
            ("just as wide", vec!["just as wide"]),
            ("one two three four", vec!["one two", "  three four"]),
            ("Überlänge größer", vec!["Überlänge", "  größer"]),
            ("abcdefghijklmnopq", vec!["abcdefghijkl", "  mnopq"]),
            ("  a bcdefghijklmn", vec!["  a", "  bcdefghijk", "  lmn"]),
        ] {
            assert_eq!(wrapped(line, Some(12), 2), expected, "{line:?}");
            assert_eq!(wrapped(line, None, 2), [line]);
        }
    }
}
