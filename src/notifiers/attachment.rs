//! The message with attachments that Slack has made known, and that Discord and Rocket.Chat take
//! too. Words in, body out; what a channel makes of markup is told by its style.

use serde_json::{Value, json};

use crate::api::analysis::Severity;
use crate::notifiers::words::{self, Words};
use crate::notifiers::{Channel, Link, News};

/// In what a channel differs from the others.
pub(super) struct Style {
    pub color: fn(Severity) -> &'static str,
    /// Makes a text show as it is.
    pub escape: fn(&str) -> String,
    pub link: fn(&Link) -> String,
    /// Texts besides the fields in which the channel is to read markup.
    pub mrkdwn_in: &'static [&'static str],
    /// Longest value of a field.
    pub field_max: usize,
    /// Longest name above the message.
    pub name_max: usize,
}

/// The body, in Flagger's outline: people have filters on it.
pub(super) fn body(channel: &Channel, news: &News<'_>, style: &Style) -> Value {
    let words = Words::of(news.record);
    let field =
        |title: &str, value: &str| json!({ "title": title, "value": value, "short": false });
    let mut fields: Vec<_> = words
        .facts
        .iter()
        .map(|(title, value)| field(title, &(style.escape)(value)))
        .collect();
    let links = links(news, style);
    if !links.is_empty() {
        fields.push(field("Links", &links));
    }
    let name = words::plain(&words.name, style.name_max);
    json!({
        "channel": words::name_or(channel.room.as_deref(), words::ROOM),
        "username": words::name_or(channel.username.as_deref(), words::USERNAME),
        "icon_url": "",
        "icon_emoji": ":rocket:",
        "attachments": [{
            "color": (style.color)(words.severity),
            "author_name": (style.escape)(&name),
            "text": (style.escape)(&words.headline),
            "mrkdwn_in": style.mrkdwn_in,
            "fields": fields,
        }],
    })
}

/// As many whole links as a field holds.
fn links(news: &News<'_>, style: &Style) -> String {
    let mut text = String::new();
    for link in words::links(news.links) {
        let link = (style.link)(&link);
        let separator = if text.is_empty() { "" } else { " · " };
        let length = [&*text, separator, &link].map(|text| text.chars().count());
        if length.iter().sum::<usize>() > style.field_max {
            break;
        }
        text.push_str(separator);
        text.push_str(&link);
    }
    text
}
