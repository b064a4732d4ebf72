//! What others read out of the conditions: kstatus, from its own library, and Argo CD by the script
//! that is shipped for it, in each phase and at the end of each story.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use davy::api::status::Phase;
use http::Request;
use serde_json::{Value, json};

use crate::bed;
use crate::proof::stage::{Story, folders};

/// A phase, what kstatus concludes, and what Argo CD shows.
const PHASES: [(Phase, &str); 11] = [
    (Phase::Initializing, "InProgress Progressing"),
    (Phase::Initialized, "Current Healthy"),
    (Phase::Waiting, "InProgress Progressing"),
    (Phase::Progressing, "InProgress Progressing"),
    (Phase::WaitingPromotion, "InProgress Progressing"),
    (Phase::Promoting, "InProgress Progressing"),
    (Phase::Finalising, "InProgress Progressing"),
    (Phase::Succeeded, "Current Healthy"),
    (Phase::Failed, "Failed Degraded"),
    (Phase::Terminating, "InProgress Progressing"),
    (Phase::Terminated, "InProgress Progressing"),
];

/// What is concluded of these objects; `None` without Go.
fn read(objects: &[Value]) -> Option<Vec<String>> {
    let go = bed::program("go").unwrap_or_else(|error| panic!("{error}"))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("health");
    let built = Command::new(go)
        .current_dir(root.join("tests/cluster/health"))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .output()
        .expect("go starts");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    let mut reader = Command::new(&program)
        .arg(root.join("config/argo-cd/health.lua"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reader starts");
    let lines: Vec<_> = objects.iter().map(ToString::to_string).collect();
    let mut input = reader.stdin.take().expect("its input");
    input
        .write_all(lines.join("\n").as_bytes())
        .expect("it reads");
    drop(input);
    let output = reader.wait_with_output().expect("it ends");
    assert!(output.status.success(), "it can read them");
    let text = String::from_utf8(output.stdout).expect("text");
    Some(text.lines().map(str::to_owned).collect())
}

/// A Canary in this phase by the status of another controller, after a first pass of ours.
fn adopted(phase: Phase) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios/promoted");
    let mut story = Story::read(&folder);
    let status = json!({ "status": {
        "phase": phase, "canaryWeight": 0, "failedChecks": 0, "iterations": 0,
        "lastTransitionTime": story.world.now(), "lastAppliedSpec": "5d4c8d6f6f",
        "conditions": [{ "type": "Promoted", "status": "Unknown", "reason": phase, "message": "" }],
    }});
    let request =
        Request::patch("/apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo/status")
            .header("Content-Type", "application/merge-patch+json")
            .body(Bytes::from(status.to_string()))
            .expect("a request");
    let now = story.world.now();
    let answer = story.world.lock().cluster.handle(&request, now);
    assert!(answer.status().is_success(), "{answer:?}");
    story.pass();
    let canary = story.get(story.canary()).expect("the Canary");
    assert_eq!(canary["status"]["phase"], json!(phase));
    (*canary).clone()
}

#[test]
fn health_of_each_phase_is_read_as_it_is_meant() {
    let canaries: Vec<_> = PHASES.iter().map(|(phase, _)| adopted(*phase)).collect();
    let Some(read) = read(&canaries) else { return };
    let phases = PHASES.iter().zip(&read);
    let read: Vec<_> = phases.map(|((phase, _), read)| (*phase, &**read)).collect();
    assert_eq!(read, PHASES);
}

#[test]
fn every_story_ends_in_good_health_or_bad() {
    let mut canaries = Vec::new();
    let mut expected = Vec::new();
    for folder in folders() {
        let mut story = Story::read(&folder);
        story.play_out();
        let Some(canary) = story.get(story.canary()) else {
            continue;
        };
        let is_suspended = canary["spec"]["suspend"] == true;
        expected.push(match story.status().phase {
            _ if is_suspended => "Current Suspended",
            Some(Phase::Failed) => "Failed Degraded",
            _ => "Current Healthy",
        });
        canaries.push((*canary).clone());
    }
    assert!(expected.contains(&"Failed Degraded"), "{expected:?}");
    let Some(read) = read(&canaries) else { return };
    assert_eq!(read, expected);
}
