//! A channel: a real HTTP server that answers as it is told, and notes what it was sent.
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use davy::simulate::world::Told;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What the server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Takes,
    Fails,
    Hangs,
    Redirects,
    /// For so many seconds.
    TooMany(u32),
    /// It will never take this one.
    Refuses,
}

/// Dropped, the server ends with the runtime that it was started on.
#[derive(Clone)]
pub(super) struct Channel {
    pub(super) address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    taken: Vec<Told>,
    /// Requests, taken or not.
    asked: usize,
    bearer: Option<String>,
}

impl Channel {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State {
            answer: Answer::Takes,
            taken: Vec::new(),
            asked: 0,
            bearer: None,
        }));
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = served.clone();
                let answer = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(answer(&state, request).await) }
                });
                let connection = TokioIo::new(connection);
                tokio::spawn(http1::Builder::new().serve_connection(connection, answer));
            }
        });
        Self {
            address: format!("http://127.0.0.1:{port}/secret-path"),
            state,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, answer: Answer) {
        self.lock().answer = answer;
    }

    pub(super) fn taken(&self) -> Vec<Told> {
        self.lock().taken.clone()
    }

    pub(super) fn asked(&self) -> usize {
        self.lock().asked
    }

    pub(super) fn bearer(&self) -> Option<String> {
        self.lock().bearer.clone()
    }
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let header = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let (key, bearer) = (header("Idempotency-Key"), header("Authorization"));
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        if state.answer == Answer::Takes {
            state.bearer = bearer;
            state.taken.push(Told {
                idempotency_key: key.expect("an idempotency key"),
                body,
            });
        }
        state.answer
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = match answer {
        Answer::Takes => StatusCode::OK,
        Answer::Fails => StatusCode::INTERNAL_SERVER_ERROR,
        Answer::Hangs => return std::future::pending().await,
        Answer::Redirects => {
            let place = http::HeaderValue::from_static("http://169.254.169.254/");
            response.headers_mut().insert("Location", place);
            StatusCode::FOUND
        }
        Answer::TooMany(seconds) => {
            response.headers_mut().insert("Retry-After", seconds.into());
            StatusCode::TOO_MANY_REQUESTS
        }
        Answer::Refuses => StatusCode::BAD_REQUEST,
    };
    response
}
