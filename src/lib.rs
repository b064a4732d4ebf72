//! Davy: progressive delivery for Kubernetes in a single pass.

pub mod api;
pub mod command;
pub mod io;
pub mod judges;
pub mod metrics;
pub mod objects;
pub mod pass;
pub mod routers;
pub mod settings;
pub mod simulate;
pub mod workloads;
