//! The life of a canary, stage by stage, and what is to be seen after each.
use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    bed::audit::{AuditEvent, AuditMark},
    podinfo::{Podinfo, once_each},
};

use super::{
    admission::Acting,
    root,
    row::{Bounded, Fought, Holds, Row, Stage, Told},
    writer::Writer,
};

/// Only that a row ends: on a busy machine a pass takes seconds.
const DEADLINE: Duration = Duration::from_mins(8);
const PAUSE: Duration = Duration::from_secs(1);
const FIRST_TAG: &str = "1.2.0";
/// Passes that must make no write, once there is nothing left to do.
const IDLE_PASSES: usize = 2;
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// The texts of the Canary's Events at each stage of a life in which nobody interferes.
type Undisturbed = BTreeMap<String, Vec<String>>;

pub(super) async fn play(row: &Row) {
    let podinfo = Podinfo::begin(&row.name)
        .await
        .expect("the cluster tier is not skipped");
    let mut course = Course {
        row,
        podinfo: &podinfo,
        policy: None,
        writer: None,
        serves: FIRST_TAG.to_owned(),
        releases: 0,
        heard: 0,
    };
    for stage in &row.course {
        course.stage(stage).await;
    }
    let events = podinfo.events().await;
    for text in &row.says {
        let count = events.iter().filter(|event| event.contains(text)).count();
        assert_eq!(count, 1, "{text:?} is said once: {events:#?}");
    }
    for object in &row.objects {
        course.assert_holds(object).await;
    }
}

struct Course<'a> {
    row: &'a Row,
    podinfo: &'a Podinfo,
    policy: Option<Acting<'a>>,
    writer: Option<Writer>,
    /// The tag that was promoted last.
    serves: String,
    releases: u32,
    /// Events of the stages before.
    heard: usize,
}

impl<'a> Course<'a> {
    async fn stage(&mut self, stage: &'a Stage) {
        let podinfo = self.podinfo;
        match stage {
            Stage::Policy => {
                let (cluster, namespace) = (podinfo.cluster, &podinfo.namespace);
                self.policy = Some(Acting::begin(cluster, namespace, &self.row.policy).await);
            }
            Stage::Lifted => self.policy.take().expect("a policy acts").end().await,
            Stage::Writer => {
                let (cluster, namespace) = (podinfo.cluster, &podinfo.namespace);
                let git = self.row.writer.as_ref().expect("the row has a writer");
                let manifests = &self.row.manifests;
                self.writer = Some(Writer::begin(cluster, namespace, git, manifests).await);
            }
            Stage::WriterStops => drop(self.writer.take()),
            Stage::Applied => {
                let manifests = fs::read_to_string(root().join("application.yaml"));
                let manifests = manifests.expect("the application");
                podinfo
                    .apply(&manifests.replace("IMAGE", &self.row.image))
                    .await;
            }
            Stage::Initialized => self.initialized().await,
            Stage::Promoted => self.promoted().await,
            Stage::RolledBack => self.rolled_back().await,
            Stage::Healed => self.healed().await,
            Stage::Raised(weight) => {
                self.new_revision().await;
                podinfo.passes_until_weight(*weight).await;
            }
            Stage::ChecksFail => podinfo.serve(50.0, 50.0),
            Stage::Rests(phase) => {
                self.rests(phase).await;
                self.heard = podinfo.events().await.len();
            }
            Stage::Tells(told) => self.tells(told).await,
            Stage::Ends(bounded) => self.ends(bounded).await,
            Stage::Slower(fought) => self.slower(fought).await,
        }
    }

    async fn initialized(&mut self) {
        self.rests("Initialized").await;
        self.assert_carried_by_primary(FIRST_TAG).await;
        self.assert_heard("initialized").await;
    }

    async fn promoted(&mut self) {
        self.serves = self.new_revision().await;
        self.rests("Succeeded").await;
        self.assert_carried_by_primary(&self.serves.clone()).await;
        self.assert_heard("promoted").await;
    }

    async fn rolled_back(&mut self) {
        self.podinfo.serve(50.0, 50.0);
        // What an Event says of a check is then the same each time.
        self.podinfo
            .until_answers((50.0, "10s"), (50.0, "10s"))
            .await;
        self.new_revision().await;
        self.rests("Failed").await;
        self.podinfo.serve(100.0, 50.0);
        self.assert_carried_by_primary(&self.serves.clone()).await;
        self.assert_heard("rolledBack").await;
    }

