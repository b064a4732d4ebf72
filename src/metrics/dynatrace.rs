//! Dynatrace's metrics API, version 2.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use crate::metrics::single;
use crate::metrics::{Access, Check, Measured, Next, Provider, Reply, System, access};

/// A query looks back over this many windows, as Flagger's does.
const WINDOWS: u128 = 10;

#[derive(Debug)]
pub(super) struct Dynatrace;

impl Provider for Dynatrace {
    fn name(&self) -> &'static str {
        "dynatrace"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask = |check: &Check| request(check, now);
        single::next(checks, replies, ask, |_, reply| measured(reply))
    }

    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        let parameters = [("pageSize", "1")];
        let request = single::get(
            &system.address,
            "/api/v2/metrics",
            &parameters,
            &system.access,
        )?;
        single::sent(with_token(request, &system.access)?, system.origin)
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::answered(reply).map(|_| ())
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["dynatrace_token"]
    }
}

fn with_token(
    request: http::request::Builder,
    of: &Access,
) -> Result<http::request::Builder, String> {
    access::authorized(request, "Api-Token", of.key("dynatrace_token")?)
}

fn request(check: &Check, now: Timestamp) -> Result<http::Request<Bytes>, String> {
    let back = i64::try_from(check.interval.as_millis().saturating_mul(WINDOWS));
    let to = now.as_millisecond();
    let from = to.saturating_sub(back.unwrap_or(i64::MAX)).to_string();
    let to = to.to_string();
    let parameters = [
        ("from", from.as_str()),
        ("metricSelector", check.query.as_str()),
        // One value for the whole time.
        ("resolution", "Inf"),
        ("to", to.as_str()),
    ];
    let path = "/api/v2/metrics/query";
    let request = single::get(&check.address, path, &parameters, &check.access)?;
    single::sent(with_token(request, &check.access)?, check.origin)
}

#[derive(Deserialize)]
struct Answer {
    result: Vec<Collection>,
}

#[derive(Deserialize)]
struct Collection {
    #[serde(default)]
    data: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<Option<f64>>,
}

fn measured(reply: &Reply) -> Measured {
    let Answer { result } = match single::json(reply) {
        Ok(answer) => answer,
        Err(why) => return Measured::Error(why),
    };
    let series: Vec<_> = result.iter().flat_map(|of| &of.data).collect();
    let [series] = &*series else {
        return match series.len() {
            0 => Measured::NoData(single::NO_VALUES.to_owned()),
            count => Measured::Error(format!("{count} series where one is expected")),
        };
    };
    match series.values.iter().flatten().next_back() {
        Some(number) => single::value(*number),
        None => Measured::NoData(single::NO_VALUES.to_owned()),
    }
}
