//! Prometheus, and all that speak its query API. One GET for each check, a second one where the
//! first finds nothing; a reply becomes a number only if it is exactly what was asked for.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::metrics::template::Piece;
use crate::metrics::{
    Access, Check, Measured, Next, Origin, Provider, Reply, System, Untrusted, access, placed,
};

/// Prometheus itself takes a sample for current that long (its look-back delta). A time further
/// from now than this and the check's interval is the time of a frozen cache or of a wrong clock,
/// here or there, and then nobody knows which traffic the number is about.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Prometheus' own error texts are kept this long: enough to tell what is wrong with a query.
const ERROR_CHARACTERS: usize = 256;

/// Any content type that is one is shorter.
const KIND_CHARACTERS: usize = 64;

/// What Flagger says of an empty answer.
const NO_VALUES: &str = "no values found";

#[derive(Debug)]
pub struct Prometheus;

impl Provider for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let requests = checks.iter().map(|check| request(check, &check.query));
        let requests: Vec<_> = requests.collect();
        let sent = requests.iter().flatten().count();
        let Some((first, second)) = replies.split_at_checked(sent) else {
            return Next::Ask(requests.into_iter().flatten().collect());
        };
        let mut first = first.iter();
        let found: Vec<_> = checks
            .iter()
            .zip(requests)
            .map(|(check, request)| match request {
                Ok(_) => measured(check, first.next()?, now),
                Err(why) => Some(Measured::Error(why)),
            })
            .collect();
        let doubts: Vec<_> = checks
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .filter_map(|(check, _)| request(check, check.only_failures.as_ref()?).ok())
            .collect();
        if second.len() < doubts.len() {
            return Next::Ask(doubts);
        }
        let mut second = second.iter();
        let measured = checks.iter().zip(found).map(|(check, found)| {
            found.unwrap_or_else(|| {
                let reply = check.only_failures.as_ref().and_then(|_| second.next());
                no_series(check, reply, now)
            })
        });
        Next::Done(measured.collect())
    }

    fn probe(&self, system: &System) -> Result<http::Request<Bytes>, String> {
        let System {
            address,
            origin,
            access,
        } = system;
        request_to(address, *origin, access, "vector(1)")
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        match sample(reply)? {
            Some(Sample { value, .. }) if (value - 1.0).abs() < f64::EPSILON => Ok(()),
            Some(_) => Err("value is not 1 for query: vector(1)".to_owned()),
            None => Err(NO_VALUES.to_owned()),
        }
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["token", "username", "password"]
    }

    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        placed::promql(pieces)
    }
}

/// Whether a text is the address of a server: absolute, http or https.
pub fn checked(address: &str) -> Result<http::Uri, String> {
    let wrong = |why: &str| format!("not the http or https address of a server: {why}");
    let uri: http::Uri = address.parse().map_err(|why| wrong(&format!("{why}")))?;
    match (uri.scheme_str(), uri.host()) {
        (_, None | Some("")) => Err(wrong("no host")),
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => Err(wrong("no http:// or https:// before the host")),
    }
}

fn request(check: &Check, query: &str) -> Result<http::Request<Bytes>, String> {
    request_to(&check.address, check.origin, &check.access, query)
}

fn request_to(
    address: &str,
    origin: Origin,
    access: &Access,
    query: &str,
) -> Result<http::Request<Bytes>, String> {
    let base = checked(address)?.into_parts();
    let path = base.path_and_query.as_ref().map_or("", |path| path.path());
    let uri = http::Uri::builder()
        .scheme(base.scheme.ok_or("no scheme")?)
        .authority(base.authority.ok_or("no host")?)
        .path_and_query(format!(
            "{}/api/v1/query?query={}",
            path.trim_end_matches('/'),
            url_encoded(query)
        ));
    let uri = uri.build().map_err(|why| why.to_string())?;
    let mut request = authenticated(access, access.get(uri)?)?;
    if origin == Origin::Resource {
        request = request.extension(Untrusted);
    }
    request.body(Bytes::new()).map_err(|why| why.to_string())
}

/// A token wins over a user; a Secret with neither is not as asked for.
fn authenticated(
    access: &Access,
    request: http::request::Builder,
) -> Result<http::request::Builder, String> {
    if access.secret.is_none() {
        return Ok(request);
    }
    match access.credentials.get("token") {
        Some(token) => access::authorized(request, "Bearer", token),
        None => access::basic(request, access.key("username")?, access.key("password")?),
    }
}

fn url_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push(char::from(HEX[usize::from(byte >> 4)]));
                encoded.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

/// What a reply says; nothing where there is no series.
fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Option<Measured> {
    let Sample { seconds, value } = match sample(reply) {
        Err(why) => return Some(Measured::Error(why)),
        Ok(sample) => sample?,
    };
    let age = now.as_duration().as_secs_f64() - seconds;
    let limit = (check.interval + TOLERANCE).as_secs_f64();
    let value = value * check.scale;
    Some(if age > limit {
        Measured::NoData(format!("the value is {age:.0}s old"))
    } else if age < -limit {
        Measured::NoData(format!("the value is {:.0}s in the future", -age))
    } else if value.is_nan() {
        // 0/0 is how the rate of nothing reads: there was no traffic.
        Measured::NoData(NO_VALUES.to_owned())
    } else if value.is_infinite() {
        Measured::NoData(format!("the value is {value:+}"))
    } else {
        Measured::Value(value)
    })
}

/// What it means that there was no series, by the reply to the second question.
fn no_series(check: &Check, reply: Option<&Reply>, now: Timestamp) -> Measured {
    match reply.and_then(|reply| measured(check, reply, now)) {
        Some(Measured::Value(rate)) if rate > 0.0 => Measured::Value(0.0),
        _ => Measured::NoData(NO_VALUES.to_owned()),
    }
}

/// The one number of an answer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// When it was, in Unix time.
    seconds: f64,
    value: f64,
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

/// The sample of a reply; none if there was no series. All else is an error, which never shows
/// more of the body than Prometheus' own error text: the address may be a user's, and what
/// answers there may not be theirs to read.
fn sample(reply: &Reply) -> Result<Option<Sample>, String> {
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
    let Value::Array(mut series) = data.result else {
        return Err(strange("the result is not a list of series"));
    };
    let Some(only) = series.pop() else {
        return Ok(None);
    };
    if !series.is_empty() {
        return Err(format!("{} series where one is expected", series.len() + 1));
    }
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
