//! Keptn: numbers that its metrics operator keeps in the cluster, as the status of a
//! `KeptnMetric`.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::api::metric_template::MetricTemplateProvider;
use crate::metrics::single::{self, CLUSTER, NO_VALUES};
use crate::metrics::template::Piece;
use crate::metrics::{Check, Measured, Next, Provider, Reply, System};
use crate::objects::Kind;

const GROUP: &str = "/apis/metrics.keptn.sh/v1beta1";

static KEPTN_METRIC: Kind = Kind {
    group: "metrics.keptn.sh",
    version: "v1beta1",
    kind: "KeptnMetric",
    plural: "keptnmetrics",
};

#[derive(Debug)]
pub(super) struct Keptn;

impl Provider for Keptn {
    fn name(&self) -> &'static str {
        "keptn"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask = |check: &Check| {
            let (namespace, name) = metric(&check.query)?;
            single::of_cluster(&format!(
                "{GROUP}/namespaces/{namespace}/keptnmetrics/{name}"
            ))
        };
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    /// Whether the cluster knows of such metrics at all.
    fn probe(&self, _: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        single::of_cluster(GROUP)
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        single::answered(reply).map(|_| ())
    }

    /// The cluster's own API.
    fn address(&self, _: &MetricTemplateProvider) -> Result<String, (&'static str, String)> {
        Ok(CLUSTER.to_owned())
    }

    fn right(&self) -> Option<(&'static Kind, &'static str)> {
        Some((&KEPTN_METRIC, "get"))
    }

    /// Flagger takes all of it in lower case, in which names of the cluster are.
    fn query(&self, pieces: &[Piece]) -> Result<String, String> {
        let text: String = pieces.iter().map(Piece::text).collect();
        let query = text.trim().to_lowercase();
        metric(&query).map(|_| query.clone())
    }
}

/// Namespace and name of the metric that a query names.
fn metric(query: &str) -> Result<(&str, &str), String> {
    let mut parts = query.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("keptnmetric" | "keptnmetrics"), Some(namespace), Some(name)) => {
            single::name(namespace)?;
            single::name(name)?;
            Ok((namespace, name))
        }
        // It would be a write, and a wait, for each time that the check is due.
        (Some("analysis" | "analyses"), ..) => Err(
            "an Analysis would have to be made for each answer, which this version does not do; \
             write keptnmetric/NAMESPACE/NAME"
                .to_owned(),
        ),
        _ => Err("write it as keptnmetric/NAMESPACE/NAME".to_owned()),
    }
}

#[derive(Deserialize)]
struct KeptnMetric {
    kind: String,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    value: Value,
    /// Why the last fetch came to nothing.
    err_msg: String,
    last_updated: Option<Timestamp>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let KeptnMetric { kind, status } = match single::json(reply) {
        Ok(metric) => metric,
        Err(why) => return Measured::Error(why),
    };
    if kind != "KeptnMetric" {
        return Measured::Error(single::NOT_UNDERSTOOD.to_owned());
    }
    if !status.err_msg.is_empty() {
        return Measured::Error("Keptn could not fetch the value".to_owned());
    }
    let number = match &status.value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => match text.parse::<f64>() {
            Ok(number) => Some(number),
            Err(_) => return Measured::Error("the value is not a number".to_owned()),
        },
        _ => return Measured::Error("the value is not a number".to_owned()),
    };
    let Some(number) = number else {
        return Measured::NoData(NO_VALUES.to_owned());
    };
    match status.last_updated {
        Some(time) => single::stamped(check, time.as_duration().as_secs_f64(), number, now),
        None => single::value(number),
    }
}
