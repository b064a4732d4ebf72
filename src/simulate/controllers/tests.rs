//! What a pass may meet between two looks at the cluster: rollouts in every state, in the order of
//! the real controllers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::cluster::object::{list, number, text};
use super::super::cluster::{Cluster, Key, Verb};
use super::{Behaviour, NeverReady, next_change, settle};

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds)
}

fn key(group: &str, kind: &str, name: &str) -> Key {
    Key::new(group, kind, "test", name)
}

fn podinfo() -> Key {
    key("apps", "Deployment", "podinfo")
}

fn workload(kind: &str, name: &str, tag: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": format!("app:{tag}")}]},
            },
        },
    })
}

fn deployment(replicas: i64) -> Value {
    let mut deployment = workload("Deployment", "podinfo", "1.0");
    deployment["spec"]["replicas"] = json!(replicas);
    deployment
}

fn with(objects: impl IntoIterator<Item = Value>) -> Cluster {
    let mut cluster = Cluster::new();
    for object in objects {
        cluster.apply(object, "user", at(0)).unwrap();
    }
    cluster
}

fn set_image(cluster: &mut Cluster, key: &Key, tag: &str, seconds: i64) {
    cluster
        .edit(key, "user", at(seconds), |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] =
                json!(format!("app:{tag}"));
        })
        .unwrap();
}

fn scale(cluster: &mut Cluster, replicas: i64, seconds: i64) {
    cluster
        .scale(&podinfo(), replicas, "user", at(seconds))
        .unwrap();
}

fn play(cluster: &mut Cluster, seconds: i64) {
    settle(cluster, at(seconds), &Behaviour::default());
}

fn reason<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = list(object, "/status/conditions");
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .map_or("", |condition| text(condition, "/reason"))
}

fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

/// The states that a Deployment went through after a write: observed generation, pods, updated,
/// available, and why.
fn states(cluster: &Cluster, after: u64) -> Vec<String> {
    let mut states: Vec<String> = Vec::new();
    for write in cluster
        .history_since(after)
        .filter(|write| *write.key.kind == *"Deployment")
    {
        let Some(object) = &write.after else {
            continue;
        };
        let state = format!(
            "{} pods, {} updated, {} available: {}",
            count(object, "replicas"),
            count(object, "updatedReplicas"),
            count(object, "availableReplicas"),
            reason(object, "Progressing"),
        );
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    states
}

fn sets(cluster: &Cluster) -> Vec<Value> {
    let mut sets: Vec<_> = cluster
        .objects_of("apps", "ReplicaSet")
        .map(|(_, set)| set.as_ref().clone())
        .collect();
    sets.sort_by_key(|set| {
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            .as_str()
            .and_then(|revision| revision.parse::<i64>().ok())
    });
    sets
}

#[test]
fn a_new_deployment_becomes_available_pod_by_pod() {
    let mut cluster = with([deployment(2)]);
    play(&mut cluster, 10);
    assert_eq!(
        states(&cluster, 0),
        [
            "0 pods, 0 updated, 0 available: ",
            "0 pods, 0 updated, 0 available: NewReplicaSetCreated",
            "2 pods, 2 updated, 0 available: ReplicaSetUpdated",
            "2 pods, 2 updated, 2 available: NewReplicaSetAvailable",
        ]
    );
    let after = cluster.get(&podinfo()).unwrap();
    assert_eq!(reason(&after, "Available"), "MinimumReplicasAvailable");
    assert_eq!(
        number(&after, "/status/observedGeneration"),
        number(&after, "/metadata/generation")
    );
    assert_eq!(
        after["status"]["conditions"][0]["lastUpdateTime"],
        "2026-01-01T00:00:03Z"
    );
    let [set] = &*sets(&cluster) else {
        panic!("one set")
    };
    let hash = &set["metadata"]["labels"]["pod-template-hash"];
    assert_eq!(
        &set["spec"]["selector"]["matchLabels"]["pod-template-hash"],
        hash
    );
    assert_eq!(
        &set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"],
        hash
    );
}

#[test]
fn a_new_template_replaces_the_old_one_step_by_step() {
    let mut cluster = with([deployment(2)]);
    play(&mut cluster, 10);
    let before = cluster.revision();
    set_image(&mut cluster, &podinfo(), "1.1", 10);
    play(&mut cluster, 30);
    assert_eq!(
        states(&cluster, before),
        [
            "2 pods, 2 updated, 2 available: NewReplicaSetAvailable",
            "2 pods, 2 updated, 2 available: NewReplicaSetCreated",
            "2 pods, 0 updated, 2 available: NewReplicaSetCreated",
            "3 pods, 1 updated, 2 available: ReplicaSetUpdated",
            "3 pods, 1 updated, 3 available: ReplicaSetUpdated",
            "2 pods, 1 updated, 2 available: ReplicaSetUpdated",
            "3 pods, 2 updated, 2 available: ReplicaSetUpdated",
            "3 pods, 2 updated, 3 available: ReplicaSetUpdated",
            "2 pods, 2 updated, 2 available: NewReplicaSetAvailable",
        ]
    );
    let annotations = &cluster.get(&podinfo()).unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "2");
}

