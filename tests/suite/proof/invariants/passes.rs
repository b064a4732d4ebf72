//! What a pass may not leave behind: judged between two passes, by what was there before it and
//! what is there after it. A pass that was killed, or could not write what this is about, is not
//! judged.

use std::sync::Arc;

use davy::simulate::cluster::Key;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Checker;
use super::promotion::images;
use super::release::Release;
use super::workload::carries;

/// A canary between two passes.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// The canary's share of the traffic in percent; none where nothing leads to either side.
    pub(crate) share: Option<u8>,
    /// Its share by a route that the Canary had under an earlier name.
    pub(crate) share_left_behind: u8,
    pub(crate) canary_ready: i64,
    pub(crate) primary_ready: i64,
    /// Whether traffic may go to the primary: pods that answer, all of one template.
    pub(crate) primary_carries: bool,
    pub(crate) is_suspended: bool,
    pub(crate) is_deleted: bool,
    canary: Arc<Value>,
    /// What the target runs.
    images: Vec<Value>,
    /// An interval as the clock of checks counts it, and how many checks may fail.
    due: SignedDuration,
    threshold: u32,
}

impl Look {
    pub(crate) fn phase(&self) -> &str {
        self.canary["status"]["phase"].as_str().unwrap_or_default()
    }

    /// The share that status asks for. What people see may be another, while a route cannot be
    /// written.
    pub(crate) fn wanted(&self) -> i64 {
        let status = &self.canary["status"];
        let wanted = status["wantedWeight"].as_i64();
        wanted.or(status["canaryWeight"].as_i64()).unwrap_or(0)
    }

    /// Whether the primary got a template that it does not become ready with: then the healthy side
    /// keeps the traffic.
    pub(crate) fn heals(&self) -> bool {
        self.canary["status"]["previousSpec"].is_string()
    }

    fn checks_count(&self) -> bool {
        match self.phase() {
            "Progressing" | "WaitingPromotion" => true,
            "Failed" => !self.heals(),
            _ => false,
        }
    }

    pub(crate) fn spec(&self) -> &Value {
        &self.canary["spec"]
    }
}

/// What the harness knows of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) at: Timestamp,
    /// How far passes are apart.
    pub(crate) every: SignedDuration,
    /// Whether it was let come to its end, and to write the Canary, the route and the apex.
    pub(crate) is_judged: bool,
    /// Whether a check that the Canary names would have failed.
    pub(crate) fails_checks: bool,
}

/// What one pass leaves to the judgement of the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passes {
    /// Since when a canary with traffic fails its checks, and what it runs.
    failing: Option<(Timestamp, Vec<Value>)>,
    /// When the last pass was made.
    last: Option<Timestamp>,
    /// How many passes in a row have left traffic with a primary that has no pods.
    lost: u32,
}

/// Passes this far apart are not those of one analysis: the harness lets long times go by.
const GAP_MIN: SignedDuration = SignedDuration::from_mins(30);

/// A side that has lost its pods is left by the pass that sees it. The way to the canary takes a
/// claim of what is done about the primary first.
const PASSES_TO_THE_CANARY: u32 = 3;

impl Passes {
    /// Whether no clock runs against the canary.
    pub(crate) fn is_clear(&self) -> bool {
        self.failing.is_none() && self.lost == 0
    }

    /// What the pass between these two has left undone.
    pub(crate) fn judge(&mut self, before: &Look, after: &Look, pass: &Pass) -> Vec<String> {
        let is_judged = pass.is_judged && !before.is_suspended && !before.is_deleted;
        if !is_judged {
            *self = Self::default();
            return Vec::new();
        }
        let broken = [
            n1_no_traffic_to_a_canary_without_pods(before, after),
            self.n1_no_traffic_to_a_primary_without_pods(before, after),
            self.n2_failed_checks_end_it(before, after, pass),
        ];
        broken.into_iter().filter_map(Result::err).collect()
    }

