//! Ten clusters promote into one branch at once, a thousand promotions in all: each leaves its
//! record, once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use davy::api::record::Outcome;
use davy::pass::deliver::outbox::Places;
use davy::records::chain;

use super::{Story, folder, place, records, trail};
use crate::git::place::Place;

const WRITERS: usize = 10;
const PROMOTIONS_EACH: usize = 100;

/// A cluster of its own, whose application is released again and again.
fn scenario(writer: usize, at: &Path) {
    let cluster = std::fs::read_to_string(folder("promoted").join("cluster.yaml"));
    let cluster = cluster
        .expect("a cluster")
        .replace("stepWeight: 10", "stepWeight: 50");
    let mut script = format!(
        "about: writer {writer}.\nsettings: {{DAVY_CLUSTER_NAME: \"c{writer}\"}}\nsteps:\n- until: Initialized\n"
    );
    for release in 1..=PROMOTIONS_EACH {
        script = format!("{script}- image: 2.0.{release}\n- until: Succeeded\n");
    }
    std::fs::write(at.join("cluster.yaml"), cluster).expect("a file");
    std::fs::write(at.join("script.yaml"), script).expect("a file");
}

fn write(writer: usize, place: &Place) {
    let at = tempfile::tempdir().expect("a folder");
    scenario(writer, at.path());
    let places = Places {
        records: Some(records(place)),
        ..Places::default()
    };
    let mut story = Story::telling(at.path(), places);
    story.play_out();
    story
        .verdict(|| format!("writer {writer}"))
        .expect("a clean run");
    assert!(story.status().outbox.is_empty());
}

#[tokio::test]
async fn a_thousand_promotions_by_ten_writers_leave_a_thousand_records() {
    let Some(place) = place().await else { return };
    let place = tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let place = &place;
                scope.spawn(move || write(writer, place));
            }
        });
        place
    });
    let place = place.await.expect("ten writers");
    let files = trail(&place).await;
    let mut promoted: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for (file, record) in chain::readable(&files) {
        if record.outcome == Outcome::Promoted {
            let steps = promoted.entry(record.cluster.clone()).or_default();
            assert!(steps.insert(record.step), "{} is there twice", file.path);
        }
    }
    let counts: Vec<_> = promoted.values().map(BTreeSet::len).collect();
    assert_eq!(counts, [PROMOTIONS_EACH; WRITERS]);
    // Each writer's initialization, and the beginning and the end of each of its releases.
    assert_eq!(files.len(), WRITERS * (1 + 2 * PROMOTIONS_EACH));
    assert_eq!(chain::verify(&files, &BTreeMap::new()), []);
    place.check();
}
