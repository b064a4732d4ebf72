//! The Kubernetes API as a pass uses it: lists, reads and single conditional writes of JSON
//! objects. One request a call; nothing is retried here.

use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::params::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, ValidationDirective,
};
use kube::core::request::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

use crate::objects::{CANARY, Kind};

/// The name under which every write is made, as `kubectl` and other tools see it.
pub use crate::objects::metadata::FIELD_MANAGER;

/// What is encoded in a segment of a path: all but what never has a meaning there.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Objects of a page. The API server's own controllers use 500; a pass reads a kind at a time and
/// counts requests.
const PAGE: u32 = 5_000;

/// A list that is read again from the start this often has a server that cannot keep a snapshot.
const RESTARTS_MAX: u32 = 3;

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
    /// Nobody knows whether the request was carried out.
    #[error("no answer: {0}")]
    Unanswered(String),
}

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

    /// Every object of a kind, consistent and most recent: never from a cache of any age.
    pub async fn list(
        &self,
        kind: &Kind,
        scope: &Scope,
        selector: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        self.pages(kind, scope, selector, false).await
    }

    /// The metadata of every object of a kind, for those whose contents are large and rarely
    /// needed.
    pub async fn list_metadata(&self, kind: &Kind, scope: &Scope) -> Result<Vec<Value>, Error> {
        self.pages(kind, scope, None, true).await
    }

    async fn pages(
        &self,
        kind: &Kind,
        scope: &Scope,
        selector: Option<&str>,
        metadata_only: bool,
    ) -> Result<Vec<Value>, Error> {
        let request = Request::new(path(kind, scope)?);
        let mut restarts = 0;
        let mut objects = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        loop {
            let request = if metadata_only {
                request.list_metadata(&params)
            } else {
                request.list(&params)
            };
            let mut page = match self.send(built(request)?).await {
                // The token is from a snapshot that is gone; a newer one would mix two.
                Err(Error::Refused { code: 410, .. }) if restarts < RESTARTS_MAX => {
                    restarts += 1;
                    objects.clear();
                    params.continue_token = None;
                    continue;
                }
                page => page?,
            };
            let token = page["metadata"]["continue"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let Value::Array(items) = page["items"].take() else {
                return Err(Error::Unanswered("a list without items".to_owned()));
            };
            objects.extend(items);
            if token.is_empty() {
                return Ok(objects);
            }
            params.continue_token = Some(token);
        }
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
        let unanswered = |error: &dyn std::error::Error| Error::Unanswered(chain(error));
        let response = self
            .client
            .send(request.map(Body::from))
            .await
            .map_err(|error| unanswered(&error))?;
        let code = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| unanswered(&error))?
            .to_bytes();
        let value = serde_json::from_slice::<Value>(&body);
        if code < 400 {
            return value.map_err(|error| Error::Unanswered(format!("not JSON: {error}")));
        }
        Err(refusal(code, &value.unwrap_or(Value::Null)))
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
