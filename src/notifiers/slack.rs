//! Slack, by an incoming webhook or, with a bot's token, by the Web API's `chat.postMessage`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::analysis::Severity;
use crate::notifiers::attachment::{self, Style};
use crate::notifiers::words::Words;
use crate::notifiers::{Channel, News, Notifier, authorize, post, uri};
use crate::objects::Problem;

/// Slack's error codes are shorter.
const CODE_MAX: usize = 64;

const STYLE: Style = Style {
    color: |severity| match severity {
        Severity::Info => "good",
        Severity::Warn => "warning",
        Severity::Error => "danger",
    },
    escape: escaped,
    link: |link| format!("<{}|{}>", escaped(&link.address), escaped(&link.title)),
    // Of asterisks and the like Slack has no escape: no text is read as markup at all. Links and
    // mentions are not part of it, they stand in angle brackets.
    mrkdwn_in: &[],
    // Slack cuts a message at 40,000 characters, which no bounded text comes near.
    field_max: 2_000,
    name_max: 320,
};

#[derive(Debug)]
pub struct Slack;

impl Notifier for Slack {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let mut body = attachment::body(channel, news, &STYLE);
        let words = Words::of(news.record);
        // What a phone shows of a message that it has not opened.
        let fallback = format!("{}: {}", words.name, words.headline);
        body["attachments"][0]["fallback"] = json!(escaped(&fallback));
        let key = news.idempotency_key;
        let mut request = post(
            uri(&channel.address)?,
            key,
            "application/json; charset=utf-8",
            &body,
        )?;
        authorize(&mut request, channel)?;
        Ok(request)
    }

    /// The Web API says in the body what it did not do, under status 200; an incoming webhook says
    /// `ok` in plain text.
    fn delivered(&self, reply: &http::Response<Bytes>) -> Result<(), String> {
        if !reply.status().is_success() {
            return Err(format!("slack answers {}", reply.status()));
        }
        match serde_json::from_slice::<Value>(reply.body()) {
            Ok(Value::Object(answer)) if answer.get("ok") != Some(&Value::Bool(true)) => {
                let code = answer.get("error").and_then(Value::as_str);
                Err(format!(
                    "slack answers: {}",
                    shown(code.unwrap_or_default())
                ))
            }
            _ => Ok(()),
        }
    }
}

/// The three characters that Slack reads as its own, mentions and links among it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// An error code, and nothing that is none: whoever answers may repeat what was sent.
fn shown(code: &str) -> &str {
    let is_code = |c: char| c.is_ascii_lowercase() || c == '_';
    if code.is_empty() || code.len() > CODE_MAX || !code.chars().all(is_code) {
        return "not ok";
    }
    code
}
