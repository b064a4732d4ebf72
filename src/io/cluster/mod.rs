//! The Kubernetes API as a pass uses it: lists, reads and single conditional writes of JSON
//! objects. One request a call; nothing is retried here.

mod list;

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::params::{
    DeleteParams, GetParams, Patch, PatchParams, PostParams, ValidationDirective,
};
use kube::core::request::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

use crate::io::WireError;
use crate::objects::{CANARY, Kind};

/// The name under which every write is made, as `kubectl` and other tools see it.
pub use crate::objects::metadata::FIELD_MANAGER;

/// What is encoded in a segment of a path: all but what never has a meaning there.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the API server, or the way to it, said instead of an answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// The object is not the one that was read: somebody wrote it since.
    #[error("the object was changed meanwhile")]
    Conflict,
    #[error("the object exists already")]
    AlreadyExists,
    #[error("not found")]
    NotFound,
    /// The kind itself is not served: its CustomResourceDefinition is missing.
    #[error("the API server does not serve this kind")]
    NotServed,
    /// The installed CustomResourceDefinition does not know these fields.
    #[error("{0}")]
    UnknownField(String),
    #[error("{code}: {message}")]
    Refused { code: u16, message: String },
    /// It has no time now, and says when it will have; an API server that starts does so.
    #[error("429: {message}")]
    Busy { seconds: u64, message: String },
    /// The answer is larger than what is read.
    #[error("{0}")]
    TooLarge(String),
    /// Nobody knows whether the request was carried out.
    #[error("no answer: {0}")]
    Unanswered(String),
}

pub use list::Listed;

/// All namespaces, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespace(String),
}

/// A connection to the API server.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
}

impl Cluster {
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value, Error> {
        let request = Request::new(path(kind, &Scope::Namespace(namespace.to_owned()))?);
        self.send(built(request.get(&segment(name)?, &GetParams::default()))?)
            .await
    }

    pub async fn create(
        &self,
        kind: &Kind,
        namespace: &str,
        object: &Value,
    ) -> Result<Value, Error> {
        let request = Request::new(path(kind, &Scope::Namespace(namespace.to_owned()))?);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let data = object.to_string().into_bytes();
        self.send(built(request.create(&params, data))?).await
    }

    /// A JSON patch that names the resourceVersion which it changes.
    pub async fn patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: json_patch::Patch,
    ) -> Result<Value, Error> {
        let request = Request::new(path(kind, &Scope::Namespace(namespace.to_owned()))?);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.send(built(request.patch(
            &segment(name)?,
            &params,
            &Patch::<()>::Json(patch),
        ))?)
        .await
    }

    /// A merge patch of a Canary's status. Fields that the installed definition does not know are
    /// refused rather than dropped.
    pub async fn patch_status(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let request = Request::new(path(&CANARY, &Scope::Namespace(namespace.to_owned()))?);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        self.send(built(request.patch_subresource(
            "status",
            &segment(name)?,
            &params,
            &patch,
        ))?)
        .await
    }

    pub async fn delete(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value, Error> {
        let request = Request::new(path(kind, &Scope::Namespace(namespace.to_owned()))?);
        self.send(built(
            request.delete(&segment(name)?, &DeleteParams::default()),
        )?)
        .await
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Value, Error> {
        let body = self.body(request).await.map_err(|error| match error {
            // Of one object there is no half to ask for.
            Error::TooLarge(why) => Error::Unanswered(why),
            error => error,
        })?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Unanswered(format!("not JSON: {error}")))
    }

    /// The body of an answer that is no refusal.
    async fn body(&self, request: http::Request<Vec<u8>>) -> Result<Bytes, Error> {
        let unanswered = |error: &dyn std::error::Error| Error::Unanswered(chain(error));
        let response = self
            .client
            .send(request.map(Body::from))
            .await
            .map_err(|error| too_large(&error).unwrap_or_else(|| unanswered(&error)))?;
        let code = response.status().as_u16();
        let retry_after = response.headers().get(http::header::RETRY_AFTER).cloned();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| unanswered(&error))?
            .to_bytes();
        if code < 400 {
            return Ok(body);
        }
        let status = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let retry_after = retry_after.and_then(|text| text.to_str().ok()?.parse().ok());
        Err(match (refusal(code, &status), retry_after) {
            (Error::Refused { code: 429, message }, Some(seconds)) => {
                Error::Busy { seconds, message }
            }
            (refusal, _) => refusal,
        })
    }
}

