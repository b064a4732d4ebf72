//! Discord, by its webhook that takes messages in Slack's form.

use bytes::Bytes;

use crate::api::analysis::Severity;
use crate::notifiers::attachment::{self, Style};
use crate::notifiers::{Channel, News, Notifier, post, uri};
use crate::objects::Problem;

const STYLE: Style = Style {
    color: |severity| match severity {
        Severity::Info => "good",
        Severity::Warn => "warning",
        Severity::Error => "danger",
    },
    escape: escaped,
    link: |link| format!("[{}]({})", escaped(&link.title), link.address),
    mrkdwn_in: &["text"],
    // An embed's own limits. Names of Kubernetes hold nothing that would have to be escaped.
    field_max: 1_024,
    name_max: 256,
};

#[derive(Debug)]
pub struct Discord;

impl Notifier for Discord {
    fn kind(&self) -> &'static str {
        "discord"
    }

    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let body = attachment::body(channel, news, &STYLE);
        let uri = slack_compatible(&uri(&channel.address)?)?;
        post(uri, news.idempotency_key, "application/json", &body)
    }
}

/// The address with `/slack` at the end of its path, which users may have put there already.
fn slack_compatible(uri: &http::Uri) -> Result<http::Uri, Problem> {
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_suffix("/slack").unwrap_or(path);
    let query = uri.query().map(|query| format!("?{query}"));
    let mut parts = uri.clone().into_parts();
    let path = format!("{path}/slack{}", query.unwrap_or_default());
    let wrong = || Problem::field("address", "no room for /slack in it");
    parts.path_and_query = Some(path.parse().map_err(|_| wrong())?);
    http::Uri::from_parts(parts).map_err(|_| wrong())
}

/// What Discord reads as markup, mentions among it, shows as it is behind a backslash.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<' | '>' | '#' | '@'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
