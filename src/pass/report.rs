//! What a pass did, canary by canary: for the log, the summary and `-o json`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::api::canary::Canary;
use crate::api::status::{CanaryStatus, CheckStatus, Phase};
use crate::io::cluster;
use crate::objects::patch::difference;
use crate::objects::{Key, Problem, SECRET};
use crate::pass::deliver::series::Subject;
use crate::pass::snapshot::{Snapshot, percent};
use crate::pass::step::{Decision, Step, Write};

/// What became of a canary in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// One step was taken.
    Stepped,
    /// Nothing to do.
    Rested,
    /// Something is awaited.
    Waited,
    /// Another pass was faster.
    Superseded,
    /// The Canary is not as it must be; nothing of it was touched.
    Refused,
    /// It could not be handled.
    Failed,
    /// The pass ended before its turn.
    NotReached,
    /// What a pass would do; nothing was changed.
    DryRun,
}

impl Outcome {
    pub const ALL: &[Self] = &[
        Self::Stepped,
        Self::Rested,
        Self::Waited,
        Self::Superseded,
        Self::Refused,
        Self::Failed,
        Self::NotReached,
        Self::DryRun,
    ];

    /// As `-o json` and the series call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stepped => "stepped",
            Self::Rested => "rested",
            Self::Waited => "waited",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NotReached => "notReached",
            Self::DryRun => "dryRun",
        }
    }
}

/// One canary in one pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    pub canary: String,
    pub outcome: Outcome,
    pub phase: Option<Phase>,
    pub weight: u8,
    pub step: i64,
    pub reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Of a dry run: the objects that the step would write, and how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Only our CRDs hold our status; this says what is missing.
    #[serde(skip)]
    pub needs_crds: bool,
    /// The status that this pass claimed.
    #[serde(skip)]
    pub status: Option<Box<CanaryStatus>>,
}

/// An object that a step would write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub object: String,
    pub patch: Value,
}

impl Handled {
    pub fn new(canary: &str, outcome: Outcome, reason: &str) -> Self {
        Self {
            canary: canary.to_owned(),
            outcome,
            phase: None,
            weight: 0,
            step: 0,
            reason: reason.to_owned(),
            checks: Vec::new(),
            events: Vec::new(),
            changes: Vec::new(),
            needs_crds: false,
            status: None,
        }
    }

    pub fn of(canary: &Canary) -> Self {
        let mut handled = Self::new(&super::name_of(canary), Outcome::Rested, "");
        handled.show(&canary.status.clone().unwrap_or_default());
        handled
    }

    /// What the status says.
    pub fn show(&mut self, status: &CanaryStatus) {
        self.phase = status.phase;
        self.weight = percent(status.canary_weight);
        self.step = status.step.as_ref().map_or(0, |step| step.number);
    }

    #[must_use]
    pub fn with(mut self, outcome: Outcome, reason: &str) -> Self {
        self.outcome = outcome;
        reason.clone_into(&mut self.reason);
        self
    }

    #[must_use]
    pub fn refused(self, problems: &[Problem]) -> Self {
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        self.with(Outcome::Refused, &texts.join("; "))
    }

    /// The same where the canary does not advance: whatever was done for its traffic, it is refused.
    #[must_use]
    pub fn despite(self, problems: &[Problem]) -> Self {
        if problems.is_empty() || matches!(self.outcome, Outcome::Failed | Outcome::Superseded) {
            return self;
        }
        let reason = self.reason.clone();
        let refused = self.refused(problems);
        if reason.is_empty() || refused.reason == reason {
            return refused;
        }
        let reason = format!("{reason}; {}", refused.reason);
        refused.with(Outcome::Refused, &reason)
    }

    #[must_use]
    pub fn stepped(mut self, status: &CanaryStatus, reason: &str) -> Self {
        self.show(status);
        self.events = status
            .step
            .iter()
            .flat_map(|step| step.events.iter().map(|event| event.message.clone()))
            .collect();
        self.with(Outcome::Stepped, reason)
    }

    #[must_use]
    pub fn unclaimed(mut self, error: &cluster::Error) -> Self {
        if let cluster::Error::UnknownField(fields) = error {
            self.needs_crds = true;
            let problem = super::missing_fields(fields);
            return self.with(Outcome::Failed, &problem.to_string());
        }
        self.with(Outcome::Failed, &format!("claiming the step: {error}"))
    }
}

