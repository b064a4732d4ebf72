//! Passes driven by hand: each call waits until it is let through, so that several passes run in
//! one thread, in exactly the order that a test wants, without a sleep.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use davy::io::{Io, Wire};
use davy::pass::{self, Options};
use davy::simulate::world::World;
use http::{Method, Request};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::{ServiceExt, service_fn};

use super::faults::Fault;
use super::wire::{is_of_the_cluster, what};

/// A pass that is neither waiting at a call nor over after so many turns is lost.
const TURNS_MAX: usize = 10_000;

/// Which calls wait to be let through; the others go through at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Every,
    /// From the first write on: several passes then stand on one snapshot.
    FromTheFirstWrite,
}

/// A call that waits.
struct Waiting {
    what: String,
    go: oneshot::Sender<Option<Fault>>,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Waiting>,
    has_written: bool,
}

struct Driven {
    desk: Arc<Mutex<Desk>>,
    task: Option<JoinHandle<()>>,
}

/// Several passes and the one thread that they run in. What is killed ends with it.
pub(crate) struct Hand {
    runtime: Runtime,
    passes: Vec<Driven>,
}

impl Hand {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        Self {
            runtime: runtime.expect("a runtime"),
            passes: Vec::new(),
        }
    }

    /// Begins a pass, and lets it come to the first call that waits. Its number.
    pub(crate) fn begin(&mut self, world: &World, options: &Options, holds: Holds) -> usize {
        let desk = Arc::new(Mutex::new(Desk::default()));
        let io = held(world, &desk, holds);
        let options = options.clone();
        let task = self
            .runtime
            .spawn(async move { drop(pass::run(&io, &options).await) });
        self.passes.push(Driven {
            desk,
            task: Some(task),
        });
        let number = self.passes.len() - 1;
        self.turn(number);
        number
    }

    /// The call at which a pass waits; nothing once it is over.
    pub(crate) fn waits_at(&self, pass: usize) -> Option<String> {
        self.passes[pass]
            .desk()
            .waiting
            .front()
            .map(|waiting| waiting.what.clone())
    }

    /// Lets the call through, with a fault or without, and the pass come to its next one.
    pub(crate) fn let_through(&mut self, pass: usize, fault: Option<Fault>) {
        let waiting = self.passes[pass]
            .desk()
            .waiting
            .pop_front()
            .expect("a call that waits");
        // Nobody is there any more if the pass gave up on the call.
        let _ = waiting.go.send(fault);
        self.turn(pass);
    }

    /// The pass is never heard of again.
    pub(crate) fn kill(&mut self, pass: usize) {
        let driven = &mut self.passes[pass];
        driven.task = None;
        driven.desk().waiting.clear();
    }

    pub(crate) fn is_over(&self, pass: usize) -> bool {
        self.passes[pass].task.is_none()
    }

    /// Runs what can run, until the pass waits at a call or is over.
    fn turn(&mut self, pass: usize) {
        let driven = &mut self.passes[pass];
        let desk = driven.desk.clone();
        let task = driven.task.take().expect("a pass that is under way");
        driven.task = self.runtime.block_on(async move {
            for _ in 0..TURNS_MAX {
                if task.is_finished() {
                    task.await.expect("a pass does not panic");
                    return None;
                }
                if !lock(&desk).waiting.is_empty() {
                    return Some(task);
                }
                tokio::task::yield_now().await;
            }
            panic!("a pass waits for something that is no call");
        });
    }
}

impl Driven {
    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

fn lock(desk: &Mutex<Desk>) -> std::sync::MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wire of a world on which calls wait.
fn held(world: &World, desk: &Arc<Mutex<Desk>>, holds: Holds) -> Io {
    let Io { wire, clock } = world.io();
    let (desk, world) = (desk.clone(), world.clone());
    let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
        let (wire, desk, world) = (wire.clone(), desk.clone(), world.clone());
        async move {
            let order = {
                let mut desk = lock(&desk);
                let writes = *request.method() != Method::GET;
                desk.has_written |= writes && is_of_the_cluster(request.uri().path());
                let waits = holds == Holds::Every || desk.has_written;
                waits.then(|| {
                    let (go, order) = oneshot::channel();
                    desk.waiting.push_back(Waiting {
                        what: what(&request),
                        go,
                    });
                    order
                })
            };
            let fault = match order {
                None => None,
                Some(order) => match order.await {
                    Ok(fault) => fault,
                    Err(_) => return std::future::pending().await,
                },
            };
            match fault {
                None => wire.oneshot(request).await,
                // What is stale to a pass under way is what was there when it began; a test that
                // wants more than that goes by `Fault::at`.
                Some(fault) => fault.on(request, wire, &world).await,
            }
        }
    }));
    Io { wire, clock }
}