    /// The other way round only what was analysed may take over: a canary that is being promoted,
    /// or was.
    fn n1_no_traffic_to_a_primary_without_pods(
        &mut self,
        before: &Look,
        after: &Look,
    ) -> Result<(), String> {
        let is_analysed = |look: &Look| {
            matches!(look.phase(), "Promoting" | "Finalising")
                || (look.phase() == "Failed" && look.heals())
        };
        let is_lost = before.primary_ready == 0
            && after.primary_ready == 0
            && before.canary_ready > 0
            && after.canary_ready > 0
            && is_analysed(before)
            && is_analysed(after)
            && after.share.is_some_and(|share| share < 100);
        self.lost = if is_lost { self.lost + 1 } else { 0 };
        if self.lost > PASSES_TO_THE_CANARY {
            return Err(format!(
                "n1_a_pass_leaves_traffic_with_ready_pods: the primary without a ready pod has {} %, in phase {}",
                100 - after.share.unwrap_or(0),
                after.phase()
            ));
        }
        Ok(())
    }

    /// Within the interval in which the threshold is reached, a canary whose checks fail is at 0,
    /// whatever else is broken.
    fn n2_failed_checks_end_it(
        &mut self,
        before: &Look,
        after: &Look,
        pass: &Pass,
    ) -> Result<(), String> {
        let counts = pass.fails_checks
            && before.checks_count()
            && after.checks_count()
            && before.primary_carries
            && after.primary_carries
            && before.spec() == after.spec();
        // While no pass is made nothing can be counted.
        let is_gap = self
            .last
            .replace(pass.at)
            .is_some_and(|last| pass.at.duration_since(last) > (pass.every * 3).max(GAP_MIN));
        let counts = counts && !is_gap;
        let same = |(_, images): &(Timestamp, Vec<Value>)| *images == after.images;
        self.failing = self.failing.take().filter(same).filter(|_| counts);
        let has_traffic = |look: &Look| look.share.is_some_and(|share| share > 0);
        if self.failing.is_none() && counts && has_traffic(before) && has_traffic(after) {
            self.failing = Some((pass.at, after.images.clone()));
        }
        let Some((since, _)) = &self.failing else {
            return Ok(());
        };
        let interval = after.due.max(pass.every);
        let patience = interval * i32::try_from(after.threshold + 2).unwrap_or(i32::MAX);
        let passed = pass.at.duration_since(*since);
        if has_traffic(after) && passed > patience {
            return Err(format!(
                "n2_failed_checks_end_it: {} % for {passed:#} with failing checks, {} of which are allowed, in phase {}",
                after.share.unwrap_or(0),
                after.threshold,
                after.phase()
            ));
        }
        Ok(())
    }
}

/// A canary without a ready pod is at 0 after the pass that sees it, if the primary can carry it.
fn n1_no_traffic_to_a_canary_without_pods(before: &Look, after: &Look) -> Result<(), String> {
    let is_dead = before.canary_ready == 0 && after.canary_ready == 0;
    let carries = before.primary_carries && after.primary_carries;
    match after.share {
        Some(share @ 1..) if is_dead && carries => Err(format!(
            "n1_a_pass_leaves_traffic_with_ready_pods: the canary without a ready pod has {share} %, in phase {}",
            after.phase()
        )),
        _ => Ok(()),
    }
}

impl Checker {
    /// The canary as the writes so far have left it; none if it is gone.
    pub(crate) fn look(&self, canary: &Key) -> Option<Look> {
        let ledger = &self.ledger;
        let release: &Release = ledger.release(canary)?;
        let names = &release.names;
        let target = ledger.get(&names.target());
        let threshold = release.analysis()["threshold"].as_u64().unwrap_or(0);
        Some(Look {
            // Without a router nothing splits the traffic.
            share: ledger.share(release).filter(|_| names.has_route),
            share_left_behind: ledger.left_behind(release),
            canary_ready: ledger.available(&names.target()),
            primary_ready: ledger.available(&names.primary()),
            primary_carries: ledger.get(&names.primary()).is_some_and(carries),
            is_suspended: release.spec()["suspend"] == true,
            is_deleted: release.canary["metadata"]["deletionTimestamp"].is_string(),
            canary: release.canary.clone(),
            images: target.map(images).into_iter().flatten().cloned().collect(),
            due: release.due(),
            threshold: u32::try_from(threshold).unwrap_or(0),
        })
    }
}
