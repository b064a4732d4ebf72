//! Layers on the wire of a world, below the client: one that remembers the world at every call,
//! and one that does to a call what networks, servers and kernels do.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use davy::io::{Io, Wire, WireError};
use davy::simulate::world::World;
use http::{Method, Request, Response};
use serde_json::Value;
use tower::{ServiceExt, service_fn};

/// One outgoing call of a pass, and the world around it.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) what: String,
    /// As the world was when the call was made: a process that is killed before it sends.
    pub(crate) before: World,
    /// As the world was when the answer was ready: killed before it came, or with it.
    pub(crate) after: World,
    pub(crate) wrote: bool,
}

/// Every call of a pass, in order.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The wire of a world, on which every call is remembered.
    pub(crate) fn of(&self, world: &World) -> Io {
        self.over(world.io(), world)
    }

    /// The same on another wire of that world.
    pub(crate) fn over(&self, Io { wire, clock }: Io, world: &World) -> Io {
        let (calls, world) = (self.clone(), world.clone());
        let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
            let (calls, world, wire) = (calls.clone(), world.clone(), wire.clone());
            async move {
                let what = what(&request);
                let before = world.fork();
                let answer = wire.oneshot(request).await;
                let after = world.fork();
                let wrote = revision(&before) != revision(&after);
                let call = Call {
                    what,
                    before,
                    after,
                    wrote,
                };
                calls
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(call);
                answer
            }
        }));
        Io { wire, clock }
    }
}

/// What was called, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Notes a call; how many there were before.
    pub(crate) fn add(&self, call: String) -> usize {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
        calls.len() - 1
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Method and path; of an object that is made, with the name that it will have.
pub(crate) fn what(request: &Request<Bytes>) -> String {
    let what = format!("{} {}", request.method(), request.uri().path());
    if request.method() != Method::POST {
        return what;
    }
    let object: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    match object["metadata"]["name"].as_str() {
        Some(name) => format!("{what}/{name}"),
        None => what,
    }
}

/// Whether a call, by its path and with its method or without, is one of the API server and not of
/// a hook.
pub(crate) fn is_of_the_cluster(call: &str) -> bool {
    let path = call.split_once(' ').map_or(call, |(_, path)| path);
    path.starts_with("/api")
}

pub(crate) fn revision(world: &World) -> u64 {
    world.lock().cluster.revision()
}

pub(crate) type Answer = Result<Response<Bytes>, WireError>;
