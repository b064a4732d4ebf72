//! The functions of a template that do not tell of a canary: Go's own.

use std::cmp::Ordering;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::printf;
use super::value::Value;

/// Those that tell of a canary, and then Go's.
const KNOWN: &[&str] = &[
    "name",
    "namespace",
    "target",
    "service",
    "ingress",
    "route",
    "interval",
    "variables",
    "and",
    "eq",
    "ge",
    "gt",
    "html",
    "index",
    "le",
    "len",
    "lt",
    "ne",
    "not",
    "or",
    "print",
    "printf",
    "println",
    "slice",
    "urlquery",
];

/// What is not encoded in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b' ');

/// The name of a function, if there is one of that name.
pub(super) fn known(name: &str) -> Result<&'static str, String> {
    KNOWN
        .iter()
        .copied()
        .find(|known| *known == name)
        .ok_or_else(|| {
            if matches!(name, "call" | "js") {
                return format!("function {name} is not supported");
            }
            format!(
                "there is no function {name}; known are {}",
                KNOWN.join(", ")
            )
        })
}

/// What a function makes of its arguments. `and` and `or` are not among them, since they do not look
/// at all of theirs.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            for other in others {
                if equal(first, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        ("ne", [left, right]) => equal(left, right).map(|equal| Value::Bool(!equal)),
        ("lt", [left, right]) => Ok(Value::Bool(order(left, right)?.is_lt())),
        ("le", [left, right]) => {
            let order = order(left, right)?;
            Ok(Value::Bool(order.is_le()))
        }
        ("gt", [left, right]) => Ok(Value::Bool(order(left, right)?.is_gt())),
        ("ge", [left, right]) => Ok(Value::Bool(order(left, right)?.is_ge())),
        ("len", [Value::Text(text)]) => length(text.len()),
        ("len", [Value::Map(map)]) => length(map.len()),
        ("index", [item, keys @ ..]) => {
            let indexed = |item: Value, key: &Value| index(&item, key);
            keys.iter().try_fold(item.clone(), indexed)
        }
        ("slice", [Value::Text(text), bounds @ ..]) if bounds.len() <= 2 => slice(text, bounds),
        ("print", arguments) => Ok(Value::Text(printf::print(arguments))),
        ("println", arguments) => {
            let texts: Vec<_> = arguments.iter().map(Value::shown).collect();
            Ok(Value::Text(texts.join(" ") + "\n"))
        }
        ("printf", [Value::Text(format), arguments @ ..]) => {
            printf::printf(format, arguments).map(Value::Text)
        }
        ("printf", [other, ..]) => Err(format!(
            "its format is a string, and not a {}",
            other.type_name()
        )),
        ("html", arguments) => Ok(Value::Text(html(&joined(arguments)))),
        ("urlquery", arguments) => {
            let encoded = utf8_percent_encode(&joined(arguments), QUERY).to_string();
            Ok(Value::Text(encoded.replace(' ', "+")))
        }
        (_, arguments) => {
            let types: Vec<_> = arguments.iter().map(Value::type_name).collect();
            Err(format!(
                "does not take these arguments: ({})",
                types.join(", ")
            ))
        }
    }
}

/// The arguments of a function that escapes.
fn joined(arguments: &[Value]) -> String {
    match arguments {
        [Value::Nil] => "<no value>".to_owned(),
        arguments => printf::print(arguments),
    }
}

fn length(bytes: usize) -> Result<Value, String> {
    i64::try_from(bytes)
        .map(Value::Int)
        .map_err(|error| error.to_string())
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Map(_), _) | (_, Value::Map(_)) => Err("maps are not compared".to_owned()),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (left, right) => order_of(left, right, true).map(|order| order == Some(Ordering::Equal)),
    }
}

fn order(left: &Value, right: &Value) -> Result<Ordering, String> {
    order_of(left, right, false)?.ok_or_else(|| "not a number is not compared".to_owned())
}

fn order_of(left: &Value, right: &Value, is_equality: bool) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(right))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        (Value::Bool(left), Value::Bool(right)) if is_equality => Ok(Some(left.cmp(right))),
        _ => Err(format!(
            "a {} and a {} are not compared",
            left.type_name(),
            right.type_name()
        )),
    }
}

fn index(item: &Value, key: &Value) -> Result<Value, String> {
    match (item, key) {
        (Value::Map(map), Value::Text(key)) => {
            Ok(Value::Text(map.get(key).cloned().unwrap_or_default()))
        }
        (Value::Text(text), Value::Int(at)) => {
            let byte = usize::try_from(*at)
                .ok()
                .and_then(|at| text.as_bytes().get(at));
            byte.map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| format!("{at} is outside of {} bytes", text.len()))
        }
        _ => Err(format!(
            "a {} has no item by a {}",
            item.type_name(),
            key.type_name()
        )),
    }
}

fn slice(text: &str, bounds: &[Value]) -> Result<Value, String> {
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Int(bound)) => {
            usize::try_from(*bound).map_err(|_| format!("{bound} is below 0"))
        }
        Some(other) => Err(format!("a {} is not a bound", other.type_name())),
    };
    let (from, to) = (bound(0, 0)?, bound(1, text.len())?);
    let part = text.get(from..to).ok_or_else(|| {
        format!(
            "{from} to {to} is no part of {} bytes, or cuts a character",
            text.len()
        )
    })?;
    Ok(Value::Text(part.to_owned()))
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}
