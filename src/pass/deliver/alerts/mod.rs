//! Telling people: news of releases, to the channels of the settings and of `AlertProvider`s. A
//! channel that is down holds no other; its messages stay in the outbox, in order, and say when
//! what they tell has happened.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::api::record::{self, OutboxEntry, Record, Refusal, Told};
use crate::io::Io;
use crate::io::ask;
use crate::io::cluster::Cluster;
use crate::metrics::Untrusted;
use crate::notifiers::{self, Channel, Link, News, event};
use crate::pass::deliver::outbox::{Delivered, Entries};

mod opened;
pub(super) mod refusals;

use opened::{Opened, open};

/// One channel may take this long for all that waits for it.
const CHANNEL_MAX: Duration = Duration::from_secs(10);

/// Where news goes, and what it bears besides what happened.
#[derive(Clone, Default)]
pub struct Alerts {
    /// The channels of the settings, by the kind of their notifier.
    pub channels: BTreeMap<String, Channel>,
    /// In their addresses `{cluster}`, `{namespace}`, `{canary}` and `{step}` stand for those of
    /// the news.
    pub links: Vec<Link>,
    /// Where every Event goes, in Flagger's form.
    pub event_webhook: Option<String>,
    /// Whether a Canary may name an AlertProvider of another namespace.
    pub cross_namespace: bool,
    /// Whether a Secret is sent nowhere but over https to hosts that it names itself.
    pub strict: bool,
}

/// Without what may not be in a log.
impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts")
            .field("channels", &self.channels)
            .field("links", &self.links)
            .field("cross_namespace", &self.cross_namespace)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

/// The place in an outbox that stands for the webhook of Events.
pub const EVENT_WEBHOOK: &str = "event-webhook";

/// What waits for a channel: whose it is, what, and whether it was refused before.
#[derive(Clone, Copy)]
struct Message<'a> {
    canary: &'a str,
    news: &'a record::News,
    refused: Option<&'a Refusal>,
}

impl<'a> Message<'a> {
    /// The refusal for which it is not sent yet.
    fn waits(&self, now: Timestamp) -> Option<&'a Refusal> {
        self.refused.filter(|refusal| refusal.until.0 > now)
    }
}

/// What one channel did.
#[derive(Default)]
struct Sent<'a> {
    delivered: Vec<Message<'a>>,
    refused: Vec<(Message<'a>, Refusal)>,
    problems: Vec<String>,
}

/// Sends what waits for channels: to each in order, to all at the same time.
///
/// # Guarantees
/// A message counts as delivered only when its channel has said so. What is sent twice bears the
/// same key.
pub async fn deliver(
    io: &Io,
    cluster: &Cluster,
    alerts: &Alerts,
    waiting: &Entries,
) -> (Delivered, Vec<String>) {
    let mut places: BTreeMap<&str, Vec<Message<'_>>> = BTreeMap::new();
    for (canary, entries) in waiting {
        for OutboxEntry { to, refused, news } in entries {
            for place in to.iter().filter(|place| is_channel(place)) {
                places.entry(place).or_default().push(Message {
                    canary,
                    news,
                    refused: refused.get(place),
                });
            }
        }
    }
    for messages in places.values_mut() {
        messages.sort_by_key(|message| match message.news {
            record::News::Record(record) => record.time.0,
            record::News::Told(told) => told.time.0,
            record::News::Revert(revert) => revert.time.0,
        });
    }
    let sent = places
        .iter()
        .map(async |(place, messages)| (*place, tell(io, cluster, alerts, place, messages).await));
    let mut delivered = Delivered::default();
    let mut problems = Vec::new();
    for (place, sent) in join_all(sent).await {
        for Message { canary, news, .. } in sent.delivered {
            delivered.add(canary, place, news.clone());
        }
        for (Message { canary, news, .. }, refusal) in sent.refused {
            delivered.refuse(canary, place, news.clone(), refusal);
        }
        let problem = |why| format!("{place}: {why}");
        problems.extend(sent.problems.into_iter().map(problem));
    }
    (delivered, problems)
}

fn is_channel(place: &str) -> bool {
    place == EVENT_WEBHOOK
        || notifiers::provider_at(place).is_some()
        || notifiers::kinds().any(|kind| kind == place)
}