/// What `decision` would do, without doing it.
pub fn dry_run(handled: Handled, snapshot: &Snapshot, decision: &Decision) -> Handled {
    let mut handled = handled;
    let writes = match &decision.step {
        Step::Claim(claimed) => {
            handled = handled.stepped(&claimed.status, &decision.reason);
            &claimed.writes
        }
        Step::Finish(writes) => writes,
        Step::Rest | Step::Wait | Step::Ask(_) | Step::Finalizer { .. } => {
            let handled = handled.with(Outcome::DryRun, &decision.reason);
            return handled.despite(&decision.problems);
        }
    };
    for Write { key, object } in &writes.objects {
        let Some(wanted) = object else { continue };
        let live = snapshot.objects.get(key);
        let patch = match live {
            Some(live) if **live == *wanted => continue,
            Some(live) => serde_json::to_value(difference(live, wanted)),
            None => Ok(wanted.clone()),
        };
        handled.changes.push(Change {
            object: key.to_string(),
            patch: masked(key, patch.unwrap_or_default()),
        });
    }
    let handled = handled.with(Outcome::DryRun, &decision.reason);
    handled.despite(&decision.problems)
}

/// What is shown of a change: of a Secret which entries, and not what they hold.
fn masked(key: &Key, mut patch: Value) -> Value {
    if *key.kind == SECRET
        && let Some(data) = patch.get_mut("data").and_then(Value::as_object_mut)
    {
        for value in data.values_mut().filter(|value| !value.is_null()) {
            *value = "***".into();
        }
    }
    patch
}

/// A whole pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub started: Timestamp,
    pub canaries: Vec<Handled>,
    /// What could not be told, and to whom; nothing else depends on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<String>,
    /// Every canary that the pass read, handled or not, as its series tell it.
    #[serde(skip)]
    pub subjects: Vec<Subject>,
    /// How long the pass took.
    #[serde(skip)]
    pub seconds: f64,
    #[serde(skip)]
    pub api_requests: u64,
}

impl Report {
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            canaries: Vec::new(),
            untold: Vec::new(),
            subjects: Vec::new(),
            seconds: 0.0,
            api_requests: 0,
        }
    }

    pub fn malformed(&mut self, name: &str, problem: &Problem) {
        let handled = Handled::new(name, Outcome::Refused, "");
        self.add(handled.refused(std::slice::from_ref(problem)));
    }

    pub fn add(&mut self, handled: Handled) {
        self.canaries.push(handled);
    }

    /// Puts the canaries in order of name, whatever order they were handled in, and keeps of each
    /// that was read what its series tell.
    pub fn finish<'a>(
        &mut self,
        read: impl Iterator<Item = &'a Canary>,
        seconds: f64,
        api_requests: u64,
    ) {
        self.canaries.sort_by(|a, b| a.canary.cmp(&b.canary));
        let claimed: BTreeMap<&str, &CanaryStatus> = self
            .canaries
            .iter()
            .filter_map(|handled| Some((&*handled.canary, handled.status.as_deref()?)))
            .collect();
        let unclaimed = CanaryStatus::default();
        let subjects = read.map(|canary| {
            let stored = canary.status.as_ref().unwrap_or(&unclaimed);
            let claimed = claimed.get(&*super::name_of(canary)).copied();
            Subject::of(canary, claimed.unwrap_or(stored))
        });
        self.subjects = subjects.collect();
        self.seconds = seconds;
        self.api_requests = api_requests;
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.canaries
            .iter()
            .filter(|handled| handled.outcome == outcome)
            .count()
    }

    /// Whether every canary was handled; a rollback is one that was.
    pub fn is_complete(&self) -> bool {
        self.canaries.iter().all(|handled| match handled.outcome {
            Outcome::Stepped
            | Outcome::Rested
            | Outcome::Waited
            | Outcome::Superseded
            | Outcome::DryRun => true,
            Outcome::Refused | Outcome::Failed | Outcome::NotReached => false,
        })
    }

    /// Whether the installed definitions cannot hold Davy's status.
    pub fn needs_crds(&self) -> bool {
        self.canaries.iter().any(|handled| handled.needs_crds)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total = self.canaries.len();
        write!(
            f,
            "{total} {}",
            if total == 1 { "canary" } else { "canaries" }
        )?;
        let counts = [
            (Outcome::Stepped, "stepped"),
            (Outcome::DryRun, "looked at"),
            (Outcome::Waited, "waiting"),
            (Outcome::Rested, "at rest"),
            (Outcome::Superseded, "left to another pass"),
            (Outcome::Refused, "refused"),
            (Outcome::Failed, "failed"),
            (Outcome::NotReached, "not reached"),
        ];
        for (outcome, word) in counts {
            match self.count(outcome) {
                0 => {}
                count => write!(f, ", {count} {word}")?,
            }
        }
        for untold in &self.untold {
            write!(f, "; {untold}")?;
        }
        Ok(())
    }
}
