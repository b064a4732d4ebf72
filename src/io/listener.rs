//! A small HTTP server for a loop of passes: `/metrics` for Prometheus and `/healthz` for the
//! kubelet. It shows what the loop put there, and takes nothing in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::io::clock::Clock;

/// A scraper and a kubelet need one each; more than this is nobody we know.
const CONNECTIONS_MAX: usize = 32;
/// How long a connection may stay without asking anything whole.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);

/// What is shown. Clones show the same.
#[derive(Clone, Debug)]
pub struct Shown(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    page: String,
    content_type: &'static str,
    last_success: Timestamp,
    healthy_for: Duration,
}

impl Shown {
    /// Healthy until `healthy_for` has passed since the last success; the start counts as one.
    pub fn new(started: Timestamp, healthy_for: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            page: String::new(),
            content_type: "text/plain",
            last_success: started,
            healthy_for,
        })))
    }

    /// A pass that began at `started` has succeeded.
    pub fn succeeded(&self, started: Timestamp) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_success = started;
    }

    /// What `/metrics` shows from now on.
    pub fn show(&self, page: String, content_type: &'static str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.page = page;
        state.content_type = content_type;
    }

    fn answer(&self, method: &Method, path: &str, now: Timestamp) -> Response<Full<Bytes>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, content_type, text) = if !["/metrics", "/healthz"].contains(&path) {
            (
                StatusCode::NOT_FOUND,
                "text/plain",
                "not found\n".to_owned(),
            )
        } else if ![Method::GET, Method::HEAD].contains(method) {
            let text = "only GET and HEAD\n".to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain", text)
        } else if path == "/metrics" {
            (StatusCode::OK, state.content_type, state.page.clone())
        } else {
            let silent = now.duration_since(state.last_success);
            let late = Duration::try_from(silent).is_ok_and(|it| it > state.healthy_for);
            if late {
                let text = format!("no pass has succeeded for {} s\n", silent.as_secs());
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain", text)
            } else {
                (StatusCode::OK, "text/plain", "OK\n".to_owned())
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// Listens, and answers in a task of its own until the process ends. The address is the one that
/// was got, for a port 0.
pub async fn listen(
    address: SocketAddr,
    shown: Shown,
    clock: Clock,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            // A connection that broke, or too many open files: the next one may do better.
            let Ok((connection, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let (shown, clock) = (shown.clone(), clock.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path();
                    let response = shown.answer(request.method(), path, clock.now());
                    async move { Ok::<_, std::convert::Infallible>(response) }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .max_buf_size(16 << 10)
                    .serve_connection(TokioIo::new(connection), answer);
                let _ = tokio::time::timeout(CONNECTION_TIMEOUT, serving).await;
                drop(place);
            });
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Method, Shown, StatusCode, Timestamp};

    #[test]
    fn health_ends_when_passes_stop_succeeding() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let shown = Shown::new(at(1_000), Duration::from_mins(1));
        let health = |second| shown.answer(&Method::GET, "/healthz", at(second)).status();
        assert_eq!(health(1_060), StatusCode::OK);
        assert_eq!(health(1_061), StatusCode::SERVICE_UNAVAILABLE);
        shown.succeeded(at(1_061));
        assert_eq!(health(1_100), StatusCode::OK);
        // A clock that was set back is no failure of ours.
        assert_eq!(health(900), StatusCode::OK);
    }

    #[test]
    fn nothing_but_reading_is_answered() {
        let shown = Shown::new(Timestamp::UNIX_EPOCH, Duration::from_mins(1));
        let status = |method, path| {
            let now = Timestamp::UNIX_EPOCH;
            shown.answer(&method, path, now).status()
        };
        assert_eq!(status(Method::GET, "/metrics"), StatusCode::OK);
        assert_eq!(
            status(Method::POST, "/metrics"),
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(status(Method::GET, "/"), StatusCode::NOT_FOUND);
    }
}
