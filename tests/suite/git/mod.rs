//! Commits into real repositories: signatures against OpenSSH.

mod keys;
mod signatures;
