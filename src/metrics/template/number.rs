//! Numbers as Go writes them.

use super::value::Value;

/// A number as Go writes them: with a sign, a base, underscores, a point or an exponent.
pub(super) fn number(text: &str) -> Result<Value, String> {
    let wrong = || format!("{text:?} is not a number that is understood here");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let bases = [
        ("0x", 16),
        ("0X", 16),
        ("0b", 2),
        ("0B", 2),
        ("0o", 8),
        ("0O", 8),
    ];
    let based = bases
        .into_iter()
        .find_map(|(prefix, base)| Some((digits.strip_prefix(prefix)?, base)));
    if based.is_none() && digits.contains(['.', 'e', 'E']) {
        let plain = digits.replace('_', "");
        let is_plain = plain
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        let value: f64 = plain.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
        return Ok(Value::Float(f64::from(sign) * value)).and_then(|value| match value {
            Value::Float(value) if !value.is_finite() => Err(wrong()),
            value => Ok(value),
        });
    }
    let (digits, base) = match based {
        Some((digits, base)) => (digits.to_owned(), base),
        None if digits.len() > 1 && digits.starts_with('0') => (digits[1..].to_owned(), 8),
        None => (digits.to_owned(), 10),
    };
    if digits.starts_with(['+', '-', '_']) || digits.ends_with('_') || digits.contains("__") {
        return Err(wrong());
    }
    let digits = digits.replace('_', "");
    let value = i128::from_str_radix(&digits, base).map_err(|_| wrong())?;
    let value = i64::try_from(i128::from(sign) * value).map_err(|_| wrong())?;
    Ok(Value::Int(value))
}
