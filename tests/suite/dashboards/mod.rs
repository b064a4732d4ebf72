//! Dashboard and alerts, as they are shipped: well formed, and true. Every query is asked of a real
//! Prometheus that reads what a real Davy has pushed, and promtool says when alerts fire.

mod application;
mod model;
mod picture;
mod queries;
mod rules;

use std::fs;
use std::path::PathBuf;

use davy::io::clock::Clock;
use serde_json::Value;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// In seconds of Unix.
fn now() -> i64 {
    Clock::System.now().as_second()
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&text("config/grafana/dashboard.json")).expect("JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A query of the dashboard.
#[derive(Clone, Debug)]
struct Query {
    /// What it is for, as a reader of a failed test finds it.
    of: String,
    expression: String,
    /// Of the time that is looked at, or of its end only.
    is_of_a_range: bool,
}

/// Every query: of the panels, of the annotations, and the series whose labels variables offer.
fn queries(dashboard: &Value) -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            queries.push(Query {
                of: format!("panel {} {}", panel["title"], target["refId"]),
                expression: target["expr"].as_str().unwrap_or_default().to_owned(),
                is_of_a_range: target["instant"] == false,
            });
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]).filter(|it| it["builtIn"] != 1) {
        queries.push(Query {
            of: format!("annotation {}", annotation["name"]),
            expression: annotation["expr"].as_str().unwrap_or_default().to_owned(),
            is_of_a_range: true,
        });
    }
    for variable in list(&dashboard["templating"]["list"]).filter(|it| it["type"] == "query") {
        let asked = variable["query"]["query"].as_str().unwrap_or_default();
        let (series, label) = label_values(asked);
        queries.push(Query {
            of: format!("variable {}", variable["name"]),
            expression: format!("group by ({label}) ({series}) and on () vector(1)"),
            is_of_a_range: false,
        });
    }
    queries
}

/// The series and the label that a variable's `label_values(series, label)` asks for.
fn label_values(asked: &str) -> (&str, &str) {
    asked
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.rsplit_once(", "))
        .unwrap_or_else(|| panic!("{asked} is no label_values(series, label)"))
}

/// What somebody has chosen in the dashboard.
struct Choice<'a> {
    cluster: &'a str,
    namespace: &'a str,
    name: &'a str,
    rate_interval: &'a str,
}

impl Choice<'_> {
    /// The query as Grafana sends it.
    fn put_into(&self, expression: &str) -> String {
        let mut filled = expression.to_owned();
        // The longest names first: one is the beginning of another.
        for (variable, value) in [
            ("__rate_interval", self.rate_interval),
            ("namespace", self.namespace),
            ("cluster", self.cluster),
            ("name", self.name),
        ] {
            filled = filled
                .replace(&format!("${{{variable}}}"), value)
                .replace(&format!("${variable}"), value);
        }
        let left = filled.replace("\"$1\"", "");
        assert!(!left.contains('$'), "a variable is left in {filled}");
        filled
    }
}
