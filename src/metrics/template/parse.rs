//! Tokens in, the tree of a template out. What Go takes and this does not is refused by its name.

use super::lex::{Kind, Token, tokens};
use super::value::Value;

/// Templates nest no deeper than this.
const DEPTH_MAX: usize = 50;

/// A node of a template, with the line that it begins on.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(usize, Pipeline),
    If(usize, Branches),
    With(usize, Branches),
    Range(usize, Branches),
    Break,
    Continue,
}

/// A condition with what is done where it holds, and where it does not.
#[derive(Debug)]
pub(super) struct Branches {
    pub(super) condition: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    /// The variables that it sets.
    pub(super) variables: Vec<String>,
    /// Whether they are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// A function or a value, and its arguments.
pub(super) type Command = Vec<Operand>;

#[derive(Debug)]
pub(super) enum Operand {
    Function(String),
    Constant(Value),
    Nil,
    Dot,
    Variable(String),
    Pipeline(Pipeline),
    /// Fields of another operand: `.a.b`.
    Fields(Box<Operand>, Vec<String>),
}

/// On failure: names the line, and what is wrong there.
pub(super) fn parse(template: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser {
        tokens: tokens(template)?,
        at: 0,
        variables: Vec::new(),
        depth: 0,
        ranges: 0,
    };
    let located = |parser: &Parser, why: String| format!("line {}: {why}", parser.line());
    match parser.list() {
        Ok((nodes, End::Eof)) => Ok(nodes),
        Ok((_, end)) => {
            let why = format!("{{{{{}}}}} has nothing that it belongs to", end.word());
            Err(located(&parser, why))
        }
        Err(why) => Err(located(&parser, why)),
    }
}

/// What ended a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Eof,
    /// `{{end}}`.
    Here,
    Else,
    ElseIf,
    ElseWith,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Eof => "",
            Self::Here => "end",
            Self::Else => "else",
            Self::ElseIf => "else if",
            Self::ElseWith => "else with",
        }
    }
}

/// What kind of branches an action has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    With,
    Range,
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    pub(super) at: usize,
    /// Names that are declared here.
    pub(super) variables: Vec<String>,
    depth: usize,
    ranges: usize,
}

impl Parser {
    fn line(&self) -> usize {
        let at = self
            .at
            .saturating_sub(1)
            .min(self.tokens.len().saturating_sub(1));
        self.tokens.get(at).map_or(1, |token| token.line)
    }

    pub(super) fn next(&mut self) -> Option<Kind> {
        let token = self.tokens.get(self.at)?.kind.clone();
        self.at += 1;
        Some(token)
    }

    pub(super) fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.at += 1;
        }
    }

    /// One level down.
    pub(super) fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nests deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    pub(super) fn up(&mut self) {
        self.depth -= 1;
    }

    fn list(&mut self) -> Result<(Vec<Node>, End), String> {
        self.deeper()?;
        let mut nodes = Vec::new();
        loop {
            match self.next() {
                None => {
                    self.up();
                    return Ok((nodes, End::Eof));
                }
                Some(Kind::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => {
                    if let Some(end) = self.action(&mut nodes)? {
                        self.up();
                        return Ok((nodes, end));
                    }
                }
            }
        }
    }

    /// One action; what it ends, if it ends something.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<End>, String> {
        self.skip_spaces();
        let line = self.line();
        let keyword = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let control = match &*keyword {
            "if" => Control::If,
            "with" => Control::With,
            "range" => Control::Range,
            "end" => {
                self.at += 1;
                self.closed("end")?;
                return Ok(Some(End::Here));
            }
            "else" => return self.otherwise().map(Some),
            "break" | "continue" => {
                self.at += 1;
                if self.ranges == 0 {
                    return Err(format!("{{{{{keyword}}}}} outside of a range"));
                }
                self.closed(&keyword)?;
                nodes.push(if keyword == "break" {
                    Node::Break
                } else {
                    Node::Continue
                });
                return Ok(None);
            }
            "define" | "template" | "block" => {
                return Err(format!(
                    "{keyword} is not supported: a query is one template"
                ));
            }
            _ => {
                nodes.push(Node::Action(line, self.pipeline(false)?));
                return Ok(None);
            }
        };
        self.at += 1;
        nodes.push(self.control(line, control)?);
        Ok(None)
    }

    fn otherwise(&mut self) -> Result<End, String> {
        self.at += 1;
        self.skip_spaces();
        let end = match self.peek() {
            Some(Kind::Word(word)) if word == "if" => End::ElseIf,
            Some(Kind::Word(word)) if word == "with" => End::ElseWith,
            _ => {
                self.closed("else")?;
                return Ok(End::Else);
            }
        };
        self.at += 1;
        Ok(end)
    }

    fn closed(&mut self, word: &str) -> Result<(), String> {
        self.skip_spaces();
        match self.next() {
            Some(Kind::Close) => Ok(()),
            _ => Err(format!("{word} takes nothing")),
        }
    }

    fn control(&mut self, line: usize, control: Control) -> Result<Node, String> {
        let known = self.variables.len();
        self.deeper()?;
        let condition = self.pipeline(control == Control::Range)?;
        self.ranges += usize::from(control == Control::Range);
        let (then, end) = self.list()?;
        self.ranges -= usize::from(control == Control::Range);
        let otherwise = match (end, control) {
            (End::Here, _) => Vec::new(),
            (End::Else, _) => match self.list()? {
                (nodes, End::Here) => nodes,
                (_, End::Eof) => return Err("an action is not ended by {{end}}".to_owned()),
                (_, end) => return Err(format!("{{{{{}}}}} after {{{{else}}}}", end.word())),
            },
            (End::ElseIf, Control::If) | (End::ElseWith, Control::With) => {
                vec![self.control(self.line(), control)?]
            }
            (End::Eof, _) => return Err("an action is not ended by {{end}}".to_owned()),
            (end, _) => return Err(format!("{{{{{}}}}} does not fit its action", end.word())),
        };
        self.up();
        self.variables.truncate(known);
        let branches = Branches {
            condition,
            then,
            otherwise,
        };
        Ok(match control {
            Control::If => Node::If(line, branches),
            Control::With => Node::With(line, branches),
            Control::Range => Node::Range(line, branches),
        })
    }
}
