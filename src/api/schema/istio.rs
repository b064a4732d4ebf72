//! Schemas of what is passed on to Istio's routes, and used by other routers as far as they can.
//!
//! They take what Istio's own CRDs take, whose values Istio checks: what is not in there would be
//! lost on the way to the route anyhow.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{by_key, flag, list, number, object, text, whole};

/// `spec.service.match`, an `HTTPMatchRequest` each.
pub(in crate::api) fn route_matches(_: &mut SchemaGenerator) -> Schema {
    let string = string_match(&["exact", "prefix", "regex"]);
    let request = object(&json!({
        "name": text(),
        "uri": string,
        "scheme": string,
        "method": string,
        "authority": string,
        "headers": by_key(&string),
        "withoutHeaders": by_key(&string),
        "queryParams": by_key(&string),
        "ignoreUriCase": flag(),
        "port": whole(),
        "gateways": list(&text()),
        "sourceLabels": by_key(&text()),
        "sourceNamespace": text(),
        "statPrefix": text(),
    }));
    json_schema!({ "type": "array", "items": request })
}

/// `spec.analysis.match`: what can tell one user's requests from another's.
pub(in crate::api) fn analysis_matches(_: &mut SchemaGenerator) -> Schema {
    let request = object(&json!({
        "headers": by_key(&string_match(&["exact", "prefix", "suffix", "regex"])),
        "queryParams": by_key(&string_match(&["exact", "prefix", "regex"])),
        "sourceLabels": by_key(&text()),
    }));
    json_schema!({ "type": "array", "items": request })
}

/// `spec.service.rewrite`.
pub(in crate::api) fn rewrite(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "uri": text(),
            "authority": text(),
            "type": text(),
            "uriRegexRewrite": object(&json!({ "match": text(), "rewrite": text() })),
        },
    })
}

/// `spec.service.retries`.
pub(in crate::api) fn retries(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "attempts": whole(),
            "perTryTimeout": text(),
            "retryOn": text(),
            "backoff": text(),
            "retryIgnorePreviousHosts": flag(),
            "retryRemoteLocalities": flag(),
        },
    })
}

/// `spec.service.headers`.
pub(in crate::api) fn headers(_: &mut SchemaGenerator) -> Schema {
    let changes = object(&json!({
        "set": by_key(&text()),
        "add": by_key(&text()),
        "remove": list(&text()),
    }));
    json_schema!({ "type": "object", "properties": { "request": changes, "response": changes } })
}

/// `spec.service.corsPolicy`.
pub(in crate::api) fn cors_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "allowOrigin": list(&text()),
            "allowOrigins": list(&string_match(&["exact", "prefix", "regex"])),
            "allowMethods": list(&text()),
            "allowHeaders": list(&text()),
            "exposeHeaders": list(&text()),
            "maxAge": text(),
            "allowCredentials": flag(),
            "unmatchedPreflights": text(),
        },
    })
}

/// `spec.service.trafficPolicy`.
pub(in crate::api) fn traffic_policy(_: &mut SchemaGenerator) -> Schema {
    let port = json!({
        "port": object(&json!({ "number": whole() })),
        "connectionPool": connection_pool(),
        "loadBalancer": load_balancer(),
        "outlierDetection": outlier_detection(),
        "tls": tls(),
    });
    json_schema!({
        "type": "object",
        "properties": {
            "connectionPool": connection_pool(),
            "loadBalancer": load_balancer(),
            "outlierDetection": outlier_detection(),
            "tls": tls(),
            "portLevelSettings": list(&object(&port)),
            "proxyProtocol": object(&json!({ "version": text() })),
            "retryBudget": object(&json!({
                "budgetInterval": text(),
                "minRetryConcurrency": whole(),
                "percent": number(),
            })),
            "tunnel": object(&json!({
                "protocol": text(),
                "targetHost": text(),
                "targetPort": whole(),
            })),
        },
    })
}

/// One way to compare a string; none at all asks whether there is one.
fn string_match(ways: &[&str]) -> Value {
    let properties: serde_json::Map<_, _> =
        ways.iter().map(|way| ((*way).to_owned(), text())).collect();
    json!({ "type": "object", "maxProperties": 1, "properties": properties })
}

fn connection_pool() -> Value {
    object(&json!({
        "http": object(&json!({
            "h2UpgradePolicy": text(),
            "http1MaxPendingRequests": whole(),
            "http2KeepAlive": object(&json!({ "interval": text(), "timeout": text() })),
            "http2MaxRequests": whole(),
            "idleTimeout": text(),
            "maxConcurrentStreams": whole(),
            "maxRequestsPerConnection": whole(),
            "maxRetries": whole(),
            "useClientProtocol": flag(),
        })),
        "tcp": object(&json!({
            "connectTimeout": text(),
            "idleTimeout": text(),
            "maxConnectionDuration": text(),
            "maxConnections": whole(),
            "tcpKeepalive": object(&json!({
                "interval": text(),
                "probes": whole(),
                "time": text(),
            })),
        })),
    }))
}

fn load_balancer() -> Value {
    let ring = object(&json!({ "minimumRingSize": whole() }));
    let cookie = object(&json!({
        "name": text(),
        "path": text(),
        "ttl": text(),
        "attributes": list(&object(&json!({ "name": text(), "value": text() }))),
    }));
    let failover = list(&object(&json!({ "from": text(), "to": text() })));
    object(&json!({
        "simple": text(),
        "consistentHash": object(&json!({
            "httpHeaderName": text(),
            "httpCookie": cookie,
            "httpQueryParameterName": text(),
            "useSourceIp": flag(),
            "minimumRingSize": whole(),
            "ringHash": ring,
            "maglev": object(&json!({ "tableSize": whole() })),
        })),
        "localityLbSetting": object(&json!({
            "enabled": flag(),
            "distribute": list(&object(&json!({ "from": text(), "to": by_key(&whole()) }))),
            "failover": failover,
            "failoverPriority": list(&text()),
        })),
        "zoneAwareLbSetting": object(&json!({
            "enabled": flag(),
            "failover": failover,
            "failoverPriority": list(&text()),
            "minClusterSize": whole(),
        })),
        "warmup": object(&json!({
            "duration": text(),
            "minimumPercent": number(),
            "aggression": number(),
        })),
        "warmupDurationSecs": text(),
    }))
}

fn outlier_detection() -> Value {
    object(&json!({
        "baseEjectionTime": text(),
        "consecutive5xxErrors": whole(),
        "consecutiveErrors": whole(),
        "consecutiveGatewayErrors": whole(),
        "consecutiveLocalOriginFailures": whole(),
        "interval": text(),
        "maxEjectionPercent": whole(),
        "minHealthPercent": whole(),
        "outlierDetectionHttpErrorCodes": list(&whole()),
        "splitExternalLocalOriginErrors": flag(),
    }))
}

fn tls() -> Value {
    object(&json!({
        "mode": text(),
        "caCertificates": text(),
        "caCrl": text(),
        "clientCertificate": text(),
        "credentialName": text(),
        "insecureSkipVerify": flag(),
        "privateKey": text(),
        "sni": text(),
        "subjectAltNames": list(&text()),
    }))
}
