//! Prometheus, and all that speak its query API. One GET for each check, or for many that are alike; a
//! second one where the first finds nothing. A reply becomes a number only if it is exactly what was
//! asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::metrics::batch::{self, Batched, Which};
use crate::metrics::reply::{Sample, sample, sample_of, vector};
use crate::metrics::template::Piece;
use crate::metrics::{
    Access, Check, Measured, Next, Origin, Provider, Reply, System, Untrusted, access, placed,
};

/// Prometheus itself takes a sample for current that long (its look-back delta). A time further
/// from now than this and the check's interval is the time of a frozen cache or of a wrong clock,
/// here or there, and then nobody knows which traffic the number is about.
const TOLERANCE: Duration = Duration::from_mins(5);

/// What Flagger says of an empty answer.
const NO_VALUES: &str = "no values found";

#[derive(Debug)]
pub struct Prometheus;

impl Provider for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let mut left = replies;
        let all: Vec<_> = (0..checks.len()).collect();
        let found = match round(checks, &all, Which::Number, &mut left, now) {
            Ok(found) => found,
            Err(requests) => return Next::Ask(requests),
        };
        let doubts = all.iter().copied().filter(|index| {
            let is_empty = found.get(index).is_some_and(Option::is_none);
            is_empty
                && checks
                    .get(*index)
                    .is_some_and(|it| it.only_failures.is_some())
        });
        let doubts: Vec<_> = doubts.collect();
        let second = match round(checks, &doubts, Which::OnlyFailures, &mut left, now) {
            Ok(second) => second,
            Err(requests) => return Next::Ask(requests),
        };
        let measured = all.iter().map(|index| match found.get(index) {
            Some(Some(measured)) => measured.clone(),
            _ => no_series(second.get(index).and_then(Option::as_ref)),
        });
        Next::Done(measured.collect())
    }

    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
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

/// What was found for each check by its index; nothing where there is no series.
type Found = BTreeMap<usize, Option<Measured>>;

/// One question of these checks: of those that are alike by one query, of the others by one each. What
/// cannot be asked together is asked again by itself. Without enough replies, what is to be sent.
fn round(
    checks: &[Check],
    of: &[usize],
    which: Which,
    replies: &mut &[Reply],
    now: Timestamp,
) -> Result<Found, Vec<http::Request<Bytes>>> {
    let mut found = Found::new();
    let (mut requests, mut batches) = (Vec::new(), Vec::new());
    for batched in batch::batches(checks, of, which) {
        // A request that cannot be made is told check by check.
        if let Ok(request) = request(batched.first, &batched.query) {
            requests.push(request);
            batches.push(batched);
        }
    }
    let members = batches.iter().flat_map(|batched| batched.members.values());
    let in_batches: BTreeSet<_> = members.flatten().copied().collect();
    let alone: Vec<_> = of
        .iter()
        .copied()
        .filter(|it| !in_batches.contains(it))
        .collect();
    let own = take(replies, &mut requests, &mut found, checks, &alone, which)?;
    let (of_batches, of_alone) = own.split_at(batches.len());
    let mut again = Vec::new();
    for (batched, reply) in batches.iter().zip(of_batches) {
        match of_batch(checks, batched, reply, now) {
            Some(members) => found.extend(members),
            None => again.extend(batched.members.values().flatten().copied()),
        }
    }
    note(checks, &alone, of_alone, &mut found, now);
    again.sort_unstable();
    let mut requests = Vec::new();
    let own = take(replies, &mut requests, &mut found, checks, &again, which)?;
    note(checks, &again, own, &mut found, now);
    Ok(found)
}

/// Adds the requests of checks that are asked by themselves, and takes the replies to all of them.
fn take<'a>(
    replies: &mut &'a [Reply],
    requests: &mut Vec<http::Request<Bytes>>,
    found: &mut Found,
    checks: &[Check],
    alone: &[usize],
    which: Which,
) -> Result<&'a [Reply], Vec<http::Request<Bytes>>> {
    for index in alone {
        let Some(check) = checks.get(*index) else {
            continue;
        };
        let query = match which {
            Which::Number => Some(&check.query),
            Which::OnlyFailures => check.only_failures.as_ref(),
        };
        let asked = query.map(|query| request(check, query));
        match asked {
            Some(Ok(request)) => requests.push(request),
            Some(Err(why)) => {
                found.insert(*index, Some(Measured::Error(why)));
            }
            None => {
                found.insert(*index, None);
            }
        }
    }
    let Some((own, rest)) = replies.split_at_checked(requests.len()) else {
        return Err(std::mem::take(requests));
    };
    *replies = rest;
    Ok(own)
}

/// Takes note of what was replied to checks that were asked by themselves.
fn note(checks: &[Check], alone: &[usize], replies: &[Reply], found: &mut Found, now: Timestamp) {
    let sent: Vec<_> = alone
        .iter()
        .filter(|index| !found.contains_key(index))
        .collect();
    for (index, reply) in sent.into_iter().zip(replies) {
        let measured = checks
            .get(*index)
            .and_then(|check| measured(check, reply, now));
        found.insert(*index, measured);
    }
}

/// What a reply says of each member of a batch. Nothing where it is no answer for all of them, and each
/// is to be asked by itself: the query is too much for the server or for something before it, or a
/// series is not one workload's.
fn of_batch(
    checks: &[Check],
    batched: &Batched<'_>,
    reply: &Reply,
    now: Timestamp,
) -> Option<Found> {
    let all = |measured: Option<Measured>| {
        let members = batched.members.values().flatten();
        members.map(|index| (*index, measured.clone())).collect()
    };
    let series = match vector(reply) {
        Ok(series) => series,
        Err(_) if reply.as_ref().is_ok_and(|it| is_too_much(it.status())) => return None,
        Err(why) => return Some(all(Some(Measured::Error(why)))),
    };
    let mut found: Found = all(None);
    let [namespace, workload] = batched.labels;
    for series in series {
        let labels = &series["metric"];
        let label = |name: &str| labels[name].as_str().map(str::to_owned);
        let (namespace, workload) = (label(namespace)?, label(workload)?);
        // Every namespace is asked about every workload: some of them are nobody's.
        let Some(members) = batched.members.get(&(&*namespace, &*workload)) else {
            continue;
        };
        let sample = sample_of(series)?;
        let is_second = members
            .iter()
            .any(|index| found.get(index).is_some_and(Option::is_some));
        if is_second {
            return None;
        }
        for index in members {
            let measured = |check: &Check| of_sample(check, sample, now);
            found.insert(*index, checks.get(*index).map(measured));
        }
    }
    Some(found)
}

/// Whether the same may be answered where less is asked.
fn is_too_much(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 422 | 431)
}

/// What a reply says; nothing where there is no series.
fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Option<Measured> {
    match sample(reply) {
        Err(why) => Some(Measured::Error(why)),
        Ok(sample) => Some(of_sample(check, sample?, now)),
    }
}

/// What a number means for a check.
fn of_sample(check: &Check, sample: Sample, now: Timestamp) -> Measured {
    let Sample { seconds, value } = sample;
    let age = now.as_duration().as_secs_f64() - seconds;
    let limit = (check.interval + TOLERANCE).as_secs_f64();
    let value = value * check.scale;
    if age > limit {
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
    }
}

/// What it means that there was no series, by the answer to the second question.
fn no_series(only_failures: Option<&Measured>) -> Measured {
    match only_failures {
        Some(Measured::Value(rate)) if *rate > 0.0 => Measured::Value(0.0),
        _ => Measured::NoData(NO_VALUES.to_owned()),
    }
}
