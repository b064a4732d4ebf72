//! The clocks of a release: each reason to wait has its own, kept in status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::status::{Wait, Waits};
use crate::pass::snapshot::Snapshot;

use super::Claim;

/// A reason to wait, each with a clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pass::decide) enum Reason {
    Rollout,
    Evidence,
    Primary,
}

impl Reason {
    pub(in crate::pass::decide) fn of(self, waits: &Waits) -> Option<&Wait> {
        match self {
            Self::Rollout => waits.rollout.as_ref(),
            Self::Evidence => waits.evidence.as_ref(),
            Self::Primary => waits.primary.as_ref(),
        }
    }

    fn slot(self, waits: &mut Waits) -> &mut Option<Wait> {
        match self {
            Self::Rollout => &mut waits.rollout,
            Self::Evidence => &mut waits.evidence,
            Self::Primary => &mut waits.primary,
        }
    }
}

/// How far the rollout is that is waited for, in pods; `None` where none is.
pub(in crate::pass::decide) fn progress(snapshot: &Snapshot, reason: Reason) -> Option<i64> {
    let sides = snapshot.sides();
    let side = match reason {
        Reason::Rollout => sides.target,
        Reason::Primary => sides.primary,
        Reason::Evidence => return None,
    };
    Some(side.map_or(0, |side| side.progress))
}

/// The clock of a reason, if it runs.
pub(in crate::pass::decide) fn wait_of(snapshot: &Snapshot, reason: Reason) -> Option<&Wait> {
    let wait = reason.of(snapshot.status.waits.as_ref()?)?;
    (!snapshot.is_over(wait)).then_some(wait)
}

impl Claim<'_> {
    /// The clock of a reason runs: from now, or since it began.
    pub(in crate::pass::decide) fn waits(self, reason: Reason) -> Self {
        let wait = wait_of(self.snapshot, reason).cloned();
        let best = progress(self.snapshot, reason);
        let since = Time(self.snapshot.now);
        self.set_wait(
            reason,
            Some(match wait {
                Some(wait) => Wait { gone: None, ..wait },
                None => Wait {
                    since,
                    gone: None,
                    best,
                },
            }),
        )
    }

    /// A rollout has come further than ever: its clock begins anew.
    pub(in crate::pass::decide) fn progressed(self, reason: Reason) -> Self {
        let best = progress(self.snapshot, reason);
        let since = Time(self.snapshot.now);
        self.set_wait(
            reason,
            Some(Wait {
                since,
                gone: None,
                best,
            }),
        )
    }

    /// The reason is gone: if it stays so for an interval, its clock begins anew when it returns.
    pub(in crate::pass::decide) fn waits_no_more(self, reason: Reason) -> Self {
        let snapshot = self.snapshot;
        let now = Time(snapshot.now);
        let wait = wait_of(snapshot, reason)
            .filter(|wait| !has_been_gone(snapshot, wait))
            .map(|wait| Wait {
                gone: wait.gone.clone().or(Some(now)),
                ..wait.clone()
            });
        self.set_wait(reason, wait)
    }

    /// Sets the clock of a reason; without any there is nothing to keep.
    pub(super) fn set_wait(mut self, reason: Reason, wait: Option<Wait>) -> Self {
        let mut waits = self.status.waits.take().unwrap_or_default();
        *reason.slot(&mut waits) = wait;
        self.status.waits = Some(waits).filter(|waits| *waits != Waits::default());
        self
    }
}

/// Whether the reason was away at an earlier pass, an interval ago, and is at this one.
fn has_been_gone(snapshot: &Snapshot, wait: &Wait) -> bool {
    let gone = wait.gone.as_ref().map(|gone| gone.0);
    gone.is_some_and(|gone| snapshot.now.duration_since(gone) >= snapshot.terms.drain())
}
