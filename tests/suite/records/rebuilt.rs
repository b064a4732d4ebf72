//! A cluster that is rebuilt from Git while what Git asks for was never promoted: the records are
//! the durable state, and the primary starts from them.

use std::path::Path;

use davy::api::status::Phase;
use davy::simulate::cluster::Key;
use jiff::SignedDuration;
use serde_json::Value;

use super::kills::{keep, restore};
use super::{Story, files, folder, place, records};
use crate::git::place::Place;

const SCRIPT: &str = "about: a rebuilt cluster.\nsteps:\n- until: Succeeded\n";

/// The application, of this image, and all of its configuration in the `ConfigMap`s named.
fn cluster(image: &str, config: Option<&str>, there: &[&str]) -> String {
    let cluster = std::fs::read_to_string(folder("promoted").join("cluster.yaml"));
    let mut cluster = cluster
        .expect("a cluster")
        .replace("podinfo:1.2.0", &format!("podinfo:{image}"));
    if let Some(config) = config {
        let ports = "        ports:\n";
        let from = format!("        envFrom:\n        - configMapRef: {{name: {config}}}\n{ports}");
        cluster = cluster.replace(ports, &from);
    }
    for name in there {
        cluster = format!(
            "{cluster}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: test}}\n\
             data: {{color: {name}}}\n"
        );
    }
    cluster
}

/// The story of a cluster in which `image` is what the target carries from the start, a day after
/// everything that was recorded before.
fn rebuilt(place: &Place, image: &str, settings: &str) -> Story {
    rebuilt_as(place, cluster(image, None, &[]), settings)
}

fn rebuilt_as(place: &Place, cluster: String, settings: &str) -> Story {
    let scenario = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| std::fs::write(scenario.path().join(name), text);
    write("cluster.yaml", cluster).expect("a file");
    write("script.yaml", format!("{SCRIPT}settings: {{{settings}}}\n")).expect("a file");
    let story = Story::with_records(scenario.path(), Some(records(place)));
    story
        .world
        .advance(story.world.now() + SignedDuration::from_hours(24));
    story
}

/// The repository is that of the test, whatever the settings call it.
const RESTORES: &str = "DAVY_GIT_RESTORE: \"true\", DAVY_GIT_URL: \"file:///records\"";

/// A cluster whose records say that 1.2.1 was promoted last.
fn promoted(place: &Place) {
    promoted_as(place, cluster("1.2.0", None, &[]));
}

fn promoted_as(place: &Place, cluster: String) {
    let scenario = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| std::fs::write(scenario.path().join(name), text);
    write("cluster.yaml", cluster).expect("a file");
    let script = std::fs::read_to_string(folder("promoted").join("script.yaml"));
    let script = script.expect("a script");
    write("script.yaml", format!("{script}settings: {{{RESTORES}}}\n")).expect("a file");
    let mut story = Story::with_records(scenario.path(), Some(records(place)));
    story.play_out();
    story
        .verdict(|| "promoted".to_owned())
        .expect("a clean run");
    assert_eq!(image(&story, "podinfo-primary"), "1.2.1");
}

fn deployment(story: &Story, name: &str) -> Value {
    let canary = story.canary();
    let key = Key {
        group: "apps".into(),
        kind: "Deployment".into(),
        name: name.into(),
        ..canary.clone()
    };
    story
        .get(&key)
        .map_or(Value::Null, |object| (*object).clone())
}

fn image(story: &Story, name: &str) -> String {
    let deployment = deployment(story, name);
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let tag = image.as_str().and_then(|image| image.split_once(':'));
    tag.map_or("", |(_, tag)| tag).to_owned()
}

/// Plays the story; every image that the primary had in turn.
fn images_of_primary(story: &mut Story) -> Vec<String> {
    let mut images = Vec::new();
    while story.come_to_pass() {
        story.pass();
        let image = image(story, "podinfo-primary");
        if images.last() != Some(&image) {
            images.push(image);
        }
    }
    story.come_to_rest();
    story.verdict(|| "rebuilt".to_owned()).expect("a clean run");
    assert_eq!(story.status().phase, Some(Phase::Succeeded));
    images
}

