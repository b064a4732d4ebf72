//! What is reported of promotion records: the numbers by tables of cases, the page in a real
//! browser, and the verb on a repository into which releases were played.

pub(crate) mod browser;
mod numbers;
mod page;
mod pages;
mod since;
mod verb;

use std::path::Path;

use davy::records::chain::Filed;

use crate::git::place::{Over, Place};
use crate::proof::stage::Story;
use crate::records;

/// A repository with the records of a story, or `None` where programs are missing.
fn played(story: &str) -> Option<Place> {
    let place = wait(Place::new(Over::File))?;
    let mut played = Story::with_records(&records::folder(story), Some(records::records(&place)));
    played.play_out();
    played
        .verdict(|| "with records".to_owned())
        .expect("a clean run");
    Some(place)
}

/// Its records.
fn trail(place: &Place) -> Vec<Filed> {
    wait(records::trail(place))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Where pictures of the pages are left, for people to look at.
fn gallery() -> &'static Path {
    let folder = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/report"));
    std::fs::create_dir_all(folder).expect("a folder");
    folder
}