    async fn healed(&mut self) {
        let podinfo = self.podinfo;
        podinfo.until_answers((100.0, "10s"), (50.0, "10s")).await;
        // Of a tag that contains this only the primary's pods never become ready.
        self.release("primary-stuck").await;
        podinfo
            .passes_until("Promoting", |pass| pass.phase == "Promoting")
            .await;
        podinfo
            .passes_until("Failed", |pass| pass.phase == "Failed")
            .await;
        self.rests("Failed").await;
        self.assert_carried_by_primary(&self.serves.clone()).await;
        let status = podinfo.canary().await["status"].take();
        assert_eq!(
            status["conditions"][0]["reason"], "PromotionFailed",
            "{status:#}"
        );
        self.assert_heard("healed").await;
    }

    /// Pushes an image that was not there before; its tag.
    async fn new_revision(&mut self) -> String {
        self.releases += 1;
        let tag = format!("1.3.{}", self.releases);
        self.release(&tag).await;
        tag
    }

    async fn release(&self, tag: &str) {
        let image = format!("{}{tag}", self.row.image);
        if let Some(writer) = &self.writer
            && writer.release(&image).await
        {
            return;
        }
        self.podinfo.full_image(&image).await;
    }

    /// Passes until there is nothing left to do, and then some that write nothing at all.
    async fn rests(&self, phase: &str) {
        let podinfo = self.podinfo;
        podinfo.passes_until_rest_in(phase).await;
        if self.row.is_fought() {
            return;
        }
        let mark = podinfo.cluster.audit_mark();
        for _ in 0..IDLE_PASSES {
            let pass = podinfo.pass();
            assert_eq!(pass.outcome, "rested", "{pass:?}");
        }
        let writes: Vec<_> = self.writes(mark).await;
        let writes: Vec<_> = writes
            .iter()
            .map(|it| (&it.verb, &it.uri, it.code))
            .collect();
        assert!(writes.is_empty(), "at rest in {phase}: {writes:#?}");
    }

    /// All traffic is on the primary, which runs this, has pods, and is the only one that has.
    async fn assert_carried_by_primary(&self, tag: &str) {
        let podinfo = self.podinfo;
        assert_eq!(podinfo.route_weights().await, (100, 0));
        assert_eq!(podinfo.tag_and_replicas("podinfo-primary").await.0, tag);
        let primary = podinfo.deployment("podinfo-primary").await;
        let ready = primary["status"]["readyReplicas"].as_u64().unwrap_or(0);
        assert!(ready > 0, "{:#}", primary["status"]);
        if !self.row.is_fought() {
            assert_eq!(podinfo.tag_and_replicas("podinfo").await.1, 0);
        }
        let status = podinfo.canary().await["status"].take();
        assert_eq!(status["canaryWeight"], 0, "{status:#}");
    }

    /// What the Canary has said since the last stage is what it says when nobody interferes, and what
    /// the row names.
    async fn assert_heard(&mut self, stage: &str) {
        let undisturbed = fs::read_to_string(root().join("events.yaml")).expect("the Events");
        let undisturbed: Undisturbed = serde_yaml::from_str(&undisturbed).expect("texts");
        let is_in = |texts: &[String], event: &str| texts.iter().any(|text| event.contains(text));
        let events = self.podinfo.events().await;
        let new = events[self.heard..].to_vec();
        self.heard = events.len();
        let namespace = format!(".{}", self.podinfo.namespace);
        let mut heard: Vec<_> = once_each(new)
            .into_iter()
            .filter(|event| !is_in(&self.row.says, event))
            .map(|event| event.replace(&namespace, ".test"))
            .collect();
        for event in &mut heard {
            // Which pods are not ready yet depends on the moment.
            if let Some((head, _)) = event.split_once(", primary not ready: ") {
                *event = head.to_owned();
            }
        }
        let mut wanted = undisturbed[stage].clone();
        wanted.retain(|event| !is_in(&self.row.leaves_out, event));
        assert_eq!(heard, wanted, "{stage}");
    }

