//! What is done for one canary of a wave, or for one group of questions: each in a task of its own, so
//! that its panic or lateness is nobody else's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::canary::Canary;
use crate::io::Io;
use crate::io::cluster::Cluster;
use crate::pass::observe::{self, SnapshotError, World};
use crate::pass::questions::{Answers, Question, ROUNDS};
use crate::pass::report::{self, Handled, Outcome};
use crate::pass::snapshot::Snapshot;
use crate::pass::step::{Decision, Step};
use crate::pass::{Options, act, decide, name_of};

use super::asking::{self, Asking, Group, Said};

/// What one pass handles, and by what.
pub(in crate::pass) struct Pass {
    pub(in crate::pass) io: Io,
    pub(in crate::pass) options: Options,
    pub(in crate::pass) world: Arc<World>,
    /// When the pass ends, finished or not.
    pub(in crate::pass) deadline: Instant,
    /// How much of the pass one canary may take, and how long a group may be waited for.
    pub(in crate::pass) budget: Duration,
}

/// A canary that was looked at.
pub(super) struct Held {
    /// Its place in the order of turns.
    pub(super) turn: usize,
    pub(super) handled: Handled,
    pub(super) snapshot: Snapshot,
    pub(super) answers: Answers,
    /// What was said to its questions, and is no answer of its yet.
    pub(super) said: Vec<(Question, Said)>,
    pub(super) rounds: usize,
    /// What is left of its share of the pass. The time for which it waits for others is not its own.
    pub(super) left: Duration,
}

/// What comes of a task.
pub(super) enum Event {
    /// A canary was looked at, or decided again.
    Decided(Box<Held>, Decision),
    /// A canary was looked at, and there is no more to do.
    Looked(Handled),
    Acted(Handled),
    Answered(Group, Vec<Said>),
}

/// One canary is looked at and decides.
pub(super) async fn begin(pass: Arc<Pass>, turn: usize, canary: Canary) -> Event {
    let name = name_of(&canary);
    if pass.options.stop.load(Ordering::SeqCst) {
        let why = "the pass was stopped";
        return Event::Looked(Handled::new(&name, Outcome::NotReached, why));
    }
    let (budget, its) = (pass.budget, pass.clone());
    let looked = within(&pass, budget, async move {
        let begun = Instant::now();
        match Box::pin(look(&its, &canary)).await {
            Err(handled) => Event::Looked(*handled),
            Ok((handled, snapshot)) => {
                let held = Held {
                    turn,
                    handled,
                    snapshot,
                    answers: Answers::default(),
                    said: Vec::new(),
                    rounds: 0,
                    left: budget,
                };
                Box::pin(decided(&its, Box::new(held), begun)).await
            }
        }
    });
    looked
        .await
        .unwrap_or_else(|(outcome, why)| Event::Looked(Handled::new(&name, outcome, &why)))
}

async fn look(pass: &Pass, canary: &Canary) -> Result<(Handled, Snapshot), Box<Handled>> {
    let handled = Handled::of(canary);
    if observe::is_left_alone(canary) {
        return Err(Box::new(handled.with(Outcome::Rested, "suspended")));
    }
    let cluster = Cluster::new(pass.io.kube_client());
    match observe::snapshot(&cluster, &pass.world, canary).await {
        Ok(snapshot) => Ok((handled, snapshot)),
        Err(SnapshotError::Invalid(problems)) => Err(Box::new(handled.refused(&problems))),
        Err(SnapshotError::Unreachable(why)) => Err(Box::new(handled.with(Outcome::Failed, &why))),
    }
}

/// What a canary decides with the answers that it has. Where nothing is to be written for it, it is
/// done with, and nothing of it is held.
async fn decided(pass: &Pass, mut held: Box<Held>, begun: Instant) -> Event {
    let decision = decide::decide(&held.snapshot, &held.answers);
    held.handled.checks = held.answers.statuses();
    held.left = held.left.saturating_sub(begun.elapsed());
    match &decision.step {
        Step::Ask(_) if held.rounds < ROUNDS => Event::Decided(held, decision),
        _ if pass.options.dry_run => {
            let Held {
                handled, snapshot, ..
            } = *held;
            Event::Looked(report::dry_run(handled, &snapshot, &decision))
        }
        Step::Rest | Step::Wait => {
            let Held {
                handled, snapshot, ..
            } = *held;
            Event::Looked(Box::pin(act(&pass.io, &snapshot, decision, handled)).await)
        }
        _ => Event::Decided(held, decision),
    }
}

/// One canary decides again.
pub(super) async fn again(pass: Arc<Pass>, mut held: Box<Held>) -> Event {
    let (name, left) = (held.handled.canary.clone(), held.left);
    let its = pass.clone();
    let decided = within(&pass, left, async move {
        let begun = Instant::now();
        for (question, said) in std::mem::take(&mut held.said) {
            asking::note(&mut held.answers, &held.snapshot.names, question, said);
        }
        Box::pin(decided(&its, held, begun)).await
    });
    decided
        .await
        .unwrap_or_else(|(outcome, why)| Event::Looked(Handled::new(&name, outcome, &why)))
}

/// One canary's decision is carried out.
pub(super) async fn carry_out(pass: Arc<Pass>, held: Held, decision: Decision) -> Event {
    let name = held.handled.canary.clone();
    let (its, left) = (pass.clone(), held.left);
    let acted = within(&pass, left, async move {
        Box::pin(act(&its.io, &held.snapshot, decision, held.handled)).await
    });
    let handled = acted.await;
    Event::Acted(handled.unwrap_or_else(|(outcome, why)| Handled::new(&name, outcome, &why)))
}

/// A group of questions is asked.
pub(super) async fn answer(pass: Arc<Pass>, group: Group) -> Event {
    let questions: Vec<_> = group
        .questions
        .iter()
        .map(|(question, _)| question.clone())
        .collect();
    let rest = pass.deadline.saturating_duration_since(Instant::now());
    let asking = Asking {
        now: pass.world.now,
        is_strict: pass.options.policy.tenancy.strict,
        // So that there is time to act upon the answers.
        limit: pass.budget.min(rest) * 3 / 5,
    };
    let (its, asked) = (pass.clone(), questions.clone());
    let said = tokio::spawn(async move { asking::ask(&its.io, &asked, asking).await });
    let said = said.await.unwrap_or_else(|_| {
        let lost = |question| asking::lost(question, "a bug: asking panicked");
        questions.iter().map(lost).collect()
    });
    Event::Answered(group, said)
}

/// Runs something for a canary in a task of its own, for so long; else why nothing came of it.
async fn within<T: Send + 'static>(
    pass: &Pass,
    left: Duration,
    task: impl Future<Output = T> + Send + 'static,
) -> Result<T, (Outcome, String)> {
    let mut task = tokio::spawn(task);
    let its_end = Instant::now() + left;
    match tokio::time::timeout_at(pass.deadline.min(its_end), &mut task).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err((Outcome::Failed, "a bug: handling it panicked".to_owned())),
        Err(_) => {
            // As if the process had been killed there: the next pass goes on.
            task.abort();
            let why = if its_end < pass.deadline {
                format!(
                    "it took longer than {:?}, its share of the pass",
                    pass.budget
                )
            } else {
                "the pass ran out of time".to_owned()
            };
            Err((Outcome::NotReached, why))
        }
    }
}
