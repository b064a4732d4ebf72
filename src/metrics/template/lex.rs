//! A template's text in, its tokens out: text, and what stands between `{{` and `}}`.

/// One token, and the line that it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Open,
    Close,
    Space,
    /// A function or a keyword.
    Word(String),
    /// `.name`, without the dot.
    Field(String),
    Dot,
    /// With its `$`.
    Variable(String),
    /// The content of a string, its quotes and escapes undone.
    Quoted(String),
    Number(String),
    Character(char),
    Declare,
    Assign,
    Comma,
    Pipe,
    Left,
    Right,
}

/// On failure: names the line, and what is wrong there.
pub(super) fn tokens(template: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer {
        rest: template,
        line: 1,
        tokens: Vec::new(),
    };
    lexer
        .template()
        .map_err(|why| format!("line {}: {why}", lexer.line))?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn template(&mut self) -> Result<(), String> {
        let mut is_trimmed = false;
        loop {
            let (text, is_last) = match self.rest.find("{{") {
                Some(at) => (&self.rest[..at], false),
                None => (self.rest, true),
            };
            let after = &self.rest[text.len()..];
            let trims = !is_last && trims_before(&after[2..]);
            let mut kept = text;
            if is_trimmed {
                kept = kept.trim_start_matches(is_space);
            }
            if trims {
                kept = kept.trim_end_matches(is_space);
            }
            if !kept.is_empty() {
                self.push(Kind::Text(kept.to_owned()));
            }
            self.take(text.len());
            if is_last {
                return Ok(());
            }
            self.take(2);
            if trims {
                // The dash; the blank after it is one of the action, or before a comment.
                self.take(1);
            }
            let inner = if trims {
                self.rest.trim_start_matches(is_space)
            } else {
                self.rest
            };
            is_trimmed = if inner.starts_with("/*") {
                self.take(self.rest.len() - inner.len());
                self.comment()?
            } else {
                self.push(Kind::Open);
                self.action()?
            };
        }
    }

    /// Whether the text after it is trimmed.
    fn comment(&mut self) -> Result<bool, String> {
        let end = self.rest.find("*/").ok_or("a comment is not closed")?;
        self.take(end + 2);
        self.close()
            .ok_or_else(|| "a comment ends before its \"}}\"".to_owned())
    }

    /// Goes past `}}` or ` -}}`, if that is next.
    fn close(&mut self) -> Option<bool> {
        if self.rest.starts_with("}}") {
            self.take(2);
            return Some(false);
        }
        let after = self.rest.strip_prefix(is_space)?;
        after.starts_with("-}}").then(|| {
            self.take(4);
            true
        })
    }

    fn action(&mut self) -> Result<bool, String> {
        let mut depth = 0_usize;
        loop {
            if let Some(is_trimmed) = self.close() {
                if depth > 0 {
                    return Err("\"(\" is not closed".to_owned());
                }
                self.push(Kind::Close);
                return Ok(is_trimmed);
            }
            let Some(first) = self.rest.chars().next() else {
                return Err("\"{{\" is not closed".to_owned());
            };
            match first {
                first if is_space(first) => self.spaces(),
                '=' => self.symbol(Kind::Assign, 1),
                ':' if self.rest.starts_with(":=") => self.symbol(Kind::Declare, 2),
                '|' => self.symbol(Kind::Pipe, 1),
                ',' => self.symbol(Kind::Comma, 1),
                '(' => {
                    depth += 1;
                    self.symbol(Kind::Left, 1);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or("\")\" closes nothing")?;
                    self.symbol(Kind::Right, 1);
                }
                '"' => self.quoted()?,
                '`' => self.raw()?,
                '\'' => self.character()?,
                '.' if !self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                    let name = self.name(1);
                    let kind = if name.len() == 1 {
                        Kind::Dot
                    } else {
                        Kind::Field(name[1..].to_owned())
                    };
                    self.word(name, kind)?;
                }
                '$' => {
                    let name = self.name(1);
                    self.word(name, Kind::Variable(name.to_owned()))?;
                }
                '+' | '-' | '.' | '0'..='9' => self.number()?,
                first if is_of_name(first) => {
                    let name = self.name(0);
                    self.word(name, Kind::Word(name.to_owned()))?;
                }
                other => return Err(format!("{other:?} has no meaning here")),
            }
        }
    }

    fn spaces(&mut self) {
        let mut end = 0;
        for space in self.rest.chars().take_while(|next| is_space(*next)) {
            // The last blank before `-}}` belongs to it.
            if end > 0 && self.rest[end..].len() > 3 && self.rest[end + 1..].starts_with("-}}") {
                break;
            }
            end += space.len_utf8();
        }
        self.symbol(Kind::Space, end);
    }

    /// The name that begins here, after `skipped` bytes that are part of it.
    fn name(&self, skipped: usize) -> &'a str {
        let end = self.rest[skipped..]
            .find(|next| !is_of_name(next))
            .map_or(self.rest.len(), |end| end + skipped);
        &self.rest[..end]
    }

    fn word(&mut self, text: &str, kind: Kind) -> Result<(), String> {
        let after = &self.rest[text.len()..];
        let ends = after.is_empty()
            || after.starts_with("}}")
            || after.starts_with(|next: char| is_space(next) || ".,|:)(".contains(next));
        if !ends {
            let next = after.chars().next().unwrap_or_default();
            return Err(format!("{next:?} has no meaning after {text:?}"));
        }
        self.symbol(kind, text.len());
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), String> {
        let mut escaped = false;
        let end = self.rest[1..].char_indices().find_map(|(at, next)| {
            let is_end = (next == '"' && !escaped) || next == '\n';
            escaped = next == '\\' && !escaped;
            is_end.then_some((at + 1, next))
        });
        let Some((end, '"')) = end else {
            return Err("a string is not closed".to_owned());
        };
        let text = unquoted(&self.rest[1..end]).ok_or("a string has a wrong escape")?;
        self.symbol(Kind::Quoted(text), end + 1);
        Ok(())
    }

    fn raw(&mut self) -> Result<(), String> {
        let end = self.rest[1..]
            .find('`')
            .ok_or("a raw string is not closed")?;
        // As in Go's own source.
        let text = self.rest[1..=end].replace('\r', "");
        self.symbol(Kind::Quoted(text), end + 2);
        Ok(())
    }

    fn character(&mut self) -> Result<(), String> {
        let mut escaped = false;
        let end = self.rest[1..].char_indices().find_map(|(at, next)| {
            let is_end = (next == '\'' && !escaped) || next == '\n';
            escaped = next == '\\' && !escaped;
            is_end.then_some((at + 1, next))
        });
        let Some((end, '\'')) = end else {
            return Err("a character is not closed".to_owned());
        };
        let text = self.rest[1..end].replace("\\'", "'");
        let mut characters = unquoted(&text).unwrap_or_default();
        let (Some(character), true) = (characters.pop(), characters.is_empty()) else {
            return Err("quotes ' hold one character".to_owned());
        };
        self.symbol(Kind::Character(character), end + 1);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let mut previous = ' ';
        let end = self.rest.char_indices().find_map(|(at, next)| {
            let is_sign = "+-".contains(next) && (at == 0 || "eEpP".contains(previous));
            let is_hex = self.rest.trim_start_matches(['+', '-']).starts_with(['0'])
                && self.rest.contains(['x', 'X']);
            let is_sign = is_sign && !(is_hex && "eE".contains(previous));
            previous = next;
            (!is_sign && next != '.' && !is_of_name(next)).then_some(at)
        });
        let text = &self.rest[..end.unwrap_or(self.rest.len())];
        let text = text.to_owned();
        self.word(&text, Kind::Number(text.clone()))
    }

    fn symbol(&mut self, kind: Kind, length: usize) {
        self.push(kind);
        self.take(length);
    }

    fn push(&mut self, kind: Kind) {
        let line = self.line;
        self.tokens.push(Token { kind, line });
    }

    fn take(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
    }
}

