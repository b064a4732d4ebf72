//! From a live object and a wanted one to what is sent: a JSON patch of what differs, under the
//! resourceVersion that was read. No `test` operation, which a server answers with 422, not 409.

use jiff::{SignedDuration, Timestamp};
use json_patch::jsonptr::PointerBuf;
use json_patch::{Patch, PatchOperation, ReplaceOperation};
use serde_json::Value;

use crate::objects::metadata::{FIELD_MANAGER, STEP, writers};

/// What only the server writes, and what a list leaves out of its items.
const SERVERS_OWN: [(&str, &str); 9] = [
    ("", "apiVersion"),
    ("", "kind"),
    ("", "status"),
    ("/metadata", "creationTimestamp"),
    ("/metadata", "generation"),
    ("/metadata", "managedFields"),
    ("/metadata", "resourceVersion"),
    ("/metadata", "selfLink"),
    ("/metadata", "uid"),
];

/// How long after its `now` a pass may still read objects.
const READING_MAX: SignedDuration = SignedDuration::from_mins(1);

/// What makes the live object the wanted one; empty when nothing does.
pub fn difference(live: &Value, wanted: &Value) -> Patch {
    let mut wanted = wanted.clone();
    for (parent, field) in SERVERS_OWN {
        let Some(fields) = wanted.pointer_mut(parent).and_then(Value::as_object_mut) else {
            continue;
        };
        match live.pointer(parent).and_then(|parent| parent.get(field)) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.remove(field),
        };
    }
    json_patch::diff(live, &wanted)
}

/// The patch, refused with 409 once the object has another resourceVersion.
pub fn with_resource_version(patch: Patch, resource_version: &str) -> Patch {
    let guard = PatchOperation::Replace(ReplaceOperation {
        path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        value: Value::from(resource_version),
    });
    Patch(std::iter::once(guard).chain(patch.0).collect())
}

/// Notes on an object which step wrote it, and when. It tells people, and it carries the time.
pub fn stamp(object: &mut Value, step: i64, time: Timestamp) {
    object["metadata"]["annotations"][STEP] = Value::from(format!("{step} {time}"));
}

/// When the object was last written by a step, as far as that can be read at `now`. A pass that is
/// frozen just before it sends a write notes too early a time; the API server, which notes the time
/// of the commit in whole seconds, knows better, unless its clock is ahead of ours: a pass reads for
/// no longer than a minute after `now`.
pub fn written_at(object: &Value, now: Timestamp) -> Option<Timestamp> {
    let committed = writers(object)
        .filter(|entry| entry["manager"] == FIELD_MANAGER)
        .filter_map(|entry| entry["time"].as_str()?.parse().ok())
        .filter(|time: &Timestamp| time.duration_since(now) <= READING_MAX)
        .max();
    stamped_at(object).max(committed)
}

/// The step that last wrote an object, as far as its annotation tells; others can take that off.
pub fn step_of(object: &Value) -> Option<i64> {
    noted(object)?.0.parse().ok()
}

fn stamped_at(object: &Value) -> Option<Timestamp> {
    noted(object)?.1.parse().ok()
}

/// The number and the time that [`stamp`] put there, as texts.
fn noted(object: &Value) -> Option<(&str, &str)> {
    object["metadata"]["annotations"][STEP]
        .as_str()?
        .split_once(' ')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(patch: &Patch) -> String {
        serde_json::to_string(patch).unwrap()
    }

    #[test]
    fn two_weights_are_two_operations_under_the_version_that_was_read() {
        let route = |primary: u8, canary: u8| {
            json!({
                "metadata": { "name": "podinfo", "resourceVersion": "7" },
                "spec": {
                    "hosts": ["podinfo"],
                    "http": [{ "route": [
                        { "destination": { "host": "podinfo-primary" }, "weight": primary },
                        { "destination": { "host": "podinfo-canary" }, "weight": canary },
                    ] }],
                },
            })
        };
        let patch = with_resource_version(difference(&route(100, 0), &route(80, 20)), "7");
        let expected = concat!(
            r#"[{"op":"replace","path":"/metadata/resourceVersion","value":"7"},"#,
            r#"{"op":"replace","path":"/spec/http/0/route/0/weight","value":80},"#,
            r#"{"op":"replace","path":"/spec/http/0/route/1/weight","value":20}]"#,
        );
        assert_eq!(text(&patch), expected);
    }

    #[test]
    fn what_the_server_writes_is_never_sent() {
        let live = json!({
            "metadata": {
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "generation": 3,
                "labels": { "a": "1" },
                "managedFields": [{ "manager": "kubectl" }],
                "resourceVersion": "7",
                "uid": "u",
            },
            "status": { "replicas": 2 },
        });
        let wanted = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "generation": 4,
                "labels": { "a": "2" },
                "resourceVersion": "8",
                "selfLink": "/x",
                "uid": "v",
            },
            "status": { "replicas": 0 },
        });
        let expected = r#"[{"op":"replace","path":"/metadata/labels/a","value":"2"}]"#;
        assert_eq!(text(&difference(&live, &wanted)), expected);
        assert_eq!(text(&difference(&wanted, &wanted)), "[]");
    }

    #[test]
    fn lists_become_what_is_wanted() {
        let lists = [
            json!([]),
            json!([1]),
            json!([2, 1]),
            json!([1, 2, 3, 4]),
            json!([{ "a": 1 }]),
        ];
        for live in &lists {
            for wanted in &lists {
                let mut patched = json!({ "spec": live });
                let patch = difference(&patched, &json!({ "spec": wanted }));
                json_patch::patch(&mut patched, &patch).unwrap();
                assert_eq!(patched["spec"], *wanted, "{patch}");
            }
        }
    }

    #[test]
    fn a_stamp_can_be_read_back() {
        let time: Timestamp = "2026-01-01T00:00:00.25Z".parse().unwrap();
        let mut object = json!({ "metadata": { "name": "podinfo" } });
        assert_eq!(stamped_at(&object), None);
        stamp(&mut object, 12, time);
        let annotation = &object["metadata"]["annotations"]["flagger.app/step"];
        assert_eq!(annotation, "12 2026-01-01T00:00:00.25Z");
        assert_eq!(stamped_at(&object), Some(time));
    }

    #[test]
    fn the_later_of_stamp_and_commit_counts() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let entry = |manager, time| json!({ "manager": manager, "time": time });
        let mut object = json!({ "metadata": { "managedFields": [
            entry("davy", "2026-01-01T00:30:00Z"),
            entry("kubectl", "2026-01-01T00:50:00Z"),
            entry("davy", "2026-01-01T02:00:00Z"),
        ] } });
        let committed = "2026-01-01T00:30:00Z".parse().unwrap();
        assert_eq!(written_at(&object, now), Some(committed));
        stamp(&mut object, 12, "2026-01-01T00:20:00Z".parse().unwrap());
        assert_eq!(written_at(&object, now), Some(committed));
        let noted = "2026-01-01T00:40:00Z".parse().unwrap();
        stamp(&mut object, 12, noted);
        assert_eq!(written_at(&object, now), Some(noted));
    }

    #[test]
    fn a_stamp_that_somebody_else_wrote_says_nothing() {
        for annotation in [
            json!("12"),
            json!("12 yesterday"),
            json!(""),
            json!(12),
            json!(null),
        ] {
            let object =
                json!({ "metadata": { "annotations": { "flagger.app/step": annotation } } });
            assert_eq!(stamped_at(&object), None, "{object}");
        }
    }
}
