//! Google Cloud Monitoring, which was Stackdriver: a query in its Monitoring Query Language.
//!
//! A service account's key buys a token first, which then pays for the queries. Without a key the
//! token is that of the machine or of the Kubernetes service account, from the metadata server.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::api::metric_template::MetricTemplateProvider;
use crate::metrics::single::{self, NO_VALUES, Points};
use crate::metrics::{Access, Check, Measured, Next, Origin, Provider, Reply, System, access};

const MONITORING: &str = "https://monitoring.googleapis.com";

/// Where a key buys its token. The key names an address too, which whoever wrote the Secret chose.
const TOKENS: &str = "https://oauth2.googleapis.com/token";

/// The metadata server's token for who runs here.
const OWN_TOKEN: &str =
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";

const READ: &str = "https://www.googleapis.com/auth/monitoring.read";

/// Google's most; a token is used in the pass that asked for it.
const TOKEN_SECONDS: i64 = 3600;

#[derive(Debug)]
pub(super) struct Stackdriver;

impl Provider for Stackdriver {
    fn name(&self) -> &'static str {
        "stackdriver"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let checked = checks.iter().filter(|check| project(&check.access).is_ok());
        let keys: BTreeSet<_> = checked.map(|check| key(&check.access)).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let requests: Vec<_> = keys.iter().map(|key| token_request(*key, now)).collect();
        let sent = requests.iter().flatten().count();
        let Some((first, second)) = replies.split_at_checked(sent) else {
            return Next::Ask(requests.into_iter().flatten().collect());
        };
        let mut first = first.iter();
        let tokens = requests.into_iter().map(|request| {
            request?;
            let reply = first.next().ok_or("there is no reply")?;
            token(reply).map_err(|why| format!("no token: {why}"))
        });
        let tokens: Vec<_> = tokens.collect();
        let ask = |check: &Check| {
            project(&check.access)?;
            let place = keys.iter().position(|known| *known == key(&check.access));
            let token = place.and_then(|place| tokens.get(place));
            let token = token
                .cloned()
                .unwrap_or_else(|| Err("no token".to_owned()))?;
            request(check, &token)
        };
        single::next(checks, second, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    /// That there is a token is as far as one request leads.
    fn probe(&self, system: &System, now: Timestamp) -> Result<http::Request<Bytes>, String> {
        project(&system.access)?;
        token_request(key(&system.access), now)
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        token(reply).map(|_| ())
    }

    /// Google's. `spec.provider.address` is not read, as in Flagger.
    fn address(&self, _: &MetricTemplateProvider) -> Result<String, (&'static str, String)> {
        Ok(MONITORING.to_owned())
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["project", KEY]
    }
}

const KEY: &str = "serviceAccountKey";

fn key(of: &Access) -> Option<&str> {
    of.credentials.get(KEY)
}

fn project(of: &Access) -> Result<&str, String> {
    let project = of.key("project")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    if project.is_empty() || project.starts_with('.') || !project.bytes().all(is_plain) {
        return Err("the key project of its Secret is not the id of a project".to_owned());
    }
    Ok(project)
}

/// What is used of a service account's key.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    #[serde(deserialize_with = "secret")]
    private_key: Zeroizing<String>,
    #[serde(default)]
    private_key_id: String,
}

/// Buys a token (RFC 7523), or asks for that of who runs here.
fn token_request(key: Option<&str>, now: Timestamp) -> Result<http::Request<Bytes>, String> {
    let Some(key) = key else {
        // No address of a user's, so that it may lead to the machine.
        let request = http::Request::get(OWN_TOKEN).header("Metadata-Flavor", "Google");
        return single::sent(request, Origin::Settings);
    };
    let assertion = assertion(key, now)?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    form.append_pair("assertion", &assertion);
    let request = http::Request::post(TOKENS)
        .header("Accept", "application/json")
        .header("Content-Type", "application/x-www-form-urlencoded");
    single::sent_with(request, Origin::Resource, form.finish())
}