    /// A write that is refused is seen in the pass, in condition Ready, in the weight and in one
    /// Event, however many passes try again.
    async fn tells(&self, told: &Told) {
        let podinfo = self.podinfo;
        let end = Instant::now() + DEADLINE;
        let mut seen = Value::Null;
        while !is_told(&seen, told) {
            assert!(Instant::now() < end, "{told:?}: not told: {seen:#}");
            self.refused_pass();
            seen = podinfo.canary().await["status"].take();
            tokio::time::sleep(PAUSE).await;
        }
        for _ in 0..IDLE_PASSES {
            let output = self.refused_pass();
            assert!(output.contains(&told.says), "{told:?}: {output}");
        }
        let status = podinfo.canary().await["status"].take();
        assert!(is_told(&status, told), "{told:?} is told on: {status:#}");
        assert_eq!(podinfo.route_weights().await.1, told.weight, "{told:?}");
        let events = podinfo.events().await;
        let count = events
            .iter()
            .filter(|event| event.contains(&told.says))
            .count();
        assert_eq!(count, 1, "{told:?} is told once: {events:#?}");
    }

    /// A pass whose write may be refused, and what it printed.
    fn refused_pass(&self) -> String {
        self.podinfo.davy(&["run", "-o", "json"]).run().output
    }

    async fn ends(&mut self, bounded: &Bounded) {
        let mark = self.podinfo.cluster.audit_mark();
        self.new_revision().await;
        self.rests("Failed").await;
        self.assert_carried_by_primary(&self.serves.clone()).await;
        let writes = self
            .writes_of(mark, "virtualservices", "podinfo")
            .await
            .len();
        assert!(writes <= bounded.writes, "{writes} writes of the route");
    }

    /// Repairs become rarer: between the last two is three times what was between the nearest two.
    async fn slower(&self, fought: &Fought) {
        let podinfo = self.podinfo;
        let mark = podinfo.cluster.audit_mark();
        let end = Instant::now() + DEADLINE;
        loop {
            podinfo.pass();
            let repairs = self.writes_of(mark, &fought.resource, &fought.name).await;
            let times: Vec<_> = repairs.iter().map(AuditEvent::received).collect();
            let between = times.windows(2).map(|two| two[1].duration_since(two[0]));
            let gaps: Vec<_> = between.collect();
            let are_rarer = gaps
                .iter()
                .min()
                .is_some_and(|nearest| *gaps.last().unwrap_or(nearest) >= *nearest * 3);
            if repairs.len() >= fought.repairs && are_rarer {
                return;
            }
            assert!(
                Instant::now() < end,
                "{fought:?} within {DEADLINE:?}: {gaps:?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn writes(&self, mark: AuditMark) -> Vec<AuditEvent> {
        let mut requests = self.podinfo.cluster.audit(mark, &self.podinfo.user).await;
        requests.retain(|request| WRITES.contains(&&*request.verb));
        requests
    }

    /// Writes of one object that were carried out.
    async fn writes_of(&self, mark: AuditMark, resource: &str, name: &str) -> Vec<AuditEvent> {
        let mut writes = self.writes(mark).await;
        writes.retain(|it| it.resource == resource && it.name == name && it.code < 300);
        writes
    }

    async fn assert_holds(&self, wanted: &Holds) {
        let Holds {
            api_version,
            kind,
            name,
            contains,
            without,
        } = wanted;
        let object = self.podinfo.object(api_version, kind, name).await;
        assert!(!object.is_null(), "no {kind} {name}");
        assert!(
            holds(&object, contains),
            "{kind} {name}: {contains} is not in {object:#}"
        );
        for pointer in without {
            let found = object.pointer(pointer);
            assert!(found.is_none(), "{kind} {name}: {pointer} is {found:?}");
        }
    }
}

fn is_told(status: &Value, told: &Told) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    let is_said = ready.any(|ready| {
        let message = ready["message"].as_str().unwrap_or_default();
        ready["status"] == "False" && message.contains(&told.says)
    });
    is_said && status["phase"] == *told.phase && status["canaryWeight"] == told.weight
}

/// Whether a value is in another one: fields by name, items of a list in any place.
fn holds(object: &Value, wanted: &Value) -> bool {
    match (object, wanted) {
        (_, Value::Null) => true,
        (Value::Object(object), Value::Object(wanted)) => wanted
            .iter()
            .all(|(field, wanted)| object.get(field).is_some_and(|value| holds(value, wanted))),
        (Value::Array(object), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| object.iter().any(|item| holds(item, wanted))),
        (object, wanted) => object == wanted,
    }
}
