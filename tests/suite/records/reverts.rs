//! After a rollback the manifests' repository is offered a change back: on a branch of its own,
//! once, and whatever becomes of it no traffic waits.

use davy::pass::deliver::outbox::Places;
use davy::pass::deliver::reverts::Reverts;

use super::kills::every_kill;
use super::{Story, folder};
use crate::git::place::{ALL, Over, Place};

pub(super) const MANIFESTS: &str = r#"mkdir -p clusters/prod clusters/staging
cat >clusters/prod/podinfo.yaml <<END
# The application of the shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: podinfo
  namespace: test
spec:
  template:
    spec:
      containers:
      - name: podinfod
        image: stefanprodan/podinfo:1.3.0 # {"\$imagepolicy": "flux-system:podinfo"}
END
cp clusters/prod/podinfo.yaml clusters/staging
git add .
git commit --quiet -m 'Release 1.3.0'"#;

/// A source whose manifests ask for what the story rolls back.
async fn source(over: Over) -> Option<Place> {
    let place = Place::new(over).await?;
    place.by_hand(MANIFESTS);
    Some(place)
}

fn story(place: &Place) -> Story {
    let reverts = Reverts {
        settings: place.settings.clone(),
        folder: "clusters/prod".to_owned(),
    };
    let places = Places {
        reverts: Some(reverts),
        ..Places::default()
    };
    Story::telling(&folder("rolled-back"), places)
}

/// The branches that were made for reverts.
pub(super) fn branches(place: &Place) -> Vec<String> {
    let list = place.git(&["for-each-ref", "--format=%(refname)", "refs/heads/davy"]);
    list.lines().map(str::to_owned).collect()
}

/// The one branch that there should be, held against what it is to be.
fn is_offered_once(place: &Place) {
    let branches = branches(place);
    let [branch] = &branches[..] else {
        panic!("one branch is offered, not {branches:?}")
    };
    assert!(
        branch.starts_with("refs/heads/davy/revert/default/test/podinfo-"),
        "{branch}"
    );
    let change = place.git(&["diff", "--unified=0", "main", branch]);
    let lines: Vec<_> = change
        .lines()
        .filter(|line| line.starts_with(['+', '-']))
        .collect();
    let image = |tag: &str| {
        format!(
            r#"        image: stefanprodan/podinfo:{tag} # {{"$imagepolicy": "flux-system:podinfo"}}"#
        )
    };
    assert_eq!(
        lines,
        [
            "--- a/clusters/prod/podinfo.yaml",
            "+++ b/clusters/prod/podinfo.yaml",
            &format!("-{}", image("1.3.0")),
            &format!("+{}", image("1.2.0")),
        ]
    );
    place.git(&["verify-commit", branch]);
    place.git(&["fsck", "--strict", "--no-dangling"]);
    let message = place.git(&["log", "-1", "--format=%B", branch]);
    assert!(
        message
            .contains("stefanprodan/podinfo:1.3.0 was rolled back to stefanprodan/podinfo:1.2.0"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_offers_the_source_the_image_before_on_a_branch_of_its_own() {
    for over in ALL {
        let Some(place) = source(over).await else {
            return;
        };
        let main = place.commits();
        let place = tokio::task::spawn_blocking(move || {
            let mut story = story(&place);
            story.play_out();
            story
                .verdict(|| format!("over {over:?}"))
                .expect("a clean run");
            assert_eq!(story.status().outbox, Vec::<serde_json::Value>::new());
            for _ in 0..3 {
                story.pass();
            }
            place
        });
        let place = place.await.expect("a story");
        is_offered_once(&place);
        assert_eq!(place.commits(), main, "the source branch is only read");
    }
}

#[tokio::test]
async fn no_kill_loses_or_doubles_a_revert() {
    let Some(place) = source(Over::File).await else {
        return;
    };
    let tried = tokio::task::spawn_blocking(move || {
        let offered = |place: &Place| branches(place).len();
        every_kill(story(&place), &place, offered, |cut, at| {
            is_offered_once(&place);
            assert!(cut.status().outbox.is_empty(), "{at}");
        })
    });
    let tried = tried.await.expect("a matrix of kills");
    assert!(tried > 10, "{tried} kills");
    crate::proof::stage::stops::tell(&format!("reverts: {tried} kills"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_will_not_have_it_gets_it_later() {
    let Some(place) = source(Over::Https).await else {
        return;
    };
    place.hook("pre-receive", "echo 'not today' >&2\nexit 1\n");
    let place = tokio::task::spawn_blocking(move || {
        let mut story = story(&place);
        while story.come_to_pass() {
            story.pass();
        }
        let report = story.pass();
        let untold = report.untold.join("; ");
        assert!(
            untold.contains("test/podinfo: revert not proposed yet")
                && untold.contains("not today"),
            "{untold}"
        );
        assert_eq!(story.status().outbox.len(), 1);
        assert_eq!(branches(&place), [""; 0]);
        place.hook("pre-receive", "exit 0\n");
        story.come_to_rest();
        story
            .verdict(|| "refused at first".to_owned())
            .expect("a clean run");
        assert!(story.status().outbox.is_empty());
        place
    });
    is_offered_once(&place.await.expect("a story"));
}

#[tokio::test]
async fn where_the_source_asks_for_something_else_already_nothing_is_offered() {
    let Some(place) = source(Over::File).await else {
        return;
    };
    place.by_hand("sed -i s/1.3.0/1.3.1/ clusters/prod/podinfo.yaml\ngit commit --quiet -am fixed");
    tokio::task::spawn_blocking(move || {
        let mut story = story(&place);
        let mut untold = Vec::new();
        while story.come_to_pass() {
            untold.extend(story.pass().untold);
        }
        assert_eq!(
            untold,
            ["test/podinfo: nothing to revert: no manifest of Deployment podinfo in clusters/prod \
              asks for stefanprodan/podinfo:1.3.0 in a form that is known"]
        );
        assert_eq!(branches(&place), [""; 0]);
        assert!(story.status().outbox.is_empty());
    })
    .await
    .expect("a story");
}
