//! Davy: progressive delivery for Kubernetes in a single pass.

pub mod simulate;
