//! What a schema refuses, in the words of the API server.

use serde_json::{Map, Value, json};

use super::super::answer::Cause;
use super::{Schema, Type};

/// What follows where CEL rules were not even tried.
const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was \
                                 invalid; correct the existing errors to complete validation";

impl Schema {
    /// Everything that is wrong with the whole object.
    pub(in super::super) fn violations(&self, object: &Value) -> Vec<Cause> {
        let mut found = Vec::new();
        self.check(object, "", &mut found);
        let blocks = |cause: &Cause| cause.reason != "FieldValueInvalid";
        if self.has_rules && found.iter().any(blocks) {
            found.push(Cause::invalid("<nil>", &"null", RULES_NOT_CHECKED));
        }
        found
    }

    fn check(&self, value: &Value, path: &str, found: &mut Vec<Cause>) {
        if value.is_null() && self.nullable {
            return;
        }
        if !self.kind.admits(value) {
            let (named, wanted) = match value {
                Value::Number(_) if self.kind == Type::Integer && !self.format.is_empty() => {
                    ("float64", self.format.as_str())
                }
                _ => (type_name(value), self.kind.name()),
            };
            found.push(of_type(path, &json!(named), wanted));
            if named == "float64" {
                found.push(not_of_format(path, wanted));
            }
            return;
        }
        self.check_choices(value, path, found);
        match value {
            Value::String(text) => self.check_text(text, path, found),
            Value::Number(number) => self.check_number(number, path, found),
            Value::Array(items) => self.check_items(items, path, found),
            Value::Object(fields) => self.check_fields(fields, path, found),
            Value::Null | Value::Bool(_) => {}
        }
        if !self.one_of_values.is_empty() && !self.one_of_values.contains(value) {
            let known: Vec<_> = self.one_of_values.iter().map(Value::to_string).collect();
            found.push(Cause {
                reason: "FieldValueNotSupported",
                field: path.to_owned(),
                message: format!(
                    "Unsupported value: {value}: supported values: {}",
                    known.join(", ")
                ),
            });
        }
    }

