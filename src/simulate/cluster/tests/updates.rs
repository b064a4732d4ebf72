//! Conflicts, doors and generations: what an update may change.

use serde_json::json;

use super::{
    CONFIGS, JSON, MERGE, PATCH, PODINFO, SERVICES, THING, ask, cluster, deployment, get, thing,
    version,
};

#[test]
fn a_stale_resource_version_is_a_conflict_through_every_door() {
    let merge = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2, "weight": 2}});
    let patch = json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]);
    for base in [PODINFO, THING] {
        for part in ["", "/status", "/scale"] {
            for (media_type, body) in [(MERGE, &merge), (PATCH, &patch)] {
                let mut cluster = cluster();
                let path = format!("{base}{part}");
                let answer = ask(&mut cluster, ("PATCH", &path, media_type), body);
                assert_eq!(
                    (answer.code, &answer.body["reason"]),
                    (409, &json!("Conflict")),
                    "{path}"
                );
                assert!(
                    answer.message().ends_with(
                        "the object has been modified; please apply your changes to the latest version and try again"
                    ),
                    "{path}: {}",
                    answer.message()
                );
            }
            let mut cluster = cluster();
            let path = format!("{base}{part}");
            let replicas = json!({"spec": {"replicas": 1}});
            ask(&mut cluster, ("PATCH", base, MERGE), &replicas);
            let mut object = get(&mut cluster, &path).body;
            object["metadata"]["resourceVersion"] = json!("1");
            let answer = ask(&mut cluster, ("PUT", &path, JSON), &object);
            assert_eq!(answer.code, 409, "PUT {path}");
        }
    }
}

#[test]
fn the_current_resource_version_is_taken_in_a_patch() {
    let mut cluster = cluster();
    let current = version(&mut cluster, THING);
    let patch = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": current},
        {"op": "replace", "path": "/spec/weight", "value": 10},
    ]);
    let answer = ask(&mut cluster, ("PATCH", THING, PATCH), &patch);
    assert_eq!(
        (answer.code, &answer.body["spec"]["weight"]),
        (200, &json!(10))
    );
}

