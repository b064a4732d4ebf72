//! A stand-in for Prometheus: answers the queries of checks with what the script says.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::scenario::answers::{Answer, Metrics};

/// Answers a request, or not at all.
pub(super) fn answer(
    metrics: &Metrics,
    cluster: &Cluster,
    request: &Request<Bytes>,
    now: Timestamp,
) -> Result<Response<Bytes>, String> {
    let parameters = request.uri().query().unwrap_or_default();
    let query = form_urlencoded::parse(parameters.as_bytes())
        .find_map(|(name, value)| (name == "query").then(|| value.into_owned()))
        .unwrap_or_default();
    let answer = match &*query {
        // Asked to see whether it is there at all.
        "vector(1)" if metrics.is_down() => Answer::Outage,
        "vector(1)" => Answer::Value(1.0),
        query => answer_to(metrics, cluster, query),
    };
    let value = match answer {
        Answer::Outage => return Err("connection refused".to_owned()),
        Answer::None => None,
        Answer::Value(value) => Some(value),
    };
    let labels = match grouping(&query) {
        Some(grouping) => workloads(cluster, &grouping),
        None => vec![json!({})],
    };
    let result: Vec<Value> = value
        .into_iter()
        .flat_map(|value| {
            let sample = json!([now.as_second(), value.to_string()]);
            let series = |labels| json!({ "metric": labels, "value": sample });
            labels.iter().map(series).collect::<Vec<_>>()
        })
        .collect();
    let body = json!({ "status": "success", "data": { "resultType": "vector", "result": result } });
    Ok(Response::new(Bytes::from(body.to_string())))
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

fn answer_to(metrics: &Metrics, cluster: &Cluster, query: &str) -> Answer {
    let named = metrics.others.iter().find(|(name, _)| {
        query.contains(name.as_str())
            || queries_of(cluster, name).any(|template| is_of_template(query, &template))
    });
    if let Some((_, answer)) = named {
        return *answer;
    }
    if !query.contains("histogram_quantile") {
        return metrics.success_rate;
    }
    // Who measures in seconds says so in the metric's name.
    let is_in_seconds = query.contains("seconds_bucket") && !query.contains("milliseconds");
    match metrics.milliseconds {
        Answer::Value(milliseconds) if is_in_seconds => Answer::Value(milliseconds / 1000.0),
        answer => answer,
    }
}

/// The queries of the checks by this name, and of the templates of queries that are called so.
fn queries_of<'a>(cluster: &'a Cluster, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let canaries = cluster.objects_of("flagger.app", "Canary");
    let checks = canaries.flat_map(|(_, canary)| {
        let lists = ["analysis", "canaryAnalysis"].map(|it| &canary["spec"][it]["metrics"]);
        lists.into_iter().filter_map(Value::as_array).flatten()
    });
    let of_check = checks
        .filter(move |check| check["name"] == *name)
        .flat_map(|check| {
            let template = &check["templateRef"]["name"];
            let inline = check["query"].as_str().map(str::to_owned);
            inline.into_iter().chain(template_query(cluster, template))
        });
    of_check.chain(template_query(cluster, &name.into()))
}

fn template_query(cluster: &Cluster, name: &Value) -> Option<String> {
    let (_, template) = cluster
        .objects_of("flagger.app", "MetricTemplate")
        .find(|(key, _)| *name == *key.name)?;
    template["spec"]["query"].as_str().map(str::to_owned)
}

/// Whether a query can have come of a template: what stands between its `{{ … }}` is there, in
/// order.
fn is_of_template(query: &str, template: &str) -> bool {
    let mut literals = vec![];
    let mut rest = template.trim();
    while let Some((literal, after)) = rest.split_once("{{") {
        literals.push(literal);
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    literals.push(rest);
    if literals.iter().all(|literal| literal.trim().is_empty()) {
        return false;
    }
    let mut query = query.trim();
    literals.into_iter().all(|literal| {
        let found = query.find(literal);
        if let Some(at) = found {
            query = &query[at + literal.len()..];
        }
        found.is_some()
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{Answer, Metrics, answer_to};
    use crate::simulate::installed;

    #[test]
    fn a_check_is_answered_by_its_name_its_template_or_a_text_of_its_query() {
        let canary = json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": { "name": "podinfo", "namespace": "test" },
            "spec": {
                "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
                "service": { "port": 80 },
                "analysis": { "interval": "1m", "threshold": 1, "stepWeight": 10, "metrics": [
                    { "name": "errors", "query": "sum(errors{app=\"{{ target }}\"}[{{ interval }}])" },
                    { "name": "lag", "templateRef": { "name": "queue" } },
                ] },
            },
        });
        let template = json!({
            "apiVersion": "flagger.app/v1beta1",
            "kind": "MetricTemplate",
            "metadata": { "name": "queue", "namespace": "test" },
            "spec": {
                "provider": { "type": "prometheus", "address": "http://prometheus" },
                "query": "max(lag{queue=\"{{ variables.queue }}\"})\n",
            },
        });
        let mut cluster = installed().unwrap();
        for object in [canary, template] {
            cluster
                .apply(object, "user", Timestamp::UNIX_EPOCH)
                .unwrap();
        }
        let script = json!({
            "successRate": 90, "request-duration": 200, "errors": 7, "lag": "none", "jobs_total": 3,
        });
        let metrics: Metrics = serde_json::from_value(script).unwrap();
        for (query, answer) in [
            ("sum(errors{app=\"podinfo\"}[1m])", Answer::Value(7.0)),
            ("max(lag{queue=\"orders\"})", Answer::None),
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
        ] {
            assert_eq!(answer_to(&metrics, &cluster, query), answer, "{query}");
        }
    }
}
