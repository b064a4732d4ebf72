//! A release that passes its analysis on the canary and does not start on the primary. Flagger leaves
//! its traffic split for good; here the healthy side carries it at every moment, and in the end the
//! primary serves what it served before.
use crate::podinfo::{Podinfo, fixture, once_each, weights};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_does_not_start_gets_its_template_and_the_traffic_back() {
    let Some(podinfo) = Podinfo::begin("primary-stuck").await else {
        return;
    };
    let watch = podinfo.watch().await;
    podinfo
        .apply(&fixture("parity/story-primary-stuck/cluster.yaml"))
        .await;
    podinfo.passes_until_rest_in("Initialized").await;
    let before = podinfo.deployment("podinfo-primary").await["spec"]["template"].take();

    // Of a tag that contains this only the primary's pods never become ready.
    podinfo.image("primary-stuck").await;
    let promoting = podinfo
        .passes_until("Promoting", |pass| pass.phase == "Promoting")
        .await;
    assert_eq!(weights(&promoting), [0, 25, 50], "{promoting:#?}");
    assert_eq!(
        podinfo.tag_and_replicas("podinfo-primary").await.0,
        "primary-stuck"
    );

    let failed = podinfo
        .passes_until("Failed", |pass| pass.phase == "Failed")
        .await;
    assert_eq!(
        weights(&failed),
        [50, 100],
        "the healthy side takes it: {failed:#?}"
    );
    assert_eq!(podinfo.route_weights().await, (0, 100));
    let healed = podinfo.passes_until_rest_in("Failed").await;
    assert_eq!(weights(&healed).last(), Some(&0), "{healed:#?}");

    assert_eq!(podinfo.route_weights().await, (100, 0));
    assert_eq!(
        podinfo.tag_and_replicas("podinfo").await,
        ("primary-stuck".to_owned(), 0)
    );
    let after = podinfo.deployment("podinfo-primary").await;
    assert_eq!(
        after["spec"]["template"], before,
        "the very template that it had"
    );
    assert_eq!(after["status"]["readyReplicas"], 2);
    let condition = podinfo.canary().await["status"]["conditions"][0].take();
    assert_eq!(condition["type"], "Promoted");
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&"False".into(), &"PromotionFailed".into())
    );
    assert_told(&podinfo).await;

    let seen = watch.end().await;
    assert!(
        seen.served > 0 && seen.split > 0,
        "nothing was seen: {seen:?}"
    );
}

async fn assert_told(podinfo: &Podinfo) {
    let events = once_each(podinfo.events().await);
    let (name, primary) = (
        format!("podinfo.{}", podinfo.namespace),
        format!("podinfo-primary.{}", podinfo.namespace),
    );
    let told = [
        format!("Normal Synced Advance {name} canary weight 50"),
        format!("Normal Synced Copying {name} template spec to {primary}"),
        format!("Warning Synced Promotion of {name} failed, primary not ready: "),
        format!(
            "Normal Synced {primary} has its previous template back! Routing all traffic to primary"
        ),
        format!("Warning Synced Canary failed! Scaling down {name}"),
    ];
    let end = events.len() - told.len();
    for (event, begin) in events[end..].iter().zip(told) {
        assert!(event.starts_with(&begin), "{begin}: {events:#?}");
    }
}
