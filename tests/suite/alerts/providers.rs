//! `AlertProvider`s on the real control plane: whom a Canary names is told, by the real program.
use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::channel::Channel;
use super::outcomes;
use crate::bed::audit::AuditMark;
use crate::podinfo::{Podinfo, fixture};

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The Canary of the story, with these alerts.
async fn begin(prefix: &str, alerts: Value, providers: &str) -> Option<Podinfo> {
    let podinfo = Podinfo::begin(prefix).await?;
    podinfo.apply(providers).await;
    podinfo.apply(&fixture("story/quick.yaml")).await;
    let add = json!([{"op": "add", "path": "/spec/canaryAnalysis/alerts", "value": alerts}]);
    let version = "flagger.app/v1beta1";
    podinfo.edit(version, "Canary", "podinfo", &add).await;
    Some(podinfo)
}

// The channels answer while the program is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn channels_of_a_canary_hear_what_is_bad_enough_for_them() {
    let (all, bad, bot) = (
        Channel::open().await,
        Channel::open().await,
        Channel::open().await,
    );
    let providers = format!(
        "apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {{name: all}}
spec: {{type: webhook, secretRef: {{name: all}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: all}}
stringData: {{address: '{}', signingKey: '{KEY}'}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {{name: bad}}
spec: {{type: webhook, address: '{}'}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {{name: bot}}
spec: {{type: slack, channel: releases, secretRef: {{name: bot}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: bot}}
stringData: {{address: '{}', token: 'xoxb-marker'}}
",
        all.address, bad.address, bot.address
    );
    let alerts = json!([
        {"name": "everything", "severity": "", "providerRef": {"name": "all"}},
        {"name": "failures", "severity": "error", "providerRef": {"name": "bad"}},
        {"name": "people", "severity": "info", "providerRef": {"name": "bot"}},
        {"name": "gone", "severity": "error", "providerRef": {"name": "gone"}},
        {"name": "theirs", "severity": "error",
         "providerRef": {"name": "all", "namespace": "kube-system"}},
    ]);
    let Some(podinfo) = begin("alerts", alerts, &providers).await else {
        return;
    };
    let pass = || {
        let program = podinfo.davy(&["run", "-o", "json"]);
        program.set("DAVY_ALLOW_ADDRESSES", "127.0.0.1").run()
    };
    let passes_until = async |phase: &str| {
        loop {
            let ended = pass().with_code(0);
            let seen = podinfo.seen(&ended);
            if seen.phase == phase && seen.outcome == "rested" {
                return ended;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let mark = podinfo.cluster.audit_mark();
    passes_until("Initialized").await;
    podinfo.image("1.2.1").await;
    passes_until("Succeeded").await;
    assert_eq!(
        outcomes(&all.taken()),
        ["initialized", "new-revision", "promoted"]
    );
    assert_eq!(outcomes(&bad.taken()), [""; 0]);
    has_condition(&podinfo, "Ready");
    has_condition(&podinfo, "Promoted");
    assert_eq!(bot.taken().len(), 3);
    assert_eq!(bot.bearer().as_deref(), Some("Bearer xoxb-marker"));
    let message = String::from_utf8_lossy(&bot.taken()[2].body).into_owned();
    assert!(
        message.contains("podinfo:1.2.0") && message.contains("podinfo:1.2.1"),
        "{message}"
    );
    assert!(message.contains("\"releases\""), "{message}");

    podinfo.serve(50.0, 50.0);
    podinfo.image("1.2.2").await;
    let ended = passes_until("Failed").await;
    assert_eq!(outcomes(&all.taken())[3..], ["new-revision", "rolled-back"]);
    assert_eq!(outcomes(&bad.taken()), ["rolled-back"]);
    // Whoever cannot be told is named in every pass, and the release went on all the same.
    for said in [
        format!(
            "alertprovider/{}/gone: AlertProvider does not exist",
            podinfo.namespace
        ),
        "alertprovider/kube-system/all: an AlertProvider of another namespace is not read"
            .to_owned(),
    ] {
        assert!(ended.to_string().contains(&said), "{said}: {ended}");
    }
    assert!(!ended.to_string().contains("secret-path"), "{ended}");
    assert!(!ended.to_string().contains("xoxb"), "{ended}");
    has_condition(&podinfo, "Stalled");

    asks_what_is_shipped(&podinfo, mark).await;
}

/// The rights of the component `alerts`, and no other on these kinds.
async fn asks_what_is_shipped(podinfo: &Podinfo, since: AuditMark) {
    let requests = podinfo.cluster.audit(since, &podinfo.user).await;
    let asked: BTreeSet<_> = requests
        .iter()
        .filter(|request| ["alertproviders", "secrets"].contains(&&*request.resource))
        .map(|request| (&*request.resource, &*request.verb))
        .collect();
    let shipped = BTreeSet::from([("alertproviders", "get"), ("secrets", "get")]);
    assert_eq!(asked, shipped);
}

/// As users and pipelines wait for it.
fn has_condition(podinfo: &Podinfo, condition: &str) {
    let waited = Command::new(podinfo.cluster.kubectl())
        .env("KUBECONFIG", podinfo.cluster.kubeconfig())
        .args([
            "-n",
            &podinfo.namespace,
            "wait",
            "canary/podinfo",
            "--timeout=10s",
        ])
        .arg(format!("--for=condition={condition}"))
        .output()
        .expect("kubectl starts");
    let said = String::from_utf8_lossy(&waited.stderr);
    assert!(waited.status.success(), "{condition}: {said}");
}

/// Addresses of resources go through the address policy, those of settings do not.
// The channels answer while the program is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn address_of_a_resource_is_refused_where_it_leads_to_this_machine() {
    let channel = Channel::open().await;
    let provider = format!(
        "apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {{name: inside}}
spec: {{type: discord, address: '{}'}}
",
        channel.address
    );
    let alerts = json!([{"name": "inside", "providerRef": {"name": "inside"}}]);
    let Some(podinfo) = begin("alert-address", alerts, &provider).await else {
        return;
    };
    let passes = podinfo.passes_until_rest_in("Initialized").await;
    assert!(!passes.is_empty());
    let said = podinfo.davy(&["run"]).run().with_code(0).to_string();
    assert!(
        said.contains("alertprovider/") && said.contains("127.0.0.1"),
        "{said}"
    );
    assert_eq!(channel.asked(), 0);
}
