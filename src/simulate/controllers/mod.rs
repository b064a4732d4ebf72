//! What the controllers of a cluster would do.
