//! The scenarios that ship: each is played, must meet its own expectations, and its transcript is
//! held against `expected.txt`. And `davy simulate` on scenarios that fail or cannot be played, in
//! `fixtures/simulate`: all that it prints and how it ends. `TEST_DAVY_UPDATE=1` writes both anew.

use std::path::{Path, PathBuf};

use davy::simulate::expect;
use davy::simulate::play::Play;
use davy::simulate::scenario::Scenario;
use davy::simulate::transcript::{self, Style};
use serde_json::Value;

use crate::bed::program::Program;

const SHIPPED: &str = "fixtures/scenarios";
/// What once went wrong, each by the name of the incident. Held against what it expects only: the
/// way there may change. With `TEST_DAVY_STORY=incidents/clock-ahead` only that one.
const INCIDENTS: &str = "fixtures/incidents";
const FAILING: &str = "fixtures/simulate";
/// Its transcript is too long to be kept.
const NEVER_THERE: &str = "fixtures/simulate/never-there";

fn folders() -> Vec<PathBuf> {
    folders_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED))
}

fn folders_of(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .expect("a folder of scenarios")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();
    folders
}

async fn transcript_of(folder: &Path) -> (String, Vec<String>) {
    let scenario = Scenario::read(folder).expect("a scenario");
    let play = Play::new(scenario.clone()).expect("a cluster");
    let transcript = play.play().await;
    let met = expect::judge(&scenario, &transcript);
    assert!(!met.is_empty(), "{} expects something", folder.display());
    let failures = met
        .iter()
        .filter_map(|expectation| {
            let failure = expectation.failure.as_ref()?;
            Some(format!(
                "{}: {}: {failure}",
                folder.display(),
                expectation.name
            ))
        })
        .collect();
    let text = transcript::text(&transcript, &met, Style::default());
    (text, failures)
}

#[tokio::test]
async fn every_scenario_ends_as_it_expects_and_tells_the_same_story() {
    let mut wrong = Vec::new();
    for folder in folders() {
        let (text, failures) = transcript_of(&folder).await;
        wrong.extend(failures);
        wrong.extend(unlike(&folder.join("expected.txt"), &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_incident_happens_again() {
    let mut folders = folders_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join(INCIDENTS));
    assert!(folders.len() > 50, "the incidents are there");
    if let Some(story) = std::env::var_os("TEST_DAVY_STORY") {
        folders.retain(|folder| folder.ends_with(&story));
        assert_eq!(folders.len(), 1, "there is an incident {}", story.display());
    }
    let mut wrong = Vec::new();
    for folder in folders {
        let (text, failures) = transcript_of(&folder).await;
        let tail = text.lines().rev().take(12).collect::<Vec<_>>();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        wrong.extend(failures.iter().map(|failure| format!("{failure}\n{tail}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_goes_wrong_in_a_rehearsal_is_told_where_it_does() {
    let mut wrong = Vec::new();
    for folder in folders_of(Path::new(FAILING)) {
        if folder == Path::new(NEVER_THERE) {
            continue;
        }
        let name = folder.to_str().expect("a plain name");
        let ended = Program::new(&["simulate", name]).run();
        wrong.extend(unlike(&folder.join("expected.txt"), &ended.to_string()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The transcript is whole, the expectations are judged all the same, and neither that scenario nor
/// one that cannot be played keeps the others from being played.
#[test]
fn a_phase_that_is_not_reached_is_a_failed_case_among_others() {
    let broken = "fixtures/simulate/unknown-step";
    let good = "fixtures/simulate/of-2020";
    let call = ["simulate", NEVER_THERE, good, "-o"];
    let ended = Program::new(&[&call[..], &["json"]].concat())
        .run()
        .with_code(1);
    let played: Vec<Value> = ended
        .output
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let [never_there, good_one] = &*played else {
        panic!("two scenarios: {ended}");
    };
    let lines = never_there["transcript"]["lines"].as_array();
    let passes = lines
        .into_iter()
        .flatten()
        .filter(|line| line["pass"].is_u64());
    assert!(passes.count() > 500, "{ended}");
    let text = Program::new(&["simulate", NEVER_THERE]).run().with_code(1);
    let is_pass = |line: &&str| line.contains("█") || line.contains("░");
    assert!(text.output.lines().filter(is_pass).count() > 500, "{text}");
    let failure = |scenario: &Value, name: &str| {
        let expectations = scenario["expectations"].as_array().expect("expectations");
        let found = expectations.iter().find(|it| it["name"] == name);
        found.expect("the expectation")["failure"].clone()
    };
    let why = failure(never_there, "script");
    let begins = "steps[3]: phase Succeeded was not reached in 500 passes; the phase is Failed, and \
                  the last pass says: ";
    let reason = why.as_str().and_then(|why| why.strip_prefix(begins));
    assert!(reason.is_some_and(|reason| !reason.is_empty()), "{why}");
    assert_eq!(failure(never_there, "phase Failed"), Value::Null);
    assert_eq!(failure(good_one, "phase Succeeded"), Value::Null);

    let call = ["simulate", broken, NEVER_THERE, good, "-o", "junit"];
    let ended = Program::new(&call).run().with_code(2);
    let file = Path::new(NEVER_THERE).join("expected.xml");
    assert_eq!(unlike(&file, &ended.output), None);
}

/// What a file holds otherwise, if it does.
fn unlike(file: &Path, text: &str) -> Option<String> {
    if std::env::var_os("TEST_DAVY_UPDATE").is_some() {
        std::fs::write(file, text).expect("a file that can be written");
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    let file = file.display();
    (text != expected).then(|| format!("{file}:\n{text}\ninstead of\n{expected}"))
}

#[tokio::test]
async fn the_same_scenario_twice_is_the_same_transcript() {
    let folder = folders().into_iter().next().expect("a scenario");
    assert_eq!(
        transcript_of(&folder).await.0,
        transcript_of(&folder).await.0
    );
}
