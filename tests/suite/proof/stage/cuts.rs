//! A pass that is made, and then again with a kill at every call, with every outcome, each time
//! with the rest of the story undisturbed.

use davy::simulate::scenario::{Crash, Outcome};

use super::{Story, run, run_killed};

/// A pass as it is about to be made.
pub(crate) struct ToCut {
    begun: Story,
    calls: u64,
}

impl Story {
    /// A pass that nobody disturbs, to be cut later.
    pub(crate) fn pass_to_cut(&mut self) -> ToCut {
        self.begin_pass();
        let begun = self.fork();
        let before = self.world.lock().calls;
        let report = run(&self.world.io(), self.options());
        let calls = self.world.lock().calls - before;
        self.end_pass(report.as_ref());
        ToCut { begun, calls }
    }
}

impl ToCut {
    /// Its number in the story.
    pub(crate) fn number(&self) -> u32 {
        self.begun.passes
    }

    /// Kills the pass everywhere. `prepare` is called before each kill, `check` when the story has
    /// come to rest after it, with where the kill was. How many kills were tried.
    pub(crate) fn everywhere(
        &self,
        prepare: impl Fn(),
        mut check: impl FnMut(&Story, &str),
    ) -> u32 {
        let mut tried = 0;
        for call in 1..=self.calls {
            for outcome in [Outcome::NotSent, Outcome::Committed, Outcome::Answered] {
                let (name, pass) = (self.begun.name(), self.number());
                let at = format!("{name}, pass {pass}, call {call}, {outcome:?}");
                prepare();
                let mut cut = self.begun.fork();
                let crash = Crash { call, outcome };
                assert!(run_killed(&cut.world, cut.options(), crash), "{at}");
                cut.end_pass(None);
                cut.play_out();
                cut.verdict(|| at.clone()).expect("no invariant is broken");
                check(&cut, &at);
                tried += 1;
            }
        }
        tried
    }
}
