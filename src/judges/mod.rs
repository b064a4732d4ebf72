//! Numbers in, verdict out.

pub mod threshold;
