//! A pass is killed at every call from its claim on, with every outcome; the records that the
//! rest of the story leaves are those of the clean run, each once.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Story, files, folder, place, records, verified};
use crate::git::keys::run;
use crate::git::place::Place;
use crate::proof::stage::cuts::ToCut;

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

/// Keeps a repository's state aside.
pub(super) fn keep(place: &Place, name: &str) -> PathBuf {
    let kept = place.keys.folder.path().join(name);
    run(Command::new("rm").arg("-rf").arg(&kept));
    run(Command::new("cp")
        .arg("-a")
        .arg(&place.repository)
        .arg(&kept));
    kept
}

/// Puts a state that was kept at the repository's place.
pub(super) fn restore(place: &Place, kept: &Path) {
    std::fs::remove_dir_all(&place.repository).expect("a repository");
    run(Command::new("cp")
        .arg("-a")
        .arg(kept)
        .arg(&place.repository));
}

/// Plays a story, and each of its passes in which something was delivered again with a kill at
/// every call. How much was delivered by now is asked of the repository; what the rest of each cut
/// story has left there is for `check`. How many kills were tried.
pub(super) fn every_kill(
    mut clean: Story,
    place: &Place,
    delivered: impl Fn(&Place) -> usize,
    mut check: impl FnMut(&Story, &str),
) -> u32 {
    let mut passes = Vec::new();
    while clean.come_to_pass() {
        let before = delivered(place);
        let kept = keep(place, &format!("pass-{}.git", clean.passes + 1));
        let pass = clean.pass_to_cut();
        if delivered(place) != before {
            passes.push((pass, kept));
        }
    }
    clean.come_to_rest();
    check(&clean, "the clean run");
    let cut =
        |(pass, kept): &(ToCut, PathBuf)| pass.everywhere(|| restore(place, kept), &mut check);
    passes.iter().map(cut).sum()
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
        let tried = tokio::task::spawn_blocking(move || {
            let clean = Story::with_records(&folder(story), Some(records(&place)));
            let mut expected: Option<Vec<String>> = None;
            every_kill(clean, &place, files_or_none, |cut, at| {
                let outcomes = outcomes(&place);
                let expected = expected.get_or_insert_with(|| outcomes.clone());
                assert!(expected.len() > 2, "{expected:?}");
                assert_eq!(outcomes, *expected, "{at}");
                assert!(cut.status().outbox.is_empty(), "{at}");
                assert_eq!(verified(&place), [], "{at}");
            })
        });
        let tried = tried.await.expect("a matrix of kills");
        crate::proof::stage::stops::tell(&format!("records: {story}, {tried} kills"));
    }
}
