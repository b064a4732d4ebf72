//! Schemas of what is passed on to Gateway API routes: what its own CRDs take, with their defaults,
//! which the routes come back with.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// `spec.service.gatewayRefs`, a `ParentReference` each.
pub(in crate::api) fn parent_references(_: &mut SchemaGenerator) -> Schema {
    let mut parent = reference("gateway.networking.k8s.io", "Gateway");
    parent["properties"]["sectionName"] =
        json!({ "type": "string", "minLength": 1, "maxLength": 253 });
    json_schema!({ "type": "array", "maxItems": 32, "items": parent })
}

/// `spec.service.mirror`, an `HTTPRequestMirrorFilter` each.
pub(in crate::api) fn mirrors(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "required": ["backendRef"],
            "properties": {
                "backendRef": reference("", "Service"),
                "percent": { "type": "integer", "minimum": 0, "maximum": 100 },
                "fraction": {
                    "type": "object",
                    "required": ["numerator"],
                    "properties": {
                        "numerator": { "type": "integer", "minimum": 0 },
                        "denominator": { "type": "integer", "minimum": 1, "default": 100 },
                    },
                },
            },
        },
    })
}

fn reference(group: &str, kind: &str) -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "group": { "type": "string", "maxLength": 253, "default": group },
            "kind": { "type": "string", "minLength": 1, "maxLength": 63, "default": kind },
            "namespace": { "type": "string", "minLength": 1, "maxLength": 63 },
            "name": { "type": "string", "minLength": 1, "maxLength": 253 },
            "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
        },
    })
}
