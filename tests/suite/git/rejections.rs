//! What a server will not have: its own last words are shown, over every way there is.

use davy::io::git::{Error, Proposal};

use super::place::{ALL, Over, Place, file, time};

const WHY: &str = "records are not kept here";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_of_a_rejection_is_told_and_later_it_is_taken() {
    for over in ALL.into_iter().filter(|over| *over != Over::File) {
        let Some(place) = Place::new(over).await else {
            continue;
        };
        let remote = place.remote();
        let deliver = async |name: &str, second| {
            let files = vec![file(name, name)];
            remote.deliver(files, "A record", time(second)).await
        };
        deliver("a", 1).await.unwrap();
        let before = place.commits();
        place.reject(over, WHY);
        let Err(Error::Refused { why, .. }) = deliver("b", 2).await else {
            panic!("{over:?}: it was not refused")
        };
        assert!(why.contains(WHY) && !why.contains('%'), "{over:?}: {why}");
        assert_eq!(place.commits(), before, "{over:?}");
        place.accept(over);
        assert!(deliver("b", 3).await.unwrap().is_new, "{over:?}");
        assert_eq!(place.commits().len(), 2, "{over:?}");
        place.check();
    }
}

/// git's own progress comes on the same band as what hooks say.
#[tokio::test(flavor = "multi_thread")]
async fn progress_and_greetings_do_not_hide_the_reason() {
    for over in [Over::Https, Over::Ssh] {
        let Some(place) = Place::new(over).await else {
            return;
        };
        let talk = "for n in 1 2 3; do printf 'Checking objects: %d%% (%d/3)\\r' $((n*33)) $n >&2; done\n\
                    for n in $(seq 400); do echo \"rule $n is kept\" >&2; done\n\
                    echo 'Checking objects: 100% (3/3), done.' >&2\n";
        place.hook("pre-receive", &format!("{talk}echo '{WHY}' >&2\nexit 1\n"));
        let refused = place.remote();
        let refused = refused
            .deliver(vec![file("a", "a")], "A record", time(1))
            .await;
        let Err(Error::Refused { why, .. }) = refused else {
            panic!("{over:?}: {refused:?}")
        };
        assert!(why.ends_with(&format!("{WHY})")), "{over:?}: {why}");
        assert!(
            !why.contains("Checking objects") && !why.contains("rule 1 "),
            "{why}"
        );
    }
}

fn proposal() -> Proposal {
    Proposal {
        branch: "davy/revert/a".to_owned(),
        folder: String::new(),
        is_wanted: |_| true,
        edit: Box::new(|_, _| Some("other".to_owned())),
        describe: Box::new(|_| "Change".to_owned()),
        at: time(1),
    }
}

/// Every piece of work says the same of a repository whose objects have longer names.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_sha256_is_refused_by_name() {
    for over in [Over::File, Over::Https, Over::Ssh] {
        let Some(place) = Place::new(over).await else {
            continue;
        };
        for is_empty in [true, false] {
            std::fs::remove_dir_all(&place.repository).unwrap();
            place.begin(&["--object-format=sha256"]);
            if !is_empty {
                let tree = place.git(&["hash-object", "-w", "-t", "tree", "/dev/null"]);
                let commit = [
                    "-c",
                    "user.name=Eve",
                    "-c",
                    "user.email=eve@example.com",
                    "commit-tree",
                    "-m",
                    "A",
                    tree.trim(),
                ];
                let commit = place.git(&commit);
                place.git(&["update-ref", "refs/heads/main", commit.trim()]);
            }
            let remote = place.remote();
            let refusals = [
                remote
                    .deliver(vec![file("b", "b")], "B", time(1))
                    .await
                    .err(),
                remote.read("").await.err(),
                remote.propose(proposal()).await.err(),
            ];
            // Of an empty one git tells readers nothing.
            let told = if is_empty && over != Over::File { 1 } else { 3 };
            for refusal in refusals.into_iter().take(told) {
                let Some(error) = refusal else {
                    panic!("{over:?}: a SHA-256 repository was used")
                };
                let is_told = matches!(&error, Error::Refused { why, .. }
                    if why.contains("is a repository of sha256 objects"));
                assert!(is_told, "{over:?}: {error}");
            }
        }
    }
}