/// Whether it was the size of the answer.
fn too_large(error: &kube::Error) -> Option<Error> {
    let kube::Error::Service(error) = error else {
        return None;
    };
    match error.downcast_ref() {
        Some(WireError::TooLarge(why)) => Some(Error::TooLarge(why.clone())),
        _ => None,
    }
}

fn built(
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<http::Request<Vec<u8>>, Error> {
    request.map_err(|error| Error::Refused {
        code: 0,
        message: error.to_string(),
    })
}

/// What a refusal means for the one who asked.
fn refusal(code: u16, status: &Value) -> Error {
    let reason = status["reason"].as_str().unwrap_or_default();
    let message = status["message"].as_str().unwrap_or_default();
    if let Some((_, tail)) = message.split_once("strict decoding error: ") {
        // The text before it holds the whole object.
        return Error::UnknownField(tail.chars().take(512).collect());
    }
    match (code, reason) {
        (409, "AlreadyExists") => Error::AlreadyExists,
        (409, _) => Error::Conflict,
        // A JSON patch that did not fit the object any more: it was changed.
        (422, "Invalid")
            if status["details"].as_object().is_none_or(|details| {
                details.get("causes").is_none() && details.get("name").is_none()
            }) =>
        {
            Error::Conflict
        }
        (404, "NotFound") => Error::NotFound,
        (404, _) => Error::NotServed,
        // Said by a proxy or after a time limit: it may have been carried out.
        (500 | 502 | 504, _) => Error::Unanswered(format!("{code} {message}").trim().to_owned()),
        _ => Error::Refused {
            code,
            message: message.chars().take(512).collect(),
        },
    }
}

fn path(kind: &Kind, scope: &Scope) -> Result<String, Error> {
    let root = if kind.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let api_version = kind.api_version();
    Ok(match scope {
        Scope::Cluster => format!("{root}/{api_version}/{}", kind.plural),
        Scope::Namespace(namespace) => {
            format!(
                "{root}/{api_version}/namespaces/{}/{}",
                segment(namespace)?,
                kind.plural
            )
        }
    })
}

/// A name as one segment of a path, whatever is in it. What would be another path for a server, or
/// a proxy before it, that decodes first is refused as the API server refuses it.
fn segment(name: &str) -> Result<String, Error> {
    if ["", ".", ".."].contains(&name) || name.contains(['/', '%']) {
        return Err(Error::Refused {
            code: 0,
            message: format!("{name:?} is not a name"),
        });
    }
    Ok(utf8_percent_encode(name, SEGMENT).to_string())
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Scope, path, segment};
    use crate::objects::SECRET;

    #[test]
    fn a_name_is_one_segment_of_a_path_or_none() {
        for (name, encoded) in [
            ("podinfo-primary.v1", "podinfo-primary.v1"),
            ("a?watch=true", "a%3Fwatch%3Dtrue"),
            ("a#b", "a%23b"),
            ("a b\u{e9}\n", "a%20b%C3%A9%0A"),
            ("a\\..", "a%5C.."),
        ] {
            assert_eq!(segment(name).as_deref(), Ok(encoded));
            let path = path(&SECRET, &Scope::Namespace(name.to_owned())).unwrap();
            assert_eq!(path, format!("/api/v1/namespaces/{encoded}/secrets"));
        }
        for name in ["", ".", "..", "a/b", "../secrets/x", "%2e%2e", "a%2fb"] {
            let refused = segment(name).unwrap_err().to_string();
            assert_eq!(refused, format!("0: {name:?} is not a name"));
            assert!(path(&SECRET, &Scope::Namespace(name.to_owned())).is_err());
        }
    }
}
