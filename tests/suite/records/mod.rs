//! Promotion records from the claim to the repository and back: what they hold, that none is lost
//! or doubled wherever a pass is killed, and that whoever tampers with them is found out.

mod cluster;
mod fitness;
mod forged;
mod kills;
mod reading;
mod rebuilt;
mod reverts;
mod tampering;
mod writers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use davy::io::git::What;
use davy::pass::deliver::records::Records;
use davy::records::chain::{self, Filed};
use davy::report::replay;

use crate::git::place::{Over, Place};
use crate::proof::stage::Story;

/// Stories with every kind of record.
pub(crate) const STORIES: [&str; 5] = [
    "promoted",
    "rolled-back",
    "primary-never-ready",
    "new-revision-midway",
    "set-back-midway",
];

pub(crate) fn folder(story: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/scenarios").join(story)
}

pub(crate) fn records(place: &Place) -> Records {
    Records {
        settings: place.settings.clone(),
        skip_ci: None,
    }
}

/// Every file of the branch.
fn files(place: &Place) -> BTreeMap<String, String> {
    let list = place.git(&["ls-tree", "-r", "--name-only", "main"]);
    let show = |path: &str| place.git(&["show", &format!("main:{path}")]);
    list.lines()
        .map(|path| (path.to_owned(), show(path)))
        .collect()
}

/// The trail as `davy verify` sees it.
pub(crate) async fn trail(place: &Place) -> Vec<Filed> {
    let trail = place.remote().read("records").await.expect("a trail");
    let filed = trail.files.into_iter().map(|kept| Filed {
        doubt: match &kept.added.verdict {
            davy::signature::Verdict::Good { .. } => None,
            doubt => Some(format!("{doubt:?}")),
        },
        changes: kept
            .changes
            .iter()
            .map(|change| match change.what {
                What::Edited(_) => "edited".to_owned(),
                What::Removed => "removed".to_owned(),
                What::Restored(_) => "restored".to_owned(),
            })
            .collect(),
        path: kept.path,
        bytes: kept.bytes,
        commit: kept.added.id,
        at: kept.added.at,
    });
    filed.collect()
}

fn verified(place: &Place) -> Vec<chain::Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let files = runtime.expect("a runtime").block_on(trail(place));
    chain::verify(&files, &BTreeMap::new())
}

async fn place() -> Option<Place> {
    Place::new(Over::File).await
}

#[tokio::test]
async fn every_release_leaves_the_records_that_are_expected() {
    let mut again = 0;
    for story in STORIES {
        let Some(place) = place().await else { return };
        let records = records(&place);
        let folder = folder(story);
        let (commits, passes, place) = tokio::task::spawn_blocking(move || {
            let mut played = Story::with_records(&folder, Some(records));
            played.play_out();
            played
                .verdict(|| "with records".to_owned())
                .expect("a clean run");
            assert!(
                played.status().outbox.is_empty(),
                "{:?}",
                played.status().outbox
            );
            let commits = place.commits().len();
            for _ in 0..3 {
                played.pass();
            }
            assert_eq!(place.commits().len(), commits, "idle passes commit nothing");
            (commits, played.passes, place)
        })
        .await
        .expect("a story");
        assert!(
            commits > 1 && commits < passes as usize,
            "{commits} commits"
        );
        place.check();
        assert_eq!(chain::verify(&trail(&place).await, &BTreeMap::new()), []);
        let written = files(&place);
        for (path, text) in &written {
            let record = davy::records::parse(text.as_bytes()).expect(path);
            let replayed = replay::replay(&record);
            assert_eq!(replayed.disagreements, [""; 0], "{path}");
            again += replayed.steps;
        }
        compare(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fixtures/records")
                .join(story),
            &written,
        );
    }
    assert!(again > 10, "steps are decided again");
}

/// Holds files against the expected ones, which `TEST_DAVY_UPDATE=1` rewrites.
fn compare(expected: &Path, written: &BTreeMap<String, String>) {
    if std::env::var_os("TEST_DAVY_UPDATE").is_some() {
        let _ = std::fs::remove_dir_all(expected);
        for (path, text) in written {
            let path = expected.join(path.trim_start_matches("records/default/test/podinfo/"));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        return;
    }
    let known = std::fs::read_dir(expected).expect("expected records");
    let known: BTreeMap<String, String> = known
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("a record");
            (format!("records/default/test/podinfo/{name}"), text)
        })
        .collect();
    assert_eq!(written, &known);
}
