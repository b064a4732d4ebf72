//! Systems that are asked by one GET for each check: what their providers have in common.

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde::de::DeserializeOwned;

use crate::metrics::{Access, Check, Measured, Next, Origin, Reply, Untrusted, prometheus};

/// What Flagger says of an empty answer.
pub(super) const NO_VALUES: &str = "no values found";

/// One request for each check, and one measurement for each reply: a check that cannot be asked takes
/// nobody else's.
pub(super) fn next(
    checks: &[Check],
    replies: &[Reply],
    request: impl Fn(&Check) -> Result<http::Request<Bytes>, String>,
    measured: impl Fn(&Check, &Reply) -> Measured,
) -> Next {
    let requests: Vec<_> = checks.iter().map(request).collect();
    let sent = requests.iter().flatten().count();
    if replies.len() < sent {
        return Next::Ask(requests.into_iter().flatten().collect());
    }
    let mut replies = replies.iter();
    let answers = checks.iter().zip(requests).map(|(check, request)| {
        let reply = request.map(|_| replies.next());
        match reply {
            Ok(Some(reply)) => measured(check, reply),
            Ok(None) => Measured::Error("there is no reply".to_owned()),
            Err(why) => Measured::Error(why),
        }
    });
    Next::Done(answers.collect())
}

/// A GET below an address, with the headers of the resource.
pub(super) fn get(
    address: &str,
    path: &str,
    parameters: &[(&str, &str)],
    access: &Access,
) -> Result<http::request::Builder, String> {
    let base = prometheus::checked(address)?.into_parts();
    let before = base.path_and_query.as_ref().map_or("", PathAndQuery::path);
    let mut target = format!("{}{path}", before.trim_end_matches('/'));
    if !parameters.is_empty() {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(parameters);
        target = format!("{target}?{}", encoded.finish());
    }
    let uri = http::Uri::builder()
        .scheme(base.scheme.ok_or("no scheme")?)
        .authority(base.authority.ok_or("no host")?)
        .path_and_query(target);
    access.get(uri.build().map_err(|why| why.to_string())?)
}

/// The request, marked where a user has chosen its address.
pub(super) fn sent(
    request: http::request::Builder,
    origin: Origin,
) -> Result<http::Request<Bytes>, String> {
    let request = match origin {
        Origin::Resource => request.extension(Untrusted),
        Origin::Settings => request,
    };
    request.body(Bytes::new()).map_err(|why| why.to_string())
}

/// What a reply holds, by its JSON. What else there is of it is shown to nobody.
pub(super) fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T, String> {
    let response = answered(reply)?;
    serde_json::from_slice(response.body()).map_err(|_| "the answer is not understood".to_owned())
}

/// A reply that is no refusal.
pub(super) fn answered(reply: &Reply) -> Result<&http::Response<Bytes>, String> {
    let response = reply.as_ref().map_err(Clone::clone)?;
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(format!(
            "error response: status {}",
            response.status().as_u16()
        ))
    }
}

/// A number as a measurement: what is not finite is none.
pub(super) fn value(value: f64) -> Measured {
    if value.is_nan() {
        Measured::NoData(NO_VALUES.to_owned())
    } else if value.is_infinite() {
        Measured::NoData(format!("the value is {value:+}"))
    } else {
        Measured::Value(value)
    }
}

/// The numbers of a series over time.
pub(super) struct Points {
    /// When each begins, in Unix time, and what it is, oldest first.
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// Seconds that each stands for, where the system says so.
    pub(super) step: Option<f64>,
}

impl Points {
    /// The newest number of a time that has ended: of one that has not, a part is there.
    ///
    /// Without a step it is the least time between two, and of a single one the check's window.
    pub(super) fn newest(&self, check: &Check, now: f64) -> Measured {
        let window = check.interval.as_secs_f64();
        let gaps = self.points.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let between = gaps.filter(|gap| *gap > 0.0).reduce(f64::min);
        let step = self.step.or(between).unwrap_or(window);
        let known = self.points.iter().rev();
        let mut known = known.filter_map(|(begin, value)| Some((*begin, (*value)?)));
        let Some((newest, _)) = known.clone().next() else {
            return Measured::NoData(NO_VALUES.to_owned());
        };
        if newest > now + STALE_SECONDS {
            return Measured::NoData(format!("the value is {:.0}s in the future", newest - now));
        }
        let Some((begin, number)) = known.find(|(begin, _)| begin + step <= now) else {
            let why =
                "the only value is of a time that has not ended; let the query look back further";
            return Measured::NoData(why.to_owned());
        };
        let age = now - begin - step;
        if age > window + STALE_SECONDS {
            return Measured::NoData(format!("the value is {age:.0}s old"));
        }
        value(number)
    }
}

/// A number that is older than a check's window and this tells of other traffic.
const STALE_SECONDS: f64 = 300.0;
