//! A stand-in for metrics systems: answers the queries of checks with what the script says.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::scenario::answers::{Answer, Metrics};
use super::systems::System;
use crate::api::canary::Canary;
use crate::metrics::{self, Author, Check, Sources, Templates};
use crate::objects::{Objects, Policy, View};
use crate::pass::terms::layout;

/// Answers a request, or not at all.
pub(super) fn answer(
    metrics: &Metrics,
    cluster: &Cluster,
    request: &Request<Bytes>,
    now: Timestamp,
) -> Result<Response<Bytes>, String> {
    let system = System::of(request);
    let query = system.query(request);
    let answer = match &query {
        // Asked to see whether it is there at all, or for a token.
        query if system.is_probe(query.as_deref()) && metrics.is_down() => Answer::Outage,
        query if system.is_probe(query.as_deref()) => Answer::Value(1.0),
        query => answer_to(metrics, cluster, query.as_deref().unwrap_or_default()),
    };
    let value = match answer {
        Answer::Outage => return Err("connection refused".to_owned()),
        Answer::None => None,
        Answer::Value(value) => Some(value),
    };
    let series = match system {
        System::Prometheus => query
            .as_deref()
            .and_then(grouping)
            .map(|grouping| workloads(cluster, &grouping)),
        _ => None,
    };
    let labels = series.unwrap_or_else(|| vec![json!({})]);
    Ok(Response::new(Bytes::from(system.body(value, labels, now))))
}

/// What a query is grouped by: the labels of namespace and workload, and the names that it asks about.
struct Grouping {
    labels: [String; 2],
    names: [Vec<String>; 2],
}

/// How a query is grouped, if it asks about several workloads: `by (namespace, workload)`, where `le`
/// may stand before them.
fn grouping(query: &str) -> Option<Grouping> {
    let (_, rest) = query.split_once("by (")?;
    let (labels, _) = rest.split_once(')')?;
    let labels: Vec<_> = labels
        .split(',')
        .map(|label| label.trim().to_owned())
        .filter(|label| label != "le")
        .collect();
    let labels: [String; 2] = labels.try_into().ok()?;
    let [namespaces, workloads] = &labels;
    let names = [matched(query, namespaces)?, matched(query, workloads)?];
    Some(Grouping { labels, names })
}

/// The names that a label is matched with.
fn matched(query: &str, label: &str) -> Option<Vec<String>> {
    let (_, rest) = query.split_once(&format!("{label}=~\""))?;
    let (names, _) = rest.split_once('"')?;
    // A dot is the one character of a name that is escaped in a pattern.
    let names = names.split('|').map(|name| name.replace("\\\\", ""));
    Some(names.collect())
}

/// The labels of the workloads that there are of those which are asked about.
fn workloads(cluster: &Cluster, Grouping { labels, names }: &Grouping) -> Vec<Value> {
    let canaries = cluster.objects_of("flagger.app", "Canary");
    let there = canaries.flat_map(|(key, canary)| {
        let references = ["targetRef", "ingressRef"].map(|it| &canary["spec"][it]["name"]);
        let workloads = references.into_iter().filter_map(Value::as_str);
        workloads.map(|workload| (key.namespace.to_string(), workload.to_owned()))
    });
    let there: BTreeSet<_> = there.collect();
    let [namespaces, workloads] = names.each_ref().map(BTreeSet::from_iter);
    there
        .iter()
        .filter(|(namespace, workload)| {
            namespaces.contains(namespace) && workloads.contains(workload)
        })
        .map(|(namespace, workload)| json!({ &*labels[0]: namespace, &*labels[1]: workload }))
        .collect()
}

/// What the script says of a check by its name, by the name of its MetricTemplate or by a text of its
/// query. Of a query of a user's that it says nothing about, the answer is a number that passes: a
/// script that lets a release fail says by which check.
fn answer_to(metrics: &Metrics, cluster: &Cluster, query: &str) -> Answer {
    let check = custom(cluster, query);
    let is_meant = |name: &str| match &check {
        Some(check) if check.metric == name => true,
        Some(Check {
            author: Author::Template(template),
            ..
        }) => template.split_once('.').is_some_and(|(of, _)| of == name),
        _ => false,
    };
    let named = metrics
        .others
        .iter()
        .find(|(name, _)| is_meant(name) || query.contains(name.as_str()));
    if let Some((_, answer)) = named {
        return *answer;
    }
    if let Some(check) = check {
        return match metrics.success_rate {
            Answer::Value(_) => Answer::Value(healthy(&check)),
            // The system as a whole.
            answer => answer,
        };
    }
    if !["histogram_quantile", "duration_seconds_sum"]
        .iter()
        .any(|part| query.contains(part))
    {
        return metrics.success_rate;
    }
    // Who measures in seconds says so in the metric's name, and some make milliseconds of it.
    let is_in_seconds = query.contains("seconds_bucket")
        && !query.contains("milliseconds")
        && !query.trim_end().ends_with("* 1000");
    match metrics.milliseconds {
        Answer::Value(milliseconds) if is_in_seconds => Answer::Value(milliseconds / 1000.0),
        answer => answer,
    }
}

/// A number that passes: the bound that there is.
fn healthy(check: &Check) -> f64 {
    check.min.or(check.max).unwrap_or_default()
}

