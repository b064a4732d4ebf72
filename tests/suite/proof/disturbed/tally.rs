//! What came of many histories: how many there were, and what was broken in which, with a command
//! that plays one of them again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::proof::stage::stops::tell;

/// Examples of each invariant that are told.
const EXAMPLES: usize = 3;

/// Histories of all tests of this run of the suite.
static HISTORIES: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
pub(super) struct Tally {
    pub(super) histories: u64,
    pub(super) passes: u64,
    broken: BTreeMap<String, Broken>,
}

#[derive(Default)]
struct Broken {
    count: u64,
    examples: Vec<String>,
}

impl Tally {
    /// A history was played. `again` is the command that plays it again.
    pub(super) fn add(&mut self, passes: u32, broken: &[String], again: impl Fn() -> String) {
        self.histories += 1;
        self.passes += u64::from(passes);
        // What comes after the first is most often its consequence.
        let Some(first) = broken.first() else { return };
        let invariant = first.split_once(':').map_or(&**first, |(name, _)| name);
        let broken = self.broken.entry(invariant.to_owned()).or_default();
        broken.count += 1;
        if broken.examples.len() < EXAMPLES {
            let first: String = first.chars().take(1_500).collect();
            broken.examples.push(format!("{}\n    {first}", again()));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.histories += other.histories;
        self.passes += other.passes;
        for (invariant, more) in other.broken {
            let broken = self.broken.entry(invariant).or_default();
            broken.count += more.count;
            broken.examples.extend(more.examples);
            broken.examples.truncate(EXAMPLES);
        }
    }

    /// Prints how many there were and what was broken; fails if anything was.
    pub(super) fn end(self, what: &str, began: Instant) {
        let took = began.elapsed().max(Duration::from_millis(1));
        let all = HISTORIES.fetch_add(self.histories, Ordering::SeqCst) + self.histories;
        let a_second = u128::from(self.histories) * 1_000 / took.as_millis();
        tell(&format!(
            "disturbed: {what}: {} histories, {} passes, {took:.1?}, {a_second} histories/s; {all} in all so far",
            self.histories, self.passes
        ));
        for (invariant, broken) in &self.broken {
            tell(&format!(
                "disturbed: {what}: {invariant} broken in {}",
                broken.count
            ));
        }
        let told = self.broken.values().flat_map(|broken| &broken.examples);
        let told: Vec<_> = told.map(String::as_str).collect();
        assert!(told.is_empty(), "{}", told.join("\n\n"));
        assert!(self.histories > 0, "{what}: nothing was tried");
    }
}
