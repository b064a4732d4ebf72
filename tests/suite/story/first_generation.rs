//! A manifest of `flagger.app/v1alpha1` as it stands in the first Flagger's documentation, beside a
//! Service that clients use already and an autoscaler in today's version.
use serde_json::{Value, json};

use crate::podinfo::{Podinfo, fixture, weights};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_generation_manifest_is_initialized_and_promoted() {
    let Some(podinfo) = Podinfo::begin("first-generation").await else {
        return;
    };
    let manifests = fixture("story/v1alpha1.yaml");
    let (application, canary) = manifests
        .rsplit_once("---\n")
        .expect("the Canary is the last document");
    podinfo.apply(application).await;
    podinfo.until_ready("podinfo").await;
    // From here on the Service must never be without pods: its clients are there before the Canary.
    let watch = podinfo.watch().await;
    podinfo.apply(canary).await;
    assert_nothing_is_pruned(&podinfo, canary).await;

    podinfo.passes_until_rest_in("Initialized").await;
    assert_initialized(&podinfo).await;

    podinfo.image("1.2.1").await;
    podinfo.passes_until_weight(10).await;
    // Without an interval each pass takes its step at once.
    let raised: Vec<_> = (0..4).map(|_| podinfo.pass().weight).collect();
    assert_eq!(raised, [20, 30, 40, 50]);
    let passes = podinfo.passes_until_rest_in("Succeeded").await;
    assert_eq!(weights(&passes), [50, 0], "{passes:#?}");
    super::assert_at_rest(&podinfo, "1.2.1", "1.2.1", "Succeeded", "True").await;
    assert_eq!(podinfo.tag_and_replicas("podinfo-primary").await.1, 2);

    let name = format!("podinfo.{}", podinfo.namespace);
    let events = podinfo.events().await;
    let mut wanted = vec![
        "Normal Synced all the metrics providers are available!".to_owned(),
        format!(
            "Normal Synced Service podinfo in {} was there before, and is managed from now on",
            podinfo.namespace
        ),
        format!("Normal Synced Initialization done! {name}"),
        format!("Normal Synced New revision detected! Scaling up {name}"),
        format!("Normal Synced Starting canary analysis for {name}"),
    ];
    wanted.extend(
        [10, 20, 30, 40, 50]
            .map(|weight| format!("Normal Synced Advance {name} canary weight {weight}")),
    );
    let primary = format!("podinfo-primary.{}", podinfo.namespace);
    wanted.extend([
        format!("Normal Synced Copying {name} template spec to {primary}"),
        "Normal Synced Routing all traffic to primary".to_owned(),
        format!("Normal Synced Promotion completed! Scaling down {name}"),
    ]);
    assert_eq!(events, wanted);

    let seen = watch.end().await;
    assert!(
        seen.served > 0 && seen.split > 0,
        "nothing was seen: {seen:?}"
    );
}

/// What the user wrote is what the server keeps, in either version.
async fn assert_nothing_is_pruned(podinfo: &Podinfo, canary: &str) {
    let written: Value = serde_yaml::from_str(canary).expect("a Canary");
    for version in ["v1alpha1", "v1beta1"] {
        let api_version = format!("flagger.app/{version}");
        let kept = podinfo.object(&api_version, "Canary", "podinfo").await;
        assert_eq!(kept["spec"], written["spec"], "{version}");
    }
}

async fn assert_initialized(podinfo: &Podinfo) {
    let (tag, replicas) = podinfo.tag_and_replicas("podinfo").await;
    assert_eq!((tag.as_str(), replicas), ("1.2.0", 0));
    assert_eq!(
        podinfo.tag_and_replicas("podinfo-primary").await,
        ("1.2.0".to_owned(), 2)
    );
    let route = podinfo.route().await["spec"].take();
    assert_eq!(route["hosts"], json!(["app.istio.example.com", "podinfo"]));
    assert_eq!(
        route["gateways"],
        json!(["public-gateway.istio-system.svc.cluster.local"])
    );
    assert_eq!(podinfo.route_weights().await, (100, 0));
    let apex = podinfo.object("v1", "Service", "podinfo").await;
    assert_eq!(apex["spec"]["selector"], json!({"app": "podinfo-primary"}));
    let scaler = ("autoscaling/v2", "HorizontalPodAutoscaler");
    let users = podinfo.object(scaler.0, scaler.1, "podinfo").await;
    let copy = podinfo.object(scaler.0, scaler.1, "podinfo-primary").await;
    assert_eq!(copy["spec"]["scaleTargetRef"]["name"], "podinfo-primary");
    for field in ["minReplicas", "maxReplicas", "metrics"] {
        assert_eq!(copy["spec"][field], users["spec"][field], "{field}");
    }
}
