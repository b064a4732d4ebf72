//! Asks the questions of a decision: one function for each kind.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use crate::api::checks::WebhookType;
use crate::io::{Io, ask, hooks};
use crate::judges;
use crate::metrics::{self, Check, Measured};
use crate::objects::Names;
use crate::webhooks::call::{self, Subject};
use crate::webhooks::reply::{self, Called, NoReply};

use super::questions::{Answer, Answers, HookCall, Question};
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
    let heard = calls.iter().map(|call| hear(io, snapshot, call, end));
    let (measured, probed, heard) = tokio::join!(
        ask::ask(io, metrics::provider(), &checks, snapshot.now),
        ask::probe(io, metrics::provider(), systems.clone()),
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

fn judged(names: &Names, check: &Check, measured: &Measured) -> Answer {
    let judgement = judges::threshold::judge(measured, check);
    Answer {
        status: judgement.status(&check.metric),
        halt: metrics::halt_text(names, check, &judgement),
        passed: None,
        note: None,
    }
}
