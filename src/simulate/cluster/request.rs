//! A request, read: the path in its parts, the query, the headers that matter.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::answer::Refusal;

/// The API server reads no more of a body than this.
const BODY_MAX: usize = 3 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: Vec<String>,
    query: BTreeMap<String, String>,
    accept: String,
    media_type: String,
    user_agent: String,
    pub(super) body: Bytes,
}

/// What to do with a field that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    Drop,
    Warn,
    Refuse,
}

impl Request {
    pub(super) fn read(request: &http::Request<Bytes>) -> Result<Self, Refusal> {
        if request.body().len() > BODY_MAX {
            return Err(Refusal::too_large(BODY_MAX));
        }
        let header = |name: http::HeaderName| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let media_type = header(http::header::CONTENT_TYPE);
        Ok(Self {
            method: request.method().clone(),
            path: request
                .uri()
                .path()
                .split('/')
                .filter(|part| !part.is_empty())
                .map(unescape)
                .collect(),
            query: form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            accept: header(http::header::ACCEPT).to_owned(),
            media_type: media_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
            user_agent: header(http::header::USER_AGENT).to_owned(),
            body: request.body().clone(),
        })
    }

    pub(super) fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The media type of the body, without its parameters.
    pub(super) fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Who writes: as told, else the first word of the client's name for itself.
    pub(super) fn manager(&self) -> &str {
        match self.parameter("fieldManager") {
            "" => self.user_agent.split('/').next().unwrap_or_default(),
            manager => manager,
        }
    }

    pub(super) fn dry_run(&self) -> Result<bool, Refusal> {
        match self.parameter("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(Refusal::bad_request(format!("invalid dryRun {other:?}"))),
        }
    }

    pub(super) fn unknown(&self) -> Result<Unknown, Refusal> {
        match self.parameter("fieldValidation") {
            "" | "Warn" => Ok(Unknown::Warn),
            "Ignore" => Ok(Unknown::Drop),
            "Strict" => Ok(Unknown::Refuse),
            other => Err(Refusal::bad_request(format!(
                "invalid fieldValidation {other:?}"
            ))),
        }
    }

    /// Whether only metadata is asked for.
    pub(super) fn wants_metadata(&self) -> bool {
        self.accept.contains("as=PartialObjectMetadata")
    }

    /// The body as JSON, or the refusal of one that is none.
    pub(super) fn object(&self, kind: &str) -> Result<Value, Refusal> {
        match serde_json::from_slice(&self.body) {
            Ok(object @ Value::Object(_)) => Ok(object),
            Ok(_) => Err(unrecognized(kind, "the body is no object")),
            Err(error) => Err(unrecognized(kind, &error.to_string())),
        }
    }
}

fn unrecognized(kind: &str, why: &str) -> Refusal {
    Refusal::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {why}"
    ))
}

/// A path segment without its percent signs. A plus stays a plus: that rule is for queries.
fn unescape(part: &str) -> String {
    let part = part.replace('+', "%2B");
    form_urlencoded::parse(part.as_bytes())
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}
