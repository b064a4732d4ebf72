//! The test suite: one binary, one module per subject.

mod bed;
mod crds;
mod generated;
mod home;
mod metrics;
mod parity;
mod plug_ins;
mod routers;
mod scenarios;
mod wire;
