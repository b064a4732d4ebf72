//! Splunk Observability Cloud: a `SignalFlow` program out, a stream of messages back.
//!
//! Flagger runs the program over a web socket. The same computation is to be had by one request, with
//! the messages as server-sent events; it ends by itself, since the time that it is about has passed.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::metric_template::MetricTemplateProvider;
use crate::metrics::single::{self, NO_VALUES, NOT_UNDERSTOOD, Points};
use crate::metrics::{Access, Check, Measured, Next, Provider, Reply, System, access};

/// A program is run over this many windows, as Flagger runs it: points come late.
const WINDOWS: u128 = 10;

const TOKEN_HEADER: &str = "X-SF-Token";

#[derive(Debug)]
pub(super) struct Splunk;

impl Provider for Splunk {
    fn name(&self) -> &'static str {
        "splunk"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask = |check: &Check| request(check, now);
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        let address = of_host(&system.address, "stream", "api");
        let request = single::get(&address, "/v2/metric", &[("limit", "1")], &system.access)?;
        single::sent(with_token(request, &system.access)?, system.origin)
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::answered(reply).map(|_| ())
    }

    /// Of the host that streams, whichever of the two of a realm is named, and by whichever scheme.
    fn address(&self, provider: &MetricTemplateProvider) -> Result<String, (&'static str, String)> {
        let given = provider.address.as_deref().unwrap_or_default();
        if given.is_empty() {
            return Err(("spec.provider.address", "is needed".to_owned()));
        }
        let address = match given.split_once("://") {
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(("ws", rest)) => format!("http://{rest}"),
            _ => given.to_owned(),
        };
        Ok(of_host(&address, "api", "stream"))
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["sf_token_key"]
    }
}

/// The address, with this host of a realm in place of that: `api.us1.signalfx.com` and
/// `stream.us1.signalfx.com` are one system. No more of the name changes, because the token is meant
/// for whoever holds the rest of it.
fn of_host(address: &str, from: &str, to: &str) -> String {
    let changed = address.split_once("://").and_then(|(scheme, rest)| {
        let rest = rest.strip_prefix(from)?;
        let rest = rest.starts_with('.').then_some(rest)?;
        Some(format!("{scheme}://{to}{rest}"))
    });
    changed.unwrap_or_else(|| address.to_owned())
}

fn with_token(
    request: http::request::Builder,
    of: &Access,
) -> Result<http::request::Builder, String> {
    let token = access::secret_value(TOKEN_HEADER, of.key("sf_token_key")?)?;
    Ok(request.header(TOKEN_HEADER, token))
}

fn request(check: &Check, now: Timestamp) -> Result<http::Request<Bytes>, String> {
    let back = i64::try_from(check.interval.as_millis().saturating_mul(WINDOWS));
    let stop = now.as_millisecond();
    let start = stop.saturating_sub(back.unwrap_or(i64::MAX)).to_string();
    let stop = stop.to_string();
    let parameters = [
        // What has not come in by now is not waited for.
        ("immediate", "true"),
        ("start", start.as_str()),
        ("stop", stop.as_str()),
    ];
    let path = "/v2/signalflow/execute";
    let request = single::post(&check.address, path, &parameters, &check.access)?
        .header("Accept", "text/event-stream")
        .header("Content-Type", "text/plain");
    let request = with_token(request, &check.access)?;
    single::sent_with(request, check.origin, check.query.clone())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    logical_timestamp_ms: f64,
    data: Vec<Datum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Datum {
    ts_id: String,
    value: Option<f64>,
}

#[derive(Deserialize)]
struct Control {
    event: String,
}

#[derive(Deserialize)]
struct Information {
    message: Message,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Message {
    message_code: String,
    contents: serde_json::Value,
}

/// What a computation has said.
#[derive(Default)]
struct Computation {
    /// Seconds that a point stands for.
    step: Option<f64>,
    /// Points by series: when each begins, in Unix time.
    series: BTreeMap<String, Vec<(f64, Option<f64>)>>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let computation = single::answered(reply).and_then(|response| computation(response.body()));
    let Computation { step, mut series } = match computation {
        Ok(computation) => computation,
        Err(why) => return Measured::Error(why),
    };
    series.retain(|_, points| points.iter().any(|(_, value)| value.is_some()));
    if series.len() > 1 {
        return single::several(series.len());
    }
    let Some((_, mut points)) = series.pop_first() else {
        return Measured::NoData(NO_VALUES.to_owned());
    };
    points.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    Points { points, step }.newest(check, now.as_duration().as_secs_f64())
}

fn computation(body: &[u8]) -> Result<Computation, String> {
    let mut computation = Computation::default();
    let events = events(body)?;
    if events.is_empty() {
        return Err(NOT_UNDERSTOOD.to_owned());
    }
    for (name, data) in events {
        match &*name {
            "data" => {
                let Data {
                    logical_timestamp_ms,
                    data,
                } = parsed(&data)?;
                for Datum { ts_id, value } in data {
                    let points = computation.series.entry(ts_id).or_default();
                    points.push((logical_timestamp_ms / 1000.0, value));
                }
            }
            "message" => {
                let Information { message } = parsed(&data)?;
                if message.message_code == "JOB_RUNNING_RESOLUTION" {
                    let milliseconds = message.contents["resolutionMs"].as_f64();
                    computation.step = milliseconds.map(|milliseconds| milliseconds / 1000.0);
                }
            }
            "error" => return Err(single::ERROR_INSIDE.to_owned()),
            "control-message" => {
                let Control { event } = parsed(&data)?;
                if event == "CHANNEL_ABORT" {
                    return Err("the computation was aborted".to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(computation)
}

fn parsed<T: DeserializeOwned>(data: &str) -> Result<T, String> {
    serde_json::from_str(data).map_err(|_| NOT_UNDERSTOOD.to_owned())
}

/// Server-sent events: name and data of each that has both.
fn events(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(body).map_err(|_| NOT_UNDERSTOOD.to_owned())?;
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), String::new());
    // The end of the text ends an event as an empty line does.
    for line in text.lines().chain([""]) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                let event = (std::mem::take(&mut name), std::mem::take(&mut data));
                if !event.0.is_empty() && !event.1.is_empty() {
                    events.push(event);
                }
            }
            "event" => value.clone_into(&mut name),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            _ => {}
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::{events, of_host};

    #[test]
    fn no_more_of_a_host_changes_than_its_first_name() {
        for (address, expected) in [
            (
                "https://api.us1.signalfx.com",
                "https://stream.us1.signalfx.com",
            ),
            (
                "https://stream.us1.signalfx.com",
                "https://stream.us1.signalfx.com",
            ),
            ("https://apis.example.com", "https://apis.example.com"),
            (
                "https://metrics.example.com/api.x",
                "https://metrics.example.com/api.x",
            ),
            ("http://api.test:8080/sub", "http://stream.test:8080/sub"),
        ] {
            assert_eq!(of_host(address, "api", "stream"), expected);
        }
    }

    #[test]
    fn data_of_several_lines_is_one() {
        let text = b": a comment\r\nevent: data\r\ndata: {\r\ndata:}\r\n\r\nevent: alone\n\nevent: a\ndata: b";
        let expected = [("data", "{\n}\n"), ("a", "b\n")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        assert_eq!(events(text), Ok(expected.to_vec()));
    }
}
