//! What Prometheus' query API replies: series and samples, or an error that shows nothing of a body
//! which may not be the asker's to read.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use crate::metrics::{Reply, Untrusted};

/// Prometheus' own error texts are kept this long: enough to tell what is wrong with a query.
const ERROR_CHARACTERS: usize = 256;

/// Any content type that is one is shorter.
const KIND_CHARACTERS: usize = 64;

/// The one number of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it was, in Unix time.
    pub(super) seconds: f64,
    pub(super) value: f64,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// The sample of a reply; none if there was no series.
pub(super) fn sample(reply: &Reply) -> Result<Option<Sample>, String> {
    let mut series = vector(reply)?;
    let Some(only) = series.pop() else {
        return Ok(None);
    };
    if !series.is_empty() {
        return Err(format!("{} series where one is expected", series.len() + 1));
    }
    let response = reply.as_ref().map_err(Clone::clone)?;
    let strange = |what: &str| format!("{what}: {}", described(response));
    let Ok(Series {
        value: (seconds, text),
    }) = serde_json::from_value(only)
    else {
        return Err(strange("the series has no value"));
    };
    let value = text
        .parse()
        .map_err(|_| strange("the value is not a number"))?;
    Ok(Some(Sample { seconds, value }))
}

/// The sample of a series that is one of several, if it has one.
pub(super) fn sample_of(series: Value) -> Option<Sample> {
    let Series {
        value: (seconds, text),
    } = serde_json::from_value(series).ok()?;
    let value = text.parse().ok()?;
    Some(Sample { seconds, value })
}

/// The series of a reply. All else is an error, which never shows more of the body than Prometheus'
/// own error text: the address may be a user's, and what answers there may not be theirs to read.
pub(super) fn vector(reply: &Reply) -> Result<Vec<Value>, String> {
    let response = reply.as_ref().map_err(Clone::clone)?;
    let answer = serde_json::from_slice::<Answer>(response.body());
    if let Ok(Answer { status, error, .. }) = &answer
        && status == "error"
    {
        let text = format!("error response: {}", described(response));
        // What answers at a user's address may be none of theirs to read.
        return Err(match response.extensions().get::<Untrusted>() {
            Some(Untrusted) => text,
            None => format!("{text}: {}", shown(error, ERROR_CHARACTERS)),
        });
    }
    if !response.status().is_success() {
        return Err(format!("error response: {}", described(response)));
    }
    let strange = |what: &str| format!("{what}: {}", described(response));
    let Answer { status, data, .. } =
        answer.map_err(|_| strange("not an answer of the Prometheus query API"))?;
    let data = data
        .filter(|_| status == "success")
        .ok_or_else(|| strange("no result"))?;
    if data.result_type != "vector" {
        return Err(strange("the query does not give an instant vector"));
    }
    match data.result {
        Value::Array(series) => Ok(series),
        _ => Err(strange("the result is not a list of series")),
    }
}

/// What may be told of a reply of which we know nothing.
fn described(response: &http::Response<Bytes>) -> String {
    let status = response.status().as_u16();
    if response.extensions().get::<Untrusted>().is_some() {
        return format!("status {status}");
    }
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.map_or_else(
        || "no content type".to_owned(),
        |kind| shown(kind, KIND_CHARACTERS),
    );
    format!("status {status}, {} bytes, {kind}", response.body().len())
}

/// Somebody else's text, fit for an Event: printable, and not long.
fn shown(text: &str, characters: usize) -> String {
    let printable = |c: &char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().nth(1).is_none();
    text.chars().filter(printable).take(characters).collect()
}
