//! Killed for real: two copies of the binary in a loop on the real control plane, with SIGKILL at
//! moments that are drawn, while images and configs change. Every write that the API server tells
//! of is judged by the same checker as the histories in memory.
//!
//! Which pass made a write is not to be seen here, so what is about single passes (S1, S7) is
//! judged in memory only.

mod history;
mod killers;
mod users;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::bed::control_plane::ControlPlane;
use crate::bed::wait::until;
use crate::bed::{control_plane, prometheus};
use crate::draw::Draw;
use crate::podinfo::{fixture, install_definitions};
use crate::proof::invariants::watched::Change;
use crate::proof::invariants::{Checker, Committed, in_words};
use crate::proof::stage::stops::tell;
use crate::tier::{Tier, tier};

use history::History;
use killers::{Call, Moments, Run};
use users::{APPS, Quality, Users};

/// A run of CI, and one in which nothing asks for the cluster.
const MINUTES_REQUIRED: u64 = 5;
const MINUTES_ELSE: u64 = 1;
/// Between two changes; every application gets one about once a minute.
const CHANGE_MILLISECONDS_MAX: usize = 12_000;
/// Until every canary is at rest once nothing is killed or changed any more: the longest release
/// twice, on a busy machine.
const REST_DEADLINE: Duration = Duration::from_mins(6);
/// A pass ends by itself after 50 s, so no write is later than that after its `now`.
const LATE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Writes that are told before one that breaks an invariant.
const TOLD: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_that_are_killed_all_the_time_break_no_invariant() {
    let (Some(cluster), Some(prometheus)) = (control_plane().await, prometheus().await) else {
        return;
    };
    install_definitions(cluster).await;
    let (during, seed) = (during(), seed());
    tell(&format!(
        "killed: for {} s, TEST_DAVY_SEED={seed}",
        during.as_secs()
    ));
    let namespace = cluster.namespace("killed").await;
    let history = History::begin(cluster, &namespace).await;
    let users = ["a", "b"].map(|copy| format!("davy-{namespace}-{copy}"));
    let kubeconfigs = users
        .each_ref()
        .map(|user| cluster.kubeconfig_for(user, Some("system:masters")));
    let calls = kubeconfigs.each_ref().map(|kubeconfig| Call {
        kubeconfig,
        namespace: &namespace,
        metrics_server: prometheus.url(),
    });
    let mark = cluster.audit_mark();
    let mut people = Users::new(cluster, prometheus.exporter(), &namespace);
    let stop = AtomicBool::new(false);
    let mut draw = Draw(seed);
    let runs = std::thread::scope(|scope| {
        let loops = calls.each_ref().map(|call| {
            let draw = Draw(draw.number());
            let stop = &stop;
            scope.spawn(move || call.kill_until(stop, draw))
        });
        // What fails here must not leave the loops running for ever.
        let stopping = Stopping(&stop);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // Also the initialization is cut to pieces.
                let canaries = fixture("story/killed.yaml");
                cluster.apply_yaml(&canaries, &namespace).await;
                let end = Instant::now() + during;
                while Instant::now() < end {
                    sleep(Duration::from_millis(pause(&mut draw))).await;
                    people.change(&mut draw).await;
                }
            });
        });
        drop(stopping);
        loops.map(|killing| killing.join().expect("the loop ends"))
    });
    come_to_rest(cluster, &calls[0], &people).await;
    let mut moments = Moments::default();
    for (user, runs) in users.iter().zip(&runs) {
        moments.add(runs, &cluster.audit(mark, user).await);
    }
    let changes = history.end().await;
    let judged = Judged::of(&changes);
    let runs: Vec<_> = runs.into_iter().flatten().collect();
    let killed = runs.iter().filter(|run| run.is_killed()).count();
    tell(&format!(
        "killed: {} runs, {killed} of them killed, at {} different moments:\n{moments}\
         {} images, {} configs, {} times set back, {} Canaries deleted\n{judged:#?}",
        runs.len(),
        moments.different(),
        people.images,
        people.configs,
        people.set_back,
        people.deleted,
    ));
    assert_no_bugs(&runs);
    assert!(
        judged.broken.is_empty(),
        "TEST_DAVY_SEED={seed}: {} violations",
        judged.broken.len()
    );
    assert!(
        judged.latest <= LATE_MAX,
        "a write bears a time of long ago"
    );
    let minutes = usize::try_from(during.as_secs() / 60).unwrap_or(0);
    assert!(killed >= 20 * minutes, "too few kills");
    assert!(
        minutes == 0 || moments.different() >= 6,
        "all kills fell at the same moments"
    );
    assert!(judged.promotions >= minutes, "too few promotions");
    assert!(judged.rollbacks >= minutes / 2, "too few rollbacks");
    assert!(
        minutes < 5 || moments.between_claim_and_write() > 0,
        "no claim was left unfinished"
    );
}

struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn during() -> Duration {
    let number = |name: &str| env::var_os(name)?.into_string().ok()?.parse::<u64>().ok();
    if let Some(seconds) = number("TEST_DAVY_KILLED_FOR") {
        return Duration::from_secs(seconds);
    }
    Duration::from_mins(if tier() == Tier::Required {
        MINUTES_REQUIRED
    } else {
        MINUTES_ELSE
    })
}

/// The same seed draws the same kills and changes; what they meet depends on the machine.
fn seed() -> u64 {
    let given = env::var_os("TEST_DAVY_SEED").and_then(|seed| seed.into_string().ok());
    given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().expect("a clock");
        since.as_secs()
    })
}

