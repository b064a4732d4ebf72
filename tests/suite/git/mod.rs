//! Commits into real repositories: signatures against OpenSSH, deliveries against git, over every
//! way there is to a repository.

mod deliveries;
mod https_server;
mod keys;
mod place;
mod signatures;
mod ssh_server;