#[test]
fn a_rolling_update_keeps_within_its_limits_at_every_write() {
    for (replicas, surge, unavailable) in [
        (1, json!("25%"), json!("25%")),
        (4, json!(0), json!(1)),
        (5, json!("50%"), json!(2)),
        (10, json!(3), json!(0)),
        (3, json!(0), json!("10%")),
    ] {
        let mut object = deployment(replicas);
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        object["spec"]["strategy"] = json!({"rollingUpdate": rolling});
        let mut cluster = with([object]);
        play(&mut cluster, 10);
        let before = cluster.revision();
        set_image(&mut cluster, &podinfo(), "1.1", 10);
        play(&mut cluster, 200);
        let part = |value: &Value, up: bool| super::owned::share(value, replicas, up);
        let most = replicas + part(&surge, true);
        // Without room on either side one pod may be missing: nothing could move otherwise.
        let missing = part(&unavailable, false).max(i64::from(most == replicas));
        for write in cluster.history_since(before) {
            let Some(after) = write.after.as_ref().filter(|_| write.key == podinfo()) else {
                continue;
            };
            let (pods, available) = (count(after, "replicas"), count(after, "availableReplicas"));
            assert!(pods <= most, "{pods} of {most}: {surge} {unavailable}");
            assert!(
                available >= replicas - missing,
                "{available} of {replicas}: {surge} {unavailable}"
            );
        }
        let after = cluster.get(&podinfo()).unwrap();
        assert_eq!(
            reason(&after, "Progressing"),
            "NewReplicaSetAvailable",
            "{surge} {unavailable}"
        );
        assert_eq!(count(&after, "updatedReplicas"), replicas);
    }
}

#[test]
fn a_rollout_that_does_not_move_exceeds_its_deadline_and_goes_on_when_it_does() {
    let mut object = deployment(2);
    object["spec"]["progressDeadlineSeconds"] = json!(60);
    let mut cluster = with([object]);
    play(&mut cluster, 10);
    set_image(&mut cluster, &podinfo(), "stuck", 10);
    play(&mut cluster, 69);
    assert_eq!(
        reason(&cluster.get(&podinfo()).unwrap(), "Progressing"),
        "ReplicaSetUpdated"
    );
    play(&mut cluster, 70);
    let late = cluster.get(&podinfo()).unwrap();
    assert_eq!(reason(&late, "Progressing"), "ProgressDeadlineExceeded");
    assert_eq!(count(&late, "availableReplicas"), 2);
    set_image(&mut cluster, &podinfo(), "1.2", 80);
    play(&mut cluster, 100);
    assert_eq!(
        reason(&cluster.get(&podinfo()).unwrap(), "Progressing"),
        "NewReplicaSetAvailable"
    );
}

#[test]
fn the_first_rule_that_fits_an_image_decides_whether_its_pods_become_ready() {
    for (name, tag, ready) in [
        ("podinfo", "1.0", 1),
        ("podinfo", "1.0-stuck", 0),
        ("podinfo", "primary-stuck", 1),
        ("podinfo-primary", "primary-stuck", 0),
        ("podinfo-primary", "stuck", 0),
    ] {
        let mut cluster = with([workload("Deployment", name, tag)]);
        play(&mut cluster, 10);
        let after = cluster.get(&key("apps", "Deployment", name)).unwrap();
        assert_eq!(count(&after, "readyReplicas"), ready, "{name} {tag}");
    }
}