/// A signed statement of who asks for what (RFC 7519). What is wrong with a key says nothing of it.
fn assertion(key: &str, now: Timestamp) -> Result<String, String> {
    let wrong = |what: &str| format!("the key {KEY} of its Secret {what}");
    let account: ServiceAccount = serde_json::from_str(key)
        .map_err(|_| wrong("is not the JSON of a service account's key"))?;
    let header = json!({ "alg": "RS256", "kid": account.private_key_id, "typ": "JWT" });
    let claims = json!({
        "iss": account.client_email,
        "scope": READ,
        "aud": TOKENS,
        "iat": now.as_second(),
        "exp": now.as_second() + TOKEN_SECONDS,
    });
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = rs256(&account.private_key, text.as_bytes());
    let signature = signature.map_err(|what| wrong(&format!("has a private_key that {what}")))?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// An RS256 signature (RFC 7518) by a private key in PEM.
fn rs256(pem: &str, text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let lines = pem.lines().map(str::trim);
    let body: String = lines.filter(|line| !line.starts_with("-----")).collect();
    let body = Zeroizing::new(body);
    let der = STANDARD.decode(body.as_bytes()).map(Zeroizing::new);
    let der = der.map_err(|_| "is not PEM")?;
    let pair = KeyPair::from_pkcs8(&der).map_err(|_| "is no RSA key in PKCS #8")?;
    let mut signature = vec![0; pair.public().modulus_len()];
    // The signature is the same each time; the random numbers hide how long it takes.
    let random = SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
        .map_err(|_| "does not sign")?;
    Ok(signature)
}

#[derive(Deserialize)]
struct Token {
    #[serde(deserialize_with = "secret")]
    access_token: Zeroizing<String>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

fn token(reply: &Reply) -> Result<Zeroizing<String>, String> {
    single::json(reply).map(|Token { access_token }| access_token)
}

fn request(check: &Check, token: &str) -> Result<http::Request<Bytes>, String> {
    let path = format!("/v3/projects/{}/timeSeries:query", project(&check.access)?);
    let request = single::post(&check.address, &path, &[], &check.access)?
        .header("Accept", "application/json")
        .header("Content-Type", "application/json");
    let request = access::authorized(request, "Bearer", token)?;
    let body = json!({ "query": check.query });
    single::sent_with(request, check.origin, body.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    error: Option<Value>,
    #[serde(default)]
    partial_errors: Vec<Value>,
    #[serde(default)]
    time_series_data: Vec<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(default)]
    point_data: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    time_interval: Interval,
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interval {
    end_time: Timestamp,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let Answer {
        error,
        partial_errors,
        time_series_data: series,
    } = match single::json(reply) {
        Ok(answer) => answer,
        Err(why) => return Measured::Error(why),
    };
    if error.is_some() || !partial_errors.is_empty() {
        return Measured::Error(single::ERROR_INSIDE.to_owned());
    }
    let [series] = &*series else {
        return match series.len() {
            0 => Measured::NoData(NO_VALUES.to_owned()),
            count => single::several(count),
        };
    };
    let mut points = Vec::with_capacity(series.point_data.len());
    for point in &series.point_data {
        let value = match &*point.values {
            [] => None,
            [value] => match number(value) {
                Ok(value) => value,
                Err(why) => return Measured::Error(why),
            },
            values => return Measured::Error(format!("{} values of a point", values.len())),
        };
        let end = point.time_interval.end_time.as_duration().as_secs_f64();
        points.push((end, value));
    }
    points.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    // A point bears the time of its end.
    let step = Some(0.0);
    Points { points, step }.newest(check, now.as_duration().as_secs_f64())
}

/// The number of a typed value: of 64 bits it is a text, and what is not finite is one as well.
fn number(value: &Value) -> Result<Option<f64>, String> {
    let typed = ["doubleValue", "int64Value"].map(|name| &value[name]);
    let wrong = || "the value is not a number".to_owned();
    match typed.into_iter().find(|value| !value.is_null()) {
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
        None if value.as_object().is_some_and(|value| !value.is_empty()) => Err(wrong()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::rs256;

    /// The example of RFC 7515, appendix A.2; the file holds its key as PKCS #8.
    #[test]
    fn a_signature_is_that_of_the_published_example() {
        let key = include_str!("../../fixtures/metrics/providers/stackdriver/rfc7515.pem");
        let text = "eyJhbGciOiJSUzI1NiJ9.\
                    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let expected = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj\
                        Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7\
                        K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np\
                        6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let signature = rs256(key, text.as_bytes()).map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(signature.as_deref(), Ok(expected));
        let wrong = rs256("-----BEGIN PRIVATE KEY-----\nAAAA\n", b"");
        assert_eq!(wrong, Err("is no RSA key in PKCS #8"));
    }
}
