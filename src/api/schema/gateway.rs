//! Schemas of what is passed on to Gateway API routes: what its own CRDs take, with their defaults,
//! which the routes come back with.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// `spec.service.gatewayRefs`, a `ParentReference` each.
pub(in crate::api) fn parent_references(_: &mut SchemaGenerator) -> Schema {
    let mut parent = reference("gateway.networking.k8s.io", "Gateway");
    parent["properties"]["sectionName"] = json!({
        "description": "Name of one listener of the Gateway, or of one port of the Service. \
            Default: all of them.",
        "type": "string", "minLength": 1, "maxLength": 253,
    });
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
                "percent": {
                    "description": "Percentage of the requests that are copied. Default 100.",
                    "type": "integer", "minimum": 0, "maximum": 100,
                },
                "fraction": {
                    "description": "Part of the requests that are copied, instead of percent.",
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
            "group": {
                "description": "Group of the object.",
                "type": "string", "maxLength": 253, "default": group,
            },
            "kind": {
                "description": "Kind of the object.",
                "type": "string", "minLength": 1, "maxLength": 63, "default": kind,
            },
            "namespace": {
                "description": "Namespace of the object. Default: that of the Canary.",
                "type": "string", "minLength": 1, "maxLength": 63,
            },
            "name": {
                "description": "Name of the object.",
                "type": "string", "minLength": 1, "maxLength": 253,
            },
            "port": {
                "description": "Port of the object; a Gateway's listeners may be chosen by it.",
                "type": "integer", "minimum": 1, "maximum": 65535,
            },
        },
    })
}
