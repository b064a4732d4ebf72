//! Telling people: news of releases, to the channels of the settings and of `AlertProvider`s. A
//! channel that is down holds no other; its messages stay in the outbox, in order, and say when
//! what they tell has happened.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use tokio::time::Instant;

use crate::api::alert_provider::{AlertProvider, AlertProviderSpec};
use crate::api::record::{self, OutboxEntry, Record, Told};
use crate::io::Io;
use crate::io::ask;
use crate::io::cluster::{self, Cluster};
use crate::metrics::Untrusted;
use crate::notifiers::{self, Channel, Link, News, Notifier, event, webhook};
use crate::objects::{ALERT_PROVIDER, SECRET};
use crate::pass::deliver::outbox::{Delivered, Entries};

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
}

/// Without what may not be in a log.
impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts")
            .field("channels", &self.channels)
            .field("links", &self.links)
            .field("cross_namespace", &self.cross_namespace)
            .finish_non_exhaustive()
    }
}

/// The place in an outbox that stands for the webhook of Events.
pub const EVENT_WEBHOOK: &str = "event-webhook";

/// A channel, and how to speak to it.
enum Opened {
    Channel {
        notifier: &'static dyn Notifier,
        channel: Channel,
        /// Whether its address stands in a resource.
        untrusted: bool,
    },
    Events(String),
}

/// What waits for a channel: whose it is, and what.
type Message<'a> = (&'a str, &'a record::News);

/// What one channel did.
#[derive(Default)]
struct Sent<'a> {
    delivered: Vec<Message<'a>>,
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
        for OutboxEntry { to, news } in entries {
            for place in to.iter().filter(|place| is_channel(place)) {
                places.entry(place).or_default().push((canary, news));
            }
        }
    }
    for messages in places.values_mut() {
        messages.sort_by_key(|(_, news)| match news {
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
        for (canary, news) in sent.delivered {
            delivered.add(canary, place, news.clone());
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
    if !messages.iter().any(|(canary, _)| allowed(canary)) {
        sent.problems.push(CROSS_NAMESPACE.to_owned());
        return sent;
    }
    let opened = match tokio::time::timeout_at(end, open(cluster, alerts, place)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => {
            sent.problems.push(why);
            return sent;
        }
        Err(_) => {
            sent.problems
                .push(format!("no answer within {CHANNEL_MAX:?}"));
            return sent;
        }
    };
    for (canary, news) in messages {
        if !allowed(canary) {
            sent.problems.push(format!("{canary}: {CROSS_NAMESPACE}"));
            continue;
        }
        match tokio::time::timeout_at(end, send(io, alerts, &opened, news)).await {
            Ok(Ok(())) => sent.delivered.push((canary, news)),
            // This message, and perhaps no other.
            Ok(Err(Undelivered::Refused(why))) => sent.problems.push(format!("{canary}: {why}")),
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
            let mut request = request.map_err(|problem| Undelivered::Refused(problem.0))?;
            if *untrusted {
                request.extensions_mut().insert(Untrusted);
            }
            let reply = ask::reply(io, request).await.map_err(Undelivered::Down)?;
            notifier
                .delivered(&reply)
                .map_err(|why| undelivered(reply.status(), why))
        }
        _ => Err(Undelivered::Refused("it takes no such news".to_owned())),
    }
}

async fn send_events(io: &Io, address: &str, told: &Told) -> Result<(), Undelivered> {
    for index in 0..told.events.len() {
        let request = event::request(address, told, index);
        let request = request.map_err(|problem| Undelivered::Refused(problem.0))?;
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

/// The channel of a place, with the Secret read that it names.
async fn open(cluster: &Cluster, alerts: &Alerts, place: &str) -> Result<Opened, String> {
    let gone = "it is not in the settings any more";
    if place == EVENT_WEBHOOK {
        return Ok(Opened::Events(alerts.event_webhook.clone().ok_or(gone)?));
    }
    let Some((namespace, name)) = notifiers::provider_at(place) else {
        let channel = alerts.channels.get(place);
        return Ok(Opened::Channel {
            notifier: notifiers::notifier(place).map_err(|problem| problem.0)?,
            channel: channel.ok_or(gone)?.clone(),
            untrusted: false,
        });
    };
    let provider = cluster.get(&ALERT_PROVIDER, namespace, name).await;
    let provider = provider.map_err(|error| unread("AlertProvider", &error))?;
    let provider: AlertProvider = serde_json::from_value(provider)
        .map_err(|error| format!("not an AlertProvider: {error}"))?;
    let AlertProviderSpec {
        r#type,
        address,
        channel,
        username,
        proxy,
        secret_ref,
    } = provider.spec;
    let notifier =
        notifiers::notifier(&r#type).map_err(|problem| format!("spec.type: {problem}"))?;
    if proxy.is_some() {
        return Err("spec.proxy: proxies are not supported".to_owned());
    }
    let mut opened = Channel {
        address: address.unwrap_or_default(),
        room: channel,
        username,
        ..Channel::default()
    };
    if let Some(secret) = secret_ref {
        let read = cluster.get(&SECRET, namespace, &secret.name).await;
        let which = format!("Secret {}", secret.name);
        let read = read.map_err(|error| unread(&which, &error))?;
        let read: Secret =
            serde_json::from_value(read).map_err(|_| format!("{which}: its data is not base64"))?;
        let mut data = read.data.unwrap_or_default();
        let mut text = |key: &str| {
            let bytes = data.remove(key).map(|bytes| bytes.0);
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        opened.address = text("address").ok_or(format!("{which}: it has no key address"))?;
        opened.token = text("token");
        if let Some(key) = text("signingKey") {
            let key = webhook::signing_key(&key);
            opened.signing_key = Some(key.map_err(|problem| format!("{which}: {problem}"))?);
        }
    }
    if opened.address.is_empty() {
        return Err("spec.address: is empty".to_owned());
    }
    Ok(Opened::Channel {
        notifier,
        channel: opened,
        untrusted: true,
    })
}

fn unread(what: &str, error: &cluster::Error) -> String {
    match error {
        cluster::Error::NotFound => format!("{what} does not exist"),
        error => format!("reading {what}: {}", cluster::chain(error)),
    }
}
