//! What can be read back, and that nothing done to it later stays hidden.

use davy::io::git::{Kept, Trail, What};
use davy::signature::Verdict;

use super::keys::public;
use super::place::{ALL, Over, Place, file, time};

const FOLDER: &str = "records";

/// A repository with three records and something else.
async fn filled(over: Over) -> Option<Place> {
    let place = Place::new(over).await?;
    let remote = place.remote();
    for (number, name) in (1..).zip(["a", "b", "deep/c"]) {
        let files = vec![file(&format!("{FOLDER}/{name}"), name), file("README", "x")];
        let message = format!("Record {name}\n\nCanary: {name}");
        remote.deliver(files, &message, time(number)).await.unwrap();
    }
    Some(place)
}

async fn read(place: &Place) -> Trail {
    let read = place.remote().read(FOLDER).await;
    read.unwrap_or_else(|error| panic!("{error}"))
}

fn kept<'a>(trail: &'a Trail, name: &str) -> &'a Kept {
    let path = format!("{FOLDER}/{name}");
    let found = trail.files.iter().find(|kept| kept.path == path);
    found.unwrap_or_else(|| panic!("{path} is not in {trail:?}"))
}

fn whats(kept: &Kept) -> Vec<&What> {
    kept.changes.iter().map(|change| &change.what).collect()
}

#[tokio::test]
async fn files_are_read_with_who_added_them() {
    for over in ALL {
        let Some(place) = filled(over).await else {
            return;
        };
        let trail = read(&place).await;
        let commits = place.commits();
        assert_eq!(trail.tip.as_ref(), commits.first(), "{over:?}");
        assert!(commits.iter().all(|commit| trail.contains(commit)));
        let paths: Vec<_> = trail.files.iter().map(|kept| kept.path.as_str()).collect();
        assert_eq!(paths, ["records/a", "records/b", "records/deep/c"]);
        for (kept, commit) in trail.files.iter().zip(commits.iter().rev()) {
            let name = kept.path.strip_prefix("records/").unwrap();
            assert_eq!(kept.bytes, name.as_bytes());
            assert_eq!(&kept.added.id, commit);
            assert_eq!(kept.added.author, "Davy <davy@example.com>");
            assert!(kept.added.message.starts_with(&format!("Record {name}\n")));
            let Verdict::Good { principal, .. } = &kept.added.verdict else {
                panic!("{over:?}: {:?}", kept.added.verdict)
            };
            assert_eq!(principal, "davy@example.com");
            assert!(kept.changes.is_empty() && kept.is_intact);
        }
        assert_eq!(trail.files[0].added.at, time(1));
        assert!(
            place
                .remote()
                .read("nothing")
                .await
                .unwrap()
                .files
                .is_empty()
        );
    }
}

#[tokio::test]
async fn a_branch_that_is_not_there_has_no_trail() {
    for over in ALL {
        let Some(place) = Place::new(over).await else {
            return;
        };
        let trail = read(&place).await;
        assert_eq!((trail.tip, trail.files.len()), (None, 0), "{over:?}");
    }
}

#[tokio::test]
async fn what_is_done_to_a_file_later_is_seen() {
    let Some(place) = filled(Over::File).await else {
        return;
    };
    place.by_hand("echo other >records/a; git rm -q records/b; git commit -qam Tidy");
    place.by_hand("printf b >records/b; git add .; git commit -qm Restore");
    let trail = read(&place).await;
    let edited = kept(&trail, "a");
    assert_eq!(
        (edited.bytes.as_slice(), edited.is_intact),
        (&b"a"[..], false)
    );
    assert_eq!(whats(edited), [&What::Edited(b"other\n".to_vec())]);
    let change = &edited.changes[0].commit;
    assert_eq!(change.author, "Eve <eve@example.com>");
    assert_eq!(change.verdict, Verdict::Missing);
    let restored = kept(&trail, "b");
    assert_eq!(
        whats(restored),
        [&What::Removed, &What::Restored(b"b".to_vec())]
    );
    assert!(restored.is_intact);
    assert!(kept(&trail, "deep/c").changes.is_empty());
    // Eve did not sign, but what Davy signed is still good.
    assert!(matches!(edited.added.verdict, Verdict::Good { .. }));
}

#[tokio::test]
async fn what_a_merge_does_is_seen_once_and_what_it_only_joins_is_not() {
    let Some(place) = filled(Over::File).await else {
        return;
    };
    place.by_hand(
        "git checkout -q -b side HEAD~1; echo side >records/side; git add .; \
         git commit -qm Side; git checkout -q main; git merge -q --no-ff -m Merge side; \
         git merge -q -s ours -m Ours side || true",
    );
    let trail = read(&place).await;
    assert_eq!(kept(&trail, "side").bytes, b"side\n");
    assert!(
        trail.files.iter().all(|kept| kept.changes.is_empty()),
        "{trail:?}"
    );
    place.by_hand(
        "git checkout -q -b other HEAD~1; echo x >records/x; git add .; git commit -qm X; \
         git checkout -q main; git merge -q --no-commit --no-ff other; \
         git rm -q -f --cached records/a; rm records/a; git commit -qm 'Merge other'",
    );
    let trail = read(&place).await;
    assert_eq!(whats(kept(&trail, "a")), [&What::Removed]);
    assert!(!kept(&trail, "a").is_intact);
    assert_eq!(kept(&trail, "a").changes[0].commit.message, "Merge other\n");
    assert!(kept(&trail, "x").changes.is_empty());
}

#[tokio::test]
async fn another_key_is_told_from_one_that_is_allowed() {
    let Some(place) = filled(Over::File).await else {
        return;
    };
    let other = place.keys.ed25519("other");
    place.by_hand(&format!(
        "echo d >records/d; git add .; \
         git -c gpg.format=ssh -c user.signingKey={} commit -q -S -m 'Record d'",
        other.display()
    ));
    let verdict = |trail: &Trail| kept(trail, "d").added.verdict.clone();
    let unknown = verdict(&read(&place).await);
    assert!(matches!(unknown, Verdict::UnknownKey { .. }), "{unknown:?}");
    // Real git signs as we do: once the key is allowed, it is good.
    let list = place.settings.allowed_signers_file.as_ref().unwrap();
    let more = std::fs::read_to_string(list).unwrap();
    std::fs::write(list, format!("{more}\neve@example.com {}", public(&other))).unwrap();
    let good = verdict(&read(&place).await);
    assert!(matches!(good, Verdict::Good { .. }), "{good:?}");
}

#[tokio::test]
async fn a_branch_that_was_moved_by_force_lacks_what_was_delivered() {
    let Some(place) = filled(Over::File).await else {
        return;
    };
    let files = vec![file("records/d", "d")];
    let delivered = place
        .remote()
        .deliver(files.clone(), "Record d", time(4))
        .await;
    let delivered = delivered.unwrap();
    assert!(read(&place).await.contains(&delivered.commit));
    place.by_hand("git reset -q --hard HEAD~2");
    let trail = read(&place).await;
    assert!(!trail.contains(&delivered.commit));
    assert_eq!(trail.files.len(), 2);
    // What is delivered again goes on top of what is there: nothing is forced back.
    let again = place
        .remote()
        .deliver(files, "Record d", time(5))
        .await
        .unwrap();
    assert!(again.is_new && again.commit != delivered.commit);
    assert_eq!(place.commits().len(), 3);
}
