//! Google Chat, by an incoming webhook that takes cards of the second version.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use crate::notifiers::words::{self, Words};
use crate::notifiers::{Channel, Link, News, Notifier, post, uri};
use crate::objects::Problem;

#[derive(Debug)]
pub struct Gchat;

impl Notifier for Gchat {
    fn kind(&self) -> &'static str {
        "gchat"
    }

    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let words = Words::of(news.record);
        let mut widgets = vec![json!({ "textParagraph": { "text": escaped(&words.headline) } })];
        for (title, value) in &words.facts {
            widgets.push(json!({
                "decoratedText": { "topLabel": title, "text": escaped(value), "wrapText": true },
            }));
        }
        let buttons: Vec<_> = words::links(news.links)
            .map(|Link { title, address }| {
                json!({ "text": title, "onClick": { "openLink": { "url": address } } })
            })
            .collect();
        if !buttons.is_empty() {
            widgets.push(json!({ "buttonList": { "buttons": buttons } }));
        }
        let body = json!({
            // What a phone shows of a message that it has not opened.
            "fallbackText": format!("{}: {}", words.name, words.headline),
            "cardsV2": [{
                "cardId": news.idempotency_key,
                "card": {
                    "header": { "title": "Flagger", "subtitle": words.name },
                    "sections": [{ "widgets": widgets }],
                },
            }],
        });
        let uri = uri(&channel.address)?;
        let key = news.idempotency_key;
        post(uri, key, "application/json; charset=utf-8", &body)
    }

    /// Google Chat answers 200 with the message that it has made, and nothing else for success.
    fn delivered(&self, reply: &http::Response<Bytes>) -> Result<(), String> {
        match reply.status() {
            StatusCode::OK => Ok(()),
            status => Err(format!("gchat answers {status}")),
        }
    }
}

/// Texts of a card are read as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
