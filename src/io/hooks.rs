//! Calls hooks: a request goes out once, and its reply, or why there is none, comes back.

use std::time::Duration;

use bytes::Bytes;
use tower::ServiceExt;

use crate::io::wire::{AnyCertificate, StatusOnly};
use crate::io::{Io, WireError};
use crate::metrics::Untrusted;
use crate::webhooks::reply::{NoReply, REPLY_MAX, Reply};

/// What the wire adds before it gives up by itself, so that a late hook is told from a broken one.
const GRACE: Duration = Duration::from_secs(1);

/// Calls a hook whose address stands in a Canary, and waits `within` for the reply.
///
/// # Guarantees
/// The request goes where the address policy lets it, once, and no redirect is followed. No more
/// than 64 KiB of the reply are read, and none of them kept: a reply has no body.
pub async fn call(
    io: &Io,
    mut request: http::Request<Bytes>,
    within: Duration,
    any_certificate: bool,
) -> Reply {
    let extensions = request.extensions_mut();
    extensions.insert(Untrusted);
    extensions.insert(StatusOnly {
        total: within + GRACE,
        body: REPLY_MAX,
    });
    if any_certificate {
        extensions.insert(AnyCertificate);
    }
    let answer = tokio::time::timeout(within, io.wire.clone().oneshot(request)).await;
    match answer {
        Ok(Ok(response)) => Ok(response),
        // It was sent: the hook may be at work all the same.
        Ok(Err(WireError::NoAnswer(_))) | Err(_) => Err(NoReply::Late),
        Ok(Err(why)) => Err(NoReply::Failed(why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use jiff::Timestamp;
    use tower::service_fn;

    use super::call;
    use crate::io::clock::Clock;
    use crate::io::wire::{AnyCertificate, StatusOnly};
    use crate::io::{Io, Wire, WireError};
    use crate::metrics::Untrusted;
    use crate::webhooks::reply::NoReply;

    /// Answers by the path what can happen to a request.
    fn io() -> Io {
        let wire = service_fn(|request: Request<Bytes>| async move {
            let extensions = request.extensions();
            assert_eq!(extensions.get(), Some(&Untrusted));
            let limit: &StatusOnly = extensions.get().unwrap();
            assert_eq!(limit.body, 64 << 10);
            assert!(limit.total > Duration::from_millis(50));
            let any = extensions.get::<AnyCertificate>().is_some();
            assert_eq!(any, request.uri().path() == "/any");
            match request.uri().path() {
                "/late" => std::future::pending().await,
                "/cut" => Err(WireError::NoAnswer("cut".to_owned())),
                "/down" => Err(WireError::NotSent("connection refused".to_owned())),
                _ => Ok(Response::new(Bytes::new())),
            }
        });
        Io {
            wire: Wire::new(wire),
            clock: Clock::fixed(Timestamp::UNIX_EPOCH),
        }
    }

    #[tokio::test]
    async fn what_may_be_at_work_is_late_and_what_was_not_sent_has_failed() {
        let down = NoReply::Failed("connection refused".to_owned());
        for (path, expected) in [
            ("good", Ok(200)),
            ("any", Ok(200)),
            ("late", Err(NoReply::Late)),
            ("cut", Err(NoReply::Late)),
            ("down", Err(down)),
        ] {
            let request = Request::post(format!("http://tester.test/{path}"));
            let request = request.body(Bytes::new()).unwrap();
            let within = Duration::from_millis(50);
            let reply = call(&io(), request, within, path == "any").await;
            let status = reply.map(|response| response.status().as_u16());
            assert_eq!(status, expected, "{path}");
        }
    }
}
