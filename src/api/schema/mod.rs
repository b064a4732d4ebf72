//! The parts of the CRD schema that Rust's types do not say.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::api::record::{Record, Refusal, Revert, Told};

mod fit;
pub(super) mod gateway;
pub(super) mod istio;

pub(super) use fit::fit;

/// A duration in Go's notation, without fractions: what Flagger takes (`30s`, `1m30s`), and hours
/// and milliseconds too. Flagger's pattern has no end, so it also takes `10sx` and then ignores it.
pub(super) const DURATION: &str = "^([0-9]+(ms|s|m|h))+$";

pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

pub(super) fn port_number_or_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

/// One entry for each ConfigMap or Secret that a workload uses.
pub(super) fn by_config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 1024,
        "additionalProperties": { "type": "string", "maxLength": 256 },
    })
}

/// Counts by name.
pub(super) fn counts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "integer", "minimum": 0 },
    })
}

/// What waits to be delivered: one of record, told and revert. An enumeration's schema would not be
/// structural, as the API server wants it.
pub(super) fn outbox(generator: &mut SchemaGenerator) -> Schema {
    let refusal = generator.subschema_for::<Refusal>();
    let record = generator.subschema_for::<Record>();
    let told = generator.subschema_for::<Told>();
    let revert = generator.subschema_for::<Revert>();
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "object",
            "description": "One piece of news: a record, the Events of a step, or a revert.",
            "properties": {
                "to": {
                    "description": "Where it is still to arrive.",
                    "type": "array",
                    "maxItems": 64,
                    "items": { "type": "string", "maxLength": 512 },
                },
                "refused": {
                    "description": "Places that refused it, and when they are asked again.",
                    "type": "object",
                    "maxProperties": 64,
                    "additionalProperties": refusal,
                },
                "record": record,
                "told": told,
                "revert": revert,
            },
        },
    })
}

/// Rules in CEL that the API server checks at each write, each with what it says when one is broken.
pub(super) fn rules(rules: &'static [(&'static str, &'static str)]) -> impl FnMut(&mut Schema) {
    move |schema| {
        let rules: Vec<_> = rules
            .iter()
            .map(|(rule, message)| json!({ "rule": rule, "message": message }))
            .collect();
        schema.insert("x-kubernetes-validations".to_owned(), json!(rules));
    }
}

pub(super) fn one_of(values: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("enum".to_owned(), json!(values));
    }
}

/// The kinds that a reference may be to.
pub(super) fn kinds(values: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        if let Some(kind) = schema.pointer_mut("/properties/kind") {
            kind["enum"] = json!(values);
        }
    }
}

/// `""` is written by Flagger for "not said".
pub(super) fn or_empty(schema: &mut Schema) {
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(json!(""));
    }
}

/// What is missing is understood by the program; written out by the API server, it would show up as
/// a difference to what the user applied.
pub(super) fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

fn object(properties: &Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn by_key(value: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn whole() -> Value {
    json!({ "type": "integer" })
}

fn number() -> Value {
    json!({ "type": "number" })
}
