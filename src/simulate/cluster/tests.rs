//! The rules of the API server that a pass stands on, each compared with a real one before it was written down here.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Cluster, Key, Verb};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/test/deployments";
const PODINFO: &str = "/apis/apps/v1/namespaces/test/deployments/podinfo";
const CONFIGS: &str = "/api/v1/namespaces/test/configmaps";
const SERVICES: &str = "/api/v1/namespaces/test/services";
const THINGS: &str = "/apis/a.b/v1/namespaces/test/things";
const THING: &str = "/apis/a.b/v1/namespaces/test/things/one";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

struct Answer {
    code: u16,
    body: Value,
    text: String,
    warnings: Vec<String>,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Sends a request with more headers than most need.
fn send(
    cluster: &mut Cluster,
    (method, path, media_type): (&str, &str, &str),
    body: &Value,
    accept: &str,
    now: Timestamp,
) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type)
        .header("accept", accept)
        .header("user-agent", "kubectl/v1.36")
        .body(Bytes::from(body))
        .unwrap();
    let response = cluster.handle(&request, now);
    let warnings = response.headers().get_all("warning").iter();
    Answer {
        code: response.status().as_u16(),
        body: serde_json::from_slice(response.body()).unwrap_or(Value::Null),
        text: String::from_utf8_lossy(response.body()).into_owned(),
        warnings: warnings
            .map(|value| value.to_str().unwrap().to_owned())
            .collect(),
    }
}

fn ask(cluster: &mut Cluster, line: (&str, &str, &str), body: &Value) -> Answer {
    send(cluster, line, body, JSON, now())
}

fn get(cluster: &mut Cluster, path: &str) -> Answer {
    ask(cluster, ("GET", path, JSON), &Value::Null)
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"app": "podinfo"}},
            "template": {
                "metadata": {"labels": {"app": "podinfo"}},
                "spec": {"containers": [{"name": "app", "image": "app:1.0", "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

fn crd() -> Value {
    let spec = json!({
        "type": "object",
        "required": ["host"],
        "properties": {
            "host": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[a-z.]+$"},
            "weight": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 100},
            "mode": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
            "note": {"type": "string", "nullable": true},
            "port": {"x-kubernetes-int-or-string": true},
            "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "routes": {
                "type": "array",
                "maxItems": 2,
                "items": {"type": "object", "properties": {"to": {"type": "string"}}},
            },
            "match": {
                "type": "object",
                "oneOf": [{"required": ["exact"]}, {"required": ["prefix"]}],
                "properties": {"exact": {"type": "string"}, "prefix": {"type": "string"}},
            },
        },
    });
    let schema = json!({"openAPIV3Schema": {
        "type": "object",
        "properties": {
            "spec": spec,
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    }});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name,
            "served": true,
            "storage": storage,
            "schema": schema,
            "subresources": {
                "status": {},
                "scale": {"specReplicasPath": ".spec.weight", "statusReplicasPath": ".status.weight"},
            },
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.a.b"},
        "spec": {
            "group": "a.b",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version("v1alpha1", false), version("v1", true)],
        },
    })
}

fn thing() -> Value {
    json!({
        "apiVersion": "a.b/v1",
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": "test"},
        "spec": {"host": "a.b"},
    })
}

/// A cluster with a Deployment and a custom resource.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    for object in [deployment(), crd(), thing()] {
        cluster.apply(object, "user", now()).unwrap();
    }
    cluster
}

