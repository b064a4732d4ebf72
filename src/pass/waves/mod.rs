//! All canaries of a pass, in waves: each of a wave is looked at and decides, what they ask is asked
//! together, and whoever has its answers goes on. Panics, lateness and failures stay with the canary,
//! or with those who wait for the same answers.

mod asking;
mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::api::canary::Canary;

use super::questions::{Question, ROUNDS};
use super::report::{Handled, Report};
use super::step::{Decision, Step};

use asking::{Group, Party, Said};
use tasks::{Event, Held};

pub(super) use tasks::Pass;

/// Canaries that are looked at before anything is asked: so many that one query serves a lot of
/// them, and so few that what is held of them is small beside what was listed.
const WAVE: usize = 250;

/// Canaries that are held at most. A metrics system that does not answer keeps those that wait for
/// it, and the next waves go on.
const HELD_MAX: usize = 4 * WAVE;

/// Groups of questions that are under way together, to metrics systems and to webhooks each: a group
/// holds up to sixteen connections.
const GROUPS_AT_ONCE: usize = 64;

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
            self.tasks.push(Box::pin(tasks::again(pass, held)));
        }
        while self.has_room()
            && self.wave > 0
            && let Some((turn, canary)) = self.queue.pop_front()
        {
            self.wave -= 1;
            self.deciding += 1;
            let pass = self.pass.clone();
            self.tasks.push(Box::pin(tasks::begin(pass, turn, canary)));
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
            self.tasks.push(Box::pin(tasks::answer(pass, group)));
        }
    }

    fn act(&mut self) {
        while self.has_room()
            && let Some((_, (held, decision))) = self.decided.pop_first()
        {
            self.acting += 1;
            let pass = self.pass.clone();
            self.tasks
                .push(Box::pin(tasks::carry_out(pass, *held, decision)));
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
