//! Lists, pages, selectors, and what a client can ask beforehand.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::Cluster;
use super::{CONFIGS, DEPLOYMENTS, JSON, MERGE, THING, THINGS, ask, cluster, get, now, send};

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
