//! Queries in Flagger's template language: Go's text/template with functions for the names of a
//! canary. Text in, text out, exactly as Go has it; what is outside of the part that people use is
//! an error that names its place, and never text that goes out half rendered.

mod eval;
mod functions;
mod lex;
mod number;
mod parse;
mod pipeline;
mod printf;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// The functions that tell of a canary.
pub trait Functions {
    /// The value of `name`, `namespace`, `target`, `service`, `ingress`, `route` or `interval`.
    fn value(&self, name: &str) -> Option<String>;

    /// What `variables` gives.
    fn variables(&self) -> &BTreeMap<String, String>;
}

/// A piece of the output, by where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The template's own.
    Literal(String),
    /// The value of one function, and nothing else: the function, and the value.
    Name(String, String),
    /// Of anything else between `{{` and `}}`.
    Value(String),
}

impl Piece {
    pub fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Name(_, text) | Self::Value(text) => text,
        }
    }
}

/// The output of a template, piece by piece.
///
/// On failure: names the line of the template, and what is wrong there.
pub fn render(template: &str, functions: &dyn Functions) -> Result<Vec<Piece>, String> {
    let nodes = parse::parse(template)?;
    let mut run = eval::Run::new(functions);
    run.all(&nodes)?;
    Ok(run.pieces)
}
