//! What the reply to a call means. Consent is explicit: a status from 200 to 202, and nothing else.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::LOCATION;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::PendingHook;
use crate::webhooks::Hook;

/// A reply may have as many bytes; nothing of them is read.
pub const REPLY_MAX: usize = 64 << 10;

/// Characters of a Location, as status keeps it.
const LOCATION_MAX: usize = 2_048;

/// What came of a call.
pub type Reply = Result<http::Response<Bytes>, NoReply>;

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// Sent, and not answered within the call's share of the pass: the hook may be at work.
    Late,
    /// Not sent.
    Failed(String),
}

/// What a hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Consent,
    /// Anything that is not consent: what came instead.
    Refusal(String),
    /// Not known yet. A later pass asks again, by what is noted here.
    Pending(PendingHook, String),
}

/// When a call was made.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// What earlier passes noted of the same question.
    pub pending: Option<&'a PendingHook>,
    /// Of the pass.
    pub now: Timestamp,
    /// How long the call was waited for at most.
    pub within: Duration,
    /// The step that the question bears, see [`super::call::Subject`].
    pub step: i64,
}

/// What a reply means.
///
/// A call that outlasts its share of the pass is pending until the hook's timeout is over, counted
/// from the first call. A 202 with a Location is pending for as long as that place answers 202. A call
/// that came to nothing is made again as often as the hook's retries say.
pub fn judge(hook: &Hook, called: &Called<'_>, reply: &Reply) -> Answer {
    let before = called.pending;
    let pending = |attempts: i64, location: Option<String>, why: String| {
        let note = PendingHook {
            id: hook.id.clone(),
            step: called.step,
            since: before.map_or(Time(called.now), |it| it.since.clone()),
            attempts,
            location,
        };
        Answer::Pending(note, why)
    };
    let attempts = before.map_or(0, |it| it.attempts);
    let again = |why: String| {
        if attempts < i64::from(hook.retries) {
            let text = format!("{why}, retry {} of {}", attempts + 1, hook.retries);
            pending(
                attempts + 1,
                before.and_then(|it| it.location.clone()),
                text,
            )
        } else {
            Answer::Refusal(why)
        }
    };
    let response = match reply {
        Ok(response) => response,
        Err(NoReply::Failed(why)) => return again(why.clone()),
        Err(NoReply::Late) => {
            let since = before.map_or(called.now, |it| it.since.0);
            let waited = called.now.duration_since(since) + signed(called.within);
            return if waited >= signed(hook.timeout) {
                Answer::Refusal(format!("no answer within {:?}", hook.timeout))
            } else {
                let location = before.and_then(|it| it.location.clone());
                let why = format!("no answer yet, {:?} allowed", hook.timeout);
                pending(attempts, location, why)
            };
        }
    };
    let status = response.status();
    match status {
        StatusCode::OK | StatusCode::CREATED => Answer::Consent,
        StatusCode::ACCEPTED => match place(hook, before, response) {
            Ok(None) => Answer::Consent,
            Ok(Some(location)) => pending(
                attempts,
                Some(location),
                "accepted, not done yet".to_owned(),
            ),
            Err(why) => Answer::Refusal(why),
        },
        _ if is_worth_another_try(status) => again(status.to_string()),
        status => Answer::Refusal(status.to_string()),
    }
}

/// Where a hook that has accepted a call tells how far it is: at its own server and nowhere else.
fn place(
    hook: &Hook,
    before: Option<&PendingHook>,
    response: &http::Response<Bytes>,
) -> Result<Option<String>, String> {
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(before.and_then(|it| it.location.clone()));
    };
    let wrong = || "202 Accepted, and its Location is no address".to_owned();
    let location = location.to_str().map_err(|_| wrong())?;
    let location: http::Uri = location.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (hook.uri.scheme_str(), hook.uri.authority()) else {
        return Err(wrong());
    };
    let is_elsewhere = location.authority().is_some_and(|other| other != authority)
        || location.scheme_str().is_some_and(|other| other != scheme);
    if is_elsewhere {
        return Err("202 Accepted, and its Location is at another server".to_owned());
    }
    let Some(path) = location
        .path_and_query()
        .filter(|path| path.as_str().starts_with('/'))
    else {
        return Err(wrong());
    };
    let location = format!("{scheme}://{authority}{path}");
    if location.len() > LOCATION_MAX {
        return Err("202 Accepted, and its Location is too long".to_owned());
    }
    Ok(Some(location))
}

/// Flagger's rule: too many requests, and the server's own errors but one that stays.
fn is_worth_another_try(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
