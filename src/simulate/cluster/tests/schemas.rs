//! Custom resources: versions, unknown fields, defaults and rules.

use serde_json::{Value, json};

use super::super::Key;
use super::{
    CRDS, JSON, MERGE, PATCH, PODINFO, THING, THINGS, ask, cluster, crd, get, now, version,
};

#[test]
fn unknown_fields_vanish_with_a_warning_or_are_refused_when_asked_to_be_strict() {
    let patch = json!({"spec": {"nope": 1, "routes": [{"to": "a", "too": 1}]}});
    for (validation, code, warnings) in [
        ("", 200, 2),
        ("Warn", 200, 2),
        ("Ignore", 200, 0),
        ("Strict", 422, 0),
    ] {
        let mut cluster = cluster();
        let path = format!("{THING}?fieldValidation={validation}");
        let answer = ask(&mut cluster, ("PATCH", &path, MERGE), &patch);
        assert_eq!(
            (answer.code, answer.warnings.len()),
            (code, warnings),
            "{validation}"
        );
        if code == 200 {
            assert_eq!(
                answer.body["spec"]["routes"],
                json!([{"to": "a"}]),
                "{validation}"
            );
            assert_eq!(answer.body["spec"].get("nope"), None, "{validation}");
        } else {
            let tail = "strict decoding error: unknown field \"spec.nope\", unknown field \"spec.routes[0].too\"";
            assert!(answer.message().ends_with(tail), "{}", answer.message());
        }
    }
    let mut cluster = cluster();
    let mut object = get(&mut cluster, THING).body;
    object["spec"]["nope"] = json!(1);
    let path = format!("{THING}?fieldValidation=Strict");
    let answer = ask(&mut cluster, ("PUT", &path, JSON), &object);
    assert_eq!(answer.code, 400);
    assert_eq!(
        answer.message(),
        "Thing in version \"v1\" cannot be handled as a Thing: strict decoding error: unknown field \"spec.nope\""
    );
    let status = json!({"status": {"phase": "x", "step": {}}});
    let path = format!("{THING}/status?fieldValidation=Strict");
    let answer = ask(&mut cluster, ("PATCH", &path, MERGE), &status);
    assert!(
        answer.message().ends_with("unknown field \"status.step\""),
        "{}",
        answer.message()
    );
}

#[test]
fn a_misspelled_field_of_a_built_in_kind_vanishes() {
    let mut cluster = cluster();
    let answer = ask(
        &mut cluster,
        ("PATCH", PODINFO, MERGE),
        &json!({"spec": {"replica": 7}}),
    );
    assert_eq!(
        answer.warnings,
        ["299 - \"unknown field \\\"spec.replica\\\"\""]
    );
    assert_eq!(answer.body["spec"].get("replica"), None);
    let answer = ask(
        &mut cluster,
        ("PATCH", PODINFO, MERGE),
        &json!({"spec": {"replicas": "7"}}),
    );
    assert_eq!(answer.code, 422);
}

#[test]
fn a_schema_fills_in_and_keeps() {
    for (spec, wanted) in [
        (
            json!({"mode": null}),
            json!({"host": "a.b", "mode": "slow"}),
        ),
        (
            json!({"weight": 10.0}),
            json!({"host": "a.b", "mode": "slow", "weight": 10}),
        ),
        (
            json!({"note": "x"}),
            json!({"host": "a.b", "mode": "slow", "note": "x"}),
        ),
        (
            json!({"port": "http"}),
            json!({"host": "a.b", "mode": "slow", "port": "http"}),
        ),
        (
            json!({"port": 80}),
            json!({"host": "a.b", "mode": "slow", "port": 80}),
        ),
        (
            json!({"free": {"any": {"thing": 1}}, "limits": {"a": 1}}),
            json!({"host": "a.b", "mode": "slow", "free": {"any": {"thing": 1}}, "limits": {"a": 1}}),
        ),
        (
            json!({"match": {"exact": "a"}}),
            json!({"host": "a.b", "mode": "slow", "match": {"exact": "a"}}),
        ),
    ] {
        let answer = ask(
            &mut cluster(),
            ("PATCH", THING, MERGE),
            &json!({"spec": spec}),
        );
        assert_eq!(answer.body["spec"], wanted, "{spec}");
    }
}

