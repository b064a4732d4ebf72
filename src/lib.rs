//! Davy: progressive delivery for Kubernetes in a single pass.

pub mod api;
pub mod judges;
pub mod metrics;
pub mod objects;
pub mod routers;
pub mod workloads;