#[test]
fn pods_can_stop_being_ready() {
    let mut cluster = with([deployment(2)]);
    play(&mut cluster, 10);
    play(&mut cluster, 20);
    let rule = NeverReady {
        tag: "1.0".into(),
        workload: String::new(),
    };
    let broken = Behaviour {
        never_ready: vec![rule],
        ..Behaviour::default()
    };
    assert_eq!(next_change(&cluster, at(20), &broken), Some(at(20)));
    settle(&mut cluster, at(20), &broken);
    assert_eq!(cluster.history().last().unwrap().at, at(20));
    let after = cluster.get(&podinfo()).unwrap();
    assert_eq!(count(&after, "readyReplicas"), 0);
    assert_eq!(reason(&after, "Available"), "MinimumReplicasUnavailable");
}

#[test]
fn recreating_never_runs_two_versions_at_once() {
    let mut object = deployment(2);
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    let mut cluster = with([object]);
    play(&mut cluster, 10);
    let before = cluster.revision();
    set_image(&mut cluster, &podinfo(), "1.1", 10);
    play(&mut cluster, 30);
    assert_eq!(
        states(&cluster, before),
        [
            "2 pods, 2 updated, 2 available: NewReplicaSetAvailable",
            "2 pods, 0 updated, 2 available: NewReplicaSetAvailable",
            "2 pods, 0 updated, 2 available: NewReplicaSetCreated",
            "0 pods, 0 updated, 0 available: ReplicaSetUpdated",
            "2 pods, 2 updated, 0 available: ReplicaSetUpdated",
            "2 pods, 2 updated, 2 available: NewReplicaSetAvailable",
        ]
    );
}

#[test]
fn scaling_is_no_rollout() {
    let mut cluster = with([deployment(2)]);
    play(&mut cluster, 10);
    let before = cluster.revision();
    scale(&mut cluster, 0, 10);
    play(&mut cluster, 20);
    scale(&mut cluster, 3, 20);
    play(&mut cluster, 30);
    let states = states(&cluster, before);
    assert!(
        states
            .iter()
            .all(|state| state.ends_with("NewReplicaSetAvailable")),
        "{states:#?}"
    );
    assert_eq!(
        states.last().unwrap(),
        "3 pods, 3 updated, 3 available: NewReplicaSetAvailable"
    );
    assert_eq!(sets(&cluster).len(), 1);
}

#[test]
fn a_template_that_changes_at_zero_replicas_is_complete_at_once() {
    let mut cluster = with([deployment(0)]);
    play(&mut cluster, 10);
    set_image(&mut cluster, &podinfo(), "stuck", 10);
    play(&mut cluster, 10);
    let after = cluster.get(&podinfo()).unwrap();
    assert_eq!(reason(&after, "Progressing"), "NewReplicaSetAvailable");
    assert_eq!(number(&after, "/status/observedGeneration"), Some(2));
}

