//! The world of a rehearsal behind a wire: the cluster in memory, its controllers and its admission
//! webhook, the metrics system, and the call at which a pass is killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use tokio::sync::Notify;
use tower::service_fn;

use crate::io::clock::Clock;
use crate::io::{Io, Wire, WireError};
use crate::simulate::cluster::Cluster;
use crate::simulate::controllers::{self, Behaviour};
use crate::simulate::hooks;
use crate::simulate::metrics;
use crate::simulate::refusals::Refusals;
use crate::simulate::scenario::answers::Metrics;
use crate::simulate::scenario::hooks::Hooks;
use crate::simulate::scenario::{Crash, Outcome};
use crate::simulate::systems::System;

/// What requests reach.
#[derive(Clone, Debug)]
pub struct State {
    pub cluster: Cluster,
    pub behaviour: Behaviour,
    pub metrics: Metrics,
    pub hooks: Hooks,
    /// What the admission webhook refuses.
    pub refusals: Refusals,
    /// Requests so far, to the API server and to the metrics system.
    pub calls: u64,
    /// Requests to the API server.
    pub api_requests: u64,
    /// What channels were told, in order.
    pub told: Vec<Told>,
    /// The webhooks that were called, in order.
    pub called: Vec<Called>,
    crash: Option<(u64, Outcome)>,
    rest: Option<Rest>,
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub idempotency_key: String,
    pub body: Bytes,
}

/// A call of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// As the Canary names it.
    pub name: String,
    pub idempotency_key: String,
    pub body: Bytes,
}

/// When the controllers came to rest: until somebody writes or time comes, they have nothing to do.
#[derive(Clone, Debug)]
struct Rest {
    revision: u64,
    behaviour: Behaviour,
    until: Option<Timestamp>,
}

impl Rest {
    fn lasts(&self, state: &State, to: Timestamp) -> bool {
        self.revision == state.cluster.revision()
            && self.until.is_none_or(|until| until > to)
            && self.behaviour == state.behaviour
    }
}

/// A world that passes can be made in. Clones are the same world.
#[derive(Clone, Debug)]
pub struct World {
    state: Arc<Mutex<State>>,
    clock: Clock,
    killed: Arc<Notify>,
}

impl World {
    pub fn new(now: Timestamp) -> Self {
        let state = State {
            cluster: Cluster::new(),
            behaviour: Behaviour::default(),
            metrics: Metrics::default(),
            hooks: Hooks::default(),
            refusals: Refusals::default(),
            calls: 0,
            api_requests: 0,
            told: Vec::new(),
            called: Vec::new(),
            crash: None,
            rest: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock: Clock::fixed(now),
            killed: Arc::new(Notify::new()),
        }
    }

    /// Another world that goes on from this one's state by itself.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            state: Arc::new(Mutex::new(self.lock().clone())),
            clock: Clock::fixed(self.clock.now()),
            killed: Arc::new(Notify::new()),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass: the controllers act, each thing at its own time.
    pub fn advance(&self, to: Timestamp) {
        let mut state = self.lock();
        if state
            .rest
            .as_ref()
            .is_some_and(|rest| rest.lasts(&state, to))
        {
            state.cluster.set_settled(to);
        } else {
            let State {
                cluster, behaviour, ..
            } = &mut *state;
            let until = controllers::settle(cluster, to, behaviour);
            state.rest = Some(Rest {
                revision: state.cluster.revision(),
                behaviour: state.behaviour.clone(),
                until,
            });
        }
        self.clock.set(to);
    }

    /// Kills the pass that makes the n-th call from now.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        state.crash = Some((state.calls + crash.call, crash.outcome));
    }

    /// Takes the crash back that no call came to.
    pub fn disarm(&self) {
        self.lock().crash = None;
    }

    /// A pass is over: what is refused for a number of passes counts it.
    pub fn end_pass(&self) {
        self.lock().refusals.end_pass();
    }

    /// Returns when a pass was killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// The effects of this world: what a pass runs on.
    pub fn io(&self) -> Io {
        let world = self.clone();
        let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
            let world = world.clone();
            async move { world.call(&request).await }
        }));
        Io {
            wire,
            clock: self.clock.clone(),
        }
    }

    async fn call(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let (answer, dead) = {
            let mut state = self.lock();
            state.calls += 1;
            let dies = state.crash.filter(|(call, _)| *call == state.calls);
            if dies.is_some() {
                state.crash = None;
            }
            match dies {
                Some((_, Outcome::NotSent)) => (None, true),
                dies => (Some(self.answer(&mut state, request)), dies.is_some()),
            }
        };
        if dead {
            // What is killed neither gets an answer nor does anything with one. An answer that
            // came and one that did not come are told apart by what a pass does next: nothing.
            self.killed.notify_one();
            return std::future::pending().await;
        }
        answer.unwrap_or_else(|| Err(WireError::NotSent("killed".to_owned())))
    }

    fn answer(
        &self,
        state: &mut State,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, WireError> {
        let now = self.clock.now();
        if request.uri().authority().is_some() {
            let key = request.headers().get("Idempotency-Key");
            let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
            let called = hooks::answer(&state.hooks, &state.cluster, request);
            if let (Some(key), Some((name, answer))) = (&key, called) {
                state.called.push(Called {
                    name,
                    idempotency_key: key.clone(),
                    body: request.body().clone(),
                });
                return answer;
            }
            if let Some(idempotency_key) = key {
                state.told.push(Told {
                    idempotency_key,
                    body: request.body().clone(),
                });
                return Ok(Response::new(Bytes::new()));
            }
            return metrics::answer(&state.metrics, &state.cluster, request, now)
                .map_err(WireError::NotSent);
        }
        state.api_requests += 1;
        if System::of_cluster(request).is_some() {
            return metrics::answer(&state.metrics, &state.cluster, request, now)
                .map_err(WireError::NotSent);
        }
        if let Some(refusal) = state.refusals.answer(&state.cluster, request) {
            return Ok(refusal);
        }
        Ok(state.cluster.handle(request, now))
    }
}
