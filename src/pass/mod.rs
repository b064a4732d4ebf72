//! The pass: observe → decide → claim → converge → deliver, once for every canary. Decisions ask, and are
//! made again with the answers; canaries go in waves, so that their questions are asked together.
//!
//! Status says what should be; `decide` changes what status says; `converge` makes it so;
//! `deliver` tells the world.

pub mod claim;
pub mod converge;
pub mod decide;
pub mod deliver;
pub mod desired;
pub mod observe;
pub mod questions;
pub mod report;
mod secrets;
pub mod snapshot;
pub mod step;
pub mod terms;
pub mod totals;
mod turns;
mod waves;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::api::canary::Canary;
use crate::io::Io;
use crate::io::cluster::{self, Cluster, Scope};
use crate::io::pushgateway::Pushgateway;
use crate::objects::shard::Shard;
use crate::objects::{Policy, Problem};

use claim::Claimed;
use deliver::outbox::{self, Places};
use observe::World;
use report::{Handled, Outcome, Report};
use snapshot::Snapshot;
use step::{Decision, Step, Writes};

pub use crate::io::cluster::FIELD_MANAGER;

/// Flagger's finalizer, so that either can finish what the other began.
pub const FINALIZER: &str = "finalizer.flagger.app";

const ASKS_WITHOUT_END: &str = "a bug: with all answers the decision still asks";

/// What a pass is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    pub scope: Scope,
    /// Only this canary, by namespace and name.
    pub canary: Option<(String, String)>,
    /// Only this part of the canaries.
    pub shard: Option<Shard>,
    pub policy: Arc<Policy>,
    /// The Prometheus of canaries that name none.
    pub metrics_server: String,
    /// Where the series of the pass go.
    pub pushgateway: Option<Pushgateway>,
    /// Where what outboxes hold goes.
    pub places: Places,
    /// Canaries handled at the same time.
    pub concurrency: usize,
    /// When the pass ends, finished or not; measured by the wall clock.
    pub deadline: Duration,
    /// Decide, and change nothing.
    pub dry_run: bool,
    /// Set when no further canary is to be begun.
    pub stop: Arc<AtomicBool>,
}

/// One pass over the canaries.
///
/// # Guarantees
/// For each canary at most one step is claimed. One canary's trouble, a panic included, stays with
/// it.
///
/// # On failure
/// An error says that the pass could not start: the Canaries themselves could not be read.
pub async fn run(io: &Io, options: &Options) -> Result<Report, cluster::Error> {
    let deadline = tokio::time::Instant::now() + options.deadline;
    let begun = tokio::time::Instant::now();
    let (io, requests) = &io.counted();
    let cluster = Cluster::new(io.kube_client());
    let records = options.places.records.as_ref();
    let (scope, policy, server) = (&options.scope, &options.policy, &options.metrics_server);
    let world = observe::world(&cluster, scope, policy, records, server, &io.clock);
    let world = tokio::select! {
        biased;
        world = tokio::time::timeout_at(deadline, world) => world
            .map_err(|_| cluster::Error::Unanswered("the pass ran out of time".to_owned()))??,
        // Nothing was begun, so there is nothing to finish.
        () = stopped(&options.stop) => {
            return Err(cluster::Error::Unanswered("the pass was stopped".to_owned()));
        }
    };
    let mut report = Report::new(world.now);
    for (name, problem) in &world.malformed {
        if is_chosen(options, name) {
            report.malformed(name, problem);
        }
    }
    let world = Arc::new(world);
    let canaries = chosen(&world, options);
    let pass = waves::Pass {
        io: io.clone(),
        options: options.clone(),
        world: world.clone(),
        deadline,
        budget: budget(options),
    };
    Box::pin(waves::handle(pass, canaries, &mut report)).await;
    if !options.dry_run {
        let waiting = outbox::waiting(&options.policy, &world.canaries, &report);
        let places = &options.places;
        let told = Box::pin(outbox::deliver(io, &cluster, places, &waiting));
        // Whatever becomes of it, no canary waits for it.
        match tokio::time::timeout_at(deadline, told).await {
            Ok(problems) => report.untold.extend(problems),
            Err(_) => report
                .untold
                .push("not everything delivered: the pass ran out of time".to_owned()),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let requests = requests.load(Ordering::Relaxed);
    let read = world.canaries.iter();
    let ours = read.filter(|canary| is_of_shard(options, &name_of(canary)));
    report.finish(ours, seconds, requests);
    if let Some(pushgateway) = options.pushgateway.as_ref().filter(|_| !options.dry_run) {
        let provider = &options.policy.mesh_provider;
        let told = deliver::metrics(io, pushgateway, &report, provider);
        match tokio::time::timeout_at(deadline, told).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => report.untold.push(format!("metrics not pushed: {why}")),
            Err(_) => report
                .untold
                .push("metrics not pushed: the pass ran out of time".to_owned()),
        }
    }
    Ok(report)
}

/// Returns when the pass is to be stopped.
pub async fn stopped(stop: &AtomicBool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
    }
}

/// The canaries of this pass, in the order of their turns.
fn chosen(world: &World, options: &Options) -> Vec<Canary> {
    let canaries = world.canaries.iter();
    let chosen = canaries.filter(|canary| is_chosen(options, &name_of(canary)));
    turns::ordered(chosen.cloned().collect(), world.now)
}

