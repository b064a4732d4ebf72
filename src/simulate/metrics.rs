//! A stand-in for Prometheus: answers the queries of the built-in checks with what the script says.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::scenario::Metrics;

/// Answers a request, or not at all.
pub(super) fn answer(
    metrics: Metrics,
    request: &Request<Bytes>,
    now: Timestamp,
) -> Result<Response<Bytes>, String> {
    let query = request
        .uri()
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("query="))
        .map(decoded)
        .unwrap_or_default();
    let value = match metrics {
        Metrics::Outage => return Err("connection refused".to_owned()),
        _ if query == "vector(1)" => Some(1.0),
        Metrics::None => None,
        Metrics::Values { milliseconds, .. } if query.contains("histogram_quantile") => {
            // Who measures in seconds says so in the metric's name.
            let seconds = query.contains("seconds_bucket") && !query.contains("milliseconds");
            Some(if seconds {
                milliseconds / 1000.0
            } else {
                milliseconds
            })
        }
        Metrics::Values { success_rate, .. } => Some(success_rate),
    };
    let result: Vec<Value> = value
        .map(|value| json!({ "metric": {}, "value": [now.as_second(), value.to_string()] }))
        .into_iter()
        .collect();
    let body = json!({ "status": "success", "data": { "resultType": "vector", "result": result } });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&pair, 16).unwrap_or(b'%'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
