//! Davy at home in a cluster: what is shipped for it, held against the real thing.
#![expect(
    clippy::expect_used,
    reason = "a panic with a text is how a test reports"
)]

mod account;
mod jobs;
mod kubelet;
pub(crate) mod manifests;
mod meddler;
mod pieces;
mod policies;
mod readme;
mod rights;
mod series;
mod shipped;
pub(crate) mod stage;
