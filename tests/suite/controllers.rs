//! The stand-ins for the controllers of Deployments and autoscalers against the real ones: the same
//! states in the same order, as far as Davy looks at them. What the real ones do is recorded in
//! `fixtures/controllers.yaml`; `TEST_DAVY_UPDATE=1` writes it anew where there is a control plane.

use std::pin::pin;
use std::time::Duration;

use davy::simulate::cluster::{Cluster, Key};
use davy::simulate::controllers::{Behaviour, settle};
use davy::workloads::deployment::Deployment;
use davy::workloads::pods::Pods;
use davy::workloads::{Readiness, ReadinessRule};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use kube::api::{DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::bed::control_plane;
use crate::bed::control_plane::ControlPlane;

const FILE: &str = "fixtures/controllers.yaml";
/// The autoscaler's controller looks every 15 s, and a machine may be busy.
const DEADLINE: Duration = Duration::from_mins(2);
/// A recording has seen everything when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(25);
const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");
const AUTOSCALER: (&str, &str) = ("autoscaling/v2", "HorizontalPodAutoscaler");

/// One Deployment and what it is put through.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Story {
    name: String,
    /// The spec of its autoscaler, but for the target.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    autoscaler: Value,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What the user sets, the first time to create it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// Each state once, from the user's write on.
    states: Vec<String>,
}

fn recorded() -> Vec<Story> {
    let text = std::fs::read_to_string(FILE).expect("the fixture is there");
    serde_yaml::from_str(&text).expect("stories")
}

#[test]
fn stand_ins_go_through_the_states_of_the_real_controllers() {
    for story in recorded() {
        let mut memory = Cluster::new();
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let key = Key::new("apps", "Deployment", "test", &story.name);
        for (index, step) in story.steps.iter().enumerate() {
            let before = memory.revision();
            let mut states = States::default();
            if index == 0 {
                let deployment = story.deployment("test", step);
                memory.apply(deployment, "user", now).expect("it is taken");
                if let Some(autoscaler) = story.autoscaler("test") {
                    memory.apply(autoscaler, "user", now).expect("it is taken");
                }
            } else {
                let change = step.change(&story.name);
                let edit = |object: &mut Value| json_patch::merge(object, &change);
                memory.edit(&key, "user", now, edit).expect("it is taken");
            }
            now += SignedDuration::from_mins(2);
            settle(&mut memory, now, &Behaviour::default());
            if let (Some(scaler), true) = (&story.autoscaler("test"), index > 0) {
                let scaler = Key::of(scaler);
                let at_first = memory.history().filter(|write| write.number <= before);
                let last = at_first.filter(|write| write.key == scaler).last();
                states.keep_autoscaler(last.and_then(|write| write.after.as_deref()));
            }
            for write in memory.history_since(before) {
                states.see(&story, write.after.as_deref());
            }
            assert_eq!(
                states.seen, step.states,
                "{}, step {index}: {step:?}",
                story.name
            );
        }
    }
}

#[tokio::test]
async fn real_controllers_go_through_the_states_that_are_recorded() {
    let Some(cluster) = control_plane().await else {
        return;
    };
    let namespace = cluster.namespace("controllers").await;
    let is_recording = std::env::var_os("TEST_DAVY_UPDATE").is_some();
    let played = recorded().into_iter().map(|mut story| {
        let namespace = &namespace;
        async move {
            let mut states = States::default();
            for index in 0..story.steps.len() {
                let wanted = story.steps[index].states.clone();
                let until = (!is_recording).then_some(&*wanted);
                states.seen.clear();
                play(cluster, namespace, &story, index, &mut states, until).await;
                if !is_recording {
                    assert_eq!(states.seen, wanted, "{}, step {index}", story.name);
                }
                story.steps[index].states.clone_from(&states.seen);
            }
            story
        }
    });
    let played = futures::future::join_all(played).await;
    if is_recording {
        let text = serde_yaml::to_string(&played).expect("YAML");
        let text = format!(
            "# Recorded from kube-controller-manager; see tests/suite/controllers.rs.\n{text}"
        );
        std::fs::write(FILE, text).expect("the fixture can be written");
    }
}

impl Story {
    fn deployment(&self, namespace: &str, step: &Step) -> Value {
        let mut deployment = json!({
            "apiVersion": DEPLOYMENT.0,
            "kind": DEPLOYMENT.1,
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {
                // A rollout that is stuck is so soon.
                "progressDeadlineSeconds": 10,
                "selector": {"matchLabels": {"app": self.name}},
                "template": {
                    "metadata": {"labels": {"app": self.name}},
                    "spec": {"terminationGracePeriodSeconds": 0},
                },
            },
        });
        json_patch::merge(&mut deployment, &step.change(&self.name));
        deployment
    }

    fn autoscaler(&self, namespace: &str) -> Option<Value> {
        if self.autoscaler.is_null() {
            return None;
        }
        let mut autoscaler = json!({
            "apiVersion": AUTOSCALER.0,
            "kind": AUTOSCALER.1,
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {"scaleTargetRef": {
                "apiVersion": DEPLOYMENT.0, "kind": DEPLOYMENT.1, "name": self.name,
            }},
        });
        json_patch::merge(&mut autoscaler["spec"], &self.autoscaler);
        Some(autoscaler)
    }
}

