//! Asks the questions of a decision: one function for each kind.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;

use crate::io::cluster::Cluster;
use crate::io::{Io, ask};
use crate::judges;
use crate::metrics::{self, Check, Measured, System};
use crate::objects::Names;

use super::questions::{Answer, Answers, Question};
use super::secrets::{Credentialed, with_credentials};
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
    let is_strict = snapshot.policy.tenancy.strict;
    let (measured, probed) = tokio::join!(
        measure(io, is_strict, checks.clone(), snapshot.now),
        probe(io, is_strict, systems.clone()),
    );
    for (check, measured) in checks.into_iter().zip(measured) {
        let answer = judged(&snapshot.names, &check, &measured);
        answers.add_check(check, answer);
    }
    for (system, answer) in systems.into_iter().zip(probed) {
        answers.add_probe(system, answer);
    }
}

/// One measurement for each check, in order: all systems are asked at the same time.
///
/// On failure: what cannot be asked, or is not answered, is the measurement `Error` of its check.
async fn measure(io: &Io, is_strict: bool, checks: Vec<Check>, now: Timestamp) -> Vec<Measured> {
    let cluster = Cluster::new(io.kube_client());
    let checks = with_credentials(&cluster, is_strict, checks).await;
    let (groups, mut measured) = by_provider(checks, Measured::Error);
    let asked = groups
        .into_iter()
        .map(|(name, (places, checks))| async move {
            let answers = match metrics::provider_of(name) {
                Ok(provider) => ask::ask(io, provider, &checks, now).await,
                Err(why) => vec![Measured::Error(why); checks.len()],
            };
            places.into_iter().zip(answers)
        });
    for (place, answer) in join_all(asked).await.into_iter().flatten() {
        measured[place] = answer;
    }
    measured
}

/// Whether each of these metrics systems answers at all, or why not: in order.
async fn probe(io: &Io, is_strict: bool, systems: Vec<System>) -> Vec<Result<(), String>> {
    let cluster = Cluster::new(io.kube_client());
    let systems = with_credentials(&cluster, is_strict, systems).await;
    let (groups, mut probed) = by_provider(systems, Err);
    let asked = groups
        .into_iter()
        .map(|(name, (places, systems))| async move {
            let answers = match metrics::provider_of(name) {
                Ok(provider) => ask::probe(io, provider, systems).await,
                Err(why) => vec![Err(why); systems.len()],
            };
            places.into_iter().zip(answers)
        });
    for (place, answer) in join_all(asked).await.into_iter().flatten() {
        probed[place] = answer;
    }
    probed
}

/// Questions by provider, with the places of their answers; and room for these, in which it says why
/// a question is not asked.
type Groups<Q> = BTreeMap<&'static str, (Vec<usize>, Vec<Q>)>;

fn by_provider<Q: Credentialed, A>(
    questions: Vec<Result<Q, String>>,
    unasked: impl Fn(String) -> A,
) -> (Groups<Q>, Vec<A>) {
    let mut groups: Groups<Q> = BTreeMap::new();
    let mut answers = Vec::with_capacity(questions.len());
    for (place, question) in questions.into_iter().enumerate() {
        let why = match question {
            Ok(question) => {
                let (places, group) = groups.entry(question.access().provider).or_default();
                places.push(place);
                group.push(question);
                "it was not asked".to_owned()
            }
            Err(why) => why,
        };
        answers.push(unasked(why));
    }
    (groups, answers)
}

fn judged(names: &Names, check: &Check, measured: &Measured) -> Answer {
    let judgement = judges::threshold::judge(measured, check);
    Answer {
        status: judgement.status(&check.metric),
        halt: metrics::halt_text(names, check, &judgement),
    }
}
