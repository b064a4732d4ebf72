//! The test suite: one binary, one module per subject.

mod bed;
mod metrics;
mod parity;
mod routers;
