//! What networks, servers and kernels do to a call, below the client.

use bytes::Bytes;
use davy::io::{Io, Wire, WireError};
use davy::simulate::world::World;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use super::wire::{Answer, Log, what};

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never leaves: no connection.
    NotSent,
    /// The connection is reset before the server has it.
    Reset,
    /// The server does it, and the answer never comes.
    Unanswered,
    /// The server does it, and something before it answers 504.
    GatewayTimeout,
    /// It is refused with this code, and not done.
    Refused(u16),
    /// The answer is larger than a client may read, or does not end.
    Endless,
    /// The answer is cut off, or was never JSON.
    Garbled,
    /// A read shows an earlier state.
    Stale,
    /// A list lacks its last item, and says nothing of it.
    Partial,
    /// A list lacks everything.
    Empty,
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault::NotSent,
    Fault::Reset,
    Fault::Unanswered,
    Fault::GatewayTimeout,
    Fault::Refused(403),
    Fault::Refused(404),
    Fault::Refused(409),
    Fault::Refused(410),
    Fault::Refused(422),
    Fault::Refused(429),
    Fault::Refused(500),
    Fault::Refused(503),
    Fault::Endless,
    Fault::Garbled,
    Fault::Stale,
    Fault::Partial,
    Fault::Empty,
];

impl Fault {
    /// The wire of a world on which the call with this number, from 0, goes wrong, and what is
    /// called over it. `earlier` is the state that a stale read shows.
    pub(crate) fn at(self, number: usize, world: &World, earlier: &World) -> (Io, Log) {
        let Io { wire, clock } = world.io();
        let log = Log::default();
        let (calls, earlier) = (log.clone(), earlier.fork());
        let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
            let is_faulty = calls.add(what(&request)) == number;
            let (wire, earlier) = (wire.clone(), earlier.clone());
            async move {
                if is_faulty {
                    self.on(request, wire, &earlier).await
                } else {
                    wire.oneshot(request).await
                }
            }
        }));
        (Io { wire, clock }, log)
    }

    /// Whether nobody who called can know what has become of it.
    pub(crate) fn leaves_in_doubt(self) -> bool {
        matches!(
            self,
            Self::Reset | Self::Unanswered | Self::GatewayTimeout | Self::Endless | Self::Garbled
        )
    }

    /// The call with this fault.
    pub(crate) async fn on(self, request: Request<Bytes>, wire: Wire, earlier: &World) -> Answer {
        let is_read = request.method() == http::Method::GET;
        match self {
            Self::NotSent => Err(WireError::NotSent("connection refused".to_owned())),
            Self::Reset => Err(WireError::NoAnswer("connection reset by peer".to_owned())),
            Self::Unanswered => {
                let _lost = wire.oneshot(request).await?;
                Err(WireError::NoAnswer("no answer within 30s".to_owned()))
            }
            Self::Endless => {
                let _lost = wire.oneshot(request).await?;
                Err(WireError::NoAnswer(
                    "the answer is larger than 67108864 bytes".to_owned(),
                ))
            }
            Self::GatewayTimeout => {
                let _lost = wire.oneshot(request).await?;
                Ok(refusal(504))
            }
            Self::Garbled => {
                let answer = wire.oneshot(request).await?;
                Ok(answer.map(|body| body.slice(..body.len() / 2)))
            }
            Self::Refused(code) => Ok(refusal(code)),
            Self::Stale if is_read => earlier.io().wire.oneshot(request).await,
            Self::Partial if is_read => Ok(without(wire.oneshot(request).await?, |items| {
                items.pop();
            })),
            Self::Empty if is_read => Ok(without(wire.oneshot(request).await?, Vec::clear)),
            Self::Stale | Self::Partial | Self::Empty => wire.oneshot(request).await,
        }
    }

    /// Whether an object is said not to be there that is.
    pub(crate) fn is_a_lie(self, what: &str) -> bool {
        self == Self::Refused(404) && what.starts_with("GET ") && what.contains("/namespaces/")
    }

    /// Whether it makes any difference to this call.
    pub(crate) fn concerns(self, what: &str) -> bool {
        let is_api = what.contains(" /api");
        match self {
            Self::Stale => is_api && what.starts_with("GET "),
            // Collections have plural names at their end.
            Self::Partial | Self::Empty => {
                is_api && what.starts_with("GET ") && !what.contains("/namespaces/")
            }
            _ => true,
        }
    }
}

/// What an API server says when it refuses.
pub(super) fn refusal(code: u16) -> Response<Bytes> {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "Timeout",
    };
    let details = match code {
        422 => json!({ "name": "podinfo", "causes": [{ "reason": "FieldValueInvalid" }] }),
        _ => json!({}),
    };
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "refused by the test",
        "reason": reason,
        "details": details,
        "code": code,
    });
    let mut response = Response::new(Bytes::from(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a code");
    if matches!(code, 429 | 503) {
        let header = header::HeaderValue::from_static("3600");
        response.headers_mut().insert(header::RETRY_AFTER, header);
    }
    response
}

fn without(response: Response<Bytes>, take: impl FnOnce(&mut Vec<Value>)) -> Response<Bytes> {
    response.map(|body| {
        let Ok(mut list) = serde_json::from_slice::<Value>(&body) else {
            return body;
        };
        if let Some(items) = list["items"].as_array_mut() {
            take(items);
        }
        Bytes::from(list.to_string())
    })
}