fn pause(draw: &mut Draw) -> u64 {
    u64::try_from(draw.below(CHANGE_MILLISECONDS_MAX)).unwrap_or(0)
}

/// Passes without kills until there is nothing left to do for any canary.
async fn come_to_rest(cluster: &ControlPlane, call: &Call<'_>, people: &Users<'_>) {
    until("every canary is at rest", REST_DEADLINE, async || {
        let are_all_there = people.bring_back().await;
        let report = tokio::task::block_in_place(|| call.program().run()).report();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let busy: Vec<_> = report["canaries"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|canary| canary["outcome"] != "rested")
            .map(|canary| format!("{} {}", canary["canary"], canary["reason"]))
            .collect();
        if busy.is_empty() && are_all_there {
            Ok(())
        } else {
            Err(busy.join(", "))
        }
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    for (index, app) in APPS.iter().enumerate() {
        assert_at_rest(cluster, call.namespace, app.name, people.last(index)).await;
    }
}

/// All traffic on a primary that runs what was promoted, which a good last revision was.
async fn assert_at_rest(cluster: &ControlPlane, namespace: &str, name: &str, last: Quality) {
    let object = async |api_version: &str, kind: &str, name: &str| {
        let objects = cluster.objects(api_version, kind, Some(namespace)).await;
        json!(
            objects
                .get(name)
                .await
                .unwrap_or_else(|error| panic!("{kind} {name}: {error}"))
        )
    };
    let canary = object("flagger.app/v1beta1", "Canary", name).await;
    let target = object("apps/v1", "Deployment", name).await;
    let primary = object("apps/v1", "Deployment", &format!("{name}-primary")).await;
    let route = object("networking.istio.io/v1", "VirtualService", name).await;
    let image =
        |workload: &Value| workload["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let status = &canary["status"];
    let phase = status["phase"].as_str().unwrap_or_default();
    let told = format!("{name}, {last:?}: {status:#}");
    let is_promoted = image(&target) == image(&primary);
    match (last, phase) {
        (_, "Initialized" | "Succeeded") => assert!(is_promoted, "{told}"),
        (Quality::Good, "Failed") => assert!(is_promoted, "failed, then set back: {told}"),
        (_, "Failed") => {}
        _ => panic!("{told}"),
    }
    assert_eq!(target["spec"]["replicas"], 0, "{told}");
    assert!(
        primary["status"]["availableReplicas"].as_i64() > Some(0),
        "{told}"
    );
    assert_eq!(status["canaryWeight"], 0, "{told}");
    let destinations = &route["spec"]["http"][0]["route"];
    assert_eq!(
        (&destinations[0]["weight"], &destinations[1]["weight"]),
        (&json!(100), &json!(0))
    );
}

fn assert_no_bugs(runs: &[Run]) {
    for run in runs {
        let said = format!("{}", run.ended);
        assert!(
            !said.contains("a bug:") && !said.contains("panicked"),
            "{said}"
        );
        assert!(matches!(run.ended.code, None | Some(0 | 1)), "{said}");
    }
}

/// What the checker made of the history, and what there was in it.
#[derive(Debug, Default)]
struct Judged {
    writes: usize,
    ours: usize,
    claims: usize,
    promotions: usize,
    failed_promotions: usize,
    rollbacks: usize,
    restarts: usize,
    /// The longest time between the `now` of a pass and the event of its write.
    latest: SignedDuration,
    broken: Vec<String>,
}

impl Judged {
    fn of(changes: &[Change]) -> Self {
        let mut checker = Checker::new("davy");
        let mut judged = Self::default();
        for change in changes {
            let write = change.committed();
            let broken = checker.write(&write);
            if !broken.is_empty() {
                Self::tell_before(&changes[..judged.writes]);
            }
            judged
                .broken
                .extend(broken.iter().map(|broken| format!("{broken:?}")));
            judged.writes += 1;
            if *write.manager == *"davy" {
                judged.ours += 1;
                judged.latest = judged.latest.max(change.at.duration_since(write.at));
            }
            if *write.key.kind == *"Canary" {
                judged.count(write.before.as_deref(), write.after.as_deref());
            }
        }
        judged
    }

    /// What had been written before the write that broke something.
    fn tell_before(changes: &[Change]) {
        let told = changes
            .iter()
            .filter(|change| *change.key.kind != *"Event")
            .rev()
            .take(TOLD);
        for change in told.collect::<Vec<_>>().into_iter().rev() {
            tell(&in_words(&change.committed()));
        }
    }

    fn count(&mut self, before: Option<&Value>, after: Option<&Value>) {
        let status = |canary: Option<&Value>| canary.map(|it| it["status"].clone());
        let (Some(before), Some(after)) = (status(before), status(after)) else {
            return;
        };
        self.claims += usize::from(before["step"]["number"] != after["step"]["number"]);
        if before["phase"] == after["phase"] {
            self.restarts += usize::from(
                after["phase"] == "Progressing"
                    && before["lastAppliedSpec"] != after["lastAppliedSpec"],
            );
            return;
        }
        match after["phase"].as_str() {
            Some("Succeeded") => self.promotions += 1,
            Some("Failed") if before["phase"] == "Promoting" => self.failed_promotions += 1,
            Some("Failed") => self.rollbacks += 1,
            _ => {}
        }
    }
}
