//! Any receiver: a `CloudEvent` in structured mode, signed by the Standard Webhooks specification
//! where there is a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::notifiers::words::{self, Words};
use crate::notifiers::{Channel, Link, News, Notifier, post, uri};
use crate::objects::Problem;

/// Comes before a key in text.
const KEY_PREFIX: &str = "whsec_";

/// What the specification allows for a key, in bytes.
const KEY_MIN: usize = 24;
const KEY_MAX: usize = 64;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

#[derive(Debug)]
pub struct Webhook;

impl Notifier for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn request(&self, channel: &Channel, news: &News<'_>) -> Result<http::Request<Bytes>, Problem> {
        let id = news.idempotency_key;
        let uri = uri(&channel.address)?;
        let mut request = post(uri, id, "application/cloudevents+json", &event(news)?)?;
        let Some(key) = &channel.signing_key else {
            return Ok(request);
        };
        // Of the attempt: receivers refuse what was signed minutes ago. The body is the same each
        // time, and says when it happened.
        let timestamp = news.sent_at.as_second();
        let signature = signature(key, id, timestamp, request.body())?;
        let unfit = |_| Problem::field("idempotency key", "not fit for a header");
        let headers = [
            (ID, HeaderValue::from_str(id).map_err(unfit)?),
            (TIMESTAMP, HeaderValue::from(timestamp)),
            (SIGNATURE, HeaderValue::from_str(&signature).map_err(unfit)?),
        ];
        request.headers_mut().extend(headers);
        Ok(request)
    }
}

/// A signing key from its text: base64, with or without `whsec_` before it.
pub fn signing_key(text: &str) -> Result<Vec<u8>, Problem> {
    let text = text.trim();
    let base64 = text.strip_prefix(KEY_PREFIX).unwrap_or(text);
    let key = STANDARD
        .decode(base64)
        .map_err(|_| Problem::field("signing key", "not base64, with whsec_ before it or not"))?;
    checked(&key)?;
    Ok(key)
}

fn checked(key: &[u8]) -> Result<(), Problem> {
    if (KEY_MIN..=KEY_MAX).contains(&key.len()) {
        return Ok(());
    }
    let why = format!(
        "{} bytes long; it has to have {KEY_MIN} to {KEY_MAX}",
        key.len()
    );
    Err(Problem::field("signing key", why))
}

/// What `webhook-signature` holds.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Result<String, Problem> {
    checked(key)?;
    // With a full stop in it, one signature would stand for several messages.
    if id.contains('.') {
        let why = "has a full stop, which no signed message may have";
        return Err(Problem::field("idempotency key", why));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| Problem::field("signing key", "not one for HMAC"))?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

fn event(news: &News<'_>) -> Result<Value, Problem> {
    let record = news.record;
    let words = Words::of(record);
    let unwritable = |_| Problem::field("record", "cannot be written as JSON");
    let whole = serde_json::to_value(record).map_err(unwritable)?;
    let cluster: String = form_urlencoded::byte_serialize(record.cluster.as_bytes()).collect();
    let links: Vec<_> = words::links(news.links)
        .map(|Link { title, address }| json!({ "title": title, "address": address }))
        .collect();
    Ok(json!({
        "specversion": "1.0",
        "id": news.idempotency_key,
        "source": format!("/davy/clusters/{cluster}"),
        "type": format!("app.flagger.davy.release.{}", record.outcome),
        "subject": format!("{}/{}", record.namespace, record.canary),
        "time": whole["time"],
        "datacontenttype": "application/json",
        "data": {
            "record": whole,
            "severity": words.severity,
            "text": words.text(),
            "links": links,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::{signature, signing_key};

    /// The vector that the specification's own libraries are tested with.
    const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const TIMESTAMP: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;

    #[test]
    fn signature_is_that_of_the_specification() {
        let key = signing_key(KEY).unwrap();
        let signed = signature(&key, ID, TIMESTAMP, BODY).unwrap();
        assert_eq!(signed, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn key_is_base64_of_24_to_64_bytes() {
        for (text, problem) in [
            (KEY.to_owned(), None),
            (KEY.replace("whsec_", ""), None),
            (format!(" {KEY}\n"), None),
            (
                "A".repeat(88),
                Some("66 bytes long; it has to have 24 to 64"),
            ),
            (
                "QUJD".to_owned(),
                Some("3 bytes long; it has to have 24 to 64"),
            ),
            (String::new(), Some("0 bytes long; it has to have 24 to 64")),
            (
                "no base64".to_owned(),
                Some("not base64, with whsec_ before it or not"),
            ),
        ] {
            let found = signing_key(&text).err().map(|problem| problem.to_string());
            let expected = problem.map(|problem| format!("signing key: {problem}"));
            assert_eq!(found, expected, "{text}");
        }
    }
}
