//! Commits into real repositories: signatures against OpenSSH, deliveries against git, over every
//! way there is to a repository.

mod believed;
mod deliveries;
mod hostile;
pub(crate) mod https_server;
pub(crate) mod keys;
pub(crate) mod place;
mod rejections;
pub(crate) mod servers;
mod settings;
mod shapes;
mod signatures;
pub(crate) mod ssh_server;
mod trails;
