//! A rendered query in PromQL: what was filled in stays in its place, so that no name and no variable
//! changes what a query asks. Pieces in, text out.

use super::template::Piece;

/// The query, each run of white space made one space, without comments.
///
/// The dots of a name are escaped where it is the whole of a `{{ … }}` in a pattern: they may be in a
/// Deployment's name, and would match any character there. All else goes in as it is.
///
/// On failure: a value ends the string that it stands in, or does not close what it opens.
pub(super) fn promql(pieces: &[Piece]) -> Result<String, String> {
    let mut query = Query::default();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => query.push(text),
            Piece::Name(function, text) => match query.place {
                Place::Text {
                    quote,
                    is_pattern: true,
                } if function != "interval" => {
                    let dot = if quote == '`' { "\\." } else { "\\\\." };
                    query.push(&text.replace('.', dot));
                }
                _ => query.fill(text)?,
            },
            Piece::Value(text) => query.fill(text)?,
        }
    }
    Ok(query.text.trim().to_owned())
}

#[derive(Default)]
struct Query {
    text: String,
    place: Place,
    is_escaped: bool,
}

/// Where the next character stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Bare,
    Text {
        quote: char,
        is_pattern: bool,
    },
    Comment,
}

impl Query {
    /// Appends what may stand for anything.
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            self.put(character);
        }
    }

    fn put(&mut self, character: char) {
        match self.place {
            Place::Comment => {
                if character == '\n' {
                    self.place = Place::Bare;
                }
                return;
            }
            Place::Bare if character == '#' => {
                self.place = Place::Comment;
                self.space();
                return;
            }
            Place::Bare if character.is_whitespace() => return self.space(),
            Place::Bare if matches!(character, '"' | '\'' | '`') => {
                let is_pattern = self.text.trim_end().ends_with('~');
                self.place = Place::Text {
                    quote: character,
                    is_pattern,
                };
            }
            Place::Bare => {}
            // A string in quotes goes over no line: Flagger makes one of such a query.
            Place::Text { quote, .. } if quote != '`' && matches!(character, '\n' | '\r') => {
                return self.space();
            }
            Place::Text { quote, .. } => {
                if character == quote && !self.is_escaped {
                    self.place = Place::Bare;
                }
            }
        }
        let is_text = matches!(self.place, Place::Text { quote, .. } if quote != '`');
        self.is_escaped = is_text && character == '\\' && !self.is_escaped;
        self.text.push(character);
    }

    fn space(&mut self) {
        if !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    /// Appends what must stay where it is.
    fn fill(&mut self, text: &str) -> Result<(), String> {
        let before = self.place;
        if before == Place::Bare {
            is_whole(text)?;
        }
        for character in text.chars() {
            self.put(character);
            if before != Place::Bare && self.place != before {
                return Err(format!(
                    "{text:?} ends the string or comment that it stands in"
                ));
            }
        }
        if self.place != before || (self.is_escaped && !text.is_empty()) {
            return Err(format!("{text:?} goes on into what follows it"));
        }
        Ok(())
    }
}

/// Whether a text outside of quotes closes what it opens, and nothing else.
fn is_whole(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut is_escaped = false;
    for character in text.chars() {
        if let Some(end) = quote {
            if character == end && !is_escaped {
                quote = None;
            }
            is_escaped = end != '`' && character == '\\' && !is_escaped;
            continue;
        }
        match character {
            '"' | '\'' | '`' => quote = Some(character),
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' => {
                let closed = open.pop().filter(|closed| *closed == character);
                closed.ok_or_else(|| format!("{text:?} closes what it has not opened"))?;
            }
            '#' => return Err(format!("{text:?} begins a comment")),
            _ => {}
        }
    }
    if open.is_empty() && quote.is_none() {
        Ok(())
    } else {
        Err(format!("{text:?} does not close what it opens"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, promql};

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    fn value(text: &str) -> Piece {
        Piece::Value(text.to_owned())
    }

    fn target(text: &str) -> Piece {
        Piece::Name("target".to_owned(), text.to_owned())
    }

    #[test]
    fn a_value_stays_where_it_stands() {
        let around = |before: &str, inner: &str, after: &str| {
            promql(&[literal(before), value(inner), literal(after)])
        };
        for (before, inner, after, query) in [
            ("m{a=\"", "x", "\"}", "m{a=\"x\"}"),
            ("m{a=~\"", "a.b|c\\\\d", "\"}", "m{a=~\"a.b|c\\\\d\"}"),
            ("m{a='", "say \"x\"", "'}", "m{a='say \"x\"'}"),
            ("m{", "a=\"b\",c=\"d}\"", "}", "m{a=\"b\",c=\"d}\"}"),
            ("m[", "5m", "]", "m[5m]"),
            ("m > ", "(1 + 2)", "", "m > (1 + 2)"),
            ("m # no ", "\"x", "\n + 1", "m + 1"),
        ] {
            assert_eq!(around(before, inner, after).as_deref(), Ok(query));
        }
        for (before, inner, after) in [
            ("m{a=\"", "x\"} or vector(1) or m{a=\"", "\"}"),
            ("m{a=\"", "x\"", "\"}"),
            ("m{a=\"", "x\\", "\"}"),
            ("m{a='", "x'} or vector(1) #", "'}"),
            ("m{a=`", "x`} or vector(1) #", "`}"),
            ("m{", "a=\"b\"} or vector(1) or m{c=\"d\"", "}"),
            ("m{", "a=\"b", "}"),
            ("m[", "5m] or vector(1) or x[1m", "]"),
            ("m > ", "1 #", " + 1"),
            ("m > ", "(1", ")"),
            ("m # no ", "\n or vector(1)", "\n"),
        ] {
            let found = around(before, inner, after);
            assert!(found.is_err(), "{before} {inner} {after}: {found:?}");
        }
    }

    #[test]
    fn a_name_in_a_pattern_matches_itself() {
        for (before, after, query) in [
            ("m{a=~\"", "-[0-9]+\"}", "m{a=~\"podinfo-v1\\\\.2-[0-9]+\"}"),
            ("m{a!~ `", "`}", "m{a!~ `podinfo-v1\\.2`}"),
            ("m{a=\"", "\"}", "m{a=\"podinfo-v1.2\"}"),
            ("m{a=\"~\",b=\"", "\"}", "m{a=\"~\",b=\"podinfo-v1.2\"}"),
        ] {
            let found = promql(&[literal(before), target("podinfo-v1.2"), literal(after)]);
            assert_eq!(found.as_deref(), Ok(query));
        }
    }

    #[test]
    fn lines_are_one_and_comments_go() {
        let query = "\n# how many\nsum(\n\trate(m{a=\"b  c\n d\"}[1m]) # all\n)\n";
        let found = promql(&[literal(query)]);
        assert_eq!(found.as_deref(), Ok("sum( rate(m{a=\"b  c  d\"}[1m]) )"));
    }
}
