//! Questions of many canaries at once: what a pass over a thousand asks of the metrics system, and that
//! nobody waits for another's.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use davy::io::{Io, Wire, WireError};
use davy::pass::report::{Handled, Outcome, Report};
use davy::pass::{self, Options};
use davy::simulate::cluster::Key;
use davy::simulate::play::Play;
use davy::simulate::scenario::{self, Scenario};
use davy::simulate::world::World;
use http::Request;
use jiff::SignedDuration;
use serde_json::Value;
use tower::{ServiceExt, service_fn};

use crate::tier::is_thorough;

/// Canaries of the long proof, and of a day's.
const CANARIES: [usize; 2] = [1_000, 100];
const NAMESPACES: usize = 7;
/// Queries of a pass in which each of them has both checks due.
const QUERIES_MAX: usize = 10;
/// More passes than any step of these takes.
const PASSES_MAX: usize = 12;

/// A world of many applications, and what is asked of metrics systems in it.
struct Many {
    world: World,
    options: Options,
    queries: Arc<Mutex<Vec<String>>>,
    keys: Vec<Key>,
}

impl Many {
    /// So many copies of the application of a scenario; `change` makes each Canary what it should be.
    fn new(count: usize, change: impl Fn(usize, &mut Value)) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios/promoted");
        let play = Play::new(Scenario::read(&folder).unwrap()).unwrap();
        let options = Options {
            concurrency: 16,
            ..play.options.clone()
        };
        let text = std::fs::read_to_string(folder.join("cluster.yaml")).unwrap();
        let world = play.world.clone();
        let mut keys = Vec::new();
        for number in 0..count {
            for mut object in scenario::documents(&text).unwrap() {
                let name = format!("podinfo-{number}");
                object["metadata"]["name"] = name.clone().into();
                object["metadata"]["namespace"] = format!("team-{}", number % NAMESPACES).into();
                if object["kind"] == "Canary" {
                    object["spec"]["targetRef"]["name"] = name.clone().into();
                    change(number, &mut object);
                } else {
                    object["spec"]["replicas"] = 1.into();
                    let labels = serde_json::json!({ "app": name });
                    object["spec"]["selector"]["matchLabels"] = labels.clone();
                    object["spec"]["template"]["metadata"]["labels"] = labels;
                    keys.push(Key::of(&object));
                }
                let now = world.now();
                world.lock().cluster.apply(object, "user", now).unwrap();
            }
        }
        // The scenario's own rests beside them.
        Self {
            world,
            options,
            queries: Arc::default(),
            keys,
        }
    }

    async fn pass(&self) -> Report {
        let next = self.world.now() + SignedDuration::from_secs(10);
        self.world.advance(next);
        self.queries().clear();
        let Io { wire, clock } = self.world.io();
        let (queries, world) = (self.queries.clone(), self.world.clone());
        let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
            let (wire, queries, world) = (wire.clone(), queries.clone(), world.clone());
            async move {
                let uri = request.uri().to_string();
                if uri.contains(SLOW) && !uri.contains("vector") {
                    while !others_have_gone_on(&world) {
                        tokio::task::yield_now().await;
                    }
                    return Err(WireError::NoAnswer("no answer in time".to_owned()));
                }
                if request.uri().host().is_some() {
                    let mut queries = queries.lock().unwrap_or_else(PoisonError::into_inner);
                    queries.push(uri);
                }
                wire.oneshot(request).await
            }
        }));
        let report = pass::run(&Io { wire, clock }, &self.options).await.unwrap();
        self.world.end_pass();
        report
    }

    fn queries(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes passes until all of these canaries are so.
    async fn until(&self, canaries: usize, is_so: impl Fn(&Handled) -> bool) -> Report {
        for _ in 0..PASSES_MAX {
            let report = self.pass().await;
            let own = report.canaries.iter();
            let own = own.filter(|handled| handled.canary.starts_with("team-"));
            if own.filter(|handled| is_so(handled)).count() >= canaries {
                return report;
            }
        }
        panic!(
            "not reached in {PASSES_MAX} passes: {:?}",
            self.pass().await
        );
    }

    /// A new image for each application.
    fn release(&self) {
        let now = self.world.now();
        for key in &self.keys {
            let image = "stefanprodan/podinfo:1.2.1";
            let change = |object: &mut Value| {
                object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
            };
            let mut state = self.world.lock();
            state.cluster.edit(key, "user", now, change).unwrap();
        }
    }
}

/// One query serves many canaries, and each has its own verdict of it.
#[tokio::test]
async fn a_thousand_canaries_with_both_checks_are_ten_queries() {
    let [long, short] = CANARIES;
    let canaries = if is_thorough() { long } else { short };
    let many = Many::new(canaries, |_, _| {});
    let rested = |handled: &Handled| handled.outcome == Outcome::Rested;
    many.until(canaries, rested).await;
    many.release();
    many.until(canaries, |handled| handled.weight == 10).await;
    let report = many.until(canaries, |handled| handled.weight == 20).await;
    let own = report
        .canaries
        .iter()
        .filter(|it| it.canary.starts_with("team-"));
    assert!(
        own.clone().all(|handled| handled.checks.len() == 2),
        "{report:?}"
    );
    let queries = many.queries();
    assert!(!queries.is_empty());
    assert!(queries.len() <= QUERIES_MAX, "{} queries", queries.len());
    let longest = queries.iter().map(String::len).max().unwrap();
    assert!(longest < 24_000, "a URL of {longest} bytes");
}

/// Whoever asks a metrics system that does not answer is held, and the others go on meanwhile.
#[tokio::test]
async fn nobody_waits_for_the_metrics_system_of_another() {
    let many = Many::new(6, |number, canary| {
        if number == 0 {
            canary["spec"]["metricsServer"] = format!("http://{SLOW}").into();
        }
    });
    let rested = |handled: &Handled| handled.outcome == Outcome::Rested;
    many.until(6, rested).await;
    many.release();
    many.until(6, |handled| handled.weight == 10).await;
    let report = many.until(5, |handled| handled.weight == 20).await;
    let held = report
        .canaries
        .iter()
        .find(|it| it.canary == "team-0/podinfo-0");
    let held = held.unwrap();
    assert_eq!(
        (held.weight, held.outcome),
        (10, Outcome::Stepped),
        "{held:?}"
    );
    assert!(held.reason.contains("no answer in time"), "{held:?}");
    let written = many.written();
    let last = written.last().map(String::as_str);
    assert_eq!(
        last,
        Some("podinfo-0"),
        "the others were first: {written:?}"
    );
}

impl Many {
    /// The Canaries whose status was written in the last pass, in order.
    fn written(&self) -> Vec<String> {
        let state = self.world.lock();
        let writes = state.cluster.history();
        let ours = writes
            .filter(|write| &*write.key.kind == "Canary" && &*write.manager == pass::FIELD_MANAGER);
        let mut ours: Vec<_> = ours.collect();
        ours.sort_by_key(|write| write.number);
        let last = ours.last().map(|write| write.at);
        ours.retain(|write| Some(write.at) == last);
        ours.iter()
            .map(|write| write.key.name.to_string())
            .collect()
    }
}

/// A metrics system that answers when all who do not ask it have written.
const SLOW: &str = "slow.example.com";

fn others_have_gone_on(world: &World) -> bool {
    let state = world.lock();
    let canaries = state.cluster.objects_of("flagger.app", "Canary");
    let gone_on = canaries.filter(|(_, canary)| canary["status"]["canaryWeight"] == 20);
    gone_on.count() == 5
}
