//! Deliveries into real repositories, the same over every way there is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use davy::io::git::{Delivered, Error, File, Remote};

use super::place::{ALL, Over, Place, file, time};

#[tokio::test]
async fn what_is_delivered_is_in_the_branch_signed_and_once() {
    for over in ALL {
        let Some(place) = Place::new(over).await else {
            return;
        };
        let remote = place.remote();
        let first = vec![file("a/b/1.yaml", "one"), file("top", "a file")];
        let delivered = remote
            .deliver(first.clone(), "First\n\nWhy: x", time(1))
            .await;
        let delivered = delivered.unwrap_or_else(|error| panic!("{over:?}: {error}"));
        assert!(delivered.is_new);
        assert_eq!(place.commits(), [delivered.commit.as_str()], "{over:?}");
        let shown = place.git(&["log", "-1", "--format=%an <%ae>|%cn <%ce>|%ct|%B", "main"]);
        assert_eq!(
            shown.trim(),
            "Davy <davy@example.com>|Davy <davy@example.com>|1767225601|First\n\nWhy: x"
        );

        let again = remote.deliver(first, "Again", time(2)).await.unwrap();
        assert_eq!((again.commit, again.is_new), (delivered.commit, false));

        // Of several only those that are missing, and onto what others did.
        for number in 2..6 {
            let both = vec![
                file("a/b/1.yaml", "one"),
                file(&format!("a/b/{number}.yaml"), "more"),
            ];
            let second = remote.deliver(both, "Second", time(number)).await;
            let second = second.unwrap_or_else(|error| panic!("{over:?}: {error}"));
            assert!(second.is_new);
        }
        assert_eq!(place.commits().len(), 5);
        let changed = place.git(&["show", "--stat=80", "--format=", "main"]);
        assert!(changed.contains("a/b/5.yaml") && changed.contains("1 file changed"));
        place.check();
    }
}

