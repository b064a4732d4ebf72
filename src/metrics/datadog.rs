//! Datadog's metrics query API.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use crate::metrics::single::{self, Points};
use crate::metrics::{Access, Check, Measured, Next, Provider, Reply, System, access};

/// A query looks back over this many windows, as Flagger's does: points come late.
const WINDOWS: u64 = 10;

#[derive(Debug)]
pub(super) struct Datadog;

impl Provider for Datadog {
    fn name(&self) -> &'static str {
        "datadog"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask = |check: &Check| request(check, now);
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        let request = single::get(&system.address, "/api/v1/validate", &[], &system.access)?;
        single::sent(with_keys(request, &system.access)?, system.origin)
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::answered(reply).map(|_| ())
    }

    fn default_address(&self) -> Option<&'static str> {
        Some("https://api.datadoghq.com")
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["datadog_api_key", "datadog_application_key"]
    }
}

fn with_keys(
    request: http::request::Builder,
    of: &Access,
) -> Result<http::request::Builder, String> {
    let mut request = request;
    for (header, key) in [
        ("DD-API-KEY", "datadog_api_key"),
        ("DD-APPLICATION-KEY", "datadog_application_key"),
    ] {
        request = request.header(header, access::secret_value(header, of.key(key)?)?);
    }
    Ok(request)
}

fn request(check: &Check, now: Timestamp) -> Result<http::Request<Bytes>, String> {
    let seconds = i64::try_from(check.interval.as_secs().saturating_mul(WINDOWS));
    let from = now.as_second().saturating_sub(seconds.unwrap_or(i64::MAX));
    let (from, to) = (from.to_string(), now.as_second().to_string());
    let parameters = [
        ("from", from.as_str()),
        ("query", check.query.as_str()),
        ("to", to.as_str()),
    ];
    let request = single::get(&check.address, "/api/v1/query", &parameters, &check.access)?;
    single::sent(with_keys(request, &check.access)?, check.origin)
}

#[derive(Deserialize)]
struct Answer {
    /// Datadog answers 200 with an error inside.
    error: Option<String>,
    #[serde(default)]
    series: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    /// Seconds of each point.
    interval: Option<f64>,
    /// Milliseconds in Unix time, and the value.
    #[serde(default)]
    pointlist: Vec<(f64, Option<f64>)>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let Answer { error, series } = match single::json(reply) {
        Ok(answer) => answer,
        Err(why) => return Measured::Error(why),
    };
    if error.is_some_and(|error| !error.is_empty()) {
        return Measured::Error("the query is answered with an error".to_owned());
    }
    let [series] = &*series else {
        return match series.len() {
            0 => Measured::NoData(single::NO_VALUES.to_owned()),
            count => Measured::Error(format!("{count} series where one is expected")),
        };
    };
    let points = series.pointlist.iter();
    let points = points.map(|(milliseconds, value)| (milliseconds / 1000.0, *value));
    let points = Points {
        points: points.collect(),
        step: series.interval,
    };
    points.newest(check, now.as_duration().as_secs_f64())
}
