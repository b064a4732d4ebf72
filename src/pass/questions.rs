//! What a decision asks of others before it can be made, and what they answered: data. A kind of
//! question is a variant of [`Question`], a field of [`Answers`], and one function of the driver.

use std::collections::BTreeMap;

use crate::api::checks::WebhookType;
use crate::api::status::{CheckStatus, PendingHook, Verdict};
use crate::metrics::{Check, System};
use crate::webhooks::call::Subject;
use crate::webhooks::{Hook, reply};

/// How often a decision may ask in one pass. No release needs more, and a decision that asks
/// without end is a bug.
pub const ROUNDS: usize = 4;

/// A question to somebody outside of the cluster. Questions are equal where one answer does for both.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// What the number of a check is, and whether it passes.
    Check(Box<Check>),
    /// Whether a metrics system is there at all.
    Probe(System),
    /// Whether a webhook consents.
    Hook(Box<HookCall>),
}

/// A webhook, and what it is called about.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    pub hook: Hook,
    pub subject: Subject,
    /// What earlier passes noted of it.
    pub pending: Option<PendingHook>,
}

/// The answer to a check: what was measured, what was asked for, and Flagger's text about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: CheckStatus,
    /// The Event's text where the check did not pass.
    pub halt: Option<String>,
    /// The Event's text where it did, for a webhook that is told of.
    pub passed: Option<String>,
    /// What later passes need to know of a webhook that has not consented.
    pub note: Option<PendingHook>,
}

/// What was answered to one canary in this pass. The first decision is made without any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    checks: Vec<(Check, Answer)>,
    probes: Vec<(System, Result<(), String>)>,
    hooks: Vec<(HookCall, reply::Answer)>,
}

impl Answers {
    /// Takes note of the answer to a check.
    pub fn add_check(&mut self, check: Check, answer: Answer) {
        self.checks.push((check, answer));
    }

    /// Takes note of whether a metrics system is there, or why it is not.
    pub fn add_probe(&mut self, system: System, answer: Result<(), String>) {
        self.probes.push((system, answer));
    }

    /// Takes note of what a webhook has said.
    pub fn add_hook(&mut self, call: HookCall, answer: reply::Answer) {
        self.hooks.push((call, answer));
    }

    /// What all of these calls were answered, in order, or the questions that have no answer yet.
    pub fn to_hooks(&self, calls: &[HookCall]) -> Answered<Vec<reply::Answer>> {
        let known = |call: &&HookCall| {
            let mut hooks = self.hooks.iter();
            hooks.find(|(asked, _)| asked == *call)
        };
        let missing: Vec<_> = calls
            .iter()
            .filter(|call| known(call).is_none())
            .map(|call| Question::Hook(Box::new(call.clone())))
            .collect();
        if !missing.is_empty() {
            return Answered::NotYet(missing);
        }
        let answers = calls.iter().filter_map(|call| known(&call));
        Answered::All(answers.map(|(_, answer)| answer.clone()).collect())
    }

    /// The answers to all of these checks, in order, or the questions that have none yet.
    pub fn to_checks(&self, checks: &[Check]) -> Answered<Vec<Answer>> {
        let known = |check: &&Check| {
            let mut checks = self.checks.iter();
            checks.find(|(asked, _)| asked == *check)
        };
        let missing: Vec<_> = checks
            .iter()
            .filter(|check| known(check).is_none())
            .map(|check| Question::Check(Box::new(check.clone())))
            .collect();
        if !missing.is_empty() {
            return Answered::NotYet(missing);
        }
        let answers = checks.iter().filter_map(|check| known(&check));
        Answered::All(answers.map(|(_, answer)| answer.clone()).collect())
    }

    /// Whether every metrics system of these checks is there, or why the first of them is not.
    pub fn to_probes(&self, checks: &[Check]) -> Answered<Option<String>> {
        let systems = systems(checks);
        let known = |system: &&System| {
            let mut probes = self.probes.iter();
            probes.find(|(asked, _)| asked == *system)
        };
        let missing: Vec<_> = systems
            .iter()
            .filter(|system| known(system).is_none())
            .map(|system| Question::Probe(system.clone()))
            .collect();
        if !missing.is_empty() {
            return Answered::NotYet(missing);
        }
        let mut answers = systems.iter().filter_map(|system| known(&system));
        Answered::All(answers.find_map(|(_, answer)| answer.clone().err()))
    }

    /// The checks and webhooks that were answered, as the report shows them.
    pub fn statuses(&self) -> Vec<CheckStatus> {
        // That a release is not called back is no news.
        let is_news = |call: &HookCall, answer: &reply::Answer| {
            call.hook.kind != WebhookType::Rollback || *answer == reply::Answer::Consent
        };
        let hooks = self.hooks.iter();
        let hooks = hooks.filter(|(call, answer)| is_news(call, answer));
        let hooks = hooks.map(|(call, answer)| status_of(&call.hook, answer));
        let checks = self.checks.iter();
        let checks = checks.map(|(_, answer)| answer.status.clone());
        hooks.chain(checks).collect()
    }
}

/// What a webhook has said, as the answer to a check. A gate that is closed is no failure.
pub fn status_of(hook: &Hook, answer: &reply::Answer) -> CheckStatus {
    let (verdict, why) = match answer {
        reply::Answer::Consent => (Verdict::Pass, None),
        reply::Answer::Refusal(why) if !hook.is_gate() => (Verdict::Fail, Some(why)),
        reply::Answer::Refusal(why) | reply::Answer::Pending(_, why) => {
            (Verdict::Pending, Some(why))
        }
    };
    CheckStatus {
        metric: hook.name.clone(),
        verdict,
        hook: Some(hook.kind),
        why: why.cloned(),
        ..CheckStatus::default()
    }
}

/// Answers, or what has to be asked for them.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered<T> {
    All(T),
    NotYet(Vec<Question>),
}

impl<T> Answered<T> {
    /// What has to be asked still.
    pub fn questions(self) -> Vec<Question> {
        match self {
            Self::All(_) => Vec::new(),
            Self::NotYet(questions) => questions,
        }
    }
}

/// The systems that these checks are asked of, each once.
fn systems(checks: &[Check]) -> Vec<System> {
    let systems: BTreeMap<_, _> = checks
        .iter()
        .map(|check| ((check.address.clone(), check.access.clone()), check.origin))
        .collect();
    let systems = systems.into_iter();
    systems
        .map(|((address, access), origin)| System {
            address,
            origin,
            access,
        })
        .collect()
}
