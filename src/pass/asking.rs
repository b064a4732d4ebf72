//! Asks the questions of a decision: one function for each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::api::checks::WebhookType;
use crate::io::cluster::Cluster;
use crate::io::{Io, ask, hooks};
use crate::judges;
use crate::metrics::{self, Check, Measured, System};
use crate::objects::Names;
use crate::webhooks::call::{self, Subject};
use crate::webhooks::reply::{self, Called, NoReply};

use super::questions::{Answer, Answers, HookCall, Question};
use super::secrets::{Credentialed, with_credentials};
use super::snapshot::Snapshot;

/// A gate, or a hook that may call a release back, is waited for as long: a pass may have to ask
/// several, one after the other.
const QUESTION_MAX: Duration = Duration::from_secs(4);

/// Asks all of these at the same time, and adds the answers.
///
/// On failure: every question has an answer; trouble is one.
pub(super) async fn ask(
    io: &Io,
    snapshot: &Snapshot,
    questions: &[Question],
    answers: &mut Answers,
    end: Instant,
) {
    let (mut checks, mut systems) = (Vec::<Check>::new(), Vec::new());
    let mut calls: Vec<HookCall> = Vec::new();
    for question in questions {
        match question {
            Question::Check(check) => checks.push((**check).clone()),
            Question::Probe(system) => systems.push(system.clone()),
            Question::Hook(call) => calls.push((**call).clone()),
        }
    }
    let is_strict = snapshot.policy.tenancy.strict;
    let heard = calls.iter().map(|call| hear(io, snapshot, call, end));
    let (measured, probed, heard) = tokio::join!(
        measure(io, is_strict, checks.clone(), snapshot.now),
        probe(io, is_strict, systems.clone()),
        join_all(heard),
    );
    for (check, measured) in checks.into_iter().zip(measured) {
        let answer = judged(&snapshot.names, &check, &measured);
        answers.add_check(check, answer);
    }
    for (system, answer) in systems.into_iter().zip(probed) {
        answers.add_probe(system, answer);
    }
    for (call, answer) in calls.into_iter().zip(heard) {
        answers.add_hook(call, answer);
    }
}

/// Calls a hook, or asks how far it has come. One that is at work may take until `end`; one that only
/// says yes or no is waited for less long, so that there is time for the others.
async fn hear(io: &Io, snapshot: &Snapshot, call: &HookCall, end: Instant) -> reply::Answer {
    let HookCall {
        hook,
        phase,
        checksum,
        step,
        pending,
    } = call;
    let names = &snapshot.names;
    let subject = Subject {
        namespace: &names.namespace,
        name: &names.canary,
        uid: &names.uid,
        phase: *phase,
        checksum,
        step: *step,
    };
    let is_at_work = matches!(hook.kind, WebhookType::PreRollout | WebhookType::Rollout);
    let left = end.saturating_duration_since(Instant::now());
    let share = if is_at_work {
        left.max(QUESTION_MAX)
    } else {
        QUESTION_MAX
    };
    let within = hook.timeout.min(share);
    let location = pending.as_ref().and_then(|note| note.location.as_deref());
    let request = match location {
        Some(location) => call::poll(hook, &subject, location),
        None => call::request(hook, &subject),
    };
    let reply = match request {
        Ok(request) => hooks::call(io, request, within, hook.any_certificate).await,
        Err(problem) => Err(NoReply::Failed(problem.to_string())),
    };
    let called = Called {
        pending: pending.as_ref(),
        now: snapshot.now,
        within,
        step: *step,
    };
    reply::judge(hook, &called, &reply)
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
        passed: None,
        note: None,
    }
}
