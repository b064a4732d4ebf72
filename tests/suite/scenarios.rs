//! The scenarios that ship: each is played, must meet its own expectations, and its transcript is
//! held against `expected.txt`. `DAVY_UPDATE=1` writes the transcripts anew.

use std::path::{Path, PathBuf};

use davy::simulate::expect;
use davy::simulate::play::Play;
use davy::simulate::scenario::Scenario;
use davy::simulate::transcript::{self, Style};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .expect("fixtures/scenarios")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();
    folders
}

async fn transcript_of(folder: &Path) -> (String, Vec<String>) {
    let scenario = Scenario::read(folder).expect("a scenario");
    let play = Play::new(scenario.clone()).expect("a cluster");
    let transcript = play.play().await.expect("a story that comes to its end");
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
    (transcript::text(&transcript, &met, Style::Plain), failures)
}

#[tokio::test]
async fn every_scenario_ends_as_it_expects_and_tells_the_same_story() {
    let update = std::env::var_os("DAVY_UPDATE").is_some();
    let mut wrong = Vec::new();
    for folder in folders() {
        let (text, failures) = transcript_of(&folder).await;
        wrong.extend(failures);
        let file = folder.join("expected.txt");
        if update {
            std::fs::write(&file, &text).expect("writing the transcript");
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if text != expected {
            wrong.push(format!(
                "{}:\n{text}\ninstead of\n{expected}",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_same_scenario_twice_is_the_same_transcript() {
    let folder = folders().into_iter().next().expect("a scenario");
    assert_eq!(
        transcript_of(&folder).await.0,
        transcript_of(&folder).await.0
    );
}
