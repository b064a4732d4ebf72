//! Calls of hooks: what is sent, in Flagger's form, and the key by which a receiver knows a repeat.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

use crate::api::record::Told;
use crate::api::status::Phase;
use crate::objects::Problem;
use crate::webhooks::Hook;

/// Tells a repeat from another call, for receivers that look.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub namespace: String,
    /// Of the Canary.
    pub name: String,
    /// UID of the Canary: another one of the same name has another.
    pub uid: String,
    pub phase: Phase,
    /// Tells one revision and its configs from another.
    pub checksum: String,
    /// Number of the step that was claimed last when the question came up.
    pub step: i64,
}

impl Subject {
    /// That of the Events of a step.
    pub fn of(told: &Told) -> Self {
        Self {
            namespace: told.namespace.clone(),
            name: told.name.clone(),
            uid: told.uid.clone(),
            phase: told.phase,
            checksum: told.checksum.clone(),
            step: told.step,
        }
    }
}

/// Flagger's `CanaryWebhookPayload`, its fields in its order.
#[derive(Serialize)]
struct Payload<'a> {
    name: &'a str,
    namespace: &'a str,
    phase: Phase,
    checksum: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, &'a str>,
}

/// The call of a hook. The same question has the same key, however often it is asked.
///
/// # Errors
/// A UID that no header can hold.
pub fn request(hook: &Hook, subject: &Subject) -> Result<http::Request<Bytes>, Problem> {
    post(hook, subject, &format!("{}-{}", subject.step, hook.id), &[])
}

/// The call that tells a hook of type `event` of the Event at `index` of a step. Its own metadata
/// replaces nothing of the Event.
///
/// # Errors
/// An index past the last Event.
pub fn event(hook: &Hook, told: &Told, index: usize) -> Result<http::Request<Bytes>, Problem> {
    let step = told.step;
    let event = told.events.get(index).ok_or_else(|| {
        let why = format!("{index} of {} that step {step} told", told.events.len());
        Problem::field("event", why)
    })?;
    let kind = format!("{:?}", event.r#type);
    let timestamp = told.time.0.as_millisecond().to_string();
    let fields = [
        ("eventMessage", &*event.message),
        ("eventType", &kind),
        ("timestamp", &timestamp),
    ];
    let which = format!("{step}-{index}-{}", hook.id);
    post(hook, &Subject::of(told), &which, &fields)
}

/// The question how far a hook has come that has answered 202 and named a place for that.
///
/// # Errors
/// A place that is no address.
pub fn poll(
    hook: &Hook,
    subject: &Subject,
    location: &str,
) -> Result<http::Request<Bytes>, Problem> {
    let wrong = |_| Problem::field("Location", "not the address of a server");
    let mut request = http::Request::new(Bytes::new());
    *request.uri_mut() = location.parse().map_err(wrong)?;
    let key = key(subject, &format!("{}-{}", subject.step, hook.id))?;
    request.headers_mut().insert(IDEMPOTENCY_KEY, key);
    Ok(request)
}

fn key(subject: &Subject, which: &str) -> Result<HeaderValue, Problem> {
    let key = format!("{}-{which}", subject.uid);
    HeaderValue::from_str(&key).map_err(|_| Problem::field("metadata.uid", "not fit for a header"))
}

fn post(
    hook: &Hook,
    subject: &Subject,
    which: &str,
    fields: &[(&str, &str)],
) -> Result<http::Request<Bytes>, Problem> {
    let own = hook.metadata.iter();
    let mut metadata: BTreeMap<_, _> = own.map(|(name, value)| (&**name, &**value)).collect();
    metadata.extend(fields.iter().copied());
    let payload = Payload {
        name: &subject.name,
        namespace: &subject.namespace,
        phase: subject.phase,
        checksum: &subject.checksum,
        metadata,
    };
    let body = serde_json::to_vec(&payload)
        .map_err(|_| Problem::field("payload", "cannot be written as JSON"))?;
    let mut request = http::Request::new(Bytes::from(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = hook.uri.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(IDEMPOTENCY_KEY, key(subject, which)?);
    Ok(request)
}