#[test]
fn a_null_stays_only_where_one_may_be() {
    let add = |field: &str| json!({"op": "add", "path": format!("/spec/{field}"), "value": null});
    let patch = json!([add("weight"), add("note"), add("mode")]);
    let answer = ask(&mut cluster(), ("PATCH", THING, PATCH), &patch);
    let wanted = json!({"host": "a.b", "mode": "slow", "note": null});
    assert_eq!(answer.body["spec"], wanted);
}

#[test]
fn a_schema_refuses() {
    for (spec, message) in [
        (json!({"host": null}), "spec.host: Required value"),
        (
            json!({"host": ""}),
            "spec.host: Invalid value: \"\": spec.host in body should be at least 1 chars long",
        ),
        (
            json!({"host": "A"}),
            "spec.host: Invalid value: \"A\": spec.host in body should match '^[a-z.]+$'",
        ),
        (
            json!({"host": "a".repeat(21)}),
            "spec.host: Too long: may not be more than 20 bytes",
        ),
        (
            json!({"host": 3}),
            "spec.host: Invalid value: \"integer\": spec.host in body must be of type string: \"integer\"",
        ),
        (
            json!({"weight": 101}),
            "spec.weight: Invalid value: 101: spec.weight in body should be less than or equal to 100",
        ),
        (
            json!({"weight": -1}),
            "spec.weight: Invalid value: -1: spec.weight in body should be greater than or equal to 0",
        ),
        (
            json!({"weight": 33.3}),
            "[spec.weight: Invalid value: \"float64\": spec.weight in body must be of type int32: \"float64\", \
             <nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec.weight]",
        ),
        (
            json!({"mode": "odd"}),
            "spec.mode: Unsupported value: \"odd\": supported values: \"fast\", \"slow\"",
        ),
        (
            json!({"limits": {"a": "b"}}),
            "spec.limits.a: Invalid value: \"string\": spec.limits.a in body must be of type integer: \"string\"",
        ),
        (
            json!({"routes": [{}, {}, {}]}),
            "spec.routes: Too many: 3: must have at most 2 items",
        ),
        (
            json!({"match": {"exact": "a", "prefix": "b"}}),
            "<nil>: Invalid value: \"\": \"spec.match\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
    ] {
        let answer = ask(
            &mut cluster(),
            ("PATCH", THING, MERGE),
            &json!({"spec": spec}),
        );
        let message = format!("Thing.a.b \"one\" is invalid: {message}");
        assert_eq!((answer.code, answer.message()), (422, &*message), "{spec}");
    }
}

#[test]
fn every_version_shows_the_same_object() {
    let mut cluster = cluster();
    let old = "/apis/a.b/v1alpha1/namespaces/test/things/one";
    let answer = ask(
        &mut cluster,
        ("PATCH", old, MERGE),
        &json!({"spec": {"weight": 5}}),
    );
    assert_eq!(answer.body["apiVersion"], "a.b/v1alpha1");
    let new = get(&mut cluster, THING).body;
    assert_eq!(
        (&new["apiVersion"], &new["spec"]["weight"]),
        (&json!("a.b/v1"), &json!(5))
    );
    assert_eq!(
        new["metadata"]["resourceVersion"],
        answer.body["metadata"]["resourceVersion"]
    );
    let stored = cluster.get(&Key::new("a.b", "Thing", "test", "one"));
    assert_eq!(stored.unwrap()["apiVersion"], "a.b/v1");
}

#[test]
fn a_new_schema_reshapes_what_is_stored_and_a_removed_one_takes_it_away() {
    let mut cluster = cluster();
    let before = version(&mut cluster, THING);
    let mut changed = crd();
    for version in changed["spec"]["versions"].as_array_mut().unwrap() {
        let properties =
            &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        properties["since"] = json!({"type": "string", "default": "now"});
        properties.as_object_mut().unwrap().remove("mode");
    }
    cluster.apply(changed, "user", now()).unwrap();
    let after = get(&mut cluster, THING).body;
    assert_eq!(after["spec"], json!({"host": "a.b", "since": "now"}));
    assert_eq!(after["metadata"]["resourceVersion"], before);
    ask(
        &mut cluster,
        ("DELETE", &format!("{CRDS}/things.a.b"), JSON),
        &Value::Null,
    );
    let answer = get(&mut cluster, THINGS);
    assert_eq!((answer.code, &*answer.text), (404, "404 page not found\n"));
    assert_eq!(cluster.objects_of("a.b", "Thing").count(), 0);
}