fn version(cluster: &mut Cluster, path: &str) -> String {
    get(cluster, path).body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_write_that_changes_nothing_keeps_the_resource_version_and_leaves_no_trace() {
    let mut cluster = cluster();
    let thing = get(&mut cluster, THING).body;
    for (method, path, media_type, body) in [
        ("PATCH", PODINFO, MERGE, json!({"spec": {"replicas": 1}})),
        (
            "PATCH",
            PODINFO,
            MERGE,
            json!({"spec": {"replicas": null}, "metadata": {"labels": {}}}),
        ),
        ("PATCH", PODINFO, PATCH, json!([])),
        ("PUT", PODINFO, JSON, deployment()),
        ("PUT", THING, JSON, thing),
        ("PATCH", THING, MERGE, json!({"status": {"phase": "Ready"}})),
        (
            "PATCH",
            "/apis/a.b/v1/namespaces/test/things/one/status",
            MERGE,
            json!({"spec": {"host": "x"}}),
        ),
    ] {
        let before = version(&mut cluster, path.trim_end_matches("/status"));
        let count = cluster.history().count();
        let answer = ask(&mut cluster, (method, path, media_type), &body);
        assert_eq!(
            (answer.code, cluster.history().count()),
            (200, count),
            "{method} {path} {body}"
        );
        assert_eq!(
            answer.body["metadata"]["resourceVersion"], before,
            "{method} {path} {body}"
        );
    }
}

#[test]
fn a_fork_and_its_original_go_on_by_themselves() {
    let mut original = cluster();
    let mut fork = original.clone();
    ask(
        &mut fork,
        ("PATCH", PODINFO, MERGE),
        &json!({"spec": {"replicas": 5}}),
    );
    ask(&mut original, ("DELETE", PODINFO, JSON), &Value::Null);
    let key = Key::new("apps", "Deployment", "test", "podinfo");
    assert_eq!(fork.get(&key).unwrap()["spec"]["replicas"], 5);
    assert_eq!(original.get(&key), None);
    assert_eq!(fork.history().last().unwrap().verb, Verb::Update);
    assert_eq!(original.history().last().unwrap().verb, Verb::Delete);
}

#[test]
fn the_same_requests_make_the_same_cluster() {
    let written = |cluster: &Cluster| {
        cluster
            .history()
            .map(|write| (write.number, write.after.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(written(&cluster()), written(&cluster()));
}

#[test]
fn a_long_history_is_dropped_without_overflowing_the_stack() {
    let mut cluster = cluster();
    for replicas in 0..50_000 {
        let key = Key::new("apps", "Deployment", "test", "podinfo");
        cluster.scale(&key, replicas, "user", now()).unwrap();
    }
    assert!(cluster.history().count() > 49_990);
    drop(cluster);
}

#[test]
fn the_history_says_who_wrote_what() {
    let mut cluster = cluster();
    let start = cluster.revision();
    let lines = [
        (
            format!("{PODINFO}?fieldManager=davy"),
            json!({"spec": {"replicas": 3}}),
        ),
        (
            format!("{PODINFO}/status"),
            json!({"status": {"replicas": 3}}),
        ),
    ];
    for (path, body) in &lines {
        ask(&mut cluster, ("PATCH", path, MERGE), body);
    }
    ask(&mut cluster, ("DELETE", PODINFO, JSON), &Value::Null);
    let seen: Vec<_> = cluster
        .history_since(start)
        .map(|write| {
            (
                write.number - start,
                &*write.manager,
                write.verb,
                write.key.to_string(),
            )
        })
        .collect();
    let podinfo = "Deployment test/podinfo".to_owned();
    assert_eq!(
        seen,
        [
            (1, "davy", Verb::Update, podinfo.clone()),
            (2, "kubectl", Verb::UpdateStatus, podinfo.clone()),
            (3, "kubectl", Verb::Delete, podinfo),
        ]
    );
    let last = cluster.history().last().unwrap();
    let before = last.before.as_ref().unwrap();
    assert_eq!(
        before["metadata"]["resourceVersion"],
        (last.number - 1).to_string()
    );
    assert_eq!(last.after, None);
}

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
fn a_schema_fills_in_keeps_and_refuses() {
    for (spec, wanted) in [
        (
            json!({"mode": null}),
            Ok(json!({"host": "a.b", "mode": "slow"})),
        ),
        (
            json!({"note": "x"}),
            Ok(json!({"host": "a.b", "mode": "slow", "note": "x"})),
        ),
        (
            json!({"port": "http"}),
            Ok(json!({"host": "a.b", "mode": "slow", "port": "http"})),
        ),
        (
            json!({"port": 80}),
            Ok(json!({"host": "a.b", "mode": "slow", "port": 80})),
        ),
        (
            json!({"free": {"any": {"thing": 1}}, "limits": {"a": 1}}),
            Ok(
                json!({"host": "a.b", "mode": "slow", "free": {"any": {"thing": 1}}, "limits": {"a": 1}}),
            ),
        ),
        (
            json!({"match": {"exact": "a"}}),
            Ok(json!({"host": "a.b", "mode": "slow", "match": {"exact": "a"}})),
        ),
        (json!({"host": null}), Err("spec.host: Required value")),
        (
            json!({"host": ""}),
            Err(
                "spec.host: Invalid value: \"\": spec.host in body should be at least 1 chars long",
            ),
        ),
        (
            json!({"host": "A"}),
            Err("spec.host: Invalid value: \"A\": spec.host in body should match '^[a-z.]+$'"),
        ),
        (
            json!({"host": "a".repeat(21)}),
            Err("spec.host: Too long: may not be more than 20 bytes"),
        ),
        (
            json!({"host": 3}),
            Err(
                "spec.host: Invalid value: \"integer\": spec.host in body must be of type string: \"integer\"",
            ),
        ),
        (
            json!({"weight": 101}),
            Err(
                "spec.weight: Invalid value: 101: spec.weight in body should be less than or equal to 100",
            ),
        ),
        (
            json!({"weight": -1}),
            Err(
                "spec.weight: Invalid value: -1: spec.weight in body should be greater than or equal to 0",
            ),
        ),
        (
            json!({"weight": 33.3}),
            Err(
                "spec.weight: Invalid value: \"float64\": spec.weight in body must be of type int32: \"float64\"",
            ),
        ),
        (
            json!({"mode": "odd"}),
            Err("spec.mode: Unsupported value: \"odd\": supported values: \"fast\", \"slow\""),
        ),
        (
            json!({"limits": {"a": "b"}}),
            Err(
                "spec.limits.a: Invalid value: \"string\": spec.limits.a in body must be of type integer: \"string\"",
            ),
        ),
        (
            json!({"routes": [{}, {}, {}]}),
            Err("spec.routes: Too many: 3: must have at most 2 items"),
        ),
        (
            json!({"match": {"exact": "a", "prefix": "b"}}),
            Err(
                "<nil>: Invalid value: \"\": \"spec.match\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ),
        ),
    ] {
        let mut cluster = cluster();
        let answer = ask(
            &mut cluster,
            ("PATCH", THING, MERGE),
            &json!({"spec": spec}),
        );
        match wanted {
            Ok(wanted) => assert_eq!(answer.body["spec"], wanted, "{spec}"),
            Err(message) => {
                let message = format!("Thing.a.b \"one\" is invalid: {message}");
                assert_eq!((answer.code, answer.message()), (422, &*message), "{spec}");
            }
        }
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

/// Seven ConfigMaps in `test`, one in `other`.
fn with_configs() -> Cluster {
    let mut cluster = cluster();
    for index in 0..7 {
        let odd = (index % 2).to_string();
        let labels = json!({"n": index.to_string(), "odd": odd});
        let config = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": format!("c{index}"), "namespace": "test", "labels": labels},
        });
        cluster.apply(config, "user", now()).unwrap();
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c0", "namespace": "other"},
    });
    cluster.apply(config, "user", now()).unwrap();
    cluster
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_list_goes_on_in_the_state_in_which_it_began() {
    let mut cluster = with_configs();
    let first = get(&mut cluster, &format!("{CONFIGS}?limit=3")).body;
    assert_eq!(names(&first), ["c0", "c1", "c2"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    ask(
        &mut cluster,
        ("DELETE", &format!("{CONFIGS}/c6"), JSON),
        &Value::Null,
    );
    ask(
        &mut cluster,
        ("POST", CONFIGS, JSON),
        &json!({"metadata": {"name": "c35"}}),
    );
    let patch = json!({"data": {"a": "later"}});
    ask(
        &mut cluster,
        ("PATCH", &format!("{CONFIGS}/c5"), MERGE),
        &patch,
    );
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get(&mut cluster, &format!("{CONFIGS}?limit=9&continue={token}")).body;
    assert_eq!(names(&second), ["c3", "c4", "c5", "c6"]);
    assert_eq!(second["items"][2].get("data"), None);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert_eq!(second["metadata"].get("continue"), None);
}

#[test]
fn a_list_whose_beginning_was_compacted_away_is_gone() {
    let mut cluster = with_configs();
    let path = format!("{CONFIGS}?limit=3");
    let first = get(&mut cluster, &path).body;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let path = format!("{path}&continue={token}");
    ask(
        &mut cluster,
        ("POST", CONFIGS, JSON),
        &json!({"metadata": {"name": "c35"}}),
    );
    let mut later = cluster.clone();
    let answer = send(
        &mut later,
        ("GET", &path, JSON),
        &Value::Null,
        JSON,
        now() + SignedDuration::from_mins(6),
    );
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (410, &json!("Expired"))
    );
    cluster.compact();
    let answer = get(&mut cluster, &path);
    assert_eq!(answer.code, 410);
    let token = answer.body["metadata"]["continue"].as_str().unwrap();
    let rest = get(&mut cluster, &format!("{CONFIGS}?limit=9&continue={token}")).body;
    assert_eq!(names(&rest), ["c3", "c35", "c4", "c5", "c6"]);
}

#[test]
fn selectors_choose() {
    let mut cluster = with_configs();
    for (query, wanted) in [
        ("labelSelector=odd%3D1", Some(&["c1", "c3", "c5"][..])),
        ("labelSelector=odd%3D%3D1,n!%3D3", Some(&["c1", "c5"])),
        ("labelSelector=n+in+(1,2)", Some(&["c1", "c2"])),
        ("labelSelector=n+notin+(0,1,2,3,4)", Some(&["c5", "c6"])),
        ("labelSelector=!n", Some(&[])),
        ("labelSelector=n,odd%3D0", Some(&["c0", "c2", "c4", "c6"])),
        ("labelSelector=n+in+(1", None),
        ("labelSelector=%3Dx", None),
        ("fieldSelector=metadata.name%3Dc4", Some(&["c4"])),
        (
            "fieldSelector=metadata.name!%3Dc4,metadata.namespace%3Dtest",
            Some(&["c0", "c1", "c2", "c3", "c5", "c6"]),
        ),
        ("fieldSelector=data.a%3Db", None),
        ("limit=x", None),
    ] {
        let answer = get(&mut cluster, &format!("{CONFIGS}?{query}"));
        match wanted {
            Some(wanted) => assert_eq!(names(&answer.body), wanted, "{query}"),
            None => assert_eq!(answer.code, 400, "{query}"),
        }
    }
    let everywhere = get(
        &mut cluster,
        "/api/v1/configmaps?fieldSelector=metadata.name%3Dc0",
    )
    .body;
    assert_eq!(names(&everywhere), ["c0", "c0"]);
    assert_eq!(everywhere["items"][0]["metadata"]["namespace"], "other");
}

#[test]
fn metadata_alone_is_answered_when_asked_for() {
    let mut cluster = cluster();
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = send(
        &mut cluster,
        ("GET", THINGS, JSON),
        &Value::Null,
        accept,
        now(),
    )
    .body;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0].get("spec"), None);
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = send(
        &mut cluster,
        ("GET", THING, JSON),
        &Value::Null,
        accept,
        now(),
    )
    .body;
    assert_eq!(
        (&one["kind"], one.get("spec")),
        (&json!("PartialObjectMetadata"), None)
    );
}

#[test]
fn items_of_built_in_lists_do_not_say_what_they_are() {
    let mut cluster = cluster();
    let built_in = get(&mut cluster, DEPLOYMENTS).body;
    assert_eq!(
        (&built_in["kind"], built_in["items"][0].get("kind")),
        (&json!("DeploymentList"), None)
    );
    let custom = get(&mut cluster, THINGS).body;
    assert_eq!(custom["items"][0]["kind"], "Thing");
}

#[test]
fn finalizers_hold_an_object_until_the_last_is_taken_off() {
    let mut cluster = cluster();
    let finalizers = |names: Value| json!({"metadata": {"finalizers": names}});
    ask(
        &mut cluster,
        ("PATCH", THING, MERGE),
        &finalizers(json!(["a.b/c"])),
    );
    let marked = ask(&mut cluster, ("DELETE", THING, JSON), &Value::Null).body;
    assert_eq!(
        marked["metadata"]["deletionTimestamp"],
        "2026-01-01T00:00:00Z"
    );
    assert_eq!(marked["metadata"]["generation"], 2);
    let again = ask(&mut cluster, ("DELETE", THING, JSON), &Value::Null).body;
    assert_eq!(
        again["metadata"]["resourceVersion"],
        marked["metadata"]["resourceVersion"]
    );
    let answer = ask(
        &mut cluster,
        ("PATCH", THING, MERGE),
        &finalizers(json!(["a.b/c", "a.b/d"])),
    );
    assert!(
        answer
            .message()
            .contains("no new finalizers can be added if the object is being deleted")
    );
    let last = ask(
        &mut cluster,
        ("PATCH", THING, MERGE),
        &finalizers(Value::Null),
    );
    assert_eq!(last.code, 200);
    assert_eq!(get(&mut cluster, THING).code, 404);
    assert_eq!(cluster.history().last().unwrap().verb, Verb::Delete);
}

#[test]
fn a_deletion_can_be_bound_to_one_object_and_one_version() {
    let mut cluster = cluster();
    let uid = get(&mut cluster, THING).body["metadata"]["uid"].clone();
    for (conditions, code) in [
        (json!({"uid": "other"}), 409),
        (json!({"resourceVersion": "1"}), 409),
        (
            json!({"uid": uid, "resourceVersion": version(&mut cluster, THING)}),
            200,
        ),
        (json!({}), 404),
    ] {
        let body = json!({"preconditions": conditions});
        let answer = ask(&mut cluster, ("DELETE", THING, JSON), &body);
        assert_eq!(answer.code, code, "{conditions}");
    }
    cluster.apply(thing(), "user", now()).unwrap();
    assert_ne!(get(&mut cluster, THING).body["metadata"]["uid"], uid);
}

#[test]
fn a_dry_run_answers_as_if_and_writes_nothing() {
    let mut cluster = cluster();
    let before = cluster.revision();
    for (method, path, media_type, body, code) in [
        (
            "POST",
            format!("{CONFIGS}?dryRun=All"),
            JSON,
            json!({"metadata": {"name": "x"}}),
            201,
        ),
        (
            "PATCH",
            format!("{PODINFO}?dryRun=All"),
            MERGE,
            json!({"spec": {"replicas": 9}}),
            200,
        ),
        (
            "DELETE",
            format!("{PODINFO}?dryRun=All"),
            JSON,
            Value::Null,
            200,
        ),
    ] {
        let answer = ask(&mut cluster, (method, &path, media_type), &body);
        assert_eq!(answer.code, code, "{method} {path}");
    }
    assert_eq!(cluster.revision(), before);
    assert_eq!(get(&mut cluster, PODINFO).body["spec"]["replicas"], 1);
}

#[test]
fn what_the_server_sets_cannot_be_sent() {
    let mut cluster = cluster();
    let metadata = json!({
        "name": "x",
        "uid": "mine",
        "generation": 9,
        "creationTimestamp": "2020-01-01T00:00:00Z",
        "deletionTimestamp": "2020-01-01T00:00:00Z",
        "managedFields": [],
    });
    let mut object = thing();
    object["metadata"] = metadata;
    object["status"] = json!({"phase": "mine"});
    let made = ask(&mut cluster, ("POST", THINGS, JSON), &object).body;
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(
        made["metadata"]["creationTimestamp"],
        "2026-01-01T00:00:00Z"
    );
    assert_ne!(made["metadata"]["uid"], "mine");
    assert_eq!(made["metadata"].get("deletionTimestamp"), None);
    assert_eq!(made.get("status"), None);
    let path = format!("{THINGS}/x");
    let patch = json!({"metadata": {"generation": 9, "creationTimestamp": null, "uid": null}});
    let after = ask(&mut cluster, ("PATCH", &path, MERGE), &patch).body;
    assert_eq!(after, made);
    let answer = ask(
        &mut cluster,
        ("PATCH", &path, MERGE),
        &json!({"metadata": {"uid": "zzz"}}),
    );
    assert!(
        answer
            .message()
            .ends_with("metadata.uid: Invalid value: \"zzz\": field is immutable")
    );
}

#[test]
fn refusals_say_what_the_real_server_says() {
    let long = "y".repeat(64);
    let other_version = json!({"apiVersion": "a.b/v2", "kind": "Thing", "metadata": {"name": "x"}});
    let other_kind = json!({"apiVersion": "a.b/v1", "kind": "Other", "metadata": {"name": "x"}});
    let mut elsewhere = deployment();
    elsewhere["metadata"]["namespace"] = json!("other");
    let mut nameless = deployment();
    nameless["metadata"] = json!({});
    for (line, body, code, reason, message) in [
        (
            ("GET", &*format!("{DEPLOYMENTS}/none"), JSON),
            json!(null),
            404,
            "NotFound",
            "deployments.apps \"none\" not found",
        ),
        (
            ("POST", DEPLOYMENTS, JSON),
            deployment(),
            409,
            "AlreadyExists",
            "deployments.apps \"podinfo\" already exists",
        ),
        (
            ("POST", "/apis/apps/v1/namespaces/none/deployments", JSON),
            json!({"metadata": {"name": "x"}}),
            404,
            "NotFound",
            "namespaces \"none\" not found",
        ),
        (
            ("POST", DEPLOYMENTS, JSON),
            elsewhere,
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            ("POST", DEPLOYMENTS, JSON),
            nameless,
            422,
            "Invalid",
            "Deployment.apps \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            ("PUT", &*format!("{CONFIGS}/x"), JSON),
            json!({"metadata": {"name": "y"}}),
            400,
            "BadRequest",
            "the name of the object (y) does not match the name on the URL (x)",
        ),
        (
            ("POST", THINGS, JSON),
            other_version,
            400,
            "BadRequest",
            "the API version in the data (a.b/v2) does not match the expected API version (a.b/v1)",
        ),
        (
            ("POST", THINGS, JSON),
            other_kind,
            422,
            "Invalid",
            "Other.a.b \"x\" is invalid: kind: Invalid value: \"Other\": must be Thing",
        ),
        (
            ("PATCH", THING, MERGE),
            json!({"metadata": {"labels": {"good": long}}}),
            422,
            "Invalid",
            &*format!(
                "Thing.a.b \"one\" is invalid: metadata.labels: Invalid value: \"{long}\": must be no more than 63 bytes"
            ),
        ),
        (
            ("POST", SERVICES, JSON),
            json!({"metadata": {"name": long}, "spec": {"ports": [{"port": 80}]}}),
            422,
            "Invalid",
            &*format!(
                "Service \"{long}\" is invalid: metadata.name: Invalid value: \"{long}\": must be no more than 63 characters"
            ),
        ),
        (
            ("PATCH", PODINFO, MERGE),
            json!({"spec": {"selector": {"matchLabels": {"app": "x"}}}}),
            422,
            "Invalid",
            "Deployment.apps \"podinfo\" is invalid: [spec.template.metadata.labels: Invalid value: {\"app\":\"podinfo\"}: \
             `selector` does not match template `labels`, spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: \
             field is immutable]",
        ),
        (
            ("PUT", DEPLOYMENTS, JSON),
            deployment(),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        (
            ("PATCH", PODINFO, JSON),
            json!({}),
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type",
        ),
        (
            ("GET", "/apis/apps/v1/namespaces/test/nothings", JSON),
            json!(null),
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
        (
            ("GET", &*format!("{THING}/nothing"), JSON),
            json!(null),
            404,
            "NotFound",
            "things.a.b \"one\" not found",
        ),
    ] {
        let mut cluster = cluster();
        let answer = ask(&mut cluster, line, &body);
        assert_eq!(answer.message(), message, "{line:?}");
        assert_eq!(
            (answer.code, &answer.body["reason"]),
            (code, &json!(reason)),
            "{line:?}"
        );
        assert_eq!(answer.body["code"], code, "{line:?}");
    }
    for media_type in [
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ] {
        let answer = ask(&mut cluster(), ("PATCH", THING, media_type), &json!({}));
        assert_eq!(answer.code, 415, "{media_type}");
    }
    let answer = get(&mut cluster(), "/apis/none.io/v1/namespaces/test/things");
    assert_eq!((answer.code, &*answer.text), (404, "404 page not found\n"));
}

#[test]
fn what_is_too_large_is_refused() {
    for (size, code) in [(200_000, 201), (1_600_000, 500), (3_200_000, 413)] {
        let mut object = thing();
        object["metadata"]["name"] = json!("large");
        object["spec"]["free"] = json!({"text": "x".repeat(size)});
        let answer = ask(&mut cluster(), ("POST", THINGS, JSON), &object);
        assert_eq!(answer.code, code, "{size}");
    }
}

#[test]
fn built_in_kinds_get_their_defaults() {
    let mut cluster = cluster();
    let spec = get(&mut cluster, PODINFO).body["spec"].clone();
    assert_eq!(
        spec,
        json!({
            "replicas": 1,
            "selector": {"matchLabels": {"app": "podinfo"}},
            "template": {
                "metadata": {"labels": {"app": "podinfo"}},
                "spec": {
                    "containers": [{
                        "name": "app",
                        "image": "app:1.0",
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "imagePullPolicy": "IfNotPresent",
                    }],
                    "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 30,
                    "dnsPolicy": "ClusterFirst",
                    "securityContext": {},
                    "schedulerName": "default-scheduler",
                },
            },
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        })
    );
    let autoscaler = json!({
        "metadata": {"name": "x"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "maxReplicas": 4,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    });
    let path = "/apis/autoscaling/v2/namespaces/test/horizontalpodautoscalers";
    let made = ask(&mut cluster, ("POST", path, JSON), &autoscaler).body;
    assert_eq!(made["spec"]["minReplicas"], 1);
    assert_eq!(made["spec"]["behavior"]["scaleUp"]["selectPolicy"], "Max");
    assert_eq!(
        made["spec"]["behavior"]["scaleDown"]["policies"][0]["value"],
        100
    );
    let secret = json!({"metadata": {"name": "x"}, "stringData": {"a": "b", "c": "dog"}});
    let made = ask(
        &mut cluster,
        ("POST", "/api/v1/namespaces/test/secrets", JSON),
        &secret,
    )
    .body;
    assert_eq!(
        (&made["data"], &made["type"]),
        (&json!({"a": "Yg==", "c": "ZG9n"}), &json!("Opaque"))
    );
}

#[test]
fn a_service_keeps_the_address_that_it_was_given() {
    let mut cluster = cluster();
    let service = json!({"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}});
    let made = ask(&mut cluster, ("POST", SERVICES, JSON), &service).body["spec"].clone();
    assert_eq!(
        made["ports"],
        json!([{"port": 80, "protocol": "TCP", "targetPort": 80}])
    );
    assert_eq!(made["clusterIPs"], json!([made["clusterIP"]]));
    let path = format!("{SERVICES}/x");
    let after = ask(&mut cluster, ("PUT", &path, JSON), &service).body["spec"].clone();
    assert_eq!(after, made);
    let patch = json!({"spec": {"clusterIP": "10.96.0.7"}});
    let answer = ask(&mut cluster, ("PATCH", &path, MERGE), &patch);
    assert!(
        answer.message().ends_with("may not change once set"),
        "{}",
        answer.message()
    );
}

#[test]
fn a_second_event_of_the_same_name_is_there_already() {
    let mut cluster = cluster();
    let event = json!({
        "metadata": {"name": "x"},
        "involvedObject": {"kind": "Thing", "namespace": "test", "name": "one"},
        "reason": "Synced",
        "message": "text",
        "type": "Normal",
    });
    let path = "/api/v1/namespaces/test/events";
    assert_eq!(ask(&mut cluster, ("POST", path, JSON), &event).code, 201);
    let second = ask(&mut cluster, ("POST", path, JSON), &event);
    assert_eq!(
        (second.code, &second.body["reason"]),
        (409, &json!("AlreadyExists"))
    );
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
    assert_eq!(get(&mut cluster, THING).body["spec"]["weight"], 6);
    let services = get(&mut cluster, &format!("{SERVICES}/x/scale"));
    assert_eq!(services.code, 404);
}

#[test]
fn nothing_new_enters_a_namespace_that_is_ending() {
    let mut cluster = cluster();
    let ending = ask(
        &mut cluster,
        ("DELETE", "/api/v1/namespaces/test", JSON),
        &Value::Null,
    )
    .body;
    assert_eq!(ending["status"]["phase"], "Terminating");
    let answer = ask(
        &mut cluster,
        ("POST", CONFIGS, JSON),
        &json!({"metadata": {"name": "x"}}),
    );
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (403, &json!("Forbidden"))
    );
}

#[test]
fn applying_makes_the_namespace_and_takes_the_status() {
    let mut cluster = cluster();
    let mut object = thing();
    object["metadata"]["namespace"] = json!("fresh");
    object["status"] = json!({"phase": "Ready"});
    let made = cluster.apply(object.clone(), "user", now()).unwrap();
    assert_eq!(made["status"], json!({"phase": "Ready"}));
    object["spec"]["weight"] = json!(3);
    object["metadata"]["resourceVersion"] = json!("1");
    let after = cluster.apply(object, "user", now()).unwrap();
    assert_eq!(after["spec"]["weight"], 3);
    assert_eq!(after["metadata"]["uid"], made["metadata"]["uid"]);
}

#[test]
fn a_client_can_ask_what_is_served() {
    let mut cluster = cluster();
    for (path, pointer, wanted) in [
        ("/version", "/minor", json!("36")),
        ("/apis/a.b", "/preferredVersion/version", json!("v1")),
        ("/apis/a.b/v1", "/resources/0/kind", json!("Thing")),
        ("/apis/a.b/v1", "/resources/1/name", json!("things/status")),
        ("/api/v1", "/kind", json!("APIResourceList")),
    ] {
        let answer = get(&mut cluster, path);
        assert_eq!(answer.body.pointer(pointer), Some(&wanted), "{path}");
    }
    assert_eq!(get(&mut cluster, "/apis/none").code, 404);
}