/// Whether `-` and a blank follow the `{{`, so that the text before it is trimmed.
fn trims_before(after: &str) -> bool {
    after
        .strip_prefix('-')
        .is_some_and(|after| after.starts_with(is_space))
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_of_name(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// The text that a quoted one stands for.
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = Vec::new();
    let mut rest = quoted.chars();
    let mut buffer = [0; 4];
    while let Some(next) = rest.next() {
        if next != '\\' {
            text.extend_from_slice(next.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let escape = rest.next()?;
        let mut digits = |first: Option<char>, count: usize, radix: u32| {
            let digits: String = first.into_iter().chain(rest.by_ref().take(count)).collect();
            let is_whole = digits.chars().all(|digit| digit.is_digit(radix));
            let number = u32::from_str_radix(&digits, radix).ok();
            number.filter(|_| {
                is_whole && digits.chars().count() == count + usize::from(first.is_some())
            })
        };
        let character = match escape {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            '"' => '"',
            'x' => {
                text.push(u8::try_from(digits(None, 2, 16)?).ok()?);
                continue;
            }
            '0'..='7' => {
                text.push(u8::try_from(digits(Some(escape), 2, 8)?).ok()?);
                continue;
            }
            'u' => char::from_u32(digits(None, 4, 16)?)?,
            'U' => char::from_u32(digits(None, 8, 16)?)?,
            _ => return None,
        };
        text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }
    String::from_utf8(text).ok()
}
