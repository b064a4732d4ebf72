//! Asks the questions of a decision: one function for each kind.

use crate::io::{Io, ask};
use crate::judges;
use crate::metrics::{self, Check, Measured};
use crate::objects::Names;

use super::questions::{Answer, Answers, Question};
use super::snapshot::Snapshot;

/// Asks all of these at the same time, and adds the answers.
///
/// On failure: every question has an answer; trouble is one.
pub(super) async fn ask(
    io: &Io,
    snapshot: &Snapshot,
    questions: &[Question],
    answers: &mut Answers,
) {
    let (mut checks, mut systems) = (Vec::<Check>::new(), Vec::new());
    for question in questions {
        match question {
            Question::Check(check) => checks.push((**check).clone()),
            Question::Probe(system) => systems.push(system.clone()),
        }
    }
    let (measured, probed) = tokio::join!(
        ask::ask(io, metrics::provider(), &checks, snapshot.now),
        ask::probe(io, metrics::provider(), systems.clone()),
    );
    for (check, measured) in checks.into_iter().zip(measured) {
        let answer = judged(&snapshot.names, &check, &measured);
        answers.add_check(check, answer);
    }
    for (system, answer) in systems.into_iter().zip(probed) {
        answers.add_probe(system, answer);
    }
}

fn judged(names: &Names, check: &Check, measured: &Measured) -> Answer {
    let judgement = judges::threshold::judge(measured, check);
    Answer {
        status: judgement.status(&check.metric),
        halt: metrics::halt_text(names, check, &judgement),
    }
}
