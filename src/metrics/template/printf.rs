//! Go's `print` and `printf`, for the values that a template has. A verb that does not fit its
//! argument is no error there: it is written as `%!d(string=podinfo)`, and so it is here.

use std::fmt::Write as _;

use super::value::{Value, general, not_finite, with_exponent};

/// Digits and blanks that a format may ask for.
const WIDTH_MAX: usize = 1_000;

/// All arguments, with a blank between two that are no strings.
pub(super) fn print(arguments: &[Value]) -> String {
    let mut text = String::new();
    let mut was_text = true;
    for (index, argument) in arguments.iter().enumerate() {
        let is_text = matches!(argument, Value::Text(_));
        if index > 0 && !is_text && !was_text {
            text.push(' ');
        }
        text.push_str(&argument.shown());
        was_text = is_text;
    }
    text
}

/// What stands between `%` and its verb.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Go's")]
struct Spec {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// On failure: names the part of a format that is not supported.
pub(super) fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (spec, after) = spec(after)?;
        let Some(verb) = after.chars().next() else {
            text.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &after[verb.len_utf8()..];
        if verb == '%' {
            text.push('%');
            continue;
        }
        match arguments.next() {
            None => {
                text.push_str("%!");
                text.push(verb);
                text.push_str("(MISSING)");
            }
            Some(argument) => {
                // A plus asks %v for the names of fields, and no number for its sign.
                let plus = spec.plus && verb != 'v';
                text.push_str(&written(Spec { plus, ..spec }, verb, argument)?);
            }
        }
    }
    text.push_str(rest);
    let extra: Vec<_> = arguments
        .map(|argument| match argument {
            Value::Nil => "<nil>".to_owned(),
            argument => format!("{}={}", argument.type_name(), argument.shown()),
        })
        .collect();
    if !extra.is_empty() {
        text = format!("{text}%!(EXTRA {})", extra.join(", "));
    }
    Ok(text)
}

fn spec(mut rest: &str) -> Result<(Spec, &str), String> {
    let mut spec = Spec::default();
    loop {
        match rest.chars().next() {
            Some('-') => spec.minus = true,
            Some('+') => spec.plus = true,
            Some(' ') => spec.space = true,
            Some('0') => spec.zero = true,
            Some(unsupported @ ('#' | '*' | '[')) => {
                return Err(format!("{unsupported:?} after % is not supported"));
            }
            _ => break,
        }
        rest = &rest[1..];
    }
    (spec.width, rest) = number(rest)?;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = number(after)?;
        spec.precision = Some(precision.unwrap_or(0));
        rest = after;
    }
    if rest.starts_with(['*', '[']) {
        return Err("a width or precision from an argument is not supported".to_owned());
    }
    if spec.minus {
        spec.zero = false;
    }
    Ok((spec, rest))
}

fn number(text: &str) -> Result<(Option<usize>, &str), String> {
    let end = text
        .find(|next: char| !next.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let number = digits.parse().ok().filter(|number| *number <= WIDTH_MAX);
    match number {
        Some(number) => Ok((Some(number), rest)),
        None => Err(format!("{digits} after % is above {WIDTH_MAX}")),
    }
}

fn written(spec: Spec, verb: char, value: &Value) -> Result<String, String> {
    if verb == 'T' {
        return Ok(padded(
            Spec {
                zero: false,
                ..spec
            },
            value.type_name().to_owned(),
        ));
    }
    let text = match value {
        Value::Nil if verb == 'v' => padded(
            Spec {
                zero: false,
                ..spec
            },
            "<nil>".to_owned(),
        ),
        Value::Nil => format!("%!{verb}(<nil>)"),
        Value::Bool(value) if matches!(verb, 't' | 'v') => match spec.width {
            Some(width) if spec.zero => format!("{:0>width$}", value.to_string()),
            _ => padded(spec, value.to_string()),
        },
        Value::Text(text) => match of_text(spec, verb, text)? {
            Some(text) => text,
            None => misfit(spec, verb, value)?,
        },
        Value::Int(number) => match of_integer(spec, verb, *number)? {
            Some(text) => text,
            None => misfit(spec, verb, value)?,
        },
        Value::Float(number) => match of_float(spec, verb, *number)? {
            Some(text) => text,
            None => misfit(spec, verb, value)?,
        },
        Value::Map(map) => {
            let mut items = Vec::new();
            for (key, value) in map.iter() {
                let written = |text: &String| written(spec, verb, &Value::Text(text.clone()));
                items.push(format!("{}:{}", written(key)?, written(value)?));
            }
            format!("map[{}]", items.join(" "))
        }
        Value::Bool(_) => misfit(spec, verb, value)?,
    };
    Ok(text)
}

/// A verb that is not for such a value.
fn misfit(spec: Spec, verb: char, value: &Value) -> Result<String, String> {
    let shown = written(spec, 'v', value)?;
    Ok(format!("%!{verb}({}={shown})", value.type_name()))
}

fn of_text(spec: Spec, verb: char, text: &str) -> Result<Option<String>, String> {
    let cut = |text: &str| match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    let plain = Spec {
        zero: false,
        ..spec
    };
    Ok(Some(match verb {
        'v' | 's' if spec.zero && spec.width.is_some() => {
            return Err("a string filled up with zeros is not supported".to_owned());
        }
        'v' | 's' => padded(plain, cut(text)),
        'q' if spec.plus => return Err("%+q is not supported".to_owned()),
        'q' => padded(plain, quoted(&cut(text))?),
        'x' | 'X' if spec.space || spec.precision.is_some() => {
            return Err(format!("flags of %{verb} for a string are not supported"));
        }
        'x' => padded(plain, hexadecimal(text)),
        'X' => padded(plain, hexadecimal(text).to_ascii_uppercase()),
        _ => return Ok(None),
    }))
}

/// The bytes of a string, two digits each.
fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// A string in Go's quotes.
fn quoted(text: &str) -> Result<String, String> {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            ' '..='~' => quoted.push(character),
            control if control < ' ' || control == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            letter if letter.is_alphanumeric() => quoted.push(letter),
            other => return Err(format!("%q of {other:?} is not supported")),
        }
    }
    Ok(quoted + "\"")
}

