//! Rehearsal: a cluster in memory, and what its controllers would do. Nothing here decides about canaries.

pub mod cluster;
pub mod controllers;
