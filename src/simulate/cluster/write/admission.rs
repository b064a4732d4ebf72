//! What a request would write, for a layer above that plays an admission webhook, and the answer
//! of one that refuses it.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::super::Cluster;
use super::super::object::{Key, text};
use super::super::request::Request;

/// What a request would do to an object, as admission webhooks tell it: a patch is an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Cluster {
    /// The object that a request would write, and how; nothing for a read, and for a request that
    /// the API server turns down before it asks a webhook.
    pub(in crate::simulate) fn attempt(
        &self,
        request: &http::Request<Bytes>,
    ) -> Option<(Key, Operation)> {
        let operation = match *request.method() {
            Method::POST => Operation::Create,
            Method::PUT | Method::PATCH => Operation::Update,
            Method::DELETE => Operation::Delete,
            _ => return None,
        };
        let request = Request::read(request).ok()?;
        let mut place = self.kinds.place(&request).ok()?;
        if operation == Operation::Create {
            let object: Value = serde_json::from_slice(&request.body).ok()?;
            text(&object, "/metadata/name").clone_into(&mut place.name);
            return Some((place.key(), operation));
        }
        let key = place.key();
        self.get(&key).is_some().then_some((key, operation))
    }

    /// How the API server passes on that a webhook has refused to let this object be written.
    pub(in crate::simulate) fn denied(
        &self,
        key: &Key,
        code: StatusCode,
        message: &str,
    ) -> http::Response<Bytes> {
        match self.kinds.of(key) {
            Ok((kind, _)) => kind.denied(&key.name, code, message).into_response(),
            Err(refusal) => refusal.into_response(),
        }
    }
}
