//! All canaries of a pass, in waves: each of a wave is looked at and decides, what they ask is asked
//! together, and whoever has its answers goes on. Panics, lateness and failures stay with the canary,
//! or with those who wait for the same answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::api::canary::Canary;
use crate::io::Io;
use crate::io::cluster::Cluster;

use super::asking::{self, Asking, Group, Party, Said};
use super::observe::{self, SnapshotError, World};
use super::questions::{Answers, Question, ROUNDS};
use super::report::{self, Handled, Outcome, Report};
use super::snapshot::Snapshot;
use super::step::{Decision, Step};
use super::{Options, act, decide, name_of};

/// Canaries that are looked at before anything is asked: so many that one query serves a lot of
/// them, and so few that what is held of them is small beside what was listed.
const WAVE: usize = 250;

/// Canaries that are held at most. A metrics system that does not answer keeps those that wait for
/// it, and the next waves go on.
const HELD_MAX: usize = 4 * WAVE;

/// Groups of questions that are under way together, to metrics systems and to webhooks each: a group
/// holds up to sixteen connections.
const GROUPS_AT_ONCE: usize = 64;

/// What one pass handles, and by what.
pub(super) struct Pass {
    pub(super) io: Io,
    pub(super) options: Options,
    pub(super) world: Arc<World>,
    /// When the pass ends, finished or not.
    pub(super) deadline: Instant,
    /// How much of the pass one canary may take, and how long a group may be waited for.
    pub(super) budget: Duration,
}

/// A canary that was looked at.
struct Held {
    /// Its place in the order of turns.
    turn: usize,
    handled: Handled,
    snapshot: Snapshot,
    answers: Answers,
    /// What was said to its questions, and is no answer of its yet.
    said: Vec<(Question, Said)>,
    rounds: usize,
    /// What is left of its share of the pass. The time for which it waits for others is not its own.
    left: Duration,
}

/// What comes of a task.
enum Event {
    /// A canary was looked at, or decided again.
    Decided(Box<Held>, Decision),
    /// A canary was looked at, and there is no more to do.
    Looked(Handled),
    Acted(Handled),
    Answered(Group, Vec<Said>),
}

/// Handles these canaries, in the order of their turns, and reports on each.
pub(super) async fn handle(pass: Pass, canaries: Vec<Canary>, report: &mut Report) {
    let mut waves = Waves {
        pass: Arc::new(pass),
        queue: canaries.into_iter().enumerate().collect(),
        wave: 0,
        waiting: BTreeMap::new(),
        answered: BTreeMap::new(),
        decided: BTreeMap::new(),
        questions: Vec::new(),
        metrics: Lane::default(),
        webhooks: Lane::default(),
        deciding: 0,
        acting: 0,
        tasks: FuturesUnordered::new(),
    };
    loop {
        waves.look();
        waves.ask();
        waves.act();
        let Some(event) = waves.tasks.next().await else {
            break;
        };
        if let Some(handled) = waves.take(event) {
            report.add(handled);
        }
    }
}

struct Waves {
    pass: Arc<Pass>,
    /// Not begun.
    queue: VecDeque<(usize, Canary)>,
    /// How many of the queue belong to the wave.
    wave: usize,
    /// Canaries by turn that have asked, and how many of their questions are open.
    waiting: BTreeMap<usize, (Box<Held>, usize)>,
    /// All answers are there; to decide again.
    answered: BTreeMap<usize, Box<Held>>,
    /// To be carried out.
    decided: BTreeMap<usize, (Box<Held>, Decision)>,
    /// To be asked, with the turn of who asks.
    questions: Vec<(usize, Question)>,
    /// To metrics systems. Whoever has slow webhooks does not put these off.
    metrics: Lane,
    webhooks: Lane,
    deciding: usize,
    acting: usize,
    tasks: FuturesUnordered<BoxFuture<'static, Event>>,
}

/// Groups of questions of one kind.
#[derive(Default)]
struct Lane {
    queue: VecDeque<Group>,
    under_way: usize,
}

impl Lane {
    /// The next group, if there is room for one.
    fn next(&mut self) -> Option<Group> {
        if self.under_way == GROUPS_AT_ONCE {
            return None;
        }
        let group = self.queue.pop_front()?;
        self.under_way += 1;
        Some(group)
    }
}

