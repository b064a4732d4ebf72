//! Drives a metrics system: sends what it wants to ask, and hands it the replies.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tower::ServiceExt;

use crate::io::Io;
use crate::metrics::{Check, Measured, Next, Provider, Reply};

/// All checks of a call are answered within this time, or are errors. The wire's own limit for
/// one request is shorter; this one is for queues.
const ASK_DEADLINE: Duration = Duration::from_secs(15);

/// Requests to metrics systems at one time: Prometheus runs 20 queries at once by default.
const ASK_CONCURRENCY: usize = 16;

/// A provider that wants more rounds than this would never be done.
const ASK_ROUNDS: usize = 8;

/// Asks a metrics system all checks, concurrently; one measurement for each, in order.
///
/// On failure: trouble with a request is the measurement `Error` of its check alone.
pub async fn ask(
    io: &Io,
    provider: &dyn Provider,
    checks: &[Check],
    now: Timestamp,
) -> Vec<Measured> {
    let deadline = tokio::time::Instant::now() + ASK_DEADLINE;
    let mut replies = Vec::new();
    for _ in 0..ASK_ROUNDS {
        let requests = match provider.next(checks, &replies, now) {
            Next::Done(measured) => return measured,
            Next::Ask(requests) => requests,
        };
        let answers = stream::iter(requests).map(async |request| {
            let answer = tokio::time::timeout_at(deadline, reply(io, request)).await;
            answer.unwrap_or_else(|_| Err(format!("no answer within {ASK_DEADLINE:?}")))
        });
        replies.extend(answers.buffered(ASK_CONCURRENCY).collect::<Vec<_>>().await);
    }
    let endless = format!("{} was not done after {ASK_ROUNDS} rounds", provider.name());
    vec![Measured::Error(endless); checks.len()]
}

/// Whether every metrics system that these checks are asked of answers at all, or why not.
pub async fn probe(io: &Io, provider: &dyn Provider, checks: &[Check]) -> Result<(), String> {
    let systems: BTreeMap<_, _> = checks
        .iter()
        .map(|check| (check.address.clone(), check.origin))
        .collect();
    let probes = stream::iter(systems).map(async |(address, origin)| {
        let request = provider.probe(&address, origin)?;
        provider.online(&reply(io, request).await)
    });
    probes.buffered(ASK_CONCURRENCY).try_collect().await
}

async fn reply(io: &Io, request: http::Request<Bytes>) -> Reply {
    io.wire
        .clone()
        .oneshot(request)
        .await
        .map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Check, Io, Timestamp, ask, probe};
    use crate::metrics::provider;

    /// Passes run in tasks; that a future may be sent to one is easily lost and reported far off.
    #[expect(dead_code, reason = "it is enough that this compiles")]
    fn both_can_be_awaited_in_a_task(io: Io, checks: Vec<Check>, now: Timestamp) {
        tokio::spawn(async move {
            let _ = probe(&io, provider(), &checks).await;
            let _ = ask(&io, provider(), &checks, now).await;
        });
    }
}
