//! A stand-in for the receivers of webhooks: a call is known by its address and its key, and is
//! answered by what the script says.

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::cluster::Cluster;
use super::scenario::hooks::{HookAnswer, Hooks};
use crate::api::canary::Canary;
use crate::io::WireError;
use crate::pass::terms;
use crate::webhooks::{self, call};

/// The answer to a call, if the request is one of a hook in the cluster, and the name of that hook.
pub(super) fn answer(
    hooks: &Hooks,
    cluster: &Cluster,
    request: &Request<Bytes>,
) -> Option<(String, Result<Response<Bytes>, WireError>)> {
    let hook = called(cluster, request)?;
    let answer = match hooks.of(&hook.name, hook.kind) {
        HookAnswer::Status(status, location) => Ok(response(status, location.as_deref())),
        HookAnswer::Late => Err(WireError::NoAnswer("no answer".to_owned())),
        HookAnswer::Outage => Err(WireError::NotSent("connection refused".to_owned())),
    };
    Some((hook.name, answer))
}

/// The hook that a request calls, or asks how far it has come.
fn called(cluster: &Cluster, request: &Request<Bytes>) -> Option<webhooks::Hook> {
    let key = request.headers().get(call::IDEMPOTENCY_KEY)?;
    let key = key.to_str().ok()?;
    let canaries = cluster.objects_of("flagger.app", "Canary");
    let hooks = canaries.filter_map(|(_, canary)| {
        let canary: Canary = serde_json::from_value((**canary).clone()).ok()?;
        let uid = canary.metadata.uid.as_deref().unwrap_or_default();
        key.starts_with(uid).then_some(())?;
        webhooks::hooks("webhooks", &terms::analysis(&canary)?.webhooks, true).ok()
    });
    let is_called = |hook: &webhooks::Hook| {
        key.ends_with(&format!("-{}", hook.id)) && hook.uri.authority() == request.uri().authority()
    };
    // The id of one hook may be the end of another's.
    let called = hooks.flatten().filter(is_called);
    called.max_by_key(|hook| hook.id.len())
}

fn response(status: u16, location: Option<&str>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if let Some(location) = location.and_then(|location| location.parse().ok()) {
        response
            .headers_mut()
            .insert(http::header::LOCATION, location);
    }
    response
}
