//! Microsoft Teams, by a workflow that posts cards to a channel, or by one of the retired
//! connectors that some users still have.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::analysis::Severity;
use crate::notifiers::words::{self, Words};
use crate::notifiers::{Channel, Link, News, Notifier, post, uri};
use crate::objects::Problem;

/// Where the connectors live; a workflow is somewhere else.
const CONNECTORS: &str = "webhook.office.com";

/// A connector says so under status 200 when Teams did not take the message.
const REFUSED: &[u8] = b"returned HTTP error";

#[derive(Debug)]
pub struct Msteams;

impl Notifier for Msteams {
    fn kind(&self) -> &'static str {
        "msteams"
    }

    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let uri = uri(&channel.address)?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let before = host.strip_suffix(CONNECTORS);
        let is_connector = before.is_some_and(|name| name.is_empty() || name.ends_with('.'));
        let words = Words::of(news.record);
        let links: Vec<_> = words::links(news.links).collect();
        let body = if is_connector {
            message_card(&words, &links)
        } else {
            adaptive_card(&words, &links)
        };
        post(uri, news.idempotency_key, "application/json", &body)
    }

    fn delivered(&self, reply: &http::Response<Bytes>) -> Result<(), String> {
        let is_refused = reply
            .body()
            .windows(REFUSED.len())
            .any(|part| part == REFUSED);
        match reply.status() {
            StatusCode::OK if is_refused => {
                Err("msteams answers 200 OK: Teams did not take it".to_owned())
            }
            status if status.is_success() => Ok(()),
            status => Err(format!("msteams answers {status}")),
        }
    }
}

/// A message with one card, as the workflow "post to a channel when a webhook request is received"
/// takes it. Text runs are the one text of a card in which nothing is read as Markdown.
fn adaptive_card(words: &Words, links: &[Link]) -> Value {
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let bold = |text: &str| json!({ "type": "TextRun", "text": text, "weight": "Bolder" });
    let color = match words.severity {
        Severity::Info => "Good",
        Severity::Warn => "Warning",
        Severity::Error => "Attention",
    };
    let mut headline = bold(&words.headline);
    headline["color"] = json!(color);
    let mut inlines = vec![vec![bold(&words.name)], vec![headline]];
    for (title, value) in &words.facts {
        inlines.push(vec![bold(&format!("{title}: ")), run(value)]);
    }
    let body: Vec<_> = inlines
        .iter()
        .map(|inlines| json!({ "type": "RichTextBlock", "spacing": "Small", "inlines": inlines }))
        .collect();
    let actions: Vec<_> = links
        .iter()
        .map(|Link { title, address }| {
            json!({ "type": "Action.OpenUrl", "title": title, "url": address })
        })
        .collect();
    json!({
        "type": "message",
        "summary": words.name,
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "type": "AdaptiveCard",
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "version": "1.4",
                "body": body,
                "actions": actions,
            },
        }],
    })
}

/// Flagger's card. It reads Markdown unless told not to, and HTML whatever it is told.
fn message_card(words: &Words, links: &[Link]) -> Value {
    let facts: Vec<_> = words
        .facts
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": escaped(value) }))
        .collect();
    let actions: Vec<_> = links
        .iter()
        .map(|Link { title, address }| {
            let targets = json!([{ "os": "default", "uri": address }]);
            json!({ "@type": "OpenUri", "name": title, "targets": targets })
        })
        .collect();
    json!({
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "themeColor": match words.severity {
            Severity::Info => "0076D7",
            Severity::Warn => "FFA500",
            Severity::Error => "FF0000",
        },
        "summary": words.name,
        "sections": [{
            "activityTitle": escaped(&words.headline),
            "activitySubtitle": escaped(&words.name),
            "facts": facts,
            "markdown": false,
        }],
        "potentialAction": actions,
    })
}

/// Without a tag that a connector's card would read, and so that an entity stays what it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