/// How much of the pass one canary may take: a slow metrics system or a heavy manifest of one is no
/// reason to leave out the others. One that was asked for by name has all of it.
fn budget(options: &Options) -> Duration {
    if options.canary.is_some() {
        options.deadline
    } else {
        options.deadline * 2 / 5
    }
}

/// Whether the pass is about this canary, by `namespace/name`.
fn is_chosen(options: &Options, canary: &str) -> bool {
    let chosen = options.canary.as_ref();
    is_of_shard(options, canary)
        && chosen.is_none_or(|(namespace, name)| canary.split_once('/') == Some((namespace, name)))
}

/// A canary that was asked for by name is handled by whoever was asked.
fn is_of_shard(options: &Options, canary: &str) -> bool {
    options.canary.is_some() || options.shard.is_none_or(|shard| shard.holds(canary))
}

fn name_of(canary: &Canary) -> String {
    let metadata = &canary.metadata;
    format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    )
}

/// Carries a decision out.
async fn act(io: &Io, snapshot: &Snapshot, decision: Decision, handled: Handled) -> Handled {
    let cluster = &Cluster::new(io.kube_client());
    let reason = &*decision.reason;
    let problems = decision.problems;
    let handled = match decision.step {
        Step::Rest => handled.with(Outcome::Rested, reason),
        Step::Wait => handled.with(Outcome::Waited, reason),
        Step::Ask(_) => handled.with(Outcome::Failed, ASKS_WITHOUT_END),
        Step::Finalizer { present } => {
            match converge::finalizer(cluster, &snapshot.canary, present).await {
                Ok(()) | Err(cluster::Error::NotFound) => handled.with(Outcome::Stepped, reason),
                Err(cluster::Error::Conflict) => {
                    handled.with(Outcome::Superseded, "another pass was faster")
                }
                Err(error) => handled.with(Outcome::Failed, &format!("writing Canary: {error}")),
            }
        }
        Step::Finish(writes) => {
            let handled = handled.with(Outcome::Stepped, reason);
            Box::pin(finish(io, snapshot, &snapshot.canary, &writes, handled)).await
        }
        Step::Claim(claimed) => {
            match Box::pin(claim::claim(cluster, snapshot, &claimed.status)).await {
                Ok(Claimed::Ours(canary)) => {
                    let status = canary.status.clone().unwrap_or_default();
                    let mut handled = handled.stepped(&status, reason);
                    handled.status = Some(Box::new(status));
                    Box::pin(finish(io, snapshot, &canary, &claimed.writes, handled)).await
                }
                Ok(Claimed::Lost) => handled.with(Outcome::Superseded, "another pass was faster"),
                Err(error) => handled.unclaimed(&error),
            }
        }
    };
    handled.despite(&problems)
}

/// Writes what the step names, notes what came of it, and says what it did.
async fn finish(
    io: &Io,
    snapshot: &Snapshot,
    canary: &Canary,
    writes: &Writes,
    mut handled: Handled,
) -> Handled {
    let cluster = &Cluster::new(io.kube_client());
    let stored = canary.status.clone().unwrap_or_default();
    // What a pass takes over from another controller is not stored yet: it is finished as such.
    let status = if stored.step.is_some() {
        stored
    } else {
        snapshot.status.clone()
    };
    let converged = converge::converge(cluster, &io.clock, snapshot, &status, writes);
    let converged = Box::pin(converged).await;
    let acknowledged = converge::acknowledged(&status, &converged);
    if let Some(told) = acknowledged.status
        // What is not noted now shows again in the next pass.
        && let Ok(canary) = claim::write(cluster, canary, &told).await
    {
        handled.status = canary.status.map(Box::new);
    }
    if let Some(status) = handled.status.clone() {
        handled.show(&status);
    }
    let Some(step) = &status.step else {
        return handled;
    };
    let (names, is_shown) = (&snapshot.names, converged.shows(&status));
    let came_of_it = &acknowledged.events;
    let told = deliver::events(cluster, names, step, came_of_it, is_shown, snapshot.now).await;
    match (converged.error, converged.is_stopped, told) {
        (Some(error), ..) => {
            let why = format!("{}; {}", handled.reason, cluster::chain(&error));
            handled.with(Outcome::Failed, &why)
        }
        (None, true, _) => {
            let why = format!("{} (the next pass goes on)", handled.reason);
            handled.with(Outcome::Stepped, &why)
        }
        (None, false, Err(error)) => {
            let why = format!("{}; posting Events: {error}", handled.reason);
            handled.with(Outcome::Stepped, &why)
        }
        (None, false, Ok(())) => handled,
    }
}

/// Where Flagger is, its definitions are there already, and belong to whatever installed them:
/// without the last flag the server would refuse to change them.
const INSTALL_CRDS: &str = "davy crds | kubectl apply --server-side --force-conflicts -f -";

/// Why there was no pass, for the one who runs it.
pub fn could_not_start(error: &cluster::Error) -> String {
    match error {
        cluster::Error::NotServed => format!(
            "the CustomResourceDefinition canaries.flagger.app is not installed; install it with: \
             {INSTALL_CRDS}"
        ),
        error => format!("listing canaries.flagger.app: {error}"),
    }
}

/// What the installed definitions lack, in words for the one who installs them.
pub fn missing_fields(fields: &str) -> Problem {
    Problem(format!(
        "the installed CustomResourceDefinition canaries.flagger.app does not keep Davy's status \
         ({fields}); install it with: {INSTALL_CRDS}"
    ))
}
