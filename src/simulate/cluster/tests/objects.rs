//! The life of an object: what it gets when it is made, and how it goes.

use serde_json::{Value, json};

use super::super::Verb;
use super::{
    CONFIGS, JSON, MERGE, PODINFO, SERVICES, THING, THINGS, ask, cluster, get, now, thing, version,
};

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
