//! Asks the questions of decisions, grouped by whom they go to: one function for each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;

use crate::api::checks::WebhookType;
use crate::io::cluster::Cluster;
use crate::io::{Io, ask, hooks};
use crate::judges;
use crate::metrics::{self, Check, Measured, System};
use crate::objects::Names;
use crate::pass::questions::{Answer, Answers, HookCall, Question};
use crate::pass::secrets::with_credentials;
use crate::webhooks::call;
use crate::webhooks::reply::{self, Called, NoReply};

/// A gate, or a hook that may call a release back, is waited for as long: a pass may have to ask
/// several, one after the other.
const GATE_MAX: Duration = Duration::from_secs(4);

/// Questions to one party, each once, with the turns of all canaries that ask it.
pub(super) struct Group {
    pub(super) party: Party,
    pub(super) questions: Vec<(Question, Vec<usize>)>,
}

/// Whom a question goes to. What goes to one party is asked together, and what becomes of it is no
/// matter of the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Metrics(System),
    /// The webhooks of the canary of this turn.
    Hooks(usize),
}

/// What a party said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Measured(Measured),
    /// Whether it is there, or why not.
    Online(Result<(), String>),
    Replied(reply::Answer),
}

/// Questions by the party that they go to. Who asks first has its party asked first.
pub(super) fn grouped(questions: Vec<(usize, Question)>) -> Vec<Group> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (turn, question) in questions {
        let party = party(turn, &question);
        let place = *places.entry(party.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                party,
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

fn party(turn: usize, question: &Question) -> Party {
    match question {
        Question::Check(check) => Party::Metrics(System {
            address: check.address.clone(),
            origin: check.origin,
            access: check.access.clone(),
        }),
        Question::Probe(system) => Party::Metrics(system.clone()),
        Question::Hook(_) => Party::Hooks(turn),
    }
}

/// When and how a group is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) now: Timestamp,
    /// Whether a Secret is sent only where it says itself that it may be.
    pub(super) is_strict: bool,
    /// How long the answers are waited for.
    pub(super) limit: Duration,
}

/// Asks all of these at the same time; what was said to each, in order.
///
/// On failure: trouble, and that there was no answer in time, is what was said.
pub(super) async fn ask(io: &Io, questions: &[Question], asking: Asking) -> Vec<Said> {
    let (mut checks, mut systems, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for question in questions {
        match question {
            Question::Check(check) => checks.push((**check).clone()),
            Question::Probe(system) => systems.push(system.clone()),
            Question::Hook(call) => calls.push(&**call),
        }
    }
    let heard = calls.into_iter().map(|call| hear(io, call, asking));
    let (measured, online, heard) = tokio::join!(
        measure(io, checks, asking),
        probe(io, systems, asking),
        join_all(heard),
    );
    let mut measured = measured.into_iter();
    let mut online = online.into_iter();
    let mut heard = heard.into_iter();
    let said = questions.iter().map(|question| {
        let said = match question {
            Question::Check(_) => measured.next().map(Said::Measured),
            Question::Probe(_) => online.next().map(Said::Online),
            Question::Hook(_) => heard.next().map(Said::Replied),
        };
        said.unwrap_or_else(|| lost(question, "a bug: nothing was asked"))
    });
    said.collect()
}

/// What is said in place of an answer that there is not.
pub(super) fn lost(question: &Question, why: &str) -> Said {
    let why = why.to_owned();
    match question {
        Question::Check(_) => Said::Measured(Measured::Error(why)),
        Question::Probe(_) => Said::Online(Err(why)),
        Question::Hook(_) => Said::Replied(reply::Answer::Refusal(why)),
    }
}

/// Adds to a canary's answers what was said to a question of its.
pub(super) fn note(answers: &mut Answers, names: &Names, question: Question, said: Said) {
    match (question, said) {
        (Question::Check(check), Said::Measured(measured)) => {
            let answer = judged(names, &check, &measured);
            answers.add_check(*check, answer);
        }
        (Question::Probe(system), Said::Online(online)) => answers.add_probe(system, online),
        (Question::Hook(call), Said::Replied(answer)) => answers.add_hook(*call, answer),
        // Nobody answers another question than the one that was asked.
        (Question::Check(_) | Question::Probe(_) | Question::Hook(_), _) => {}
    }
}

/// Calls a hook, or asks how far it has come. One that is at work may take until the limit; one that
/// only says yes or no is waited for less long, so that there is time for the others.
async fn hear(io: &Io, call: &HookCall, Asking { now, limit, .. }: Asking) -> reply::Answer {
    let HookCall {
        hook,
        subject,
        pending,
    } = call;
    let is_at_work = matches!(hook.kind, WebhookType::PreRollout | WebhookType::Rollout);
    let share = if is_at_work {
        limit.max(GATE_MAX)
    } else {
        GATE_MAX
    };
    let within = hook.timeout.min(share);
    let location = pending.as_ref().and_then(|note| note.location.as_deref());
    let request = match location {
        Some(location) => call::poll(hook, subject, location),
        None => call::request(hook, subject),
    };
    let reply = match request {
        Ok(request) => hooks::call(io, request, within, hook.any_certificate).await,
        Err(problem) => Err(NoReply::Failed(problem.to_string())),
    };
    let called = Called {
        pending: pending.as_ref(),
        now,
        within,
        step: subject.step,
    };
    reply::judge(hook, &called, &reply)
}

/// One measurement for each check of one metrics system, in order.
///
/// On failure: what cannot be asked, or is not answered, is the measurement `Error` of its check.
async fn measure(io: &Io, checks: Vec<Check>, asking: Asking) -> Vec<Measured> {
    let Some(name) = checks.first().map(|check| check.access.provider) else {
        return Vec::new();
    };
    let cluster = Cluster::new(io.kube_client());
    let checks = with_credentials(&cluster, asking.is_strict, checks).await;
    let mut asked = Vec::new();
    let mut measured: Vec<_> = checks
        .into_iter()
        .enumerate()
        .map(|(place, check)| match check {
            Ok(check) => {
                asked.push((place, check));
                Measured::Error("a bug: it was not asked".to_owned())
            }
            Err(why) => Measured::Error(why),
        })
        .collect();
    let (places, checks): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let answers = match metrics::provider_of(name) {
        Ok(provider) => ask::ask(io, provider, &checks, asking.now, asking.limit).await,
        Err(why) => vec![Measured::Error(why); checks.len()],
    };
    for (place, answer) in places.into_iter().zip(answers) {
        measured[place] = answer;
    }
    measured
}

/// Whether a metrics system answers at all, or why not.
async fn probe(io: &Io, systems: Vec<System>, asking: Asking) -> Vec<Result<(), String>> {
    let cluster = Cluster::new(io.kube_client());
    let systems = with_credentials(&cluster, asking.is_strict, systems).await;
    let probes = systems.into_iter().map(async |system| {
        let system = system?;
        let provider = metrics::provider_of(system.access.provider)?;
        ask::probe(io, provider, &system, asking.limit).await
    });
    join_all(probes).await
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
