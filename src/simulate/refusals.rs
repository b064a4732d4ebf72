//! The admission webhook of a rehearsal: which writes of passes it refuses, and for how long.

use bytes::Bytes;
use http::{Request, Response};

use super::cluster::{Cluster, Key, Operation};
use super::scenario::{Refuse, Selection, WriteVerb};

/// What is refused now.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    namespace: String,
    refuse: Refuse,
    passes_left: Option<u32>,
}

impl Refusals {
    /// Refuses what the event says, in this namespace and for objects without one.
    pub(super) fn add(&mut self, namespace: &str, refuse: &Refuse) {
        self.0.push(Rule {
            namespace: namespace.to_owned(),
            refuse: refuse.clone(),
            passes_left: refuse.passes.map(std::num::NonZeroU32::get),
        });
    }

    /// Takes back what was refused of the same kind, and name if one is given.
    ///
    /// # Errors
    /// When there was no such refusal.
    pub(super) fn take_back(&mut self, selection: &Selection) -> Result<(), String> {
        let before = self.0.len();
        self.0.retain(|rule| {
            let refused = rule.refuse.selection();
            let is_meant = refused == *selection
                || (selection.name.is_none() && refused.kind == selection.kind);
            !is_meant
        });
        if self.0.len() == before {
            let name = selection.name.as_deref().unwrap_or("of any name");
            return Err(format!(
                "nothing refuses writes to {} {name}",
                selection.kind
            ));
        }
        Ok(())
    }

    /// A pass has ended; what was refused for so many passes may be over.
    pub(super) fn end_pass(&mut self) {
        for rule in &mut self.0 {
            rule.passes_left = rule.passes_left.map(|left| left.saturating_sub(1));
        }
        self.0.retain(|rule| rule.passes_left != Some(0));
    }

    /// The answer to a request that is refused.
    pub(super) fn answer(
        &self,
        cluster: &Cluster,
        request: &Request<Bytes>,
    ) -> Option<Response<Bytes>> {
        if self.0.is_empty() {
            return None;
        }
        let (key, operation) = cluster.attempt(request)?;
        let rule = self.0.iter().find(|rule| rule.is_about(&key, operation))?;
        let (code, message) = (rule.refuse.code.status(), &rule.refuse.message);
        Some(cluster.denied(&key, code, message))
    }
}

impl Rule {
    fn is_about(&self, key: &Key, operation: Operation) -> bool {
        let verb = match self.refuse.verb {
            None => operation,
            Some(WriteVerb::Create) => Operation::Create,
            Some(WriteVerb::Update) => Operation::Update,
            Some(WriteVerb::Delete) => Operation::Delete,
        };
        let name = self.refuse.name.as_deref();
        verb == operation
            && *key.kind == *self.refuse.kind
            && name.is_none_or(|name| *key.name == *name)
            && (key.namespace.is_empty() || *key.namespace == *self.namespace)
    }
}
