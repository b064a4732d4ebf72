//! Every committed write, in order. A chain of shared links: a fork costs nothing, and both sides
//! go on by themselves.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::object::Key;

/// One committed write.
#[derive(Clone, Debug)]
pub struct Write {
    /// Counts up by one, and is the resourceVersion that the write gave.
    pub number: u64,
    pub at: Timestamp,
    /// The field manager of the request.
    pub manager: Arc<str>,
    pub verb: Verb,
    pub key: Key,
    pub before: Option<Arc<Value>>,
    pub after: Option<Arc<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    /// An update through `/status`.
    UpdateStatus,
    /// A removal. An object that is only marked because of its finalizers is updated.
    Delete,
}

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    last: Option<Arc<Link>>,
}

#[derive(Debug)]
struct Link {
    write: Write,
    before: Option<Arc<Link>>,
}

impl History {
    pub(super) fn push(&mut self, write: Write) {
        let before = self.last.take();
        self.last = Some(Arc::new(Link { write, before }));
    }

    pub(super) fn last(&self) -> Option<&Write> {
        self.last.as_ref().map(|link| &link.write)
    }

    /// Newest first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = &Write> {
        std::iter::successors(self.last.as_deref(), |link| link.before.as_deref())
            .map(|link| &link.write)
    }

    /// Those after `number`, oldest first.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = &Write> {
        let mut writes: Vec<_> = self
            .backwards()
            .take_while(|write| write.number > number)
            .collect();
        writes.reverse();
        writes.into_iter()
    }
}

impl Drop for History {
    /// Link by link: dropped by themselves, a hundred thousand links would overflow the stack.
    fn drop(&mut self) {
        let mut last = self.last.take();
        while let Some(mut link) = last.and_then(Arc::into_inner) {
            last = link.before.take();
        }
    }
}