/// A pass writes a line to a repository with years in it.
#[tokio::test]
async fn a_delivery_reads_the_tip_and_not_the_history() {
    for over in [Over::Https, Over::Ssh] {
        let Some(mut place) = Place::new(over).await else {
            return;
        };
        place.by_hand(
            "for number in $(seq 20); do head -c 50000 /dev/urandom >noise; git add noise; \
             git commit -qm $number; done",
        );
        // The noise of the tip fits, and that of two commits does not.
        place.settings.limits.received = 90_000;
        let delivered = place
            .remote()
            .deliver(vec![file("a", "one")], "First", time(1))
            .await;
        let delivered = delivered.unwrap_or_else(|error| panic!("{over:?}: {error}"));
        assert_eq!(place.commits().len(), 21);
        assert_eq!(place.commits()[0], delivered.commit);
        let history = place.remote().read("").await;
        assert!(
            matches!(history, Err(Error::Unreachable { .. })),
            "{over:?}"
        );
        place.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

/// Delivers, and again where a server is overtaxed by several writers, as the next pass does: go-git
/// has no reference to show while it writes one, and dulwich none to lock.
async fn until_delivered(
    remote: &Remote,
    over: Over,
    files: Vec<File>,
    message: &str,
) -> Result<Delivered, Error> {
    for _ in 0..20 {
        match remote.deliver(files.clone(), message, time(0)).await {
            Err(Error::Unreachable { .. }) if matches!(over, Over::Other(_)) => {}
            delivered => return delivered,
        }
    }
    remote.deliver(files, message, time(0)).await
}

/// Nobody's commit is lost, and none is made twice.
async fn many_writers(over: Over, count: usize, each: usize) -> Option<Duration> {
    let mut place = Place::new(over).await?;
    place.settings.limits.deadline = Duration::from_mins(1);
    let start = std::time::Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..count {
        let remote = place.remote();
        writers.spawn(async move {
            let mut commits = Vec::new();
            for number in 0..each {
                let path = format!("canaries/writer-{writer}/{number:08}.yaml");
                let files = vec![file(&path, &format!("{writer} {number}"))];
                let message = format!("Record {path}");
                let delivered = until_delivered(&remote, over, files, &message).await;
                commits.push(delivered.unwrap_or_else(|error| panic!("{over:?}: {error}")));
            }
            commits
        });
    }
    let mut delivered = BTreeSet::new();
    while let Some(commits) = writers.join_next().await {
        for commit in commits.unwrap() {
            delivered.insert(commit.commit);
        }
    }
    let took = start.elapsed();
    let commits = place.commits();
    assert_eq!(commits.len(), count * each, "{over:?}");
    let subjects = place.git(&["log", "--format=%s", "main"]);
    let subjects: BTreeSet<_> = subjects.lines().collect();
    assert_eq!(subjects.len(), count * each, "{over:?}");
    let files = place.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(files.lines().count(), count * each, "{over:?}");
    let is_known = |commit: &String| commits.contains(commit);
    assert!(delivered.iter().all(is_known), "{over:?}");
    place.check();
    Some(took)
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_lose_nothing_and_double_nothing() {
    for over in ALL {
        let count = if matches!(over, Over::Other(_)) {
            4
        } else {
            10
        };
        many_writers(over, count, 2).await;
    }
}

/// The same at length: `TEST_DAVY_WRITERS=100` makes it a thousand commits.
#[tokio::test(flavor = "multi_thread")]
async fn ten_writers_at_once_into_a_folder_lose_nothing() {
    #[expect(clippy::disallowed_methods, reason = "how the length is chosen")]
    let each = std::env::var("TEST_DAVY_WRITERS").map_or(10, |each| each.parse().unwrap());
    if let Some(took) = many_writers(Over::File, 10, each).await {
        let commits = each * 10;
        writeln!(
            std::io::stderr(),
            "{commits} commits of ten writers in {took:?}"
        )
        .unwrap();
    }
}

#[tokio::test]
async fn what_is_there_is_never_overwritten() {
    for over in ALL {
        let Some(place) = Place::new(over).await else {
            return;
        };
        let remote = place.remote();
        let delivered = remote
            .deliver(vec![file("a/b", "one")], "First", time(1))
            .await;
        delivered.unwrap();
        for (path, text) in [("a/b", "two"), ("a", "one"), ("a/b/c", "one")] {
            let files = vec![file("new", "new"), file(path, text)];
            let refused = remote.deliver(files, "Second", time(2)).await;
            let occupied = Error::Occupied {
                path: path.to_owned(),
            };
            assert_eq!(refused, Err(occupied), "{over:?}");
        }
        assert_eq!(place.commits().len(), 1, "{over:?}");
    }
}

#[tokio::test]
async fn a_deleted_branch_is_begun_anew_and_other_branches_are_left_alone() {
    for over in ALL {
        let Some(mut place) = Place::new(over).await else {
            return;
        };
        let first = place.remote();
        let one = vec![file("a", "one")];
        first.deliver(one.clone(), "First", time(1)).await.unwrap();
        place.settings.branch = "audit/log".to_owned();
        let second = place.remote();
        second.deliver(one.clone(), "Other", time(1)).await.unwrap();
        place.git(&["update-ref", "-d", "refs/heads/main"]);
        let again = first.deliver(one, "Again", time(2)).await;
        assert!(
            again
                .unwrap_or_else(|error| panic!("{over:?}: {error}"))
                .is_new
        );
        let roots = place.git(&["rev-list", "--max-parents=0", "--all"]);
        assert_eq!(roots.lines().count(), 2, "{over:?}");
        place.check();
    }
}

#[tokio::test]
async fn what_cannot_be_committed_is_said_before_anything_is_asked() {
    let Some(place) = Place::new(Over::File).await else {
        return;
    };
    let remote = place.remote();
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/./b",
        ".git/config",
        "a/.GIT/x",
        "a\nb",
    ] {
        let refused = remote.deliver(vec![file(path, "")], "First", time(1)).await;
        let Err(Error::Unfit(why)) = refused else {
            panic!("{path:?}: {refused:?}")
        };
        assert!(why.ends_with("is no path of a file"), "{why}");
    }
    let twice = vec![file("a", "1"), file("a", "2")];
    let refused = remote.deliver(twice, "First", time(1)).await;
    assert_eq!(
        refused,
        Err(Error::Unfit("two files are called a".to_owned()))
    );
    let refused = remote.deliver(Vec::new(), "First", time(1)).await;
    assert_eq!(refused, Err(Error::Unfit("no files to commit".to_owned())));
    assert!(place.git(&["for-each-ref"]).is_empty());
}
