//! The test suite: one binary, one module per subject.

mod plug_ins;