impl Step {
    /// As a merge patch of the Deployment.
    fn change(&self, name: &str) -> Value {
        let mut spec = json!({});
        if let Some(replicas) = self.replicas {
            spec["replicas"] = json!(replicas);
        }
        if let Some(tag) = &self.tag {
            let container = json!({"name": name, "image": format!("stefanprodan/podinfo:{tag}")});
            spec["template"]["spec"]["containers"] = json!([container]);
        }
        json!({ "spec": spec })
    }
}

/// What was seen of one Deployment and its autoscaler.
#[derive(Default)]
struct States {
    seen: Vec<String>,
    deployment: Value,
    is_paused: bool,
}

impl States {
    fn see(&mut self, story: &Story, object: Option<&Value>) {
        let Some(object) = object.filter(|object| object["metadata"]["name"] == *story.name) else {
            return;
        };
        match object["kind"].as_str() {
            Some("Deployment") => self.deployment = object.clone(),
            Some("HorizontalPodAutoscaler") => self.keep_autoscaler(Some(object)),
            _ => return,
        }
        if self.deployment.is_null() {
            return;
        }
        let state = if story.autoscaler.is_null() {
            rollout(&self.deployment)
        } else {
            format!(
                "{} asked for, autoscaler {}",
                self.deployment["spec"]["replicas"],
                if self.is_paused { "paused" } else { "at work" },
            )
        };
        if self.seen.last() != Some(&state) {
            self.seen.push(state);
        }
    }

    /// Without a metrics server the real one has other conditions than the stand-in while it is at
    /// work; Davy relies on its letting zero alone.
    fn keep_autoscaler(&mut self, object: Option<&Value>) {
        let conditions = object.and_then(|object| object["status"]["conditions"].as_array());
        self.is_paused = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["reason"] == "ScalingDisabled");
    }
}

/// A Deployment as Davy sees it: how far its rollout is, and whether anybody answers. How many of
/// its pods are there meanwhile depends on the machine.
fn rollout(deployment: &Value) -> String {
    let rule = ReadinessRule {
        now: Timestamp::UNIX_EPOCH,
        threshold: 100,
        progress_deadline_seconds: 600,
    };
    let side = Deployment.side(deployment, rule);
    let status = &deployment["status"]["observedGeneration"];
    let is_observed = deployment["metadata"]["generation"] == *status;
    let state = match side.readiness {
        _ if !is_observed => "not observed",
        Readiness::Ready => "ready",
        Readiness::Waiting(_) if side.replicas == 0 => "at zero",
        Readiness::Waiting(_) => "rolling out",
        Readiness::Exceeded(_) => "past its deadline",
    };
    let serves = match side.available {
        0 => "does not serve",
        _ => "serves",
    };
    format!("{state}, {serves}")
}

/// Makes one change on the real control plane and looks until the last of the wanted states, or,
/// where there are none, until nothing more comes.
async fn play(
    cluster: &ControlPlane,
    namespace: &str,
    story: &Story,
    index: usize,
    states: &mut States,
    wanted: Option<&[String]>,
) {
    let step = &story.steps[index];
    let deployments = cluster
        .objects(DEPLOYMENT.0, DEPLOYMENT.1, Some(namespace))
        .await;
    let autoscalers = cluster
        .objects(AUTOSCALER.0, AUTOSCALER.1, Some(namespace))
        .await;
    let first = if index == 0 {
        let created = create(&deployments, story.deployment(namespace, step)).await;
        if let Some(autoscaler) = story.autoscaler(namespace) {
            create(&autoscalers, autoscaler).await;
        }
        created
    } else {
        let change = Patch::Merge(step.change(&story.name));
        let changed = deployments
            .patch(&story.name, &PatchParams::default(), &change)
            .await;
        changed.expect("the Deployment is changed")
    };
    let version = first.resource_version().expect("it has one");
    let parameters = WatchParams::default().fields(&format!("metadata.name={}", story.name));
    let watch = async |objects: &Api<DynamicObject>| {
        objects
            .watch(&parameters, &version)
            .await
            .expect("it can be watched")
            .boxed()
    };
    let events = [watch(&deployments).await, watch(&autoscalers).await];
    let mut events = pin!(stream::select_all(events));
    states.see(story, Some(&json!(first)));
    let end = Instant::now() + DEADLINE;
    while wanted.is_none_or(|wanted| states.seen.last() != wanted.last()) {
        let until = if wanted.is_some() {
            end
        } else {
            Instant::now() + QUIET
        };
        let Ok(event) = timeout_at(until, events.next()).await else {
            // What was seen until then says what is missing.
            return;
        };
        match event
            .expect("the watch goes on")
            .expect("the watch goes on")
        {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                states.see(story, Some(&json!(object)));
            }
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status}"),
        }
    }
}

async fn create(objects: &Api<DynamicObject>, object: Value) -> DynamicObject {
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let created = objects
        .create(&kube::api::PostParams::default(), &object)
        .await;
    created.expect("the object is created")
}
