//! Where an object is not as expected: the smallest parts that differ, each with both values.

use serde_json::Value;

/// Differences that are told; who sees so many looks at the object itself.
const TOLD_MAX: usize = 5;
/// Characters of a value that are told.
const VALUE_MAX: usize = 120;

/// What a value lacks of what it is to hold, or nothing. Fields that are not named may be anything,
/// `null` is a field that is not there, and lists are held against each other whole.
pub(super) fn lacking(shown: &Value, wanted: &Value) -> Option<String> {
    let mut found = Vec::new();
    compare(Some(shown), wanted, false, "", &mut found);
    let more = found.len().saturating_sub(TOLD_MAX);
    found.truncate(TOLD_MAX);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// `whole` where `shown` may hold nothing besides what is wanted.
fn compare(
    shown: Option<&Value>,
    wanted: &Value,
    whole: bool,
    path: &str,
    found: &mut Vec<String>,
) {
    match (shown, wanted) {
        (None, Value::Null) => {}
        (None, Value::Object(wanted)) if !wanted.is_empty() => {
            for (name, wanted) in wanted {
                compare(None, wanted, whole, &field(path, name), found);
            }
        }
        (Some(Value::Object(shown)), Value::Object(wanted)) => {
            let of = |name: &str| field(path, name);
            for (name, wanted) in wanted {
                compare(shown.get(name), wanted, whole, &of(name), found);
            }
            let unwanted = shown.iter().filter(|(name, _)| !wanted.contains_key(*name));
            for (name, shown) in unwanted.filter(|_| whole) {
                found.push(differs(&of(name), None, Some(shown)));
            }
        }
        (Some(Value::Array(shown)), Value::Array(wanted)) => {
            for index in 0..shown.len().max(wanted.len()) {
                let path = format!("{path}[{index}]");
                match (shown.get(index), wanted.get(index)) {
                    (shown, Some(wanted)) => compare(shown, wanted, true, &path, found),
                    (shown, None) => found.push(differs(&path, None, shown)),
                }
            }
        }
        (Some(shown), wanted) if shown == wanted => {}
        (shown, wanted) => found.push(differs(path, Some(wanted), shown)),
    }
}

fn differs(path: &str, wanted: Option<&Value>, shown: Option<&Value>) -> String {
    let told = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(value) => shortened(&value.to_string()),
    };
    let path = if path.is_empty() { "the object" } else { path };
    format!("{path}: expected {}, it is {}", told(wanted), told(shown))
}

/// The name of a field as it is written in a path; one with dots of its own is quoted.
fn field(path: &str, name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if !name.chars().all(is_plain) {
        format!("{path}[\"{name}\"]")
    } else if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= VALUE_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(VALUE_MAX - 1).collect();
    format!("{kept}…")
}
