//! Grafana: an annotation for each piece of news, drawn over the panels of every dashboard that asks
//! for its tags. Of a release that has ended it is a region, from its beginning on.

use bytes::Bytes;
use serde_json::json;

use crate::api::record::Outcome;
use crate::notifiers::words::Words;
use crate::notifiers::{Channel, News, Notifier, authorize, post, uri};
use crate::objects::Problem;

#[derive(Debug)]
pub struct Grafana;

impl Notifier for Grafana {
    fn kind(&self) -> &'static str {
        "grafana"
    }

    /// The address is Grafana's own, with a path where it is served under one.
    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let record = news.record;
        let end = record.time.0.as_millisecond();
        let has_ended = !matches!(record.outcome, Outcome::NewRevision | Outcome::Held);
        let began = record.release.as_ref().filter(|_| has_ended);
        let began = began.map_or(end, |release| release.began.0.as_millisecond());
        let body = json!({
            "time": began.min(end),
            "timeEnd": end,
            "tags": [
                "davy",
                format!("cluster:{}", record.cluster),
                format!("namespace:{}", record.namespace),
                format!("canary:{}", record.canary),
                record.outcome.to_string(),
            ],
            "text": escaped(&Words::of(record).text()),
        });
        uri(&channel.address)?;
        let address = channel.address.trim_end_matches('/');
        let uri = uri(&format!("{address}/api/annotations"))?;
        let mut request = post(uri, news.idempotency_key, "application/json", &body)?;
        authorize(&mut request, channel)?;
        Ok(request)
    }
}

/// Grafana shows the text as HTML, cleaned of what could do harm.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
