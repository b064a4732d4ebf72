//! Channels that people hear of releases in: one file each, and their table.
//! A notifier turns a piece of news into one request and reads the reply; it sends nothing, and it
//! does not decide what is news. Beside them: the text that all of them tell (`words`), the form
//! that three of them share (`attachment`), and the webhook of Events (`event`).

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

use crate::api::analysis::Severity;
use crate::api::record::{Outcome, Record};
use crate::objects::Problem;

mod attachment;
pub mod discord;
pub mod event;
pub mod gchat;
pub mod grafana;
pub mod msteams;
pub mod rocket;
pub mod slack;
pub mod webhook;
pub mod words;

/// Tells a repeat from another message, for receivers that look.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const ALERT_PROVIDER: &str = "alertprovider/";

/// Where a channel is, and what it takes to write to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// Of the incoming webhook. Whoever knows it can write to the channel.
    pub address: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// Room within the chat system, where its webhook leaves that open.
    pub room: Option<String>,
    /// Name that messages are sent under, where that is open.
    pub username: Option<String>,
    /// Key that messages are signed with.
    pub signing_key: Option<Vec<u8>>,
}

/// Without what may not be in a log.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("room", &self.room)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Something that became of a release.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    pub record: &'a Record,
    /// The same each time that this is sent, and of nothing else.
    pub idempotency_key: &'a str,
    /// Where to read on.
    pub links: &'a [Link],
    /// When this is sent, which may be long after what it tells of.
    pub sent_at: Timestamp,
}

/// A page that people may want to see, as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub title: String,
    pub address: String,
}

/// A chat system, or another one that takes messages by HTTP.
pub trait Notifier: Sync {
    /// As `spec.type` of an AlertProvider names it.
    fn kind(&self) -> &'static str;

    /// The request that tells the news. A channel that lacks what it takes is a problem; an address
    /// or a key is in none of them.
    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem>;

    /// Whether the reply proves that the message has arrived, or why not.
    fn delivered(&self, reply: &http::Response<Bytes>) -> Result<(), String> {
        match reply.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("{} answers {status}", self.kind())),
        }
    }
}

/// Every notifier, by its kind.
static NOTIFIERS: &[&dyn Notifier] = &[
    &discord::Discord,
    &gchat::Gchat,
    &grafana::Grafana,
    &msteams::Msteams,
    &rocket::Rocket,
    &slack::Slack,
    &webhook::Webhook,
];

/// Every kind that there is.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    NOTIFIERS.iter().map(|notifier| notifier.kind())
}

/// The notifier of this kind; an unknown one is a problem that names the known.
pub fn notifier(kind: &str) -> Result<&'static dyn Notifier, Problem> {
    let found = NOTIFIERS
        .iter()
        .copied()
        .find(|notifier| notifier.kind() == kind);
    found.ok_or_else(|| {
        let known: Vec<_> = kinds().collect();
        Problem::field(
            "spec.type",
            format!(
                "\"{kind}\" is not supported; known are {}",
                known.join(", ")
            ),
        )
    })
}

/// The place in an outbox that stands for a channel of an AlertProvider.
pub fn place_of(namespace: &str, name: &str) -> String {
    format!("{ALERT_PROVIDER}{namespace}/{name}")
}

/// Namespace and name of the AlertProvider that a place stands for.
pub fn provider_at(place: &str) -> Option<(&str, &str)> {
    place.strip_prefix(ALERT_PROVIDER)?.split_once('/')
}

/// How bad a piece of news is.
pub fn severity(outcome: Outcome) -> Severity {
    match outcome {
        Outcome::Initialized
        | Outcome::NewRevision
        | Outcome::Promoted
        | Outcome::Superseded
        | Outcome::Reverted => Severity::Info,
        Outcome::Held => Severity::Warn,
        Outcome::RolledBack | Outcome::PromotionFailed => Severity::Error,
    }
}

/// Where a message goes. What is wrong with an address is told without showing it.
fn uri(address: &str) -> Result<http::Uri, Problem> {
    let wrong = |why: &str| Problem::field("address", why);
    if address.is_empty() {
        return Err(wrong("none is given"));
    }
    let uri: http::Uri = address
        .parse()
        .map_err(|_| wrong("not the address of a server"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(wrong("neither http:// nor https:// and a host")),
    }
}

/// Adds the channel's token, where it has one.
fn authorize(request: &mut http::Request<Bytes>, channel: &Channel) -> Result<(), Problem> {
    if let Some(token) = channel.token.as_ref().filter(|token| !token.is_empty()) {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Problem::field("token", "not fit for a header"))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    Ok(())
}

/// The request that carries a body, named by the key that tells its repeats.
fn post(
    uri: http::Uri,
    key: &str,
    content_type: &'static str,
    body: &Value,
) -> Result<http::Request<Bytes>, Problem> {
    let key = HeaderValue::from_str(key)
        .map_err(|_| Problem::field("idempotency key", "not fit for a header"))?;
    let mut request = http::Request::new(Bytes::from(body.to_string()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(IDEMPOTENCY_KEY, key);
    Ok(request)
}
