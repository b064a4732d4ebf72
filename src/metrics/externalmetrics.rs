//! The external metrics API of Kubernetes: what adapters as KEDA's tell autoscalers.

use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::metrics::single::{self, CLUSTER, NO_VALUES, NOT_UNDERSTOOD};
use crate::metrics::template::Piece;
use crate::metrics::{Access, Check, Measured, Next, Origin, Provider, Reply, System, access};
use crate::objects::Kind;

const GROUP: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// Every metric is a resource of its own.
static EXTERNAL_METRIC: Kind = Kind {
    group: "external.metrics.k8s.io",
    version: "v1beta1",
    kind: "ExternalMetricValueList",
    plural: "*",
};

/// Namespace of a metric that names none.
const NAMESPACE: &str = "default";

#[derive(Debug)]
pub(super) struct ExternalMetrics;

impl Provider for ExternalMetrics {
    fn name(&self) -> &'static str {
        "externalmetrics"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask = |check: &Check| {
            let query = Query::parse(&check.query)?;
            let path = query.path();
            let selector = query.selector.as_deref();
            let selector = selector.map(|selector| ("labelSelector", selector));
            let parameters: Vec<_> = selector.into_iter().collect();
            request(
                &check.address,
                check.origin,
                &check.access,
                &path,
                &parameters,
            )
        };
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    /// Whether the API is served. Flagger asks for a metric that is not there, which KEDA's adapter refuses
    /// to answer.
    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        request(&system.address, system.origin, &system.access, GROUP, &[])
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::answered(reply).map(|_| ())
    }

    fn default_address(&self) -> Option<&'static str> {
        Some(CLUSTER)
    }

    fn right(&self) -> Option<(&'static Kind, &'static str)> {
        Some((&EXTERNAL_METRIC, "list"))
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        let text: String = pieces.iter().map(Piece::text).collect();
        let query = text.trim().to_owned();
        Query::parse(&query).map(|_| query.clone())
    }
}

/// The cluster is spoken to as who runs here; another address by the token of the Secret.
fn request(
    address: &str,
    origin: Origin,
    of: &Access,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<http::Request<Bytes>, String> {
    if address == CLUSTER {
        if of.secret.is_some() {
            let why = "a token is for the API server that spec.provider.address names";
            return Err(why.to_owned());
        }
        let mut target = path.to_owned();
        if !parameters.is_empty() {
            let mut encoded = form_urlencoded::Serializer::new(String::new());
            encoded.extend_pairs(parameters);
            target = format!("{path}?{}", encoded.finish());
        }
        return single::of_cluster(&target);
    }
    let mut request = single::get(address, path, parameters, of)?;
    if of.secret.is_some() {
        request = access::authorized(request, "Bearer", of.key("token")?)?;
    }
    single::sent(request, origin)
}

/// `[NAMESPACE/]METRIC[?labelSelector=SELECTOR]`.
#[derive(Debug, PartialEq)]
struct Query {
    namespace: String,
    metric: String,
    selector: Option<String>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let (path, parameters) = text.split_once('?').unwrap_or((text, ""));
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| "it is not text".to_owned())?;
        let (namespace, metric) = path.split_once('/').unwrap_or(("", &path));
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or(NAMESPACE);
        single::name(namespace)?;
        if metric.is_empty() || metric.contains('/') || [".", ".."].contains(&metric) {
            let why = "write it as NAMESPACE/METRIC?labelSelector=SELECTOR";
            return Err(why.to_owned());
        }
        let mut parameters = form_urlencoded::parse(parameters.as_bytes());
        let selector = parameters.find(|(name, _)| name == "labelSelector");
        let selector = selector.map(|(_, selector)| selector.into_owned());
        Ok(Self {
            namespace: namespace.to_owned(),
            metric: metric.to_owned(),
            selector: selector.filter(|selector| !selector.is_empty()),
        })
    }

    fn path(&self) -> String {
        const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'.')
            .remove(b'_')
            .remove(b'~');
        let metric = utf8_percent_encode(&self.metric, ENCODED);
        format!("{GROUP}/namespaces/{}/{metric}", self.namespace)
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    value: String,
    timestamp: Option<Timestamp>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let List { items } = match single::json(reply) {
        Ok(list) => list,
        Err(why) => return Measured::Error(why),
    };
    let [item] = &*items else {
        return match items.len() {
            0 => Measured::NoData(NO_VALUES.to_owned()),
            count => single::several(count),
        };
    };
    let Some(number) = quantity(&item.value) else {
        return Measured::Error(NOT_UNDERSTOOD.to_owned());
    };
    match item.timestamp {
        Some(time) => single::stamped(check, time.as_duration().as_secs_f64(), number, now),
        None => single::value(number),
    }
}

/// A number as Kubernetes writes it: `99500m`, `1k`, `512Mi`, `5e-1`. `1e3` is a thousand, and `1E` is
/// 10^18.
fn quantity(text: &str) -> Option<f64> {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let end = text.find(|c| !is_of_number(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let decimal = |exponent: i32| Some(number * 10f64.powi(exponent));
    let binary = |exponent: i32| Some(number * 2f64.powi(exponent));
    match suffix {
        // A division is exact where a product with 0.001 is not.
        "n" => Some(number / 1e9),
        "u" => Some(number / 1e6),
        "m" => Some(number / 1e3),
        "" => Some(number),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        suffix => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            exponent.parse::<i32>().ok()?;
            // As a whole, so that it is rounded once.
            text.parse().ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, quantity};

    #[test]
    fn quantities_are_read_in_every_form() {
        for (text, number) in [
            ("99500m", 99.5),
            ("1k", 1000.0),
            ("512Mi", 536_870_912.0),
            ("500e-3", 0.5),
            ("1E3", 1000.0),
            ("1E", 1e18),
            ("1n", 1e-9),
            ("333333334n", 0.333_333_334),
            ("12345678901234567890", 12_345_678_901_234_567_890.0),
            ("1e30", 1e30),
            ("-1.5", -1.5),
            ("+2Ki", 2048.0),
        ] {
            assert_eq!(quantity(text), Some(number), "{text}");
        }
        for text in [
            "", "E", "m", "1x", "1 k", "NaN", "inf", "1e", "1e1.5", "1kk", "--1",
        ] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }

    #[test]
    fn a_query_is_a_name_and_a_selector() {
        let query = |namespace: &str, metric: &str, selector: Option<&str>| {
            Ok(Query {
                namespace: namespace.to_owned(),
                metric: metric.to_owned(),
                selector: selector.map(str::to_owned),
            })
        };
        for (text, expected) in [
            ("lag", query("default", "lag", None)),
            ("/lag", query("default", "lag", None)),
            (
                "test/s0-x?labelSelector=a%3Db%2Cc%3Dd",
                query("test", "s0-x", Some("a=b,c=d")),
            ),
        ] {
            assert_eq!(Query::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "/",
            "a/b/c",
            "test/..",
            "test/%2e%2e",
            "..%2f..%2fx",
            "Te st/x",
        ] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        let encoded = Query::parse("a.b|c").map(|query| query.path());
        let path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/a.b%7Cc";
        assert_eq!(encoded.as_deref(), Ok(path));
    }
}