    fn check_choices(&self, value: &Value, path: &str, found: &mut Vec<Cause>) {
        let passes = |schema: &Self| {
            let mut found = Vec::new();
            schema.check(value, path, &mut found);
            found.is_empty()
        };
        let mut refuse = |why: String| {
            found.push(Cause::invalid("<nil>", &"\"\"", &why));
        };
        if !self.any_of.is_empty() && !self.any_of.iter().any(passes) {
            refuse(format!(
                "{} must validate at least one schema (anyOf)",
                in_body(path)
            ));
        }
        let valid = self.one_of.iter().filter(|schema| passes(schema)).count();
        if !self.one_of.is_empty() && valid != 1 {
            let how_many = if valid == 0 {
                "none valid".into()
            } else {
                format!("{valid} valid alternatives")
            };
            refuse(format!(
                "{} must validate one and only one schema (oneOf). Found {how_many}",
                in_body(path)
            ));
        }
        let valid = self.all_of.iter().filter(|schema| passes(schema)).count();
        if valid != self.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            refuse(format!(
                "{} must validate all the schemas (allOf){none}",
                in_body(path)
            ));
        }
        if self.not.as_deref().is_some_and(passes) {
            refuse(format!(
                "{} must not validate the schema (not)",
                in_body(path)
            ));
        }
    }

    fn check_text(&self, text: &str, path: &str, found: &mut Vec<Cause>) {
        let length = text.chars().count() as u64;
        let value = json!(text);
        if let Some(max) = self.bounds.length_max.filter(|max| length > *max) {
            found.push(too(
                "Long",
                path,
                format!("Too long: may not be more than {max} bytes"),
            ));
        }
        if let Some(min) = self.bounds.length_min.filter(|min| length < *min) {
            let why = format!("{path} in body should be at least {min} chars long");
            found.push(Cause::invalid(path, &value, &why));
        } else if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.matches(text))
        {
            let why = format!("{path} in body should match '{}'", pattern.source);
            found.push(Cause::invalid(path, &value, &why));
        }
        if self.format == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
            found.push(of_type(path, &value, "date-time"));
        }
    }

    fn check_number(&self, number: &serde_json::Number, path: &str, found: &mut Vec<Cause>) {
        let value = number.as_f64().unwrap_or_default();
        if self.format == "int32" && (value < f64::from(i32::MIN) || value > f64::from(i32::MAX)) {
            found.push(not_of_format(path, &self.format));
        }
        let bounds = &self.bounds;
        let mut refuse = |words: &str, bound: f64| {
            let why = format!("{path} in body should be {words} {bound}");
            found.push(Cause::invalid(path, number, &why));
        };
        match bounds.minimum {
            Some(minimum) if bounds.exclusive_minimum && value <= minimum => {
                refuse("greater than", minimum);
            }
            Some(minimum) if value < minimum => refuse("greater than or equal to", minimum),
            _ => {}
        }
        match bounds.maximum {
            Some(maximum) if bounds.exclusive_maximum && value >= maximum => {
                refuse("less than", maximum);
            }
            Some(maximum) if value > maximum => refuse("less than or equal to", maximum),
            _ => {}
        }
    }

    fn check_items(&self, items: &[Value], path: &str, found: &mut Vec<Cause>) {
        let count = items.len() as u64;
        if let Some(max) = self.bounds.items_max.filter(|max| count > *max) {
            found.push(too(
                "Many",
                path,
                format!("Too many: {count}: must have at most {max} items"),
            ));
        }
        if let Some(min) = self.bounds.items_min.filter(|min| count < *min) {
            let why = format!("{path} in body should have at least {min} items");
            found.push(Cause::invalid(path, &count, &why));
        }
        if self.bounds.unique
            && items
                .iter()
                .enumerate()
                .any(|(index, item)| items[..index].contains(item))
        {
            let why = format!("{path} in body shouldn't contain duplicates");
            found.push(Cause::invalid(path, &json!(items), &why));
        }
        if let Some(schema) = &self.items {
            for (index, item) in items.iter().enumerate() {
                schema.check(item, &format!("{path}[{index}]"), found);
            }
        }
    }

    fn check_fields(&self, fields: &Map<String, Value>, path: &str, found: &mut Vec<Cause>) {
        let path_of = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        let count = fields.len() as u64;
        if let Some(max) = self.bounds.properties_max.filter(|max| count > *max) {
            found.push(too(
                "Many",
                path,
                format!("Too many: {count}: must have at most {max} items"),
            ));
        }
        if let Some(min) = self.bounds.properties_min.filter(|min| count < *min) {
            let why = format!("{path} in body should have at least {min} properties");
            found.push(Cause::invalid(path, &count, &why));
        }
        for (name, value) in fields {
            // The metadata of the whole object has rules of its own.
            if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            if let Some(schema) = self.field(name) {
                schema.check(value, &path_of(name), found);
            }
        }
        for name in &self.required {
            if !fields.contains_key(name) {
                found.push(Cause::required(path_of(name), ""));
            }
        }
    }
}

impl Type {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => is_whole(value),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString => is_whole(value) || value.is_string(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn in_body(path: &str) -> String {
    if path.is_empty() {
        "\"\"".to_owned()
    } else {
        format!("\"{path}\"")
    }
}

fn of_type(path: &str, value: &Value, wanted: &str) -> Cause {
    let message =
        format!("Invalid value: {value}: {path} in body must be of type {wanted}: {value}");
    Cause {
        reason: "FieldValueTypeInvalid",
        field: path.to_owned(),
        message,
    }
}

fn not_of_format(path: &str, format: &str) -> Cause {
    let why = format!("Checked value must be of type integer with format {format} in {path}");
    Cause::invalid("<nil>", &"\"\"", &why)
}

fn too(what: &str, path: &str, message: String) -> Cause {
    let reason = if what == "Long" {
        "FieldValueTooLong"
    } else {
        "FieldValueTooMany"
    };
    Cause {
        reason,
        field: path.to_owned(),
        message,
    }
}
