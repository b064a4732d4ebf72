//! The test suite: one binary, one module per subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails, with the place where it could not"
)]

mod alerts;
mod architecture;
mod bad_input;
mod batches;
mod bed;
mod cli;
mod conformance;
mod controllers;
mod cost;
mod crds;
mod dashboards;
mod generated;
mod git;
mod health;
mod home;
mod metrics;
mod notifiers;
mod parity;
mod plug_ins;
mod podinfo;
mod policies;
mod proof;
mod records;
mod report;
mod routers;
mod scenarios;
mod secrets;
mod security;
mod story;
mod supply;
mod tenancy;
mod waves;
mod wire;
