//! Webhooks that are told rather than asked: those of type `event` of each Event, those of type
//! `post-rollout` of how a release has ended. A hook that is down holds no other, and no release.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use crate::api::record::{News, OutboxEntry, Told};
use crate::api::status::{EventType, Step, StepEvent};
use crate::io::cluster::Cluster;
use crate::io::{Io, hooks};
use crate::objects::Names;
use crate::pass::deliver::alerts::refusals;
use crate::pass::deliver::outbox::{Delivered, Entries};
use crate::webhooks::call::{self, Subject};
use crate::webhooks::reply::{Answer, Called, judge};
use crate::webhooks::{Hook, hook_at, texts};

/// One hook may take this long for all that waits for it.
const HOOK_MAX: Duration = Duration::from_secs(10);

/// The hooks of a canary that something waits for.
#[derive(Clone, Debug, Default)]
pub struct Receivers {
    pub names: Names,
    pub hooks: Vec<Hook>,
}

/// What one hook did.
struct Sent<'a> {
    place: &'a str,
    entry: &'a OutboxEntry,
    outcome: Outcome,
}

enum Outcome {
    Taken,
    /// It does not take it, and is asked again later.
    Refused(String),
    /// It does not take it, and is not asked again.
    Dropped(String),
    /// Not sent: what was before it has not arrived.
    Waits(String),
}

/// Calls the hooks that something waits for, each in order, all at the same time.
///
/// # Guarantees
/// What is sent twice bears the same key. A hook of type `post-rollout` is called once, and as often
/// again as its retries say; what waits for a hook that its Canary no longer has is dropped.
pub async fn deliver(
    io: &Io,
    cluster: &Cluster,
    receivers: &BTreeMap<String, Receivers>,
    waiting: &Entries,
) -> (Delivered, Vec<String>) {
    let mut places: BTreeMap<(&str, &str), Vec<&OutboxEntry>> = BTreeMap::new();
    for (canary, entries) in waiting {
        for entry in entries {
            for place in &entry.to {
                let of = hook_at(place).map(|(namespace, name, _)| format!("{namespace}/{name}"));
                // Nobody else's hooks are called, whatever a status says.
                if of.as_deref() == Some(canary) {
                    places.entry((canary, place)).or_default().push(entry);
                }
            }
        }
    }
    let sent = places.iter().map(async |(&(canary, place), entries)| {
        let receivers = receivers.get(canary);
        let sent = call_all(io, cluster, receivers, place, entries).await;
        (canary, sent)
    });
    let (mut delivered, mut problems) = (Delivered::default(), Vec::new());
    let now = io.clock.now();
    for (canary, sent) in join_all(sent).await {
        for Sent {
            place,
            entry,
            outcome,
        } in sent
        {
            let news = entry.news.clone();
            match outcome {
                Outcome::Taken => delivered.add(canary, place, news),
                Outcome::Dropped(why) => {
                    delivered.add(canary, place, news);
                    problems.push(format!("{place}: {why}"));
                }
                Outcome::Refused(why) => {
                    let refusal = refusals::another(entry.refused.get(place), now);
                    delivered.refuse(canary, place, news, refusal);
                    problems.push(format!("{place}: {why}"));
                }
                Outcome::Waits(why) => problems.push(format!("{place}: {why}")),
            }
        }
    }
    (delivered, problems)
}

async fn call_all<'a>(
    io: &Io,
    cluster: &Cluster,
    receivers: Option<&Receivers>,
    place: &'a str,
    entries: &[&'a OutboxEntry],
) -> Vec<Sent<'a>> {
    let id = hook_at(place).map_or("", |(_, _, id)| id);
    let hook = receivers.and_then(|it| it.hooks.iter().find(|hook| hook.id == id));
    let end = Instant::now() + HOOK_MAX;
    let mut sent: Vec<Sent<'a>> = Vec::new();
    for entry in entries {
        let outcome = match (&entry.news, receivers, hook) {
            (News::Told(told), Some(receivers), Some(hook)) => {
                let refused = entry.refused.get(place);
                if let Some(refusal) = refused.filter(|it| it.until.0 > io.clock.now()) {
                    Outcome::Waits(refusals::described(refusal))
                } else if told.events.is_empty() {
                    let times = refused.map_or(0, |refusal| refusal.times);
                    end_of_release(io, cluster, &receivers.names, hook, told, times, end).await
                } else {
                    events(io, hook, told, end).await
                }
            }
            _ => Outcome::Dropped("it is not in the Canary any more".to_owned()),
        };
        let is_down = matches!(outcome, Outcome::Waits(_));
        sent.push(Sent {
            place,
            entry,
            outcome,
        });
        if is_down {
            break;
        }
    }
    sent
}

/// Calls a hook once, and says what is wrong.
async fn once(
    io: &Io,
    hook: &Hook,
    request: http::Request<bytes::Bytes>,
    step: i64,
    end: Instant,
) -> Result<(), String> {
    let left = end.saturating_duration_since(Instant::now());
    let within = hook.timeout.min(left);
    let reply = hooks::call(io, request, within, hook.any_certificate).await;
    let called = Called {
        pending: None,
        now: io.clock.now(),
        within,
        step,
    };
    match judge(hook, &called, &reply) {
        // Whether it does what it has accepted is its own business.
        Answer::Consent => Ok(()),
        Answer::Pending(note, _) if note.location.is_some() => Ok(()),
        Answer::Refusal(why) | Answer::Pending(_, why) => Err(why),
    }
}

async fn events(io: &Io, hook: &Hook, told: &Told, end: Instant) -> Outcome {
    for index in 0..told.events.len() {
        let why = match call::event(hook, told, index) {
            Ok(request) => once(io, hook, request, told.step, end).await.err(),
            Err(problem) => Some(problem.to_string()),
        };
        if let Some(why) = why {
            return Outcome::Refused(why);
        }
    }
    Outcome::Taken
}

async fn end_of_release(
    io: &Io,
    cluster: &Cluster,
    names: &Names,
    hook: &Hook,
    told: &Told,
    times: u32,
    end: Instant,
) -> Outcome {
    let result = match call::request(hook, &Subject::of(told)) {
        Ok(request) => once(io, hook, request, told.step, end).await,
        Err(problem) => Err(problem.to_string()),
    };
    let (r#type, message, outcome) = match result {
        Ok(()) => {
            let text = texts::passed(hook).unwrap_or_default();
            (EventType::Normal, text, Outcome::Taken)
        }
        Err(why) if times < hook.retries => return Outcome::Refused(why),
        Err(why) => {
            let text = texts::halted(names, hook, &why);
            (EventType::Warning, text.clone(), Outcome::Dropped(text))
        }
    };
    let step = Step {
        number: told.step,
        time: told.time.clone(),
        events: Vec::new(),
        objects: Vec::new(),
    };
    let said = StepEvent {
        r#type,
        message,
        when_shown: false,
    };
    // The Event is for people; what it tells is done.
    let posted = super::events(cluster, names, &step, &[said], true, io.clock.now()).await;
    if let Err(error) = posted {
        tracing::warn!(%error, "posting an Event");
    }
    outcome
}
