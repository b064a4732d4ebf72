//! The verbs that read the trail, as they are typed.

use std::process::{Command, Output};

use serde_json::Value;

use super::{Story, folder, place, records};
use crate::git::place::Place;

fn davy(place: &Place, arguments: &[&str]) -> Output {
    let settings = &place.settings;
    let signers = settings.allowed_signers_file.as_ref().expect("signers");
    Command::new(env!("CARGO_BIN_EXE_davy"))
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("DAVY_GIT_URL", &settings.url)
        .env("DAVY_GIT_ALLOWED_SIGNERS_FILE", signers)
        .output()
        .expect("the program starts")
}

fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    format!("{text}{errors}")
}

fn play(place: Place, stories: &'static [&'static str]) -> Place {
    for story in stories {
        let mut played = Story::with_records(&folder(story), Some(records(&place)));
        played.play_out();
        played
            .verdict(|| "with records".to_owned())
            .expect("a clean run");
    }
    place
}

async fn played(stories: &'static [&'static str]) -> Option<Place> {
    let place = place().await?;
    let playing = tokio::task::spawn_blocking(move || play(place, stories));
    Some(playing.await.expect("stories"))
}

#[tokio::test]
async fn history_tells_what_was_released() {
    let Some(place) = played(&["rolled-back"]).await else {
        return;
    };
    let output = davy(&place, &["history", "test/podinfo"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 4, "{text}");
    let last = lines[3];
    let images = "stefanprodan/podinfo:1.2.0 → stefanprodan/podinfo:1.3.0";
    assert!(
        last.contains("rolled-back") && last.contains(images),
        "{text}"
    );
    assert!(last.ends_with("yes"), "{text}");
    let other = davy(&place, &["history", "test/other"]);
    assert_eq!(said(&other).lines().count(), 1, "{}", said(&other));
    let data = davy(&place, &["history", "-o", "json"]);
    let data: Vec<Value> = said(&data)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(data.len(), 3);
    assert_eq!(data[2]["record"]["outcome"], "rolled-back");
    assert_eq!(data[2]["record"]["previous"], data[1]["digest"]);
}

#[tokio::test]
async fn verify_and_replay_agree_with_what_is_there() {
    let Some(place) = played(&["promoted"]).await else {
        return;
    };
    for arguments in [
        &["verify"][..],
        &["replay"],
        &["backtest", "--threshold", "1"],
    ] {
        let output = davy(&place, arguments);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    place.by_hand("git rm -q records/default/test/podinfo/*promoted*; git commit -qm remove");
    let output = davy(&place, &["verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("it was removed by commit"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn another_policy_would_have_rolled_back() {
    let Some(place) = played(&["promoted"]).await else {
        return;
    };
    let stricter = davy(&place, &["backtest", "--max", "request-duration=1"]);
    let text = said(&stricter);
    assert!(text.contains("! records/default/test/podinfo/"), "{text}");
    assert!(text.contains("rolled back in step"), "{text}");
    assert!(
        text.ends_with("1 releases with checks, 1 would have come otherwise\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_record_that_was_forged_disagrees() {
    let Some(place) = played(&["rolled-back"]).await else {
        return;
    };
    let path = "records/default/test/podinfo/";
    let list = place.git(&["ls-tree", "-r", "--name-only", "main", path]);
    let last = list.lines().last().expect("a record");
    let text = place.git(&["show", &format!("main:{last}")]);
    let file = place.keys.folder.path().join("forged.yaml");
    for (text, code) in [(text.clone(), 0), (text.replace("69.17", "99.17"), 1)] {
        std::fs::write(&file, text).expect("a file");
        let output = davy(&place, &["replay", &file.display().to_string()]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    }
}

#[test]
fn without_a_repository_there_is_nothing_to_read() {
    for verb in ["history", "verify", "replay", "backtest"] {
        let output = Command::new(env!("CARGO_BIN_EXE_davy"))
            .arg(verb)
            .env_remove("DAVY_GIT_URL")
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{verb}");
        assert!(said(&output).contains("DAVY_GIT_URL: is needed"), "{verb}");
    }
}
