//! The proof that a step is taken exactly once: the pass killed, frozen, doubled and lied to at
//! every call, with every committed write judged by the invariants.

mod crash_matrix;
mod disturbed;
mod faults;
mod interleavings;
mod invariants;
mod killed;
mod schedules;
pub(crate) mod stage;
