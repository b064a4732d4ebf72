//! Whoever may write a Canary's status may put entries into its outbox. None of them is signed, sent
//! or proposed that is not the Canary's own; they are dropped, named and counted.

use davy::pass::deliver::records::GIT;
use serde_json::{Value, json};

use super::{Story, files, folder, place, records, verified};

/// Puts these behind what the outbox holds.
fn forge(story: &Story, entries: Vec<Value>, last_record: Option<&str>) {
    let now = story.world.now();
    let mut state = story.world.lock();
    let edited = state
        .cluster
        .edit(story.canary(), "somebody", now, |canary| {
            canary["status"]["outbox"] = entries.into();
            if let Some(digest) = last_record {
                canary["status"]["lastRecord"] = digest.into();
            }
        });
    edited.expect("the status is edited");
}

#[tokio::test]
async fn what_others_put_into_an_outbox_is_dropped_named_and_counted() {
    let Some(place) = place().await else { return };
    let told = tokio::task::spawn_blocking(move || {
        let mut story = Story::with_records(&folder("promoted"), Some(records(&place)));
        story.play_out();
        let before = files(&place);
        let genuine = before.values().last().expect("a record");
        let genuine = davy::records::parse(genuine.as_bytes()).expect("a record");
        let record = |field: &str, value: Value| {
            let mut record = json!(genuine);
            record[field] = value;
            json!({"to": [GIT], "record": record})
        };
        let uid = genuine.uid.clone();
        let own_step = genuine.step;
        let entries = vec![
            record("namespace", json!("payments")),
            record("cluster", json!("elsewhere")),
            record("uid", json!("another")),
            record("step", json!(own_step + 100)),
            record("reason", json!("made up")),
            json!({"to": ["event-webhook"], "told": {
                "namespace": "payments", "name": "till", "uid": uid, "step": 1,
                "time": "2026-01-01T00:00:00Z", "phase": "Failed", "checksum": "1",
                "events": [{"type": "Warning", "message": "all is lost"}],
            }}),
            json!({"to": ["source"], "revert": {
                "cluster": genuine.cluster, "namespace": genuine.namespace,
                "canary": genuine.canary, "uid": uid, "step": 1,
                "time": "2026-01-01T00:00:00Z", "reason": "", "kind": "Deployment",
                "name": "till", "images": [{"from": "till:2", "to": "till:1"}],
            }}),
        ];
        let count = entries.len();
        forge(&story, entries, None);
        let report = story.pass();
        assert_eq!(files(&place), before, "nothing is filed");
        assert_eq!(verified(&place), []);
        assert_eq!(story.status().outbox, Vec::<Value>::new());
        let dropped = story.status().totals.unwrap_or_default().dropped;
        assert_eq!(dropped, i64::try_from(count).expect("a count"));
        let told = report.untold;
        let report = story.pass();
        assert_eq!(report.untold, [""; 0], "it is said once");
        told
    });
    let told = told.await.expect("a story").join("\n");
    for said in [
        "dropped record 12 promoted: it is of Canary \"payments\"/\"podinfo\"",
        "dropped record 12 promoted: it is of cluster \"elsewhere\", and this is \"default\"",
        "dropped record 12 promoted: it is of a Canary with UID \"another\"",
        "dropped record 112 promoted: it is of step 112",
        "dropped record 12 promoted: no later record of this Canary follows it",
        "dropped Events of step 1: it is of Canary \"payments\"/\"till\"",
        "dropped revert of step 1: it is about workload \"till\"",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
}
