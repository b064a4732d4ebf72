//! What a template computes with: as much of Go's values as its functions and constants give.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Go's nil: the dot of a template that gets no data.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// The check's `templateVariables`.
    Map(Arc<BTreeMap<String, String>>),
}

impl Value {
    /// The name of its type in Go.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Map(_) => "map[string]string",
        }
    }

    /// Whether a condition holds: anything but nothing.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Map(map) => !map.is_empty(),
        }
    }

    /// As Go's `%v` writes it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => general(*value),
            Self::Text(text) => text.clone(),
            Self::Map(map) => {
                let mut text = "map[".to_owned();
                for (index, (key, value)) in map.iter().enumerate() {
                    let blank = if index == 0 { "" } else { " " };
                    let _ = write!(text, "{blank}{key}:{value}");
                }
                text + "]"
            }
        }
    }
}

/// Go's shortest form has an exponent from here on.
const EXPONENT_FROM: i32 = 6;

/// A number in the fewest digits that tell it from all others, with an exponent below 1e-4 and from
/// 1e6 on: Go's `%v` and `%g`.
pub(super) fn general(value: f64) -> String {
    if let Some(text) = not_finite(value) {
        return text.to_owned();
    }
    let scientific = format!("{value:e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
        .unwrap_or(0);
    if (-4..EXPONENT_FROM).contains(&exponent) {
        format!("{value}")
    } else {
        with_exponent(&scientific)
    }
}

/// What has no digits.
pub(super) fn not_finite(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// An exponent as Go writes it: with its sign, and two digits at least.
pub(super) fn with_exponent(scientific: &str) -> String {
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific.to_owned();
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}
