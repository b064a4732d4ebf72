//! What goes on around a story besides its script: writes that the API server refuses, and what
//! others do some passes from now.

use std::sync::Arc;

use bytes::Bytes;
use davy::io::{Io, Wire};
use davy::simulate::cluster::Key;
use davy::simulate::world::World;
use http::{Method, Request};
use tower::{ServiceExt, service_fn};

use super::Story;
use super::faults::refusal;
use super::wire::what;

/// Something that somebody else does.
pub(crate) type Act = Arc<dyn Fn(&mut Story) + Send + Sync>;

/// What surrounds a story from a disturbance on; nothing does without one.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    /// Set where the script may have been overtaken: what it cannot do any more is left out, and a
    /// line that waits for what will not be does not wait for ever.
    pub(crate) is_disturbed: bool,
    refusals: Vec<Refusal>,
    later: Vec<(u32, Act)>,
}

/// Writes of one object that are refused, as by a role that lacks the verb (403) or by admission
/// (422). Objects are told apart by the end of the path.
#[derive(Clone, Debug)]
struct Refusal {
    object: Key,
    path_end: String,
    code: u16,
    /// The last pass that meets it; none if all do.
    last: Option<u32>,
}

impl Surroundings {
    /// From now on, in at most so many passes, writes of the object are refused with this code.
    pub(crate) fn refuse(&mut self, object: Key, code: u16, last: Option<u32>) {
        let path_end = format!("/{}/{}", plural(&object.kind), object.name);
        self.refusals.push(Refusal {
            object,
            path_end,
            code,
            last,
        });
    }

    /// Whether a pass with this number meets with refused writes of the object.
    pub(crate) fn refuses(&self, object: &Key, pass: u32) -> bool {
        let mut met = self.refusals.iter().filter(|refusal| refusal.is_met(pass));
        met.any(|refusal| refusal.object == *object)
    }

    /// What the pass with this number and later ones meet, to be compared.
    pub(crate) fn refused(&self, pass: u32) -> impl std::fmt::Debug {
        let met = self.refusals.iter().filter(|refusal| refusal.is_met(pass));
        let told = met.map(|refusal| {
            let left = refusal.last.map(|last| last - pass);
            (refusal.path_end.clone(), refusal.code, left)
        });
        told.collect::<Vec<_>>()
    }

    /// Whether any write is refused for ever.
    pub(crate) fn refuses_for_ever(&self) -> bool {
        self.refusals.iter().any(|refusal| refusal.last.is_none())
    }

    /// Does something before the pass with this number.
    pub(crate) fn before_pass(&mut self, pass: u32, act: Act) {
        self.later.push((pass, act));
    }

    /// Whether something is still to come.
    pub(crate) fn is_over(&self) -> bool {
        self.later.is_empty()
    }

    /// Takes out what is due before the pass with this number, in the order in which it was asked
    /// for.
    fn due(&mut self, pass: u32) -> Vec<Act> {
        let (due, later) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|(at, _)| *at <= pass);
        self.later = later;
        due.into_iter().map(|(_, act): (u32, Act)| act).collect()
    }

    /// The wire of a world as the pass with this number finds it.
    pub(crate) fn io(&self, world: &World, pass: u32) -> Io {
        let io = world.io();
        let met = self.refusals.iter().filter(|refusal| refusal.is_met(pass));
        let met: Arc<[Refusal]> = met.cloned().collect();
        if met.is_empty() {
            return io;
        }
        let Io { wire, clock } = io;
        let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
            let refused = met.iter().find(|refusal| refusal.is_about(&request));
            let refused = refused.map(|refusal| refusal.code);
            let wire = wire.clone();
            async move {
                match refused {
                    Some(code) => Ok(refusal(code)),
                    None => wire.oneshot(request).await,
                }
            }
        }));
        Io { wire, clock }
    }
}

impl Refusal {
    fn is_met(&self, pass: u32) -> bool {
        self.last.is_none_or(|last| pass <= last)
    }

    fn is_about(&self, request: &Request<Bytes>) -> bool {
        if *request.method() == Method::GET {
            return false;
        }
        let what = what(request);
        let path = what.trim_end_matches("/status").trim_end_matches("/scale");
        path.ends_with(&self.path_end)
    }
}

impl Story {
    /// What was to come before the next pass happens.
    pub(super) fn others_act(&mut self) {
        for act in self.surroundings.due(self.passes) {
            act(self);
        }
    }
}

/// As a path names the collection.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}