fn of_integer(spec: Spec, verb: char, number: i64) -> Result<Option<String>, String> {
    let size = number.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => size.to_string(),
        'b' => format!("{size:b}"),
        'o' => format!("{size:o}"),
        'O' => format!("0o{size:o}"),
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'c' | 'q' | 'U' => return Err(format!("%{verb} of a number is not supported")),
        _ => return Ok(None),
    };
    let (digits, spec) = match spec.precision {
        Some(_) if verb == 'O' => return Err("a precision of %O is not supported".to_owned()),
        Some(0) if number == 0 => {
            return Ok(Some(padded(
                Spec {
                    zero: false,
                    ..spec
                },
                String::new(),
            )));
        }
        Some(precision) => (
            format!("{digits:0>precision$}"),
            Spec {
                zero: false,
                ..spec
            },
        ),
        None => (digits, spec),
    };
    Ok(Some(signed(spec, number < 0, &digits)))
}

fn of_float(spec: Spec, verb: char, number: f64) -> Result<Option<String>, String> {
    if !matches!(verb, 'v' | 'g' | 'G' | 'f' | 'F' | 'e' | 'E') {
        return match verb {
            'b' | 'x' | 'X' => Err(format!("%{verb} of a number with a point is not supported")),
            _ => Ok(None),
        };
    }
    let size = number.abs();
    let is_negative = number.is_sign_negative();
    if let Some(text) = not_finite(size) {
        let text = text.trim_start_matches('+');
        return Ok(Some(signed(
            Spec {
                zero: false,
                ..spec
            },
            is_negative,
            text,
        )));
    }
    let precision = spec.precision.unwrap_or(6);
    let digits = match verb {
        'f' | 'F' => format!("{size:.precision$}"),
        'e' => with_exponent(&format!("{size:.precision$e}")),
        'E' => with_exponent(&format!("{size:.precision$e}")).to_uppercase(),
        _ if spec.precision.is_some() => significant(size, precision),
        _ => general(size),
    };
    let digits = if verb == 'G' {
        digits.to_uppercase()
    } else {
        digits
    };
    Ok(Some(signed(spec, is_negative, &digits)))
}

/// A number in so many digits at most, none of them a zero at the end: Go's `%.3g`.
fn significant(size: f64, digits: usize) -> String {
    let digits = digits.max(1);
    let scientific = format!("{size:.0$e}", digits - 1);
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
        .unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    let shortest = trimmed(scientific.split_once('e').map_or("", |(digits, _)| digits));
    let kept = shortest.chars().filter(char::is_ascii_digit).count();
    // An exponent where the digits do not reach the point.
    let limit = if digits > kept && i32::try_from(kept).is_ok_and(|kept| kept > exponent) {
        kept
    } else {
        digits
    };
    if exponent < -4 || i32::try_from(limit).is_ok_and(|limit| exponent >= limit) {
        return with_exponent(&format!("{shortest}e{exponent}"));
    }
    let decimals = i32::try_from(digits).unwrap_or(0) - 1 - exponent;
    trimmed(&format!(
        "{size:.0$}",
        usize::try_from(decimals).unwrap_or(0)
    ))
}

fn signed(spec: Spec, is_negative: bool, digits: &str) -> String {
    let sign = if is_negative {
        "-"
    } else if spec.plus {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    match spec.width {
        Some(width) if spec.zero => {
            let width = width.saturating_sub(sign.len());
            format!("{sign}{digits:0>width$}")
        }
        _ => padded(spec, format!("{sign}{digits}")),
    }
}

fn padded(spec: Spec, text: String) -> String {
    match spec.width {
        Some(width) if spec.minus => format!("{text:<width$}"),
        Some(width) => format!("{text:>width$}"),
        None => text,
    }
}
