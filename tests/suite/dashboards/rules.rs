//! The rules, by the tool that Prometheus' users check theirs with.

use std::process::Command;

use serde_json::Value;

use super::{file, list, text, yaml};
use crate::bed;

const RULES: &str = "config/prometheus/rules.yaml";
const CASES: &str = "fixtures/dashboards/rules-test.yaml";
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

fn promtool(arguments: &[&str]) {
    let Some(promtool) = bed::program("promtool").unwrap_or_else(|error| panic!("{error}")) else {
        return;
    };
    let output = Command::new(promtool)
        .args(arguments)
        .current_dir(file(""))
        .output()
        .expect("promtool starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
}

#[test]
fn rules_are_what_prometheus_takes() {
    promtool(&["check", "rules", RULES]);
}

#[test]
fn alerts_fire_and_do_not_fire_as_the_cases_say() {
    promtool(&["test", "rules", CASES]);
}

fn rules() -> Vec<Value> {
    let rules = yaml(RULES);
    let groups = list(&rules["groups"]);
    groups
        .flat_map(|group| list(&group["rules"]).cloned().collect::<Vec<_>>())
        .collect()
}

/// The name and the expression of every rule.
pub(super) fn expressions() -> impl Iterator<Item = (String, String)> {
    rules().into_iter().map(|rule| {
        let name = rule["alert"].as_str().or(rule["record"].as_str());
        let expression = rule["expr"].as_str();
        let text = |text: Option<&str>| text.expect("a text").to_owned();
        (text(name), text(expression))
    })
}

fn alerts() -> impl Iterator<Item = (String, Value)> {
    let named = |rule: Value| Some((rule["alert"].as_str()?.to_owned(), rule));
    rules().into_iter().filter_map(named)
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let cases = yaml(CASES);
    let tests: Vec<&Value> = list(&cases["tests"])
        .flat_map(|case| list(&case["alert_rule_test"]))
        .collect();
    let mut missing = Vec::new();
    for (alert, _) in alerts() {
        let of_alert = || tests.iter().filter(|test| test["alertname"] == *alert);
        let fires = |test: &&&Value| list(&test["exp_alerts"]).next().is_some();
        if !of_alert().any(|test| fires(&test)) {
            missing.push(format!("{alert}: none in which it fires"));
        }
        if of_alert().all(|test| fires(&test)) {
            missing.push(format!("{alert}: none in which it does not"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    // An alert that was renamed would be tested by nothing, as promtool finds none of that name
    // and takes it for quiet.
    for test in tests {
        let name = test["alertname"].as_str().unwrap_or_default();
        assert!(alerts().any(|(alert, _)| alert == name), "{name}");
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let runbook = text("config/prometheus/runbook.md");
    let headings: Vec<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let mut names = Vec::new();
    for (alert, rule) in alerts() {
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(SEVERITIES.contains(&severity), "{alert}: {severity:?}");
        for annotation in ["summary", "description"] {
            let said = rule["annotations"][annotation].as_str().unwrap_or_default();
            assert!(said.len() > 20, "{alert}: {annotation} {said:?}");
        }
        let page = rule["annotations"]["runbook"].as_str().unwrap_or_default();
        let wanted = format!("config/prometheus/runbook.md#{}", alert.to_lowercase());
        assert_eq!(page, wanted, "{alert}");
        names.push(alert);
    }
    assert!(names.len() > 5, "{names:?}");
    // In the order of the rules, so that one is found beside the other.
    assert_eq!(headings, names);
}

/// The one number that Prometheus is not told.
#[test]
fn interval_is_that_of_the_shipped_cron_job() {
    let cron_job = yaml("kustomize/base/cron-job.yaml");
    assert_eq!(cron_job["spec"]["schedule"], "* * * * *");
    let rules = rules();
    let interval = rules
        .iter()
        .find(|rule| rule["record"] == "davy:pass_interval:seconds")
        .expect("the rule");
    assert_eq!(interval["expr"], "vector(60)");
    for (alert, rule) in alerts() {
        let expression = rule["expr"].as_str().unwrap_or_default();
        assert!(!expression.contains("180"), "{alert} has its own interval");
    }
}

/// What the README makes of the rules for the Prometheus operator.
#[test]
fn readme_hands_the_same_rules_to_the_operator() {
    let readme = text("README.md");
    let command = readme
        .lines()
        .find_map(|line| {
            line.strip_prefix("$ ")?
                .split_once(" | kubectl -n monitoring apply")
        })
        .expect("the command");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command.0])
        .current_dir(file(""))
        .output()
        .expect("bash starts");
    let object: Value = serde_yaml::from_slice(&output.stdout).expect("YAML");
    assert_eq!(object["kind"], "PrometheusRule");
    assert_eq!(object["spec"], yaml(RULES));
}
