//! Whoever changes the trail afterwards is found out.

use super::{Story, folder, place, records, verified};
use crate::git::place::Place;

/// What somebody does in a clone, and what is to be found then.
const TAMPERINGS: [(&str, &str, &str); 5] = [
    (
        "a record edited by one digit",
        "sed -i s/100.0/100.1/ $(ls records/default/test/podinfo/*promoted*); git commit -qam edit",
        "edited",
    ),
    (
        "a record removed",
        "git rm -q records/default/test/podinfo/*new-revision*; git commit -qm remove",
        "removed",
    ),
    (
        "a record removed from history",
        "git filter-branch -f --index-filter 'git rm -q --cached --ignore-unmatch \
         \"records/default/test/podinfo/*new-revision*\"' HEAD >/dev/null 2>&1",
        "is missing or was changed",
    ),
    (
        "two records in each other's place",
        "cd records/default/test/podinfo; a=$(ls *new-revision*); b=$(ls *promoted*); \
         git mv $a x; git mv $b $a; git mv x $b; git commit -qm swap; cd ../../../..; \
         git reset -q --soft $(git rev-list --max-parents=0 HEAD); git commit -qm one",
        "belongs to",
    ),
    (
        "a record of somebody else's",
        "cp $(ls records/default/test/podinfo/*promoted*) \
         records/default/test/podinfo/00000099-promoted.yaml; git add .; git commit -qm forged",
        "Missing",
    ),
];

fn played(place: &Place) {
    let mut story = Story::with_records(&folder("promoted"), Some(records(place)));
    story.play_out();
    story
        .verdict(|| "with records".to_owned())
        .expect("a clean run");
}

#[tokio::test]
async fn verify_finds_what_was_done_to_the_trail() {
    for (what, script, finding) in TAMPERINGS {
        let Some(place) = place().await else { return };
        let findings = tokio::task::spawn_blocking(move || {
            played(&place);
            assert_eq!(verified(&place), []);
            place.by_hand(script);
            verified(&place)
        });
        let findings = findings.await.expect("findings");
        assert!(
            findings
                .iter()
                .any(|f| f.is_breach && f.what.contains(finding)),
            "{what}: {findings:#?}"
        );
    }
}