impl Waves {
    /// Begins canaries, and has those decide again that were answered. This is before what was decided
    /// is carried out: the sooner all have asked, the sooner they are answered.
    fn look(&mut self) {
        let held = self.waiting.len() + self.answered.len() + self.decided.len();
        let is_over = self.wave == 0 && self.is_quiet() && self.questions.is_empty();
        if is_over && held + WAVE <= HELD_MAX {
            self.wave = WAVE.min(self.queue.len());
        }
        while self.has_room()
            && let Some((_, held)) = self.answered.pop_first()
        {
            self.deciding += 1;
            let pass = self.pass.clone();
            self.tasks
                .push(Box::pin(async move { again(pass, held).await }));
        }
        while self.has_room()
            && self.wave > 0
            && let Some((turn, canary)) = self.queue.pop_front()
        {
            self.wave -= 1;
            self.deciding += 1;
            let pass = self.pass.clone();
            self.tasks
                .push(Box::pin(async move { begin(pass, turn, canary).await }));
        }
    }

    /// Asks what the wave wants to know, once all of it has decided.
    fn ask(&mut self) {
        if self.wave == 0 && self.is_quiet() && !self.questions.is_empty() {
            let questions = std::mem::take(&mut self.questions);
            for group in asking::grouped(questions) {
                self.lane(&group.party).queue.push_back(group);
            }
        }
        while let Some(group) = self.metrics.next().or_else(|| self.webhooks.next()) {
            let pass = self.pass.clone();
            self.tasks
                .push(Box::pin(async move { answer(pass, group).await }));
        }
    }

    fn act(&mut self) {
        while self.has_room()
            && let Some((_, (held, decision))) = self.decided.pop_first()
        {
            self.acting += 1;
            let pass = self.pass.clone();
            self.tasks.push(Box::pin(
                async move { carry_out(pass, *held, decision).await },
            ));
        }
    }

    fn lane(&mut self, party: &Party) -> &mut Lane {
        match party {
            Party::Metrics(_) => &mut self.metrics,
            Party::Hooks(_) => &mut self.webhooks,
        }
    }

    fn has_room(&self) -> bool {
        self.deciding + self.acting < self.pass.options.concurrency.max(1)
    }

    /// Whether nobody is about to ask.
    fn is_quiet(&self) -> bool {
        self.deciding == 0 && self.answered.is_empty()
    }

    /// Takes note of what came of a task; a canary that is done with.
    fn take(&mut self, event: Event) -> Option<Handled> {
        match event {
            Event::Decided(held, decision) => {
                self.deciding -= 1;
                match decision.step {
                    Step::Ask(questions) if held.rounds < ROUNDS => self.wait(held, questions),
                    _ => {
                        self.decided.insert(held.turn, (held, decision));
                    }
                }
                None
            }
            Event::Looked(handled) => {
                self.deciding -= 1;
                Some(handled)
            }
            Event::Acted(handled) => {
                self.acting -= 1;
                Some(handled)
            }
            Event::Answered(group, said) => {
                self.lane(&group.party).under_way -= 1;
                self.hear(group, said);
                None
            }
        }
    }

    fn wait(&mut self, mut held: Box<Held>, questions: Vec<Question>) {
        let turn = held.turn;
        held.rounds += 1;
        self.waiting.insert(turn, (held, questions.len()));
        let questions = questions.into_iter().map(|question| (turn, question));
        self.questions.extend(questions);
    }

    /// Hands out answers; whoever has all of its own goes on, whatever others wait for.
    fn hear(&mut self, group: Group, said: Vec<Said>) {
        for ((question, turns), said) in group.questions.into_iter().zip(said) {
            for turn in turns {
                let Some((held, open)) = self.waiting.get_mut(&turn) else {
                    continue;
                };
                held.said.push((question.clone(), said.clone()));
                *open -= 1;
                if *open == 0
                    && let Some((held, _)) = self.waiting.remove(&turn)
                {
                    self.answered.insert(turn, held);
                }
            }
        }
    }
}

/// One canary is looked at and decides.
async fn begin(pass: Arc<Pass>, turn: usize, canary: Canary) -> Event {
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
async fn again(pass: Arc<Pass>, mut held: Box<Held>) -> Event {
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
async fn carry_out(pass: Arc<Pass>, held: Held, decision: Decision) -> Event {
    let name = held.handled.canary.clone();
    let (its, left) = (pass.clone(), held.left);
    let acted = within(&pass, left, async move {
        Box::pin(act(&its.io, &held.snapshot, decision, held.handled)).await
    });
    let handled = acted.await;
    Event::Acted(handled.unwrap_or_else(|(outcome, why)| Handled::new(&name, outcome, &why)))
}

/// A group of questions is asked.
async fn answer(pass: Arc<Pass>, group: Group) -> Event {
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
