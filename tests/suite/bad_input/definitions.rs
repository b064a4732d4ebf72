//! Definitions that are missing, another's, or let everything through: on a control plane of their
//! own, because they are in the way of every other test.
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{
    bed::{control_plane::ControlPlane, control_plane_of_ones_own, program::Ended, wait::until},
    podinfo::{INSTALL, Podinfo, fixture, install_ours, kubectl},
};

use super::{canary, cases, reason};

/// The control plane, for one test at a time, with none of the definitions that a pass needs.
async fn bare_control_plane() -> Option<(&'static ControlPlane, MutexGuard<'static, ()>)> {
    static SHARED: OnceCell<Option<ControlPlane>> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let cluster = SHARED
        .get_or_init(control_plane_of_ones_own)
        .await
        .as_ref()?;
    let delete = [
        "delete",
        "crd",
        "--ignore-not-found",
        "canaries.flagger.app",
        "destinationrules.networking.istio.io",
        "virtualservices.networking.istio.io",
    ];
    kubectl(cluster, &delete, "");
    Some((cluster, turn))
}

#[tokio::test]
async fn definitions_that_are_missing_or_anothers_stop_the_pass_before_it_writes() {
    let Some((cluster, _turn)) = bare_control_plane().await else {
        return;
    };
    let Some(podinfo) = Podinfo::begin_on(cluster, "definitions").await else {
        return;
    };
    let ended = until_code(&podinfo, 2).await;
    let missing = "the CustomResourceDefinition canaries.flagger.app is not installed";
    assert!(
        ended.errors.contains(&format!("error: {missing}")),
        "{ended}"
    );
    assert!(ended.errors.contains(INSTALL), "{ended}");

    // Flagger's own, as a cluster has it that is to be taken over.
    cluster
        .install_crds(&fixture("bad_input/flaggers-definition.yaml"))
        .await;
    podinfo.apply(&plain("podinfo")).await;
    let before = podinfo.settled_versions().await;
    let ended = podinfo.davy(&["run", "-o", "json"]).run().with_code(2);
    let why = podinfo.seen(&ended).reason;
    assert!(
        why.contains("CustomResourceDefinition canaries.flagger.app"),
        "{ended}"
    );
    for field in ["step", "reason", "observedGeneration"] {
        assert!(
            why.contains(&format!("\"status.{field}\"")),
            "{field}: {ended}"
        );
    }
    assert!(why.contains(INSTALL), "{ended}");
    assert_eq!(podinfo.versions().await, before);

    install_ours(cluster).await;
    assert_stepped(&podinfo, &until_code(&podinfo, 0).await);
}

/// Only canaries that need a kind are held up by its absence.
#[tokio::test]
async fn missing_definition_of_a_route_is_told_on_the_canaries_that_need_it() {
    let Some((cluster, _turn)) = bare_control_plane().await else {
        return;
    };
    let Some(podinfo) = Podinfo::begin_on(cluster, "no-istio").await else {
        return;
    };
    install_ours(cluster).await;
    podinfo.apply(&plain("podinfo")).await;
    podinfo
        .apply(&fixture("story/quick.yaml").replace("podinfo", "meshed"))
        .await;
    let ended = podinfo.davy(&["run", "-o", "json"]).run().with_code(1);
    assert_stepped(&podinfo, &ended);
    let why = reason(&podinfo, &ended, "meshed");
    assert!(
        why.contains("the API server does not serve this kind"),
        "{why}"
    );
    assert!(
        why.contains("rules") || why.contains("virtualservices"),
        "{why}"
    );
}

/// As an older definition would have let them in, or none at all.
#[tokio::test]
async fn canaries_that_are_none_and_absurd_ones_are_named_with_their_field() {
    let Some((cluster, _turn)) = bare_control_plane().await else {
        return;
    };
    let Some(podinfo) = Podinfo::begin_on(cluster, "malformed").await else {
        return;
    };
    let definitions = [
        "bad_input/schemaless-definition.yaml",
        "story/istio-schemaless.yaml",
    ];
    for definition in definitions {
        cluster.install_crds(&fixture(definition)).await;
    }
    podinfo.apply(&plain("podinfo")).await;
    let cases: Vec<Case> = cases("bad_input/refused-by-the-pass.yaml");
    for Case {
        name, path, value, ..
    } in &cases
    {
        podinfo.apply(&canary(name, &[(path, value.clone())])).await;
    }
    let ended = podinfo.davy(&["run", "-o", "json"]).run().with_code(1);
    assert_stepped(&podinfo, &ended);
    for Case { name, says, .. } in &cases {
        let said = ended.canary(&format!("{}/{name}", podinfo.namespace));
        assert_eq!(said["outcome"], "refused", "{said}");
        let why = reason(&podinfo, &ended, name);
        assert!(why.contains(says), "{name}: {why}");
    }
    // Nobody is told of what was not asked for.
    let one = format!("{}/podinfo", podinfo.namespace);
    let ended = podinfo
        .davy(&["run", "-o", "json", "--canary", &one])
        .run()
        .with_code(0);
    assert_eq!(
        ended.report()["canaries"].as_array().map(Vec::len),
        Some(1),
        "{ended}"
    );
}

/// The server learns of a definition, and of its end, a moment after it was told.
async fn until_code(podinfo: &Podinfo, code: i32) -> Ended {
    let deadline = Duration::from_secs(30);
    until("the server has learnt of it", deadline, async || {
        let ended = podinfo.davy(&["run", "-o", "json"]).run();
        if ended.code == Some(code) {
            Ok(ended)
        } else {
            Err(ended.to_string())
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    path: String,
    value: Value,
    says: String,
}

/// podinfo without a mesh, which this control plane does not have.
fn plain(name: &str) -> String {
    let manifests = fixture("story/quick.yaml").replace("podinfo", name);
    manifests.replace("  service:\n", "  provider: kubernetes\n  service:\n")
}

fn assert_stepped(podinfo: &Podinfo, ended: &Ended) {
    let pass = podinfo.seen(ended);
    assert_eq!(
        (&*pass.outcome, &*pass.phase),
        ("stepped", "Initializing"),
        "{ended}"
    );
}