#[test]
fn scaling_in_the_middle_of_a_rollout_gives_each_set_its_share() {
    let mut object = deployment(10);
    object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 5, "maxUnavailable": 1}});
    let mut cluster = with([object]);
    play(&mut cluster, 10);
    set_image(&mut cluster, &podinfo(), "stuck", 10);
    play(&mut cluster, 12);
    let wanted = |cluster: &Cluster| {
        sets(cluster)
            .iter()
            .map(|set| set["spec"]["replicas"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(wanted(&cluster), [9, 6]);
    scale(&mut cluster, 4, 12);
    // The first look only shares; what follows is the rolling update going on with the new number.
    super::deployments::sync(&mut cluster, &podinfo(), at(12));
    assert_eq!(wanted(&cluster), [5, 4]);
    let before = cluster.revision();
    play(&mut cluster, 20);
    for write in cluster
        .history_since(before)
        .filter(|write| write.key == podinfo())
    {
        let available = count(write.after.as_ref().unwrap(), "availableReplicas");
        assert!(available >= 3, "{available} of 4");
    }
}

#[test]
fn going_back_to_an_earlier_template_takes_its_set_again_under_a_new_number() {
    let mut cluster = with([deployment(1)]);
    for (seconds, tag) in [(10, "1.1"), (20, "1.0")] {
        play(&mut cluster, seconds);
        set_image(&mut cluster, &podinfo(), tag, seconds);
    }
    play(&mut cluster, 30);
    let sets = sets(&cluster);
    assert_eq!(sets.len(), 2);
    let newest = &sets[1]["metadata"]["annotations"];
    assert_eq!(newest["deployment.kubernetes.io/revision"], "3");
    assert_eq!(newest["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(
        text(&sets[1], "/spec/template/spec/containers/0/image"),
        "app:1.0"
    );
}

#[test]
fn old_sets_go_when_the_new_one_is_complete_and_not_before() {
    for (limit, kept) in [(0, 1), (1, 2), (2, 3), (10, 4)] {
        let mut object = deployment(1);
        object["spec"]["revisionHistoryLimit"] = json!(limit);
        let mut cluster = with([object]);
        for (seconds, tag) in [(10, "1.1"), (20, "1.2"), (30, "stuck")] {
            play(&mut cluster, seconds);
            set_image(&mut cluster, &podinfo(), tag, seconds);
        }
        play(&mut cluster, 40);
        // The stuck one is not complete: the set before it is still there, whatever the limit.
        assert_eq!(sets(&cluster).len(), (kept + 1).min(4), "limit {limit}");
        set_image(&mut cluster, &podinfo(), "1.2", 40);
        play(&mut cluster, 60);
        assert_eq!(sets(&cluster).len(), kept, "limit {limit}");
    }
}

#[test]
fn an_annotation_reaches_the_set_and_starts_no_rollout() {
    let mut cluster = with([deployment(1)]);
    play(&mut cluster, 10);
    let pods = cluster.pods(&sets(&cluster)[0]);
    cluster
        .edit(&podinfo(), "davy", at(10), |object| {
            object["metadata"]["annotations"]["flagger.app/step"] = json!("3");
        })
        .unwrap();
    play(&mut cluster, 10);
    let after = cluster.get(&podinfo()).unwrap();
    assert_eq!(number(&after, "/metadata/generation"), Some(2));
    assert_eq!(number(&after, "/status/observedGeneration"), Some(2));
    let [set] = &*sets(&cluster) else {
        panic!("one set")
    };
    assert_eq!(set["metadata"]["annotations"]["flagger.app/step"], "3");
    assert_eq!(cluster.pods(set), pods);
}

#[test]
fn a_paused_deployment_is_scaled_but_not_rolled_out() {
    let mut cluster = with([deployment(1)]);
    play(&mut cluster, 10);
    let pause = |cluster: &mut Cluster, paused: bool, seconds| {
        cluster
            .edit(&podinfo(), "user", at(seconds), |object| {
                object["spec"]["paused"] = json!(paused);
            })
            .unwrap();
    };
    pause(&mut cluster, true, 10);
    set_image(&mut cluster, &podinfo(), "1.1", 10);
    scale(&mut cluster, 2, 10);
    play(&mut cluster, 700);
    let paused = cluster.get(&podinfo()).unwrap();
    assert_eq!(reason(&paused, "Progressing"), "DeploymentPaused");
    assert_eq!(
        (
            count(&paused, "replicas"),
            count(&paused, "updatedReplicas")
        ),
        (2, 0)
    );
    pause(&mut cluster, false, 700);
    play(&mut cluster, 720);
    assert_eq!(
        count(&cluster.get(&podinfo()).unwrap(), "updatedReplicas"),
        2
    );
}

#[test]
fn playing_on_from_change_to_change_is_playing_at_once() {
    let behaviour = Behaviour::default();
    let story = |cluster: &mut Cluster| set_image(cluster, &podinfo(), "1.1", 20);
    let mut at_once = with([deployment(3)]);
    play(&mut at_once, 20);
    story(&mut at_once);
    play(&mut at_once, 100);
    let mut stepwise = with([deployment(3)]);
    for (from, until) in [(0, 20), (20, 100)] {
        if from > 0 {
            story(&mut stepwise);
        }
        let mut now = at(from);
        while let Some(next) = next_change(&stepwise, now, &behaviour) {
            assert!(next >= now && next <= at(until));
            let before = stepwise.revision();
            settle(&mut stepwise, next, &behaviour);
            assert!(stepwise.revision() > before, "nothing changed at {next}");
            now = next;
        }
    }
    let written = |cluster: &Cluster| {
        cluster
            .history()
            .map(|write| (write.at, write.after.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(written(&at_once), written(&stepwise));
}

#[test]
fn an_autoscaler_keeps_to_its_limits_and_lets_zero_alone() {
    for (replicas, desired, wanted) in [
        (2, None, 2),
        (2, Some(3), 3),
        (2, Some(9), 4),
        (2, Some(0), 2),
        (1, None, 2),
        (7, None, 4),
        (0, Some(3), 0),
    ] {
        let autoscaler = json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                "minReplicas": 2,
                "maxReplicas": 4,
            },
        });
        let mut cluster = with([deployment(replicas), autoscaler]);
        let desired = desired.map(|desired| (podinfo(), desired));
        let behaviour = Behaviour {
            desired: desired.into_iter().collect(),
            ..Behaviour::default()
        };
        settle(&mut cluster, at(10), &behaviour);
        let after = cluster.get(&podinfo()).unwrap();
        assert_eq!(
            after["spec"]["replicas"], wanted,
            "{replicas} {behaviour:?}"
        );
        let scaled = cluster
            .history()
            .any(|write| *write.manager == *"horizontal-pod-autoscaler" && write.key == podinfo());
        assert_eq!(scaled, wanted != replicas);
    }
}

#[test]
fn a_daemon_set_replaces_one_pod_after_the_other_and_keeps_its_templates() {
    let agent = key("apps", "DaemonSet", "agent");
    let mut cluster = with([workload("DaemonSet", "agent", "1.0")]);
    play(&mut cluster, 10);
    let before = cluster.revision();
    set_image(&mut cluster, &agent, "1.1", 10);
    play(&mut cluster, 30);
    let mut seen: Vec<(i64, i64)> = cluster
        .history_since(before)
        .filter(|write| write.key == agent && write.verb == Verb::UpdateStatus)
        .filter_map(|write| write.after.as_deref())
        .map(|set| {
            (
                count(set, "updatedNumberScheduled"),
                count(set, "numberAvailable"),
            )
        })
        .collect();
    seen.dedup();
    assert_eq!(seen, [(0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]);
    let mut kept: Vec<_> = cluster
        .objects_of("apps", "ControllerRevision")
        .map(|(_, kept)| {
            let template = &kept["data"]["spec"]["template"];
            assert_eq!(template["$patch"], "replace");
            (
                number(kept, "/revision"),
                text(template, "/spec/containers/0/image").to_owned(),
            )
        })
        .collect();
    kept.sort();
    let expected = [(1, "app:1.0"), (2, "app:1.1")];
    assert_eq!(
        kept,
        expected.map(|(number, image)| (Some(number), image.to_owned()))
    );
}

#[test]
fn a_daemon_set_that_asks_for_nodes_that_are_not_there_runs_nothing() {
    let mut object = workload("DaemonSet", "agent", "1.0");
    object["spec"]["template"]["spec"]["nodeSelector"] =
        json!({"flagger.app/scale-to-zero": "true"});
    let mut cluster = with([object]);
    play(&mut cluster, 10);
    let after = cluster.get(&key("apps", "DaemonSet", "agent")).unwrap();
    assert_eq!(count(&after, "desiredNumberScheduled"), 0);
    assert_eq!(number(&after, "/status/observedGeneration"), Some(1));
}

#[test]
fn endpoints_are_ready_when_their_pods_are() {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "podinfo-canary", "namespace": "test"},
        "spec": {"selector": {"app": "podinfo"}, "ports": [{"name": "http", "port": 80, "targetPort": 9898}]},
    });
    let mut cluster = with([deployment(2), service]);
    let ready = |cluster: &Cluster| {
        let slices: Vec<_> = cluster
            .objects_of("discovery.k8s.io", "EndpointSlice")
            .collect();
        let [(_, slice)] = &*slices else {
            panic!("one slice")
        };
        let labels = &slice["metadata"]["labels"];
        assert_eq!(labels["kubernetes.io/service-name"], "podinfo-canary");
        assert_eq!(number(slice, "/ports/0/port"), Some(9898));
        let endpoints = list(slice, "/endpoints");
        endpoints
            .iter()
            .map(|endpoint| endpoint["conditions"]["ready"] == true)
            .collect::<Vec<_>>()
    };
    for (seconds, wanted) in [(2, &[false, false][..]), (3, &[true, true])] {
        play(&mut cluster, seconds);
        assert_eq!(ready(&cluster), wanted, "after {seconds} s");
    }
    scale(&mut cluster, 0, 10);
    play(&mut cluster, 10);
    assert_eq!(ready(&cluster), [false; 0]);
}

/// A ConfigMap, with owners given by kind, name and UID.
fn config(name: &str, owners: &[(&str, &str, &str, &str)]) -> Value {
    let owners: Vec<_> = owners
        .iter()
        .map(|(version, kind, name, uid)| {
            json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid})
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "test", "ownerReferences": owners},
    })
}

