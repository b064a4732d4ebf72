//! Rocket.Chat, by an incoming webhook.

use bytes::Bytes;
use serde_json::Value;

use crate::api::analysis::Severity;
use crate::notifiers::attachment::{self, Style};
use crate::notifiers::{Channel, News, Notifier, post, uri};
use crate::objects::Problem;

const STYLE: Style = Style {
    color: |severity| match severity {
        Severity::Info => "#0076D7",
        Severity::Warn => "#FFA500",
        Severity::Error => "#FF0000",
    },
    escape: escaped,
    link: |link| format!("[{}]({})", escaped(&link.title), link.address),
    // Fields are read as markup anyway; one rule of escaping for all.
    mrkdwn_in: &["text"],
    field_max: 2_000,
    name_max: 320,
};

#[derive(Debug)]
pub struct Rocket;

impl Notifier for Rocket {
    fn kind(&self) -> &'static str {
        "rocket"
    }

    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let body = attachment::body(channel, news, &STYLE);
        let uri = uri(&channel.address)?;
        post(uri, news.idempotency_key, "application/json", &body)
    }

    /// Success is said in the body too.
    fn delivered(&self, reply: &http::Response<Bytes>) -> Result<(), String> {
        if !reply.status().is_success() {
            return Err(format!("rocket answers {}", reply.status()));
        }
        match serde_json::from_slice::<Value>(reply.body()) {
            Ok(answer) if answer["success"] == false => {
                Err("rocket answers: no success".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// What Rocket.Chat reads as markup shows as it is behind a backslash. Its older releases know no
/// backslash, so what makes a link of two texts is parted too. Mentions count in a message's own
/// text only, which stays empty.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut last = None;
    for c in text.chars() {
        if (last, c) == (Some(']'), '(') || last == Some('<') {
            escaped.push(' ');
        }
        if matches!(
            c,
            '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<' | '>' | '#' | '!'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
        last = Some(c);
    }
    escaped
}
