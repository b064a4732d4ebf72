//! The dashboard drawn: rehearsed releases become a history that a real Prometheus holds, its answers
//! to the dashboard's queries are drawn by a page in a real browser, and the upper part of that is
//! the picture in the README. With `TEST_DAVY_UPDATE=1` it is taken anew.

use std::fmt::Write as _;
use std::{env, fs};

use davy::api::canary::Canary;
use davy::pass::deliver::series;
use davy::pass::report::Report;
use davy::simulate::cluster::Key;
use davy::simulate::play::Play;
use davy::simulate::scenario::{Event, Scenario};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::application::Workload;
use super::{Choice, dashboard, file, list, now, text};
use crate::bed;
use crate::report::browser::Browser;

/// Between two passes, and two looks of Prometheus at everything.
const STEP_SECONDS: i64 = 30;
const STEPS: i64 = 100;
/// Between two points that are drawn: more than one between two passes, or their age is always 0.
const RESOLUTION_SECONDS: i64 = 10;
const PICTURE: &str = "config/grafana/dashboard.png";
const BYTES_MAX: u64 = 300_000;
const WIDTH: u32 = 1_240;
/// As far as the requests of primary and canary.
const PICTURE_HEIGHT: u32 = 1_284;

/// A canary that is released.
struct Story {
    play: Play,
    namespace: &'static str,
    name: &'static str,
    /// What happens at which step.
    script: Vec<(i64, Value)>,
    primary: Workload,
    canary: Workload,
    success_percent: f64,
    milliseconds: f64,
}