fn uid(cluster: &Cluster, name: &str) -> String {
    text(
        &cluster.get(&key("", "ConfigMap", name)).unwrap(),
        "/metadata/uid",
    )
    .to_owned()
}

#[test]
fn garbage_goes_when_its_last_owner_is_gone() {
    let mut cluster = with([config("one", &[]), config("two", &[])]);
    let (one, two) = (uid(&cluster, "one"), uid(&cluster, "two"));
    for (name, owners) in [
        ("of-one", vec![("v1", "ConfigMap", "one", &*one)]),
        (
            "of-both",
            vec![
                ("v1", "ConfigMap", "one", &*one),
                ("v1", "ConfigMap", "two", &*two),
            ],
        ),
        (
            "of-another-one",
            vec![("v1", "ConfigMap", "one", "some-older-uid")],
        ),
        (
            "of-a-version-not-served",
            vec![("v9", "ConfigMap", "none", "none")],
        ),
        ("of-nobody", vec![]),
    ] {
        cluster.apply(config(name, &owners), "user", at(0)).unwrap();
    }
    let there = |cluster: &Cluster| {
        let configs = cluster.objects_of("", "ConfigMap");
        configs
            .map(|(key, _)| key.name.to_string())
            .collect::<Vec<_>>()
    };
    play(&mut cluster, 1);
    assert_eq!(
        there(&cluster),
        [
            "of-a-version-not-served",
            "of-both",
            "of-nobody",
            "of-one",
            "one",
            "two"
        ]
    );
    cluster
        .delete(&key("", "ConfigMap", "one"), "user", at(2))
        .unwrap();
    play(&mut cluster, 3);
    assert_eq!(
        there(&cluster),
        ["of-a-version-not-served", "of-both", "of-nobody", "two"]
    );
    let both = cluster.get(&key("", "ConfigMap", "of-both")).unwrap();
    assert_eq!(list(&both, "/metadata/ownerReferences").len(), 1);
}