/// What is played in a thread of its own, as the passes bring their own runtime.
async fn played<T: Send + 'static>(play: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(play).await.expect("a story")
}

#[tokio::test]
async fn the_primary_starts_from_what_was_promoted_last() {
    let Some(place) = place().await else { return };
    played(move || {
        promoted(&place);
        let mut story = rebuilt(&place, "1.3.0", RESTORES);
        assert_eq!(images_of_primary(&mut story), ["1.2.1", "1.3.0"]);
        let steps: Vec<_> = files(&place)
            .into_iter()
            .filter(|(_, text)| text.contains("podinfo:1.2.1") && text.contains("podinfo:1.3.0"))
            .map(|(path, _)| path.rsplit('-').next().unwrap_or_default().to_owned())
            .collect();
        let is_promoted = |name: &String| name.starts_with("promoted.");
        assert!(steps.iter().any(is_promoted), "{steps:?}");
        // The next cluster goes on from there, and where nothing differs there is no release.
        let mut story = rebuilt(&place, "1.3.0", RESTORES);
        assert!(story.come_to_pass());
        story.pass();
        assert_eq!(image(&story, "podinfo-primary"), "1.3.0");
    })
    .await;
}

#[tokio::test]
async fn without_the_setting_the_primary_starts_from_the_target() {
    let Some(place) = place().await else { return };
    played(move || {
        promoted(&place);
        let mut story = rebuilt(&place, "1.3.0", "");
        assert!(story.come_to_pass());
        story.pass();
        assert_eq!(image(&story, "podinfo-primary"), "1.3.0");
    })
    .await;
}

#[tokio::test]
async fn no_primary_is_made_while_the_records_cannot_be_read() {
    let Some(place) = place().await else { return };
    played(move || {
        promoted(&place);
        let away = place.repository.with_extension("away");
        std::fs::rename(&place.repository, &away).expect("a repository");
        let mut story = rebuilt(&place, "1.3.0", RESTORES);
        for _ in 0..3 {
            assert!(story.come_to_pass());
            let report = story.pass();
            let reason = &report.canaries[0].reason;
            assert!(
                reason.contains("podinfo-primary is not made before the promotion records"),
                "{reason}"
            );
            assert_eq!(deployment(&story, "podinfo-primary"), Value::Null);
        }
        std::fs::rename(&away, &place.repository).expect("a repository");
        assert_eq!(images_of_primary(&mut story), ["1.2.1", "1.3.0"]);
    })
    .await;
}

#[tokio::test]
async fn the_primary_gets_the_configuration_that_its_template_names() {
    let Some(place) = place().await else { return };
    played(move || {
        promoted_as(&place, cluster("1.2.0", Some("settings"), &["settings"]));
        let next = |there: &[&str]| cluster("1.3.0", Some("settings-next"), there);
        let config = |story: &Story| {
            let primary = deployment(story, "podinfo-primary");
            let container = &primary["spec"]["template"]["spec"]["containers"][0];
            container["envFrom"][0]["configMapRef"]["name"].clone()
        };
        let mut story = rebuilt_as(&place, next(&["settings-next"]), RESTORES);
        assert!(story.come_to_pass());
        let report = story.pass();
        let reason = &report.canaries[0].reason;
        assert!(
            reason.contains("restored from records/default/test/podinfo/")
                && reason.contains("ConfigMap settings, which does not exist"),
            "{reason}"
        );
        let mut story = rebuilt_as(&place, next(&["settings", "settings-next"]), RESTORES);
        assert!(story.come_to_pass());
        story.pass();
        assert_eq!(config(&story), "settings-primary");
        assert_eq!(images_of_primary(&mut story), ["1.2.1", "1.3.0"]);
        assert_eq!(config(&story), "settings-next-primary");
    })
    .await;
}

