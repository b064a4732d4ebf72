//! Asks what decisions want to know: together what goes to the same party, whoever asks, and one
//! function for each kind of question.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::io::{Io, ask};
use crate::judges;
use crate::metrics::{self, Measured, System};
use crate::objects::Names;

use super::questions::{Answer, Answers, Question};

/// Questions to one party, each once, with the turns of all canaries that ask it.
pub(super) struct Group {
    pub(super) questions: Vec<(Question, Vec<usize>)>,
}

/// Whom a question goes to. What goes to one party is asked together, and what becomes of it is no
/// matter of the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Metrics(System),
}

/// What a party said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Measured(Measured),
    /// Whether it is there, or why not.
    Online(Result<(), String>),
}

/// Questions by the party that they go to. Who asks first has its party asked first.
pub(super) fn grouped(questions: Vec<(usize, Question)>) -> Vec<Group> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (turn, question) in questions {
        let next = groups.len();
        let place = *places.entry(party(&question)).or_insert(next);
        if place == next {
            groups.push(Group {
                questions: Vec::new(),
            });
        }
        let asked = &mut groups[place].questions;
        match asked.iter_mut().find(|(same, _)| *same == question) {
            Some((_, turns)) => turns.push(turn),
            None => asked.push((question, vec![turn])),
        }
    }
    groups
}

fn party(question: &Question) -> Party {
    match question {
        Question::Check(check) => Party::Metrics(System {
            address: check.address.clone(),
            origin: check.origin,
        }),
        Question::Probe(system) => Party::Metrics(system.clone()),
    }
}

/// Asks all of these at the same time; what was said to each, in order.
///
/// On failure: trouble, and that there was no answer within `limit`, is what was said.
pub(super) async fn ask(
    io: &Io,
    questions: &[Question],
    now: Timestamp,
    limit: Duration,
) -> Vec<Said> {
    let (mut checks, mut systems) = (Vec::new(), Vec::new());
    for question in questions {
        match question {
            Question::Check(check) => checks.push((**check).clone()),
            Question::Probe(system) => systems.push(system.clone()),
        }
    }
    let provider = metrics::provider();
    let (measured, online) = tokio::join!(
        ask::ask(io, provider, &checks, now, limit),
        ask::probe(io, provider, systems, limit),
    );
    let (mut measured, mut online) = (measured.into_iter(), online.into_iter());
    let said = questions.iter().map(|question| {
        let said = match question {
            Question::Check(_) => measured.next().map(Said::Measured),
            Question::Probe(_) => online.next().map(Said::Online),
        };
        said.unwrap_or_else(|| lost(question, "a bug: nothing was asked"))
    });
    said.collect()
}

/// What is said in place of an answer that there is not.
pub(super) fn lost(question: &Question, why: &str) -> Said {
    match question {
        Question::Check(_) => Said::Measured(Measured::Error(why.to_owned())),
        Question::Probe(_) => Said::Online(Err(why.to_owned())),
    }
}

/// Adds to a canary's answers what was said to a question of its.
pub(super) fn note(answers: &mut Answers, names: &Names, question: Question, said: Said) {
    match (question, said) {
        (Question::Check(check), Said::Measured(measured)) => {
            let judgement = judges::threshold::judge(&measured, &check);
            let answer = Answer {
                status: judgement.status(&check.metric),
                halt: metrics::halt_text(names, &check, &judgement),
            };
            answers.add_check(*check, answer);
        }
        (Question::Probe(system), Said::Online(online)) => answers.add_probe(system, online),
        // Nobody answers another question than the one that was asked.
        (Question::Check(_), Said::Online(_)) | (Question::Probe(_), Said::Measured(_)) => {}
    }
}
