//! A pass is killed at every call from its claim on, with every outcome; the records that the
//! rest of the story leaves are those of the clean run, each once.

use std::process::Command;

use davy::simulate::scenario::{Crash, Outcome};

use super::{Story, files, folder, place, records, verified};
use crate::git::keys::run;
use crate::git::place::Place;
use crate::proof::stage::run_killed;

/// What was recorded, without the times and numbers that a killed pass shifts.
fn outcomes(place: &Place) -> Vec<String> {
    let mut outcomes: Vec<_> = files(place)
        .into_keys()
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    outcomes.sort();
    outcomes
        .iter()
        .map(|name| name.split_once('-').unwrap_or_default().1.to_owned())
        .collect()
}

/// Puts a repository's state at the place of another's.
fn restore(place: &Place, saved: &std::path::Path) {
    std::fs::remove_dir_all(&place.repository).expect("a repository");
    run(Command::new("cp")
        .arg("-a")
        .arg(saved)
        .arg(&place.repository));
}

fn every_kill(story: &str, place: &Place) -> u32 {
    let records = records(place);
    let saved = place.keys.folder.path().join("saved.git");
    let mut clean = Story::with_records(&folder(story), Some(records));
    let mut passes = Vec::new();
    while clean.come_to_pass() {
        clean.begin_pass();
        let begun = clean.fork();
        let before = files_or_none(place);
        run(Command::new("rm").arg("-rf").arg(&saved));
        run(Command::new("cp")
            .arg("-a")
            .arg(&place.repository)
            .arg(&saved));
        let calls = clean.world.lock().calls;
        let report = crate::proof::stage::run(&clean.world.io(), clean.options());
        let calls = clean.world.lock().calls - calls;
        clean.end_pass(report.as_ref());
        if files_or_none(place) != before {
            let kept = place
                .keys
                .folder
                .path()
                .join(format!("pass-{}.git", begun.passes));
            run(Command::new("cp").arg("-a").arg(&saved).arg(&kept));
            passes.push((begun, calls, kept));
        }
    }
    clean.come_to_rest();
    let expected = outcomes(place);
    assert!(expected.len() > 2, "{expected:?}");
    let mut tried = 0;
    for (begun, calls, kept) in passes {
        for call in 1..=calls {
            for outcome in [Outcome::NotSent, Outcome::Committed, Outcome::Answered] {
                restore(place, &kept);
                let mut cut = begun.fork();
                let crash = Crash { call, outcome };
                assert!(run_killed(&cut.world, cut.options(), crash), "call {call}");
                cut.end_pass(None);
                cut.play_out();
                let at = || format!("{story}, pass {}, call {call}, {outcome:?}", begun.passes);
                cut.verdict(at).expect("no invariant is broken");
                assert_eq!(outcomes(place), expected, "{}", at());
                assert!(cut.status().outbox.is_empty(), "{}", at());
                assert_eq!(verified(place), [], "{}", at());
                tried += 1;
            }
        }
    }
    tried
}

fn files_or_none(place: &Place) -> usize {
    if place.git(&["branch", "--list", "main"]).is_empty() {
        0
    } else {
        files(place).len()
    }
}

#[tokio::test]
async fn no_kill_loses_or_doubles_a_record() {
    for story in ["rolled-back", "primary-never-ready"] {
        let Some(place) = place().await else { return };
        let tried = tokio::task::spawn_blocking(move || every_kill(story, &place));
        let tried = tried.await.expect("a matrix of kills");
        crate::proof::stage::stops::tell(&format!("records: {story}, {tried} kills"));
    }
}