#[test]
fn an_update_without_a_resource_version_overwrites_built_in_kinds_only() {
    let mut cluster = cluster();
    let mut wanted = deployment();
    wanted["spec"]["replicas"] = json!(4);
    let answer = ask(&mut cluster, ("PUT", PODINFO, JSON), &wanted);
    assert_eq!(
        (answer.code, &answer.body["spec"]["replicas"]),
        (200, &json!(4))
    );
    let answer = ask(&mut cluster, ("PUT", THING, JSON), &thing());
    assert_eq!(answer.code, 422);
    assert_eq!(
        answer.message(),
        "things.a.b \"one\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
}

#[test]
fn a_json_patch_that_does_not_fit_is_invalid_with_empty_details() {
    for (operation, code) in [
        (
            json!({"op": "test", "path": "/spec/replicas", "value": 7}),
            422,
        ),
        (
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": "1"}),
            422,
        ),
        (
            json!({"op": "remove", "path": "/metadata/labels/none"}),
            422,
        ),
        (
            json!({"op": "add", "path": "/metadata/labels/none", "value": "x"}),
            422,
        ),
        (
            json!({"op": "replace", "path": "/spec/template/spec/containers/5/image", "value": "x"}),
            422,
        ),
        (json!({"op": "bogus", "path": "/spec/replicas"}), 422),
        // The API server lets a replacement add a field to an object.
        (
            json!({"op": "replace", "path": "/spec/minReadySeconds", "value": 5}),
            200,
        ),
        (
            json!({"op": "test", "path": "/spec/replicas", "value": 1}),
            200,
        ),
    ] {
        let mut cluster = cluster();
        let answer = ask(&mut cluster, ("PATCH", PODINFO, PATCH), &json!([operation]));
        assert_eq!(answer.code, code, "{operation}");
        if code == 422 {
            assert_eq!(answer.body["details"], json!({}), "{operation}");
            let text = "the server rejected our request due to an error in our request";
            assert_eq!(answer.message(), text);
        }
    }
}

#[test]
fn spec_and_status_have_doors_of_their_own() {
    for (path, spec, status) in [
        (PODINFO, json!({"replicas": 3}), json!({"replicas": 9})),
        (THING, json!({"weight": 3}), json!({"phase": "Ready"})),
    ] {
        let mut cluster = cluster();
        let both = json!({"spec": spec, "status": status, "metadata": {"labels": {"a": "b"}}});
        let main = ask(&mut cluster, ("PATCH", path, MERGE), &both).body;
        assert_eq!(main["metadata"]["labels"], json!({"a": "b"}), "{path}");
        assert!(
            main["status"]
                .as_object()
                .is_none_or(serde_json::Map::is_empty),
            "{path}: {main}"
        );
        let changed = json!({
            "spec": {"replicas": 7, "weight": 7},
            "status": status,
            "metadata": {"labels": {"a": "c"}, "uid": "other"},
        });
        let through_status = format!("{path}/status");
        let after = ask(&mut cluster, ("PATCH", &through_status, MERGE), &changed).body;
        assert_eq!(after["status"], status, "{path}");
        assert_eq!(after["spec"], main["spec"], "{path}");
        assert_eq!(after["metadata"]["labels"], json!({"a": "b"}), "{path}");
        assert_eq!(after["metadata"]["uid"], main["metadata"]["uid"], "{path}");
    }
}

#[test]
fn the_generation_moves_with_what_each_kind_watches() {
    let annotation = json!({"metadata": {"annotations": {"a": "b"}}});
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    for (path, body, moves) in [
        (PODINFO, &json!({"spec": {"replicas": 3}}), true),
        (PODINFO, &annotation, true),
        (PODINFO, &label, false),
        (
            &*format!("{PODINFO}/status"),
            &json!({"status": {"replicas": 3}}),
            false,
        ),
        (THING, &json!({"spec": {"weight": 3}}), true),
        (THING, &annotation, false),
        (THING, &label, false),
        (
            &*format!("{THING}/status"),
            &json!({"status": {"phase": "x"}}),
            false,
        ),
        (
            &*format!("{THING}/scale"),
            &json!({"spec": {"replicas": 3}}),
            true,
        ),
    ] {
        let mut cluster = cluster();
        let main = path
            .trim_end_matches("/status")
            .trim_end_matches("/scale")
            .to_owned();
        let answer = ask(&mut cluster, ("PATCH", path, MERGE), body);
        assert_eq!(answer.code, 200, "{path} {body}: {}", answer.text);
        let generation = &get(&mut cluster, &main).body["metadata"]["generation"];
        assert_eq!(*generation, if moves { 2 } else { 1 }, "{path} {body}");
    }
    let mut cluster = cluster();
    let config = json!({"metadata": {"name": "a"}, "data": {"a": "b"}});
    let config = ask(&mut cluster, ("POST", CONFIGS, JSON), &config).body;
    assert_eq!(config["metadata"].get("generation"), None);
}

#[test]
fn a_scale_is_a_view_of_its_object() {
    let mut cluster = cluster();
    let scale = get(&mut cluster, &format!("{PODINFO}/scale")).body;
    assert_eq!(scale["spec"], json!({"replicas": 1}));
    assert_eq!(
        scale["status"],
        json!({"replicas": 0, "selector": "app=podinfo"})
    );
    let path = format!("{THING}/scale");
    ask(
        &mut cluster,
        ("PATCH", &path, MERGE),
        &json!({"spec": {"replicas": 6}}),
    );
    assert_eq!(get(&mut cluster, THING).body["spec"]["replicas"], 6);
    let patch = json!({"spec": {"replicas": null}});
    ask(&mut cluster, ("PATCH", THING, MERGE), &patch);
    let answer = get(&mut cluster, &path);
    assert_eq!(answer.code, 500, "{}", answer.text);
    let services = get(&mut cluster, &format!("{SERVICES}/x/scale"));
    assert_eq!(services.code, 404);
}
