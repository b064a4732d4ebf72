//! The real program on the real control plane: a cluster that is rebuilt goes on from its records,
//! and a rollback is proposed to the source.

use serde_json::Value;

use super::reverts::{MANIFESTS, branches};
use crate::bed::program::Program;
use crate::bed::wait::until;
use crate::git::place::{Over, Place};
use crate::podinfo::{Podinfo, fixture, kubectl};

const PATIENCE: std::time::Duration = std::time::Duration::from_mins(3);

/// A pass with a repository for records, which are durable state, and one for reverts.
fn pass(podinfo: &Podinfo, records: &Place, source: &Place) -> Program {
    let git = &records.settings;
    let path = |path: &Option<std::path::PathBuf>| path.clone().expect("a file");
    podinfo
        .davy(&["run", "-o", "json"])
        .set("DAVY_GIT_URL", &git.url)
        .set("DAVY_GIT_AUTHOR", git.author.as_ref().expect("an author"))
        .set("DAVY_GIT_SIGNING_KEY_FILE", path(&git.signing_key_file))
        .set(
            "DAVY_GIT_ALLOWED_SIGNERS_FILE",
            path(&git.allowed_signers_file),
        )
        .set("DAVY_GIT_RESTORE", "true")
        .set("DAVY_REVERT_URL", &source.settings.url)
        .set("DAVY_REVERT_PATH", "clusters/prod")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_cluster_goes_on_and_a_rollback_is_proposed() {
    let Some(podinfo) = Podinfo::begin("records").await else {
        return;
    };
    let (Some(records), Some(source)) =
        (Place::new(Over::File).await, Place::new(Over::File).await)
    else {
        return;
    };
    let rests_in = async |phase: &str| {
        until(phase, PATIENCE, async || {
            let ended = pass(&podinfo, &records, &source).run().with_code(0);
            let seen = podinfo.seen(&ended);
            let has_come = seen.phase == phase && seen.outcome == "rested";
            has_come.then_some(()).ok_or(format!("{seen:?}"))
        })
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    };
    let tag = async |name: &str| podinfo.tag_and_replicas(name).await.0;
    podinfo.apply(&fixture("story/quick.yaml")).await;
    rests_in("Initialized").await;
    podinfo.image("1.2.1").await;
    pass(&podinfo, &records, &source).run().with_code(0);
    let release = podinfo.canary().await["status"]["release"].take();
    let template = davy::records::template(release["template"].as_str().expect("a template"));
    let image = &template["spec"]["containers"][0]["image"];
    assert_eq!(image, "stefanprodan/podinfo:1.2.1", "{release}");
    rests_in("Succeeded").await;
    assert_eq!(tag("podinfo-primary").await, "1.2.1");

    // Everything goes, and comes back asking for what was never promoted.
    let namespace = &*podinfo.namespace;
    for what in ["canary", "deployment"] {
        kubectl(
            podinfo.cluster,
            &["delete", what, "podinfo", "-n", namespace],
            "",
        );
    }
    until("the primary is gone", PATIENCE, async || {
        let primary = podinfo.deployment("podinfo-primary").await;
        (primary == Value::Null)
            .then_some(())
            .ok_or("it is there".to_owned())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    podinfo
        .apply(&fixture("story/quick.yaml").replace("podinfo:1.2.0", "podinfo:1.3.0"))
        .await;
    pass(&podinfo, &records, &source).run().with_code(0);
    assert_eq!(tag("podinfo-primary").await, "1.2.1");
    rests_in("Succeeded").await;
    assert_eq!(tag("podinfo-primary").await, "1.3.0");

    source.by_hand(&format!(
        "{MANIFESTS}\nsed -i -e /namespace:/d -e s/1.3.0/1.4.0/ clusters/*/podinfo.yaml\n\
         git commit --quiet -am 'Release 1.4.0'"
    ));
    podinfo.serve(50.0, 50.0);
    podinfo.until_answers((50.0, "10s"), (50.0, "10s")).await;
    podinfo.image("1.4.0").await;
    rests_in("Failed").await;
    let branches = branches(&source);
    assert_eq!(branches.len(), 1, "{branches:?}");
    let change = source.git(&["diff", "--unified=0", "main", &branches[0]]);
    assert!(
        change.contains("+        image: stefanprodan/podinfo:1.3.0")
            && change.contains("-        image: stefanprodan/podinfo:1.4.0")
            && !change.contains("staging"),
        "{change}"
    );
    records.check();
}
