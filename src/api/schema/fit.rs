//! What a schema allows, made of what it does not: a text or list that is too long would make a
//! whole write invalid, and with it whatever the write decides about traffic.

use serde_json::{Map, Value};

/// Cuts texts, lists and maps to the lengths that a structural schema allows, and puts numbers into
/// its ranges. What comes first is kept.
pub(in crate::api) fn fit(value: &mut Value, schema: &Value) {
    match value {
        Value::String(text) => {
            if let Some(max) = bound(schema, "maxLength")
                && let Some((end, _)) = text.char_indices().nth(max)
            {
                text.truncate(end);
            }
        }
        Value::Array(items) => {
            if let Some(max) = bound(schema, "maxItems") {
                items.truncate(max);
            }
            for item in items {
                fit(item, &schema["items"]);
            }
        }
        Value::Object(fields) => {
            if let Some(max) = bound(schema, "maxProperties") {
                *fields = std::mem::take(fields).into_iter().take(max).collect();
            }
            fit_fields(fields, schema);
        }
        Value::Number(number) => {
            if let Some(found) = number.as_i64() {
                let edge = |name: &str| schema[name].as_i64();
                let least = edge("minimum").map_or(found, |least| found.max(least));
                *number = edge("maximum").map_or(least, |most| least.min(most)).into();
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn fit_fields(fields: &mut Map<String, Value>, schema: &Value) {
    for (name, field) in fields {
        let of_field = &schema["properties"][name];
        let of_any = &schema["additionalProperties"];
        fit(field, if of_field.is_null() { of_any } else { of_field });
    }
}

fn bound(schema: &Value, name: &str) -> Option<usize> {
    usize::try_from(schema[name].as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_much_is_cut_and_the_rest_stays() {
        let schema = json!({"type": "object", "properties": {
            "text": {"type": "string", "maxLength": 3},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 1}},
            "map": {
                "type": "object", "maxProperties": 1,
                "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9},
            },
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }});
        let mut value = json!({
            "text": "äöüß", "list": ["ab", "c", "d"], "map": {"a": -1, "b": 12},
            "free": {"any": ["thing", "at", "all"]}, "unknown": "stays",
        });
        fit(&mut value, &schema);
        assert_eq!(
            value,
            json!({
                "text": "äöü", "list": ["a", "c"], "map": {"a": 0},
                "free": {"any": ["thing", "at", "all"]}, "unknown": "stays",
            })
        );
    }
}
