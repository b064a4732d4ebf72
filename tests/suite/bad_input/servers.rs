//! Servers that a pass needs and that are not what they should be.
use std::{fs, path::PathBuf};

use serde_json::json;

use crate::{
    bed::{
        control_plane,
        program::{Ended, Program},
        wait::free_port,
    },
    podinfo::{Podinfo, fixture, stand_in, vector},
};

#[tokio::test]
async fn metrics_server_that_answers_garbage_holds_the_release_and_fails_no_check() {
    let Some(podinfo) = Podinfo::begin("garbage").await else {
        return;
    };
    podinfo.apply(&fixture("story/quick.yaml")).await;
    podinfo.passes_until_rest_in("Initialized").await;
    podinfo.image("1.2.1").await;
    podinfo.passes_until_weight(10).await;
    podinfo.until_answers((100.0, "10s"), (50.0, "10s")).await;
    let two = vector("100").replace("]}}", ",{\"metric\":{},\"value\":[1,\"1\"]}]}}");
    for (garbage, why) in [
        (
            "<html>It works!</html>".to_owned(),
            "not an answer of the Prometheus query API",
        ),
        (vector("banana"), "the value is not a number"),
        (two, "2 series where one is expected"),
    ] {
        let server = stand_in(move || garbage.clone());
        let ended = podinfo
            .davy(&["run", "-o", "json"])
            .set("DAVY_METRICS_SERVER", server)
            .run();
        let pass = podinfo.seen(&ended.clone().with_code(0));
        assert_eq!((pass.weight, &*pass.phase), (10, "Progressing"), "{ended}");
        assert_eq!(pass.checks.as_array().map(Vec::len), Some(2), "{ended}");
        for check in pass.checks.as_array().expect("checks") {
            assert_eq!(check["verdict"], "error", "{ended}");
            assert!(
                check["why"].as_str().is_some_and(|said| said.contains(why)),
                "{ended}"
            );
        }
        assert!(pass.reason.contains(why), "{ended}");
    }
    let status = podinfo.canary().await["status"].take();
    assert_eq!(
        (&status["failedChecks"], &status["heldChecks"]),
        (&json!(0), &json!(3))
    );
    let told = "Warning Synced Prometheus query failed: running query failed: ".to_owned();
    let events = podinfo.events().await;
    assert_eq!(
        events
            .iter()
            .filter(|event| event.starts_with(&told))
            .count(),
        3,
        "{events:#?}"
    );

    let pass = podinfo.pass();
    assert_eq!(pass.weight, 20, "with answers it goes on: {pass:?}");
}

/// No answer, no credentials, or an answer that is none: the pass says which, and what it asked for.
#[test]
fn api_server_that_cannot_be_asked_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = |server: &str| {
        let path = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        });
        fs::write(&path, config.to_string()).expect("a file");
        path
    };
    let run = |path: PathBuf| Program::new(&["run"]).set("KUBECONFIG", path).run();

    let port = free_port().expect("a free port");
    let ended = run(kubeconfig(&format!("http://127.0.0.1:{port}")));
    assert_error(
        &ended,
        &["listing canaries.flagger.app: ", "Connection refused"],
    );

    let page = stand_in(|| "<html>Welcome!</html>".to_owned());
    let ended = run(kubeconfig(&page));
    assert_error(&ended, &["listing canaries.flagger.app: ", "not JSON"]);

    let ended = run(folder.path().join("nothing-here"));
    assert_error(
        &ended,
        &[
            "finding the cluster: by KUBECONFIG: ",
            "nothing-here",
            "No such file or directory",
            "; by the pod's account: ",
        ],
    );

    let broken = folder.path().join("broken");
    fs::write(&broken, "users:\n- {token: \"one\" \"two\"}\n").expect("a file");
    assert_error(
        &run(broken),
        &["by KUBECONFIG: the file is no kubeconfig at line 2, column "],
    );
}

#[tokio::test]
async fn account_that_may_not_list_canaries_is_told_what_it_lacks() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let kubeconfig = cluster.kubeconfig_for("mallory", None);
    let ended = Program::new(&["run"]).set("KUBECONFIG", kubeconfig).run();
    assert_error(
        &ended,
        &[
            "listing canaries.flagger.app: ",
            "User \"mallory\" cannot list",
        ],
    );
}

/// The pass could not start: one message with all of these, and nothing on standard output.
fn assert_error(ended: &Ended, parts: &[&str]) {
    let ended = ended.clone().with_code(2);
    let is_it =
        |line: &&str| line.starts_with("error: ") && parts.iter().all(|part| line.contains(part));
    assert_eq!(
        ended.errors.lines().filter(is_it).count(),
        1,
        "{parts:?}: {ended}"
    );
    assert_eq!(ended.output, "", "{ended}");
}
