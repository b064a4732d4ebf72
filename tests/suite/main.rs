//! The test suite: one binary, one module per subject.

mod bad_input;
mod bed;
mod cli;
mod generated;
mod metrics;
mod parity;
mod podinfo;
mod routers;
mod story;
mod wire;
