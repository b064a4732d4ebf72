//! The dashboard's JSON, by the rules that Grafana's classic model (schemaVersion 42, of Grafana 12
//! and 13) has for it. Grafana mends a good deal silently, and shows an empty panel for the rest.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Query, dashboard, list, queries};

const SCHEMA_VERSION: u64 = 42;
const COLUMNS: u64 = 24;
/// The panels that every Grafana has without a plug-in, of those that can be drawn from Prometheus.
const PANELS: [&str; 5] = ["row", "stat", "state-timeline", "table", "timeseries"];

/// Everything that is wrong with a dashboard.
fn problems(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |holds: bool, what: &str, found: &Value| {
        if !holds {
            problems.push(format!("{what}: {found}"));
        }
    };
    check(
        dashboard["schemaVersion"] == SCHEMA_VERSION,
        "schemaVersion",
        &dashboard["schemaVersion"],
    );
    // An id is the importing Grafana's to give.
    check(dashboard["id"].is_null(), "id", &dashboard["id"]);
    for name in ["uid", "title", "description", "refresh"] {
        let is_text = dashboard[name]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        check(is_text, name, &dashboard[name]);
    }
    for name in ["tags", "links", "panels"] {
        check(dashboard[name].is_array(), name, &dashboard[name]);
    }
    check(
        dashboard["time"]["from"].is_string(),
        "time",
        &dashboard["time"],
    );
    let variables: Vec<&Value> = list(&dashboard["templating"]["list"]).collect();
    let first = variables.first().copied().unwrap_or(&Value::Null);
    check(
        first["type"] == "datasource" && first["query"] == "prometheus",
        "the first variable chooses the Prometheus",
        first,
    );
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        check(ids.insert(panel["id"].to_string()), "id of two", panel);
        check(panel["id"].is_u64(), "id", panel);
        let of_panel = panel_problems(panel);
        check(of_panel.is_empty(), &of_panel.join(", "), panel);
    }
    let annotations = list(&dashboard["annotations"]["list"]);
    for asks in variables[1..].iter().copied().chain(annotations) {
        let is_ours = asks["builtIn"] == 1 || asks["datasource"]["uid"] == "${datasource}";
        check(is_ours, "asks another datasource", asks);
    }
    let known: Vec<_> = variables
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .chain(["__rate_interval"])
        .collect();
    for query in queries(dashboard) {
        for name in variables_of(&query) {
            check(
                known.contains(&&*name),
                &format!("no variable {name}"),
                &Value::from(query.expression.clone()),
            );
        }
    }
    problems.extend(overlaps(dashboard));
    problems
}

fn panel_problems(panel: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let kind = panel["type"].as_str().unwrap_or_default();
    if !PANELS.contains(&kind) {
        problems.push(format!("type {kind:?}"));
    }
    if panel["title"].as_str().is_none_or(str::is_empty) {
        problems.push("no title".to_owned());
    }
    if kind == "row" {
        // Panels of an open row stand beside it, those of a closed one in it.
        if panel["collapsed"] != false || panel["panels"] != Value::Array(Vec::new()) {
            problems.push("a row that is not open".to_owned());
        }
        return problems;
    }
    if panel["description"].as_str().is_none_or(str::is_empty) {
        problems.push("no description".to_owned());
    }
    if panel["datasource"]["uid"] != "${datasource}" {
        problems.push("another datasource".to_owned());
    }
    if list(&panel["targets"]).next().is_none() {
        problems.push("no query".to_owned());
    }
    let mut letters = BTreeSet::new();
    for target in list(&panel["targets"]) {
        if !letters.insert(target["refId"].to_string()) || !target["refId"].is_string() {
            problems.push("two queries of one letter".to_owned());
        }
        if target["expr"].as_str().is_none_or(str::is_empty) {
            problems.push("a query that asks nothing".to_owned());
        }
        if target["datasource"]["uid"] != "${datasource}" {
            problems.push("a query of another datasource".to_owned());
        }
        // A table of a range has a line for each moment; a line of one moment is a point.
        let (instant, format) = match kind {
            "table" => (true, "table"),
            "stat" => (true, "time_series"),
            _ => (false, "time_series"),
        };
        if target["instant"] != instant || target["format"] != format {
            problems.push(format!("a query that is not for a {kind}"));
        }
    }
    problems
}

/// The names after `$` in a query, but for the groups of a regular expression.
fn variables_of(query: &Query) -> Vec<String> {
    let mut names = Vec::new();
    for rest in query.expression.split('$').skip(1) {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let name: String = rest
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .collect();
        if !name.starts_with(|letter: char| letter.is_ascii_digit()) {
            names.push(name);
        }
    }
    names
}

/// Cells of the grid that two panels want, or that are beyond its edge.
fn overlaps(dashboard: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut taken = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap_or(u64::MAX));
        if x.saturating_add(width) > COLUMNS || y > 1_000 || !(1..100).contains(&height) {
            problems.push(format!("beyond the grid: {}", panel["title"]));
            continue;
        }
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            if !taken.insert(cell) {
                problems.push(format!("on top of another: {}", panel["title"]));
                break;
            }
        }
    }
    problems
}

#[test]
fn dashboard_is_what_grafana_takes() {
    let problems = problems(&dashboard());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// One fault at a time: what the rules do not see they do not keep.
#[test]
fn faults_of_a_dashboard_are_seen() {
    let faults: [(&str, Value); 13] = [
        ("/schemaVersion", 16.into()),
        ("/uid", "".into()),
        ("/templating/list/0/type", "custom".into()),
        ("/templating/list/1/datasource/uid", "prometheus".into()),
        ("/annotations/list/1/datasource/uid", "prometheus".into()),
        ("/panels/1/id", 1.into()),
        ("/panels/1/type", "singlestat".into()),
        ("/panels/1/gridPos/w", 5.into()),
        ("/panels/5/gridPos/x", 22.into()),
        ("/panels/1/targets/0/expr", "".into()),
        ("/panels/1/targets/0/expr", "up{job=\"$jobs\"}".into()),
        ("/panels/1/targets/0/instant", false.into()),
        ("/panels/6/targets/1/refId", "A".into()),
    ];
    for (place, fault) in faults {
        let mut dashboard = dashboard();
        let found = dashboard.pointer_mut(place);
        *found.unwrap_or_else(|| panic!("{place} is nowhere")) = fault;
        assert!(!problems(&dashboard).is_empty(), "{place} is not seen");
    }
}
