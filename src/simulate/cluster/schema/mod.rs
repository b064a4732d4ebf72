//! The structural schema of a custom resource: what it drops, what it fills in, what it refuses.
//! CEL rules are left out. Built once when the CRD is stored; patterns are compiled when first met,
//! as most never are.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

use super::object::{list, text};

mod shape;
mod validate;

#[derive(Debug, Default)]
pub(super) struct Schema {
    kind: Type,
    properties: BTreeMap<String, Schema>,
    /// For keys without a property: a schema, or anything.
    additional: Additional,
    items: Option<Box<Schema>>,
    keeps_unknown: bool,
    nullable: bool,
    default: Option<Value>,
    required: Vec<String>,
    one_of_values: Vec<Value>,
    bounds: Bounds,
    pattern: Option<Pattern>,
    format: String,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
    /// Whether there are CEL rules, here or below.
    has_rules: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Type {
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

#[derive(Debug, Default)]
enum Additional {
    #[default]
    None,
    Anything,
    Of(Box<Schema>),
}

impl Additional {
    fn schema(&self) -> Option<&Schema> {
        match self {
            Self::Of(schema) => Some(schema),
            Self::None | Self::Anything => None,
        }
    }
}

#[derive(Debug, Default)]
struct Bounds {
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    length_min: Option<u64>,
    length_max: Option<u64>,
    items_min: Option<u64>,
    items_max: Option<u64>,
    properties_min: Option<u64>,
    properties_max: Option<u64>,
    unique: bool,
}

#[derive(Debug)]
struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Schema {
    /// Whether it says which fields an object has.
    pub(super) fn is_described(&self) -> bool {
        !self.properties.is_empty()
    }

    /// Reads an `openAPIV3Schema`.
    pub(super) fn of(schema: &Value) -> Self {
        let flag = |key: &str| schema[key] == true;
        let many = |key: &str| list(schema, key).iter().map(Self::of).collect();
        let one = |key: &str| schema.get(key).map(|inner| Box::new(Self::of(inner)));
        let mut read = Self {
            kind: kind_of(schema),
            properties: schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, property)| (name.clone(), Self::of(property)))
                .collect(),
            additional: match &schema["additionalProperties"] {
                Value::Bool(true) => Additional::Anything,
                inner @ Value::Object(_) => Additional::Of(Box::new(Self::of(inner))),
                _ => Additional::None,
            },
            items: one("items"),
            keeps_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            nullable: flag("nullable"),
            default: schema.get("default").cloned(),
            required: list(schema, "/required")
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            one_of_values: list(schema, "/enum").to_vec(),
            bounds: Bounds::of(schema),
            pattern: schema["pattern"].as_str().map(|source| Pattern {
                source: source.to_owned(),
                compiled: OnceLock::new(),
            }),
            format: text(schema, "/format").to_owned(),
            all_of: many("/allOf"),
            any_of: many("/anyOf"),
            one_of: many("/oneOf"),
            not: one("not"),
            has_rules: schema.get("x-kubernetes-validations").is_some(),
        };
        let below = read.properties.values().chain(read.items.as_deref());
        let below_has_rules = below
            .chain(read.additional.schema())
            .any(|schema| schema.has_rules);
        read.has_rules |= below_has_rules;
        read
    }
}

fn kind_of(schema: &Value) -> Type {
    if schema["x-kubernetes-int-or-string"] == true {
        return Type::IntOrString;
    }
    match text(schema, "/type") {
        "object" => Type::Object,
        "array" => Type::Array,
        "string" => Type::String,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        _ => Type::Any,
    }
}

impl Bounds {
    fn of(schema: &Value) -> Self {
        let count = |key: &str| schema[key].as_u64();
        Self {
            minimum: schema["minimum"].as_f64(),
            maximum: schema["maximum"].as_f64(),
            exclusive_minimum: schema["exclusiveMinimum"] == true,
            exclusive_maximum: schema["exclusiveMaximum"] == true,
            length_min: count("minLength"),
            length_max: count("maxLength"),
            items_min: count("minItems"),
            items_max: count("maxItems"),
            properties_min: count("minProperties"),
            properties_max: count("maxProperties"),
            unique: schema["uniqueItems"] == true,
        }
    }
}

impl Pattern {
    /// A pattern that cannot be compiled lets everything pass: the CRD would not have been accepted
    /// with it.
    fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.source).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}