#[test]
fn a_deployment_takes_its_sets_with_it() {
    let mut cluster = with([deployment(2)]);
    play(&mut cluster, 10);
    let set = sets(&cluster)[0].clone();
    cluster.delete(&podinfo(), "user", at(10)).unwrap();
    play(&mut cluster, 10);
    assert_eq!(sets(&cluster).len(), 0);
    assert_eq!(cluster.pods(&set).len(), 0);
}

#[test]
fn a_deployment_that_comes_back_at_once_has_pods_of_its_own() {
    let mut cluster = with([deployment(2)]);
    play(&mut cluster, 10);
    cluster.delete(&podinfo(), "user", at(10)).unwrap();
    cluster.apply(deployment(2), "user", at(10)).unwrap();
    play(&mut cluster, 11);
    assert_eq!(count(&cluster.get(&podinfo()).unwrap(), "readyReplicas"), 0);
    play(&mut cluster, 13);
    assert_eq!(count(&cluster.get(&podinfo()).unwrap(), "readyReplicas"), 2);
}

#[test]
fn a_deletion_in_the_foreground_waits_for_what_depends_on_the_object() {
    for (policy, left) in [("Foreground", 0), ("Orphan", 1)] {
        let mut cluster = with([config("one", &[])]);
        let one = uid(&cluster, "one");
        let owned = config("of-one", &[("v1", "ConfigMap", "one", &one)]);
        cluster.apply(owned, "user", at(0)).unwrap();
        let request = http::Request::delete("/api/v1/namespaces/test/configmaps/one")
            .body(json!({"propagationPolicy": policy}).to_string().into())
            .unwrap();
        assert_eq!(cluster.handle(&request, at(1)).status(), 200);
        assert_eq!(cluster.objects_of("", "ConfigMap").count(), 2, "{policy}");
        play(&mut cluster, 2);
        assert_eq!(
            cluster.objects_of("", "ConfigMap").count(),
            left,
            "{policy}"
        );
    }
}

#[test]
fn a_namespace_is_emptied_before_it_goes() {
    let mut cluster = with([deployment(1), config("one", &[])]);
    play(&mut cluster, 10);
    cluster
        .delete(&Key::new("", "Namespace", "", "test"), "user", at(10))
        .unwrap();
    play(&mut cluster, 10);
    let left: Vec<_> = cluster
        .objects()
        .filter(|(key, _)| *key.namespace == *"test")
        .collect();
    assert_eq!(left.len(), 0);
    assert_eq!(cluster.get(&Key::new("", "Namespace", "", "test")), None);
}
