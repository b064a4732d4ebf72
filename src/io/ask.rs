//! Drives a metrics system: sends what it wants to ask, and hands it the replies.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tower::ServiceExt;

use crate::io::Io;
use crate::metrics::{Check, Measured, Next, Provider, Reply, System};

/// So many checks are answered within this time, or are errors. The wire's own limit for one request
/// is shorter; this one is for queues.
const ASK_DEADLINE: Duration = Duration::from_secs(15);
const ASK_DEADLINE_CHECKS: u32 = 64;

/// Requests to metrics systems at one time: Prometheus runs 20 queries at once by default.
const ASK_CONCURRENCY: usize = 16;

/// A provider that wants more rounds than this would never be done.
const ASK_ROUNDS: usize = 8;

/// Asks a metrics system all checks, concurrently; one measurement for each, in order. `limit` is the
/// longest time for all of them.
///
/// On failure: trouble with a request is the measurement `Error` of the checks that it is for.
pub async fn ask(
    io: &Io,
    provider: &dyn Provider,
    checks: &[Check],
    now: Timestamp,
    limit: Duration,
) -> Vec<Measured> {
    let limit = limit.min(limit_for(checks.len()));
    let deadline = tokio::time::Instant::now() + limit;
    let mut replies = Vec::new();
    for _ in 0..ASK_ROUNDS {
        let requests = match provider.next(checks, &replies, now) {
            Next::Done(measured) => return measured,
            Next::Ask(requests) => requests,
        };
        let answers = stream::iter(requests).map(async |request| {
            let answer = tokio::time::timeout_at(deadline, reply(io, request)).await;
            answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
        });
        replies.extend(answers.buffered(ASK_CONCURRENCY).collect::<Vec<_>>().await);
    }
    let endless = format!("{} was not done after {ASK_ROUNDS} rounds", provider.name());
    vec![Measured::Error(endless); checks.len()]
}

/// Many questions have more time than few.
fn limit_for(checks: usize) -> Duration {
    let checks = u32::try_from(checks).unwrap_or(u32::MAX);
    ASK_DEADLINE.saturating_mul(checks.div_ceil(ASK_DEADLINE_CHECKS).max(1))
}

/// Whether a metrics system answers at all, or why not.
pub async fn probe(
    io: &Io,
    provider: &dyn Provider,
    system: &System,
    limit: Duration,
) -> Result<(), String> {
    let limit = limit.min(ASK_DEADLINE);
    let request = provider.probe(system, io.clock.now())?;
    let answer = tokio::time::timeout(limit, reply(io, request)).await;
    provider.online(&answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}"))))
}

/// What comes back for one request.
pub async fn reply(io: &Io, request: http::Request<Bytes>) -> Reply {
    io.wire
        .clone()
        .oneshot(request)
        .await
        .map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use jiff::Timestamp;
    use tokio::sync::Barrier;
    use tower::service_fn;

    use super::{ASK_DEADLINE, ask, probe};
    use crate::io::clock::Clock;
    use crate::io::{Io, Wire, WireError};
    use crate::metrics::{
        Access, Author, Check, Measured, Next, Origin, Provider, Reply, System, Unit, provider,
    };

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn check(address: &str, query: &str) -> Check {
        Check {
            metric: "request-success-rate".to_owned(),
            address: format!("http://{address}"),
            origin: Origin::Settings,
            query: query.to_owned(),
            only_failures: None,
            scale: 1.0,
            interval: Duration::from_mins(1),
            min: Some(99.0),
            max: None,
            unit: Unit::Percent,
            source: "istio".to_owned(),
            author: Author::BuiltIn,
            access: Access::default(),
            batch: None,
        }
    }

    fn io<F>(answer: impl Fn(String) -> F + Clone + Send + Sync + 'static) -> Io
    where
        F: Future<Output = Result<String, WireError>> + Send + 'static,
    {
        let wire = service_fn(move |request: Request<Bytes>| {
            let value = answer(request.uri().to_string());
            async move {
                let series = format!(r#"[{{"metric":{{}},"value":[0,"{}"]}}]"#, value.await?);
                let data = format!(r#"{{"resultType":"vector","result":{series}}}"#);
                let body = format!(r#"{{"status":"success","data":{data}}}"#);
                Ok(Response::new(Bytes::from(body)))
            }
        });
        Io {
            wire: Wire::new(wire),
            clock: Clock::fixed(NOW),
        }
    }

    /// In a task, as passes run: that a future may be sent to one is easily lost.
    #[tokio::test]
    async fn all_checks_are_asked_at_once_and_answered_in_order() {
        let all = Arc::new(Barrier::new(3));
        let io = io(move |uri| {
            let all = all.clone();
            async move {
                all.wait().await;
                let (_, number) = uri.split_once("query=").unwrap_or_default();
                Ok(number.to_owned())
            }
        });
        let measured = tokio::spawn(async move {
            let checks = [check("a", "1"), check("b", "2"), check("a", "3")];
            ask(&io, provider(), &checks, NOW, ASK_DEADLINE).await
        });
        assert_eq!(
            measured.await.unwrap(),
            [1.0, 2.0, 3.0].map(Measured::Value)
        );
    }

    #[tokio::test]
    async fn trouble_and_lateness_stay_with_their_check() {
        let io = io(async |uri: String| {
            if uri.contains("late") {
                std::future::pending::<()>().await;
            }
            if uri.contains("down") {
                return Err(WireError::NotSent("connection refused".to_owned()));
            }
            Ok("100".to_owned())
        });
        let checks = [check("late", "1"), check("down", "1"), check("up", "1")];
        let limit = Duration::from_millis(50);
        let measured = ask(&io, provider(), &checks, NOW, limit).await;
        let error = |why: &str| Measured::Error(why.to_owned());
        let expected = [
            error("no answer within 50ms"),
            error("connection refused"),
            Measured::Value(100.0),
        ];
        assert_eq!(measured, expected);
    }

    #[tokio::test]
    async fn trouble_of_a_system_stays_with_it() {
        let io = io(async |uri: String| match uri.as_str() {
            "http://up/api/v1/query?query=vector%281%29" => Ok("1".to_owned()),
            _ => Err(WireError::NotSent("connection refused".to_owned())),
        });
        for (address, expected) in [
            ("http://up", Ok(())),
            ("http://down", Err("connection refused".to_owned())),
        ] {
            let system = System {
                address: address.to_owned(),
                origin: Origin::Settings,
                access: Access::default(),
            };
            let probed = probe(&io, provider(), &system, ASK_DEADLINE).await;
            assert_eq!(probed, expected, "{address}");
        }
    }

    struct Endless;

    impl Provider for Endless {
        fn name(&self) -> &'static str {
            "endless"
        }

        fn next(&self, _: &[Check], _: &[Reply], _: Timestamp) -> Next {
            Next::Ask(Vec::new())
        }

        fn probe(&self, _: &System, _: Timestamp) -> Result<Request<Bytes>, String> {
            Err("never".to_owned())
        }

        fn online(&self, _: &Reply) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_provider_that_is_never_done_is_an_error() {
        let io = io(async |_| Ok(String::new()));
        let checks = [check("a", "1"), check("a", "2")];
        let measured = ask(&io, &Endless, &checks, NOW, ASK_DEADLINE).await;
        let endless = Measured::Error("endless was not done after 8 rounds".to_owned());
        assert_eq!(measured, [endless.clone(), endless]);
    }
}