/// What somebody without a key does to the records, and what is said of it.
const DOUBTS: [(&str, &str, &str); 5] = [
    (
        "a promotion of another image, years later",
        "sed -e s/podinfo:1.2.1/podinfo:6.6.6/ -e 's/^time: .*/time: 2099-01-01T00:00:00Z/' \
         $newest >$folder/99999999-promoted.yaml\ngit add .\ngit commit --quiet -m forged",
        "99999999-promoted.yaml: commit",
    ),
    (
        "the last promotion, changed",
        "sed -i s/podinfo:1.2.1/podinfo:6.6.6/ $newest\ngit commit --quiet -am changed",
        "it was changed by commit",
    ),
    (
        "the last promotion, removed",
        "git rm --quiet $newest\ngit commit --quiet -m removed",
        "it was removed by commit",
    ),
    (
        "the last promotion, changed and put back",
        "cp $newest kept; sed -i s/1.2.1/6.6.6/ $newest; git commit --quiet -am changed\n\
         mv kept $newest; git commit --quiet -am 'put back'",
        "it was changed by commit",
    ),
    (
        "the record before it, gone from history",
        "git filter-branch -f --index-filter 'git rm -q --cached --ignore-unmatch \
         \"records/default/test/podinfo/*new-revision*\"' HEAD >/dev/null 2>&1",
        "not signed",
    ),
];

#[tokio::test]
async fn no_primary_is_made_while_the_records_are_in_doubt() {
    for (what, script, reason) in DOUBTS {
        let Some(place) = place().await else { return };
        played(move || {
            promoted(&place);
            let newest = files(&place).into_keys().next_back().expect("records");
            let folder = Path::new(&newest).parent().expect("a folder");
            let folder = folder.display();
            place.by_hand(&format!("newest={newest}; folder={folder}\n{script}"));
            let mut story = rebuilt(&place, "1.3.0", RESTORES);
            for _ in 0..3 {
                assert!(story.come_to_pass(), "{what}");
                let report = story.pass();
                let said = &report.canaries[0].reason;
                assert!(
                    said.contains("podinfo-primary is not made while its promotion records")
                        && said.contains(reason),
                    "{what}: {said}"
                );
                assert_eq!(deployment(&story, "podinfo-primary"), Value::Null, "{what}");
            }
        })
        .await;
    }
}

/// Every image of which a primary was made.
fn made_of(story: &Story) -> Vec<String> {
    let state = story.world.lock();
    let of_primary = state.cluster.history().filter(|write| {
        *write.key.name == *"podinfo-primary" && write.before.is_none() && write.after.is_some()
    });
    let deployments = of_primary.filter(|write| *write.key.kind == *"Deployment");
    let image = |object: &Value| {
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap_or_default().to_owned()
    };
    deployments
        .filter_map(|write| write.after.as_deref().map(image))
        .collect()
}

#[tokio::test]
async fn wherever_a_pass_is_killed_the_primary_is_made_of_what_was_promoted() {
    let Some(place) = place().await else { return };
    played(move || {
        promoted(&place);
        let kept = keep(&place, "promoted.git");
        let mut clean = rebuilt(&place, "1.3.0", RESTORES);
        let mut tried = 0;
        // Until the primary serves and the analysis of the rest begins.
        while clean.status().phase != Some(Phase::Progressing) && clean.come_to_pass() {
            let pass = clean.pass_to_cut();
            tried += pass.everywhere(
                || restore(&place, &kept),
                |cut, at| {
                    assert_eq!(made_of(cut), ["stefanprodan/podinfo:1.2.1"], "{at}");
                    assert_eq!(image(cut, "podinfo-primary"), "1.3.0", "{at}");
                },
            );
        }
        assert!(tried > 30, "{tried} kills");
        crate::proof::stage::stops::tell(&format!("rebuilt: {tried} kills"));
    })
    .await;
}
