//! Metrics systems, as far as a stand-in for them must know one from another: where a request of each
//! has its query, and how an answer with one number looks.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A metrics system, by what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Prometheus,
    CloudWatch,
    Datadog,
    Dynatrace,
    ExternalMetrics,
    Graphite,
    /// That gives tokens for Stackdriver.
    Google,
    InfluxDb,
    Keptn,
    NewRelic,
    Splunk,
    Stackdriver,
}

/// What of the cluster's own API is a metrics system.
const OF_CLUSTER: [(&str, System); 2] = [
    (
        "/apis/external.metrics.k8s.io/v1beta1",
        System::ExternalMetrics,
    ),
    ("/apis/metrics.keptn.sh/v1beta1", System::Keptn),
];

impl System {
    /// Of a request to the cluster's own API, if it is one to a metrics system.
    pub(super) fn of_cluster(request: &Request<Bytes>) -> Option<Self> {
        let path = request.uri().path();
        let mut systems = OF_CLUSTER.into_iter();
        systems.find_map(|(group, system)| path.starts_with(group).then_some(system))
    }

    pub(super) fn of(request: &Request<Bytes>) -> Self {
        if request.uri().host().is_none()
            && let Some(system) = Self::of_cluster(request)
        {
            return system;
        }
        let path = request.uri().path();
        if path.ends_with("/render") {
            Self::Graphite
        } else if path.contains("/v1/accounts/") {
            Self::NewRelic
        } else if path.ends_with("/api/v2/query") {
            Self::InfluxDb
        } else if path.contains("/api/v2/metrics") {
            Self::Dynatrace
        } else if path.ends_with("/timeSeries:query") {
            Self::Stackdriver
        } else if path.ends_with("/token") {
            Self::Google
        } else if request.headers().contains_key("DD-API-KEY") {
            Self::Datadog
        } else if request.headers().contains_key("X-SF-Token") {
            Self::Splunk
        } else if request.headers().contains_key("X-Amz-Target") {
            Self::CloudWatch
        } else {
            Self::Prometheus
        }
    }

    /// The query, or as much of it as tells it from others.
    pub(super) fn query(self, request: &Request<Bytes>) -> Option<String> {
        let parameter = |name: &str| {
            let parameters = request.uri().query().unwrap_or_default();
            let parameters: BTreeMap<_, _> =
                form_urlencoded::parse(parameters.as_bytes()).collect();
            parameters.get(name).map(|query| query.clone().into_owned())
        };
        let body = || String::from_utf8_lossy(request.body()).into_owned();
        let json = || serde_json::from_slice::<Value>(request.body()).unwrap_or_default();
        match self {
            Self::Prometheus | Self::Datadog => parameter("query"),
            Self::Graphite => parameter("target"),
            Self::NewRelic => parameter("nrql"),
            Self::Dynatrace => parameter("metricSelector"),
            Self::InfluxDb | Self::Stackdriver => json()["query"].as_str().map(str::to_owned),
            Self::CloudWatch => Some(json()["MetricDataQueries"].to_string()),
            Self::Splunk => Some(body()).filter(|program| !program.is_empty()),
            Self::Google => None,
            Self::ExternalMetrics | Self::Keptn => {
                let path = request.uri().path();
                let (_, path) = path.split_once("/namespaces/")?;
                Some(path.replacen("/keptnmetrics/", "/", 1))
            }
        }
    }

    pub(super) fn is_probe(self, query: Option<&str>) -> bool {
        match self {
            Self::Prometheus => query == Some("vector(1)"),
            Self::Graphite => query == Some("test"),
            Self::NewRelic => query == Some("SELECT * FROM Metric"),
            Self::InfluxDb => query.is_some_and(|query| query.starts_with("buckets()")),
            Self::CloudWatch => query == Some("[]"),
            _ => query.is_none(),
        }
    }

    /// An answer with one number for each of these series (where a system has several), or with none.
    pub(super) fn body(self, value: Option<f64>, labels: Vec<Value>, now: Timestamp) -> String {
        let seconds = now.as_second();
        let list = |item: Option<Value>| Value::Array(item.into_iter().collect());
        let body = match self {
            Self::Prometheus => {
                let series = |value: f64| {
                    let sample = json!([seconds, value.to_string()]);
                    let series = |labels| json!({ "metric": labels, "value": sample });
                    labels.into_iter().map(series).collect::<Vec<_>>()
                };
                let result = value.map(series).unwrap_or_default();
                let data = json!({ "resultType": "vector", "result": result });
                json!({ "status": "success", "data": data })
            }
            // Of a minute that has ended.
            Self::Graphite => list(value.map(|value| {
                json!({ "target": "x", "datapoints": [[value, seconds - 120], [null, seconds - 60]] })
            })),
            Self::Datadog => {
                let series = value.map(|value| {
                    let begin = (seconds - 60) * 1_000;
                    json!({ "interval": 60, "pointlist": [[begin, value]] })
                });
                json!({ "status": "ok", "series": list(series) })
            }
            Self::NewRelic => json!({ "results": list(value.map(|value| json!({ "result": value }))) }),
            Self::Dynatrace => {
                let data = value.map(|value| json!({ "timestamps": [seconds * 1_000], "values": [value] }));
                json!({ "result": [{ "data": list(data) }] })
            }
            Self::InfluxDb => return tables(value),
            Self::Splunk => return events(value, seconds),
            Self::CloudWatch => {
                let values = list(value.map(Value::from));
                // Long enough ago for every period.
                let begins = list(value.map(|_| Value::from(seconds - 360)));
                json!({ "MetricDataResults": [{ "Timestamps": begins, "Values": values }] })
            }
            Self::Google => json!({ "access_token": "token" }),
            Self::Stackdriver => {
                let point = value.map(|value| {
                    let interval = json!({ "endTime": now.to_string() });
                    json!({ "values": [{ "doubleValue": value }], "timeInterval": interval })
                });
                json!({ "timeSeriesData": list(point.map(|point| json!({ "pointData": [point] }))) })
            }
            Self::ExternalMetrics => {
                // In thousandths, as an adapter may write it.
                let item = value.map(|value| json!({ "value": format!("{}m", value * 1_000.0) }));
                json!({ "items": list(item) })
            }
            Self::Keptn => {
                let value = value.map(|value| value.to_string());
                json!({ "kind": "KeptnMetric", "status": { "value": value } })
            }
        };
        body.to_string()
    }
}

/// Annotated CSV.
fn tables(value: Option<f64>) -> String {
    let row = value.map(|value| {
        format!(
            "#datatype,string,long,double\n#group,false,false,false\n#default,_result,,\n\
             ,result,table,_value\n,,0,{value}\n"
        )
    });
    row.unwrap_or_default()
}

/// Server-sent events.
fn events(value: Option<f64>, seconds: i64) -> String {
    let begin = (seconds - 60) * 1_000;
    let data = value.map(|value| {
        let data =
            json!({ "logicalTimestampMs": begin, "data": [{ "tsId": "A", "value": value }] });
        format!("event: data\ndata: {data}\n\n")
    });
    let end = json!({ "event": "END_OF_CHANNEL" });
    format!(
        "{}event: control-message\ndata: {end}\n\n",
        data.unwrap_or_default()
    )
}
