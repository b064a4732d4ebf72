//! What a schema does to an object before looking at its values: defaults filled in, unknown fields
//! dropped.

use serde_json::{Map, Number, Value};

use super::{Additional, Schema, Type};

impl Schema {
    /// Fills in defaults, drops nulls where none may be, and writes whole numbers as such.
    pub(in super::super) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.fill_object(fields),
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.fill(item);
                    }
                }
            }
            // A whole number is one number, however it was written.
            Value::Number(number) if self.kind == Type::Integer && number.is_f64() => {
                if let Some(whole) = whole(number) {
                    *value = whole.into();
                }
            }
            _ => {}
        }
    }

    fn fill_object(&self, fields: &mut Map<String, Value>) {
        for (name, schema) in &self.properties {
            let missing = match fields.get(name) {
                None => true,
                Some(Value::Null) => !schema.nullable,
                Some(_) => false,
            };
            match &schema.default {
                Some(default) if missing => drop(fields.insert(name.clone(), default.clone())),
                None if missing => drop(fields.remove(name)),
                _ => {}
            }
        }
        for (name, value) in fields {
            if let Some(schema) = self.field(name) {
                schema.fill(value);
            }
        }
    }

    /// Drops the fields of a whole object that the schema does not know, and names them.
    pub(in super::super) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = Vec::new();
        let Value::Object(fields) = object else {
            return dropped;
        };
        let kept: Vec<_> = ["apiVersion", "kind", "metadata"]
            .into_iter()
            .filter_map(|name| fields.remove_entry(name))
            .collect();
        self.prune_object(fields, "", &mut dropped);
        fields.extend(kept);
        dropped
    }

    fn prune_value(&self, value: &mut Value, path: &str, dropped: &mut Vec<String>) {
        match value {
            Value::Object(fields) => self.prune_object(fields, path, dropped),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.prune_value(item, &format!("{path}[{index}]"), dropped);
                    }
                }
            }
            _ => {}
        }
    }

    fn prune_object(&self, fields: &mut Map<String, Value>, path: &str, dropped: &mut Vec<String>) {
        let path_of = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        let keeps_all = self.keeps_unknown || matches!(self.additional, Additional::Anything);
        if !keeps_all {
            fields.retain(|name, _| {
                let known = self.field(name).is_some();
                if !known {
                    dropped.push(path_of(name));
                }
                known
            });
        }
        for (name, value) in fields {
            if let Some(schema) = self.field(name) {
                schema.prune_value(value, &path_of(name), dropped);
            }
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.properties
            .get(name)
            .or_else(|| self.additional.schema())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only what fits is cast")]
fn whole(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number.as_f64()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}
