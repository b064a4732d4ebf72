//! What goes back: objects and lists, or the `Status` with which the API server refuses. Wording,
//! reasons and details are the real ones, as clients look at them.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

mod about;

/// A request that was carried out.
#[derive(Debug)]
pub(super) struct Answer {
    code: StatusCode,
    body: Vec<u8>,
    warnings: Vec<String>,
}

impl Answer {
    pub(super) fn json(code: StatusCode, body: &impl Serialize) -> Self {
        // JSON values have text keys and no infinities, so that writing them cannot fail.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self {
            code,
            body,
            warnings: Vec::new(),
        }
    }

    pub(super) fn ok(body: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn warning_of(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    pub(super) fn into_response(self) -> http::Response<Bytes> {
        let mut response = response(self.code, "application/json", self.body);
        for warning in self.warnings {
            let text = format!("299 - {}", json!(warning));
            if let Ok(value) = http::HeaderValue::from_str(&text) {
                response.headers_mut().append(http::header::WARNING, value);
            }
        }
        response
    }
}

/// A request that was not carried out, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: StatusCode,
    pub reason: &'static str,
    pub message: String,
    details: Option<Value>,
    /// By which an expired list can be gone on with.
    token: Option<String>,
}

/// One cause of an `Invalid`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) field: String,
    pub(super) message: String,
}

impl Cause {
    pub(super) fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".into()
        } else {
            format!("Required value: {why}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    pub(super) fn invalid(field: impl Into<String>, value: &impl fmt::Display, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message,
        }
    }

    pub(super) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        let message = format!("Forbidden: {why}");
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message,
        }
    }
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            token: None,
        }
    }

    /// A path that nothing is served at: not even a `Status`, but a line of text.
    pub(super) fn no_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "", "404 page not found\n")
    }

    /// A group that is served has no such version, resource or subresource.
    pub(super) fn no_resource() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                "the server could not find the requested resource",
            )
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        }
    }

    pub(super) fn unsupported_media_type(accepted: &[&str]) -> Self {
        if accepted.is_empty() {
            let bare = Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "415: Unsupported Media Type",
            );
            return Self {
                details: Some(json!({})),
                ..bare
            };
        }
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        )
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    pub(super) fn internal_error(why: &str) -> Self {
        let message = format!("Internal error occurred: {why}");
        Self {
            details: Some(json!({"causes": [{"message": why}]})),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
        }
    }

    /// A JSON patch that does not fit the object: the details are empty, and so is the wording.
    pub(super) fn patch_does_not_fit() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                "the server rejected our request due to an error in our request",
            )
        }
    }

    /// A patch whose result cannot be read as an object of its kind.
    pub(super) fn patch_unreadable(patched: &Value, why: &str) -> Self {
        let value = json!(patched.to_string()).to_string();
        let cause = Cause::invalid("patch", &value, why);
        Self {
            details: Some(json!({"causes": [causes(&cause)]})),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!(" \"\" is invalid: patch: {}", cause.message),
            )
        }
    }

    /// A list that cannot be continued, with the token by which the rest can be had, though not of
    /// one moment.
    pub(super) fn expired(token: &str) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new \
                       list without the continue parameter, or use the continue token in this response to retrieve the \
                       remainder of the results. Continuing with the provided token results in an inconsistent list - \
                       objects that were created, modified, or deleted between the time the first chunk was returned and \
                       now may show up in the list.";
        Self {
            token: Some(token.to_owned()),
            ..Self::new(StatusCode::GONE, "Expired", message)
        }
    }

    /// The body that goes with it.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        if let Some(token) = &self.token {
            status["metadata"]["continue"] = json!(token);
        }
        status
    }

    pub(super) fn into_response(self) -> http::Response<Bytes> {
        if self.message == "404 page not found\n" {
            return response(
                self.code,
                "text/plain; charset=utf-8",
                self.message.into_bytes(),
            );
        }
        response(
            self.code,
            "application/json",
            self.status().to_string().into_bytes(),
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.message)
    }
}

impl std::error::Error for Refusal {}

fn causes(cause: &Cause) -> Value {
    json!({"reason": cause.reason, "message": cause.message, "field": cause.field})
}

fn response(code: StatusCode, media_type: &'static str, body: Vec<u8>) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(media_type),
    );
    response
}
