//! Releases of podinfo from beginning to end on the real control plane: Deployments roll out through
//! the real controllers, checks are answered by the real Prometheus, and every pass is a run of the
//! real binary.
mod failed_promotion;
mod first_generation;
mod user_fields;

use crate::podinfo::{Pass, Podinfo, fixture, is_waiting, once_each, weights};

/// Its histogram's P99 comes out a hair beside the number that was asked for, and what is below a
/// whole millisecond is cut off: 1500.4 is 1.5 s whichever side it falls on.
const P99: f64 = 1500.4;

/// The manifest as it was recorded under Flagger: steps of 10 s, checks that look back for 1m and 30s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_end_as_they_did_under_flagger() {
    let Some(podinfo) = Podinfo::begin("story").await else {
        return;
    };
    let watch = podinfo.watch().await;
    podinfo
        .apply(&fixture("parity/istio-ten/cluster.yaml"))
        .await;
    podinfo.passes_until_rest_in("Initialized").await;
    assert_at_rest(&podinfo, "1.2.0", "1.2.0", "Initialized", "True").await;

    podinfo.image("1.2.1").await;
    let passes = podinfo.passes_until_rest_in("Succeeded").await;
    assert_eq!(weights(&passes), [0, 10, 20, 30, 40, 50, 0], "{passes:#?}");
    assert_at_rest(&podinfo, "1.2.1", "1.2.1", "Succeeded", "True").await;

    low_success_rate_is_rolled_back(&podinfo).await;
    assert_events_as_recorded(&podinfo).await;
    long_requests_are_rolled_back(&podinfo).await;

    let seen = watch.end().await;
    assert!(
        seen.served > 0 && seen.split > 0,
        "nothing was seen: {seen:?}"
    );
}

async fn low_success_rate_is_rolled_back(podinfo: &Podinfo) {
    podinfo.image("1.3.0").await;
    podinfo.passes_until_weight(10).await;
    podinfo.serve(69.17, 50.0);
    podinfo.until_answers((69.17, "1m"), (50.0, "30s")).await;
    let passes = podinfo.passes_until_rest_in("Failed").await;
    assert_eq!(
        weights(&passes),
        [10, 0],
        "it was raised no more: {passes:#?}"
    );
    let failed = first_with_checks(&passes);
    assert_eq!(failed.checks[0]["metric"], "request-success-rate");
    assert_eq!(failed.checks[0]["verdict"], "fail");
    assert_eq!(failed.checks[0]["threshold"], ">= 99");
    let value = failed.checks[0]["value"].as_f64().expect("a value");
    assert!((value - 69.17).abs() < 1e-6, "{failed:?}");
    // The other check is asked and reported all the same.
    assert_eq!(failed.checks[1]["metric"], "request-duration");
    assert_eq!(failed.checks[1]["verdict"], "pass");
    assert_at_rest(podinfo, "1.3.0", "1.2.1", "Failed", "False").await;
}

async fn long_requests_are_rolled_back(podinfo: &Podinfo) {
    let before = podinfo.events().await.len();
    podinfo.serve(100.0, P99);
    podinfo.image("1.3.1").await;
    podinfo.passes_until_weight(10).await;
    podinfo.until_answers((100.0, "1m"), (P99, "30s")).await;
    let passes = podinfo.passes_until_rest_in("Failed").await;
    assert_eq!(
        weights(&passes),
        [10, 0],
        "it was raised no more: {passes:#?}"
    );
    let events = podinfo.events().await.split_off(before);
    let name = format!("podinfo.{}", podinfo.namespace);
    let halt = format!("Warning Synced Halt {name} advancement request duration 1.5s > 500ms");
    assert_eq!(
        events,
        [
            format!("Normal Synced New revision detected! Scaling up {name}"),
            format!("Normal Synced Starting canary analysis for {name}"),
            format!("Normal Synced Advance {name} canary weight 10"),
            halt.clone(),
            halt.clone(),
            halt,
            format!("Warning Synced Rolling back {name} failed checks threshold reached 3"),
            format!("Warning Synced Canary failed! Scaling down {name}"),
        ]
    );
    assert_at_rest(podinfo, "1.3.1", "1.2.1", "Failed", "False").await;
}

fn first_with_checks(passes: &[Pass]) -> &Pass {
    let asked = passes.iter().find(|pass| !pass.checks.is_null());
    asked.expect("a pass asked the checks")
}

/// The Events of the recording in its order, each text once.
async fn assert_events_as_recorded(podinfo: &Podinfo) {
    let recorded = fixture("parity/istio-ten/events.txt");
    // The recording's namespace is `test`; of its names, none holds that otherwise.
    let recorded = recorded.replace(".test", &format!(".{}", podinfo.namespace));
    let recorded: Vec<_> = recorded.lines().filter(|text| !is_waiting(text)).collect();
    assert_eq!(once_each(podinfo.events().await), recorded);
}

/// All traffic on the primary, which runs `primary`; the canary at zero with what was last pushed.
pub(crate) async fn assert_at_rest(
    podinfo: &Podinfo,
    target: &str,
    primary: &str,
    phase: &str,
    promoted: &str,
) {
    assert_eq!(podinfo.route_weights().await, (100, 0));
    assert_eq!(
        podinfo.tag_and_replicas("podinfo").await,
        (target.to_owned(), 0)
    );
    let (tag, replicas) = podinfo.tag_and_replicas("podinfo-primary").await;
    assert_eq!(tag, primary);
    assert!(replicas > 0);
    let status = podinfo.canary().await["status"].take();
    assert_eq!(status["phase"], phase);
    assert_eq!(status["canaryWeight"], 0);
    let condition = &status["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&"Promoted".into(), &promoted.into())
    );
    assert_eq!(condition["reason"], phase);
}
