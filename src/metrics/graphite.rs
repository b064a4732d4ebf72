//! Graphite's render API, and what speaks it. The query is that of a URL: `target=…&from=-5min`.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::metrics::single::{self, Points};
use crate::metrics::template::Piece;
use crate::metrics::{Access, Check, Measured, Next, Origin, Provider, Reply, System, access};

#[derive(Debug)]
pub(super) struct Graphite;

impl Provider for Graphite {
    fn name(&self) -> &'static str {
        "graphite"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask =
            |check: &Check| request(&check.address, check.origin, &check.access, &check.query);
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        request(
            &system.address,
            system.origin,
            &system.access,
            "target=test",
        )
    }

    /// It has answered: that there is no series of that name is as good.
    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::json::<Vec<Series>>(reply).map(|_| ())
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["username", "password"]
    }

    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        let text: String = pieces.iter().map(Piece::text).collect();
        let query = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        if parameters.any(|(name, _)| name == "target") {
            Ok(query)
        } else {
            Err("it has no target=".to_owned())
        }
    }
}

fn request(
    address: &str,
    origin: Origin,
    access: &Access,
    query: &str,
) -> Result<http::Request<Bytes>, String> {
    let mut parameters: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "format")
        .collect();
    parameters.push(("format".into(), "json".into()));
    // In Flagger's order; those of one name keep theirs.
    parameters.sort_by(|(left, _), (right, _)| left.cmp(right));
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let mut request = single::get(address, "/render", &parameters, access)?;
    if access.secret.is_some() {
        request = access::basic(request, access.key("username")?, access.key("password")?)?;
    }
    single::sent(request, origin)
}

#[derive(Deserialize)]
struct Series {
    /// The number, as text: infinity is `1e9999` here, which no reader of numbers takes.
    datapoints: Vec<(Box<RawValue>, f64)>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let series: Vec<Series> = match single::json(reply) {
        Ok(series) => series,
        Err(why) => return Measured::Error(why),
    };
    let [series] = &*series else {
        return match series.len() {
            0 => Measured::NoData(single::NO_VALUES.to_owned()),
            count => Measured::Error(format!("{count} series where one is expected")),
        };
    };
    let mut points = Vec::with_capacity(series.datapoints.len());
    for (number, seconds) in &series.datapoints {
        let text = number.get().trim_matches('"');
        let number = match text {
            "null" => None,
            text => match text.parse::<f64>() {
                Ok(number) => Some(number),
                Err(_) => return Measured::Error("a value is not a number".to_owned()),
            },
        };
        points.push((*seconds, number));
    }
    Points { points, step: None }.newest(check, now.as_duration().as_secs_f64())
}
