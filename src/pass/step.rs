//! What a pass decided to do about one canary, and why: data that can be printed.

use serde_json::Value;

use crate::api::status::CanaryStatus;
use crate::objects::{Key, Problem};
use crate::pass::questions::Question;

/// At most one step is taken for a canary in a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub step: Step,
    /// Why, in a sentence for people; the same text in the log, the transcript and status.
    pub reason: String,
    /// Why the canary does not advance: the pass reports it as refused, whatever is done for its
    /// traffic.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The canary is as it should be.
    Rest,
    /// Something is awaited that only time or others can bring.
    Wait,
    /// These are to be asked; decide again with their answers. Never empty.
    Ask(Vec<Question>),
    /// The last claim has objects left to write.
    Finish(Writes),
    /// The next status, and the objects that it makes be written.
    Claim(Box<Claimed>),
    /// Put our finalizer on the Canary, or take it off: the whole step.
    Finalizer { present: bool },
}

/// A claim with what is written for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub status: CanaryStatus,
    pub writes: Writes,
}

/// What a step writes, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Writes {
    pub objects: Vec<Write>,
    /// What cannot be written holds nothing else up: so it is where traffic is taken off.
    pub is_independent: bool,
}

/// One object that a step writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub key: Key,
    /// As it should be. Where there is none, the object is only taken over from an earlier step:
    /// it stays as it is, but for the number of the step.
    pub object: Option<Value>,
}
