//! Channels that people hear of releases in: one file each, and their table.
//! A notifier turns a piece of news into one request and reads the reply; it sends nothing, and it
//! does not decide what is news.

use std::fmt;

use bytes::Bytes;

use crate::api::analysis::Severity;
use crate::api::record::{Outcome, Record};
use crate::objects::Problem;

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