impl Story {
    fn new(
        scenario: &str,
        namespace: &'static str,
        name: &'static str,
        script: &[(i64, Value)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["cluster.yaml", "script.yaml"] {
            let kept = text(&format!("fixtures/scenarios/{scenario}/{part}"))
                .replace("podinfod", "app")
                .replace("stefanprodan/podinfo", name)
                .replace("podinfo", name)
                .replace("namespace: test", &format!("namespace: {namespace}"))
                .replace("interval: 10s", "interval: 30s")
                .replace(
                    "progressDeadlineSeconds: 60",
                    "progressDeadlineSeconds: 600",
                );
            fs::write(folder.path().join(part), kept).expect("a file");
        }
        let mut scenario = Scenario::read(folder.path()).expect("a scenario");
        scenario.script.every_seconds = Some(STEP_SECONDS);
        Self {
            play: Play::new(scenario).expect("a play"),
            namespace,
            name,
            script: script.to_vec(),
            primary: Workload::new(
                namespace,
                &format!("{name}-primary"),
                &["6b7c9d4f8-q8w2z", "6b7c9d4f8-m4n5p"],
            ),
            canary: Workload::new(namespace, name, &["7d9f8c6b5d-x2x7k", "7d9f8c6b5d-k9j3h"]),
            success_percent: 99.9,
            milliseconds: 45.0,
        }
    }

    async fn happen(&mut self, event: &Value) {
        if let Some(metrics) = event.get("metrics") {
            self.success_percent = metrics["successRate"].as_f64().expect("a number");
            self.milliseconds = metrics["milliseconds"].as_f64().expect("a number");
        }
        let event: Event = serde_json::from_value(event.clone()).expect("an event");
        self.play.happen(&event).await.expect("it happens");
    }

    /// One pass, and what the application did meanwhile.
    async fn step(&mut self, step: i64, report: &mut Report, text: &mut String) -> Canary {
        // Nothing is the same twice; what is measured is drawn from the number of the step.
        let shake = f64::from(i32::try_from(step * 7_919 % 13 - 6).expect("it is small")) / 6.0;
        let due = self.script.iter().filter(|(at, _)| *at == step);
        for event in due.map(|(_, event)| event.clone()).collect::<Vec<_>>() {
            self.happen(&event).await;
        }
        let success_percent = (self.success_percent + 0.08 * shake).min(100.0);
        let milliseconds = self.milliseconds * (1.0 + 0.07 * shake);
        let measured = json!({"metrics": {
            "successRate": success_percent, "milliseconds": milliseconds,
        }});
        let event: Event = serde_json::from_value(measured).expect("an event");
        self.play.happen(&event).await.expect("it happens");
        if let Some(handled) = self.play.pass().await {
            report.add(handled);
        }
        let key = Key::new("flagger.app", "Canary", self.namespace, self.name);
        let canary = self.play.world.lock().cluster.get(&key).expect("a Canary");
        let canary: Canary = serde_json::from_value((*canary).clone()).expect("a Canary");
        let weight = canary
            .status
            .as_ref()
            .and_then(|status| status.canary_weight);
        let share = f64::from(i32::try_from(weight.unwrap_or(0)).expect("a percentage")) / 100.0;
        let requests = 120.0 + 12.0 * shake;
        let seconds = f64::from(i32::try_from(STEP_SECONDS).expect("it is small"));
        self.primary
            .serve(seconds, requests * (1.0 - share), 99.95, 45.0 + 3.0 * shake);
        self.canary
            .serve(seconds, requests * share, success_percent, milliseconds);
        self.primary.requests(text);
        self.primary.usage(text);
        self.canary.requests(text);
        let key = Key::new("apps", "Deployment", self.namespace, self.name);
        let target = self
            .play
            .world
            .lock()
            .cluster
            .get(&key)
            .expect("a Deployment");
        if target["spec"]["replicas"] != 0 {
            self.canary.usage(text);
        }
        canary
    }
}

fn stories() -> [Story; 4] {
    let image = |tag: &str| json!({"image": tag});
    [
        Story::new(
            "promoted",
            "shop",
            "cart",
            &[
                (12, image("1.3.0")),
                (50, image("1.4.0")),
                (
                    54,
                    json!({"metrics": {"successRate": 93.4, "milliseconds": 310.0}}),
                ),
            ],
        ),
        Story::new(
            "blue-green",
            "shop",
            "checkout",
            &[(20, image("2.0.1")), (92, image("2.1.0"))],
        ),
        Story::new(
            "promoted",
            "search",
            "index",
            &[(15, image("7.1.0")), (94, image("7.2.0"))],
        ),
        Story::new("promoted", "billing", "ledger", &[(40, image("5.0.0"))]),
    ]
}

/// Rehearses the stories, and writes down what Prometheus would have read at each step, the last
/// one now. When that began.
async fn history(page: &mut String) -> i64 {
    let begun = now() - STEPS * STEP_SECONDS;
    let mut stories = stories();
    for step in 0..STEPS {
        let at = begun + step * STEP_SECONDS;
        let mut report = Report::new(Timestamp::from_second(at).expect("a time"));
        let mut seen = String::new();
        let mut canaries = Vec::new();
        let requests = |stories: &[Story]| stories[0].play.world.lock().api_requests;
        let before = requests(&stories);
        for story in &mut stories {
            canaries.push(story.step(step, &mut report, &mut seen).await);
        }
        let requests = requests(&stories) - before;
        let taken = f64::from(u32::try_from(requests).expect("it is small")) * 0.021 + 0.11;
        report.finish(canaries.iter(), taken, requests);
        let pushed = series::text(&report, "istio");
        let pushed = pushed.lines().filter(|line| !line.starts_with('#'));
        for line in pushed {
            let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a series"));
            let group = "job=\"davy\",cluster=\"east\",scope=\"*\"";
            // Writing into a String cannot fail.
            let _ = match rest.strip_prefix('{') {
                Some(rest) => writeln!(page, "{name}{{{group},{rest} {at}"),
                None => writeln!(page, "{name}{{{group}}}{rest} {at}"),
            };
        }
        let _ = writeln!(
            page,
            "push_time_seconds{{job=\"davy\",cluster=\"east\",scope=\"*\"}} {at} {at}"
        );
        for line in seen.lines() {
            let _ = writeln!(page, "{line} {at}");
        }
    }
    page.push_str("# EOF\n");
    begun
}

/// The answers to every query, for the page to draw.
fn answers(prometheus: &bed::prometheus::Prometheus, begun: i64) -> Value {
    let choice = Choice {
        cluster: ".*",
        namespace: "shop",
        name: "cart",
        rate_interval: "2m",
    };
    // When the first rates are whole, and a moment after the last pass.
    let begun = begun + 5 * STEP_SECONDS;
    let end = begun + (STEPS - 6) * STEP_SECONDS;
    let now = end + 20;
    let dashboard = dashboard();
    let ask = |expression: &Value, is_of_a_range: bool| {
        let query = choice.put_into(expression.as_str().expect("a query"));
        if is_of_a_range {
            prometheus.over(&query, begun, end, RESOLUTION_SECONDS)
        } else {
            prometheus.series(&query, now)
        }
    };
    let panels = list(&dashboard["panels"]).map(|panel| {
        let targets = list(&panel["targets"]);
        let frames: Vec<_> = targets
            .map(|target| ask(&target["expr"], target["instant"] == false))
            .collect();
        json!({"panel": panel, "frames": frames})
    });
    let annotations = list(&dashboard["annotations"]["list"]).filter(|it| it["builtIn"] != 1);
    let annotations = annotations
        .map(|it| json!({"annotation": it, "series": ask(&it["expr"], true)}))
        .collect::<Vec<_>>();
    json!({
        "title": dashboard["title"],
        "variables": {"cluster": "All", "namespace": choice.namespace, "name": choice.name},
        "from": begun,
        "to": end,
        "panels": panels.collect::<Vec<_>>(),
        "annotations": annotations,
    })
}

#[tokio::test]
async fn dashboard_can_be_looked_at() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let mut page = String::new();
    let begun = history(&mut page).await;
    let folder = tempfile::tempdir().expect("a folder");
    let history = folder.path().join("history.txt");
    fs::write(&history, page).expect("a file");
    let Some(prometheus) = bed::prometheus_with(&history).await else {
        return;
    };
    let answers = answers(&prometheus, begun)
        .to_string()
        .replace("</", "<\\/");
    let page = text("fixtures/dashboards/picture.html").replace("\"ANSWERS\"", &answers);
    let drawn = folder.path().join("dashboard.html");
    fs::write(&drawn, page).expect("a file");
    browser.look(WIDTH, PICTURE_HEIGHT, "dark");
    browser.open(&drawn);
    assert_eq!(browser.errors, Vec::<String>::new());
    // A panel in which nothing is drawn is one that a user would see empty.
    let empty = browser.evaluate(
        "[...document.querySelectorAll('.panel')].filter(panel => !panel.querySelector('.mark'))\
         .map(panel => panel.textContent)",
    );
    assert_eq!(empty, json!([]));
    let titles = browser.evaluate("document.querySelectorAll('.panel').length");
    let panels = list(&dashboard()["panels"])
        .filter(|panel| panel["type"] != "row")
        .count();
    assert_eq!(titles, json!(panels));
    let gallery = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let height = browser.evaluate("document.documentElement.scrollHeight");
    let height = height.as_f64().expect("a height");
    browser.screenshot(&gallery.join("dashboard-top.png"));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a page is some thousand pixels high"
    )]
    browser.look(WIDTH, height as u32, "dark");
    browser.screenshot(&gallery.join("dashboard.png"));
    // Promoted, rolled back, and the weights between.
    let marked = browser.evaluate(
        "[...new Set([...document.querySelectorAll('.annotation')]\
         .map(line => line.dataset.name))].sort()",
    );
    assert_eq!(marked, json!(["Promoted", "Rolled back", "Weight changed"]));
    if env::var_os("TEST_DAVY_UPDATE").is_some() {
        fs::copy(gallery.join("dashboard-top.png"), file(PICTURE)).expect("a picture");
    }
}

#[test]
fn picture_is_small_and_shown_in_the_readme() {
    let size = fs::metadata(file(PICTURE)).expect("a picture").len();
    assert!(size < BYTES_MAX, "{size} bytes");
    assert!(text("README.md").contains(&format!("]({PICTURE})")));
}
