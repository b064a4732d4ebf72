//! What is written, what is not, and what is kept of it.

use serde_json::{Value, json};

use super::super::{Cluster, Key, Verb};
use super::{
    CONFIGS, JSON, MERGE, PATCH, PODINFO, THING, ask, cluster, deployment, get, now, version,
};

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
