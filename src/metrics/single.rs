//! Systems that are asked by one request for each check: what their providers have in common.

use bytes::Bytes;
use http::uri::PathAndQuery;
use jiff::Timestamp;
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
    access.get(below(address, path, parameters)?)
}

/// A POST below an address, with the headers of the resource.
pub(super) fn post(
    address: &str,
    path: &str,
    parameters: &[(&str, &str)],
    access: &Access,
) -> Result<http::request::Builder, String> {
    Ok(access
        .get(below(address, path, parameters)?)?
        .method(http::Method::POST))
}

/// An address with a path and a query string behind its own path.
fn below(address: &str, path: &str, parameters: &[(&str, &str)]) -> Result<http::Uri, String> {
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
    uri.build().map_err(|why| why.to_string())
}

/// The request, marked where a user has chosen its address.
pub(super) fn sent(
    request: http::request::Builder,
    origin: Origin,
) -> Result<http::Request<Bytes>, String> {
    sent_with(request, origin, Bytes::new())
}

/// The same, with a body.
pub(super) fn sent_with(
    request: http::request::Builder,
    origin: Origin,
    body: impl Into<Bytes>,
) -> Result<http::Request<Bytes>, String> {
    let request = match origin {
        Origin::Resource => request.extension(Untrusted),
        Origin::Settings => request,
    };
    request.body(body.into()).map_err(|why| why.to_string())
}

/// The cluster's own API, as an address. What is asked of it goes to whichever API server this program
/// uses, with its own account.
pub(super) const CLUSTER: &str = "https://kubernetes.default.svc";

/// A GET of this path from the cluster's own API. No user has chosen where it leads.
pub(super) fn of_cluster(path: &str) -> Result<http::Request<Bytes>, String> {
    sent(http::Request::get(path), Origin::Settings)
}

/// Whether a text is a name of the cluster (RFC 1123), so that no other path is made of it.
pub(super) fn name(text: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().next_back()];
    let are_plain = ends.into_iter().all(|byte| byte.is_some_and(is_plain));
    if are_plain
        && text
            .bytes()
            .all(|byte| is_plain(byte) || b"-.".contains(&byte))
    {
        Ok(())
    } else {
        Err(format!("{text:?} is not a name"))
    }
}

/// What a reply holds, by its JSON. What else there is of it is shown to nobody.
pub(super) fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T, String> {
    let response = answered(reply)?;
    serde_json::from_slice(response.body()).map_err(|_| NOT_UNDERSTOOD.to_owned())
}

/// Of an answer in another form than the system's. Nothing of it is shown: the address may be a
/// user's, and what answers there not theirs to read.
pub(super) const NOT_UNDERSTOOD: &str = "the answer is not understood";

/// Of an answer that says that the query failed, whatever its status is.
pub(super) const ERROR_INSIDE: &str = "the query is answered with an error";

/// Of an answer about more than was asked for.
pub(super) fn several(count: usize) -> Measured {
    Measured::Error(format!("{count} series where one is expected"))
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

/// A number that bears the time at which it was made: none that is too old to tell of this traffic. The
/// clock of who made it may be ahead of ours.
pub(super) fn stamped(check: &Check, seconds: f64, number: f64, now: Timestamp) -> Measured {
    let age = now.as_duration().as_secs_f64() - seconds;
    if age > check.interval.as_secs_f64() + STALE_SECONDS {
        Measured::NoData(format!("the value is {age:.0}s old"))
    } else if age < -STALE_SECONDS {
        Measured::NoData(format!("the value is {:.0}s in the future", -age))
    } else {
        value(number)
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
            return Measured::NoData(NOT_ENDED.to_owned());
        };
        let age = now - begin - step;
        if age > window + STALE_SECONDS {
            return Measured::NoData(format!("the value is {age:.0}s old"));
        }
        value(number)
    }
}

/// Of a number that would be another one in a moment.
pub(super) const NOT_ENDED: &str =
    "the only value is of a time that has not ended; let the query look back further";

/// A number that is older than a check's window and this tells of other traffic.
const STALE_SECONDS: f64 = 300.0;