/// Sends one channel what waits for it, as far as it takes it.
async fn tell<'a>(
    io: &Io,
    cluster: &Cluster,
    alerts: &Alerts,
    place: &str,
    messages: &[Message<'a>],
) -> Sent<'a> {
    let mut sent = Sent::default();
    let end = Instant::now() + CHANNEL_MAX;
    let allowed = |canary: &str| {
        let provider = notifiers::provider_at(place);
        let own = canary.split_once('/').map(|(namespace, _)| namespace);
        alerts.cross_namespace || provider.is_none_or(|(namespace, _)| Some(namespace) == own)
    };
    if !messages.iter().any(|message| allowed(message.canary)) {
        sent.problems.push(CROSS_NAMESPACE.to_owned());
        return sent;
    }
    let now = io.clock.now();
    // What the channel would have to be opened for, and nothing else.
    let is_due = |message: &Message<'_>| message.waits(now).is_none() && allowed(message.canary);
    let opened = if messages.iter().any(is_due) {
        match tokio::time::timeout_at(end, open(cluster, alerts, place)).await {
            Ok(Ok(opened)) => Some(opened),
            Ok(Err(why)) => {
                sent.problems.push(why);
                return sent;
            }
            Err(_) => {
                sent.problems
                    .push(format!("no answer within {CHANNEL_MAX:?}"));
                return sent;
            }
        }
    } else {
        None
    };
    for message in messages {
        let canary = message.canary;
        if !allowed(canary) {
            sent.problems.push(format!("{canary}: {CROSS_NAMESPACE}"));
            continue;
        }
        if let Some(refusal) = message.waits(now) {
            sent.problems
                .push(format!("{canary}: {}", refusals::described(refusal)));
            continue;
        }
        let Some(opened) = &opened else { continue };
        match tokio::time::timeout_at(end, send(io, alerts, opened, message.news)).await {
            Ok(Ok(())) => sent.delivered.push(*message),
            // This message, and perhaps no other.
            Ok(Err(Undelivered::Unsent(why))) => sent.problems.push(format!("{canary}: {why}")),
            Ok(Err(Undelivered::Refused(why))) => {
                sent.problems.push(format!("{canary}: {why}"));
                sent.refused
                    .push((*message, refusals::another(message.refused, now)));
            }
            Ok(Err(Undelivered::Down(why))) => {
                sent.problems.push(why);
                break;
            }
            Err(_) => {
                sent.problems
                    .push(format!("not all taken within {CHANNEL_MAX:?}"));
                break;
            }
        }
    }
    sent
}

const CROSS_NAMESPACE: &str = "an AlertProvider of another namespace is not read; \
                               DAVY_ALLOW_CROSS_NAMESPACE=true allows it";

enum Undelivered {
    /// It cannot be put into words for this channel: nothing was sent.
    Unsent(String),
    /// The channel does not take it.
    Refused(String),
    /// It takes nothing for now.
    Down(String),
}

async fn send(
    io: &Io,
    alerts: &Alerts,
    opened: &Opened,
    news: &record::News,
) -> Result<(), Undelivered> {
    match (opened, news) {
        (Opened::Events(address), record::News::Told(told)) => send_events(io, address, told).await,
        (
            Opened::Channel {
                notifier,
                channel,
                untrusted,
            },
            record::News::Record(record),
        ) => {
            let links: Vec<_> = alerts
                .links
                .iter()
                .map(|link| filled(link, record))
                .collect();
            let news = News {
                record,
                idempotency_key: &key(record),
                links: &links,
                sent_at: io.clock.now(),
            };
            let request = notifier.request(channel, &news);
            let mut request = request.map_err(|problem| Undelivered::Unsent(problem.0))?;
            if *untrusted {
                request.extensions_mut().insert(Untrusted);
            }
            let reply = ask::reply(io, request).await.map_err(Undelivered::Down)?;
            notifier
                .delivered(&reply)
                .map_err(|why| undelivered(reply.status(), why))
        }
        _ => Err(Undelivered::Unsent("it takes no such news".to_owned())),
    }
}

async fn send_events(io: &Io, address: &str, told: &Told) -> Result<(), Undelivered> {
    for index in 0..told.events.len() {
        let request = event::request(address, told, index);
        let request = request.map_err(|problem| Undelivered::Unsent(problem.0))?;
        let reply = ask::reply(io, request).await.map_err(Undelivered::Down)?;
        let status = reply.status();
        if !status.is_success() {
            return Err(undelivered(status, format!("it answers {status}")));
        }
    }
    Ok(())
}

/// Whether a refusal is about this message, or about now.
fn undelivered(status: StatusCode, why: String) -> Undelivered {
    let is_about_now = status.is_server_error()
        || status.is_redirection()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if is_about_now {
        Undelivered::Down(why)
    } else {
        Undelivered::Refused(why)
    }
}

/// The same for every time that this news is sent, and of nothing else.
fn key(record: &Record) -> String {
    format!("{}-{}-{}", record.uid, record.step, record.outcome)
}

fn filled(link: &Link, record: &Record) -> Link {
    let step = record.step.to_string();
    let values = [
        ("{cluster}", &record.cluster),
        ("{namespace}", &record.namespace),
        ("{canary}", &record.canary),
        ("{step}", &step),
    ];
    let fill = |address: String, (name, value): &(&str, &String)| address.replace(name, value);
    Link {
        title: link.title.clone(),
        address: values.iter().fold(link.address.clone(), fill),
    }
}
