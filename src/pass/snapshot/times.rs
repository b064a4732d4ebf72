//! What the last claim left unfinished, and when things happened: by the clock, whoever counts passes.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::api::status::{Step, StepObject, Wait};
use crate::objects::patch::{step_of, written_at};
use crate::objects::{Key, Role};

use super::Snapshot;

/// A pass may read for so long after its `now`, and clocks of nodes differ: a time that is further
/// ahead is no time.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

impl Snapshot {
    /// The objects of the last claim that nobody has written since: still to be written.
    pub fn open(&self) -> BTreeSet<Key> {
        let Some(step) = &self.status.step else {
            return BTreeSet::new();
        };
        self.claimed(step)
            .filter(|(key, version)| self.resource_version(key) == *version)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The objects of the last claim that do not bear its number, whoever wrote them since: a late
    /// pass may still write them for it.
    pub fn unproven(&self) -> BTreeSet<Key> {
        let Some(step) = &self.status.step else {
            return BTreeSet::new();
        };
        self.claimed(step)
            .filter(|(key, _)| self.step_of(key) != Some(step.number))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The objects of the last claim that could not be read, as that claim named them: whether they
    /// have been written for it is not known.
    pub fn unseen(&self) -> impl Iterator<Item = &StepObject> {
        let objects = self.status.step.iter().flat_map(|step| &step.objects);
        objects.filter(|object| {
            let mut unread = self.unread.iter();
            unread.any(|key| key.is(&object.api_version, &object.kind, &object.name))
        })
    }

    /// The step that last wrote an object, as far as its annotation tells.
    pub fn step_of(&self, key: &Key) -> Option<i64> {
        self.objects.get(key).and_then(|object| step_of(object))
    }

    /// The objects of a step with the resourceVersions that its claim saw.
    fn claimed<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = (&'a Key, &'a str)> {
        step.objects.iter().filter_map(|object| {
            let named = |key: &&Key| key.is(&object.api_version, &object.kind, &object.name);
            let key = self.keys.iter().find(named)?;
            let may_be_written = !self.foreign.contains(key) && !self.unread.contains(key);
            may_be_written.then_some((key, &*object.resource_version))
        })
    }

    /// A time that status or an object speaks of, unless it lies in the future.
    fn sound(&self, time: Timestamp) -> Option<Timestamp> {
        (time.duration_since(self.now) <= AHEAD_MAX).then_some(time)
    }

    /// When traffic last moved, as far as the cluster or status tells. Where a later step has
    /// written the same objects for another reason, status remembers it.
    pub fn moved_at(&self) -> Option<Timestamp> {
        let traffic = self.status.traffic.clone().unwrap_or_default();
        let claimed_at = self.status.step.as_ref().map(|step| step.time.0);
        let is_of_move = |key: &Key| {
            let step = self.step_of(key);
            // A number above the last claim's is of an earlier life of the Canary.
            let is_later = |step: i64| step > traffic.step && step <= self.step_number();
            traffic.step == 0 || !step.is_some_and(is_later)
        };
        let written = self
            .router
            .reads(&self.canary, &self.names)
            .into_iter()
            .filter(|(_, role)| *role != Role::UsersOwn)
            .map(|(key, _)| key)
            .chain([self.apex_key()])
            .filter(is_of_move)
            .filter_map(|key| self.objects.get(&key))
            .filter_map(|object| written_at(object, self.now).or(claimed_at))
            .filter_map(|time| self.sound(time))
            .max();
        let remembered = traffic.moved_at.and_then(|at| self.sound(at.0));
        written.max(remembered)
    }

    /// Whether connections had time to leave the side that lost the traffic: by the clock since
    /// the route changed, not by counting passes.
    pub fn is_drained(&self) -> bool {
        self.moved_at()
            .is_none_or(|at| self.now.duration_since(at) >= self.terms.drain())
    }

    /// Whether an interval has passed since the analysis last took a step, and since its weight was
    /// written. Repairs of other things put nothing off.
    pub fn is_due(&self) -> bool {
        let status = &self.status;
        let stepped = status.stepped_at.as_ref().map(|at| at.0);
        let claimed = status.step.as_ref().map(|step| step.time.0);
        let Some(stepped) = stepped.or(claimed).and_then(|at| self.sound(at)) else {
            return true;
        };
        let moved = status.traffic.as_ref().and_then(|_| self.moved_at());
        let last = moved.map_or(stepped, |moved| moved.max(stepped));
        let last = self.finished_at().map_or(last, |at| at.max(last));
        self.terms.is_due(last, self.now)
    }

    /// When the last step of the analysis was written to the end, as far as the last claim's objects
    /// tell: what was finished late has not been observed yet. A repair is no such step, but what it
    /// took over may have been written for the step all the same.
    pub fn finished_at(&self) -> Option<Timestamp> {
        let step = self.status.step.as_ref()?;
        let stepped = self.status.stepped_at.as_ref()?;
        let is_of_analysis = |key: &Key| {
            step.time == *stepped || self.step_of(key).is_some_and(|number| number < step.number)
        };
        self.claimed(step)
            .filter(|(key, _)| is_of_analysis(key))
            .filter_map(|(key, _)| written_at(self.objects.get(key)?, self.now))
            .filter_map(|time| self.sound(time))
            .max()
    }

    /// How long no pass came in the middle of an analysis, where that was longer than it should be:
    /// nobody watched the canary meanwhile.
    pub fn gap_in_passes(&self) -> Option<SignedDuration> {
        let last = self.status.stepped_at.as_ref()?.0;
        let gap = self.now.duration_since(last);
        let expected = self.terms.drain() * 3 + SignedDuration::from_mins(5);
        let is_held = self.status.waits.is_some() || self.status.held_checks.is_some();
        (gap > expected && !is_held).then_some(gap)
    }

    /// How long a reason to wait has lasted.
    pub fn waited(&self, wait: Option<&Wait>) -> Option<SignedDuration> {
        let since = self.sound(wait?.since.0)?;
        Some(self.now.duration_since(since))
    }

    /// Whether a reason to wait has been gone for so long that it is a new one when it returns.
    pub fn is_over(&self, wait: &Wait) -> bool {
        let is_sound = self.sound(wait.since.0).is_some();
        // Passes come once an interval: what was gone in two of them may have been gone between.
        let lasting = (self.terms.drain() * 2).min(self.terms.progress_deadline());
        let gone = wait.gone.as_ref().map(|gone| gone.0);
        !is_sound || gone.is_some_and(|gone| self.now.duration_since(gone) >= lasting)
    }
}
