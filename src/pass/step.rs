//! What a pass decided to do about one canary, and why: data that can be printed.

use crate::api::status::{CanaryStatus, CheckStatus};
use crate::objects::Problem;

/// At most one step is taken for a canary in a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub step: Step,
    /// Why, in a sentence for people; the same text in the log, the transcript and status.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The canary is as it should be.
    Rest,
    /// Something is awaited that only time or others can bring.
    Wait,
    /// The checks of the analysis are due; decide again with their answers.
    Ask,
    /// The Canary cannot be acted on as it is written; nothing of it is touched.
    Refuse(Vec<Problem>),
    /// The last claim has objects left to write.
    Finish,
    /// The next status, with the objects that it will write.
    Claim(Box<CanaryStatus>),
    /// Put our finalizer on the Canary, or take it off: the whole step.
    Finalizer { present: bool },
}

/// The answer to one check: what was measured, what was asked for, and Flagger's text about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: CheckStatus,
    /// The Event's text where the check did not pass.
    pub halt: Option<String>,
}

/// The answers of a pass: the checks of the analysis, or whether the metrics systems are there.
#[derive(Clone, Debug, PartialEq)]
pub enum Answers {
    Checks(Vec<Answer>),
    Providers(Result<(), String>),
}