/// The check of a Canary that asks so, where the query is a user's.
fn custom(cluster: &Cluster, query: &str) -> Option<Check> {
    let canaries = cluster.objects_of("flagger.app", "Canary");
    let mut canaries = canaries
        .filter(|(_, canary)| has_own_queries(canary))
        .peekable();
    canaries.peek()?;
    let templates = templates(cluster);
    let sources = Sources {
        metrics_server: "http://prometheus",
        templates: &templates,
    };
    let policy = Policy::default();
    canaries.find_map(|(_, canary)| {
        let canary: Canary = serde_json::from_value((**canary).clone()).ok()?;
        let view = View {
            canary: &canary,
            names: &layout::names(&canary),
            policy: &policy,
            objects: &Objects::new(),
        };
        let checks = metrics::checks(&view, &sources).checks.into_iter();
        let mut own = checks.filter(|check| check.author != Author::BuiltIn);
        own.find(|check| asks(check, query))
    })
}

/// Whether a request with this query is that of the check: some systems get more than the query, or
/// the query in another form.
fn asks(check: &Check, query: &str) -> bool {
    let own = &*check.query;
    own == query
        || match check.access.provider {
            "newrelic" => query
                .strip_prefix(own)
                .is_some_and(|rest| rest.starts_with(" SINCE ")),
            "graphite" => form_urlencoded::parse(own.as_bytes())
                .any(|(name, value)| name == "target" && value == query),
            "cloudwatch" => {
                let list = |text| serde_json::from_str::<Value>(text).ok();
                list(own).is_some() && list(own) == list(query)
            }
            // By the metric's name alone.
            "externalmetrics" => {
                let name = own.split('?').next().unwrap_or_default();
                name.rsplit('/').next() == query.rsplit('/').next()
            }
            "keptn" => own.split_once('/').map(|(_, name)| name) == Some(query),
            _ => false,
        }
}

fn has_own_queries(canary: &Value) -> bool {
    let lists = ["analysis", "canaryAnalysis"].map(|it| &canary["spec"][it]["metrics"]);
    let mut metrics = lists.into_iter().filter_map(Value::as_array).flatten();
    metrics.any(|metric| metric["query"].is_string() || metric["templateRef"].is_object())
}

fn templates(cluster: &Cluster) -> Templates {
    let templates = cluster.objects_of("flagger.app", "MetricTemplate");
    templates
        .filter_map(|(key, template)| {
            let template = serde_json::from_value((**template).clone()).ok()?;
            Some((
                (key.namespace.to_string(), key.name.to_string()),
                Ok(template),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{Answer, Metrics, answer_to};
    use crate::simulate::installed;

    #[test]
    fn a_check_is_answered_by_its_name_its_template_or_a_text_of_its_query() {
        let queue = json!({ "queue": "orders" });
        let canary = json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": { "name": "podinfo", "namespace": "test" },
            "spec": {
                "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
                "service": { "port": 80 },
                "analysis": { "interval": "1m", "threshold": 1, "stepWeight": 10, "metrics": [
                    { "name": "errors", "query": "sum(errors{app=\"{{ target }}\"}[{{ interval }}])" },
                    { "name": "waiting", "templateRef": { "name": "queue" },
                      "templateVariables": queue, "thresholdRange": { "max": 7.5 } },
                    { "name": "age", "templateRef": { "name": "oldest" },
                      "thresholdRange": { "max": 3.5 } },
                ] },
            },
        });
        let template = |name: &str, query: &str| {
            json!({
                "apiVersion": "flagger.app/v1beta1",
                "kind": "MetricTemplate",
                "metadata": { "name": name, "namespace": "test" },
                "spec": {
                    "provider": { "type": "prometheus", "address": "http://prometheus" },
                    "query": query,
                },
            })
        };
        let of_queue = template("queue", "max(\n  lag{queue=\"{{ variables.queue }}\"}\n)\n");
        let of_oldest = template("oldest", "{{ if target }}max(seconds){{ end }}");
        let mut cluster = installed().unwrap();
        for object in [canary, of_queue, of_oldest] {
            cluster
                .apply(object, "user", Timestamp::UNIX_EPOCH)
                .unwrap();
        }
        let metrics = |script| serde_json::from_value::<Metrics>(script).unwrap();
        let script = metrics(json!({
            "successRate": 90, "request-duration": 200, "sum(e": 7, "waiting": "none", "jobs_total": 3,
        }));
        for (query, answer) in [
            ("sum(errors{app=\"podinfo\"}[1m])", Answer::Value(7.0)),
            ("max( lag{queue=\"orders\"} )", Answer::None),
            // Nothing is said of it.
            ("max(seconds)", Answer::Value(3.5)),
            ("rate(jobs_total[1m])", Answer::Value(3.0)),
            ("sum(rate(requests[1m]))", Answer::Value(90.0)),
            (
                "histogram_quantile(0.99, x_milliseconds_bucket)",
                Answer::Value(200.0),
            ),
            (
                "histogram_quantile(0.99, x_seconds_bucket)",
                Answer::Value(0.2),
            ),
            (
                "histogram_quantile(0.99, x_seconds_bucket) * 1000",
                Answer::Value(200.0),
            ),
            (
                "sum(x_duration_seconds_sum) / sum(x_duration_seconds_count) * 1000",
                Answer::Value(200.0),
            ),
        ] {
            assert_eq!(answer_to(&script, &cluster, query), answer, "{query}");
        }
        let by_template = metrics(json!({ "queue": 5, "errors": 2 }));
        let lag = "max( lag{queue=\"orders\"} )";
        assert_eq!(answer_to(&by_template, &cluster, lag), Answer::Value(5.0));
        let down = metrics(json!("none"));
        assert_eq!(answer_to(&down, &cluster, "max(seconds)"), Answer::None);
    }
}
