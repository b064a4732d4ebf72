//! Amazon `CloudWatch`: a query is the list of a `GetMetricData` request.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::metric_template::MetricTemplateProvider;
use crate::metrics::single::{self, NO_VALUES, Points};
use crate::metrics::template::Piece;
use crate::metrics::{Access, Check, Measured, Next, Origin, Provider, Reply, System};
use crate::metrics::{access, sigv4};

/// A query looks back over this many windows, as Flagger's does: points come late.
const WINDOWS: u64 = 10;

/// The most points of an answer, as Flagger asks for.
const POINTS: u64 = 20;

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const OPERATION: &str = "GraniteServiceVersion20100801.GetMetricData";

#[derive(Debug)]
pub(super) struct CloudWatch;

impl Provider for CloudWatch {
    fn name(&self) -> &'static str {
        "cloudwatch"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask = |check: &Check| {
            let seconds = i64::try_from(check.interval.as_secs().saturating_mul(WINDOWS));
            let start = now.as_second().saturating_sub(seconds.unwrap_or(i64::MAX));
            let body = json!({
                "StartTime": start,
                "EndTime": now.as_second(),
                "MaxDatapoints": POINTS,
                "MetricDataQueries": queries(&check.query)?,
            });
            request(&check.address, check.origin, &check.access, &body, now)
        };
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    /// Asks for nothing, as Flagger does.
    fn probe(&self, system: &System, now: Timestamp) -> Result<http::Request<Bytes>, String> {
        let body = json!({ "StartTime": 0, "EndTime": 0, "MetricDataQueries": [] });
        request(&system.address, system.origin, &system.access, &body, now)
    }

    /// Whom it knows and lets ask it tells that nothing was asked for.
    fn online(&self, reply: &Reply) -> Result<(), String> {
        match reply {
            Ok(response) if response.status() == http::StatusCode::BAD_REQUEST => Ok(()),
            reply => single::answered(reply).map(|_| ()),
        }
    }

    /// That of the region. `spec.provider.address` is not read, as in Flagger: what is signed for AWS goes
    /// to AWS.
    fn address(&self, provider: &MetricTemplateProvider) -> Result<String, (&'static str, String)> {
        let field = "spec.provider.region";
        let region = provider.region.as_deref().unwrap_or_default();
        if region.is_empty() {
            return Err((field, "is needed".to_owned()));
        }
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !region.bytes().all(is_plain) {
            return Err((field, format!("{region:?} is not the name of a region")));
        }
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        Ok(format!("https://monitoring.{region}.{domain}"))
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &[ID, SECRET, SESSION]
    }

    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        let text: String = pieces.iter().map(Piece::text).collect();
        queries(&text).map(|_| text)
    }
}

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
const SESSION: &str = "aws_session_token";

/// The list that a query is.
fn queries(text: &str) -> Result<Vec<Value>, String> {
    let wrong = || "it is not a JSON list of MetricDataQuery".to_owned();
    let list: Vec<Value> = serde_json::from_str(text).map_err(|_| wrong())?;
    if list.is_empty() || !list.iter().all(Value::is_object) {
        return Err(wrong());
    }
    Ok(list)
}

fn request(
    address: &str,
    origin: Origin,
    of: &Access,
    body: &Value,
    now: Timestamp,
) -> Result<http::Request<Bytes>, String> {
    let keys = (of.key(ID)?, of.key(SECRET)?);
    let session = of.credentials.get(SESSION);
    let request = single::post(address, "/", &[], of)?;
    let uri = request.uri_ref().and_then(|uri| uri.host());
    let host = uri.unwrap_or_default().to_owned();
    let scope = sigv4::Scope {
        region: of.region.as_deref().unwrap_or_default(),
        service: "monitoring",
        now,
    };
    let date = scope.date_time();
    let mut signed = vec![
        ("content-type", CONTENT_TYPE),
        ("host", &*host),
        ("x-amz-date", &*date),
    ];
    signed.extend(session.map(|token| ("x-amz-security-token", token)));
    signed.push(("x-amz-target", OPERATION));
    let body = body.to_string();
    let authorization = sigv4::authorization(keys, scope, &signed, body.as_bytes());
    let mut request = request.header(
        AUTHORIZATION,
        access::secret_value("the credentials", &authorization)?,
    );
    for (name, value) in signed {
        // The client writes the host.
        if name != "host" {
            request = request.header(name, access::secret_value(name, value)?);
        }
    }
    single::sent_with(request, origin, body)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    metric_data_results: Vec<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    #[serde(default)]
    status_code: String,
    /// When each period begins, in Unix time.
    #[serde(default)]
    timestamps: Vec<f64>,
    #[serde(default)]
    values: Vec<Option<f64>>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let results = match single::json(reply) {
        Ok(Answer {
            metric_data_results,
        }) => metric_data_results,
        Err(why) => return Measured::Error(why),
    };
    let [series] = &*results else {
        return match results.len() {
            0 => Measured::NoData(NO_VALUES.to_owned()),
            count => Measured::Error(format!(
                "{count} series where one is expected: the others need ReturnData: false"
            )),
        };
    };
    // Of a page, or of a metric that is not there, it says nothing that counts.
    if ["InternalError", "Forbidden"].contains(&&*series.status_code) {
        return Measured::Error(single::ERROR_INSIDE.to_owned());
    }
    let points = series.timestamps.iter().zip(&series.values);
    let mut points: Vec<_> = points.map(|(begin, value)| (*begin, *value)).collect();
    points.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    let step = period(&check.query);
    Points { points, step }.newest(check, now.as_duration().as_secs_f64())
}

/// The longest period of a query, in seconds: an expression has that of its metrics.
fn period(query: &str) -> Option<f64> {
    let queries = queries(query).unwrap_or_default();
    let periods = queries.iter().flat_map(|query| {
        let of_metric = query["MetricStat"]["Period"].as_f64();
        [of_metric, query["Period"].as_f64()]
    });
    periods.flatten().reduce(f64::max)
}
