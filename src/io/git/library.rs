//! libgit2, told once for the whole process what it must not look at: no configuration but that of
//! the repository itself, no templates, and no network of its own.

use std::sync::OnceLock;

use git2::ConfigLevel;

use crate::io::git::Error;
use crate::io::git::transport;

static READY: OnceLock<Result<(), String>> = OnceLock::new();

/// To be called before anything else of libgit2's: there is no remote without it.
pub(super) fn ready() -> Result<(), Error> {
    READY
        .get_or_init(|| set_up().map_err(|error| error.message().to_owned()))
        .clone()
        .map_err(|why| Error::Local(format!("starting libgit2: {why}")))
}

#[expect(
    unsafe_code,
    reason = "libgit2's settings are global, and unsafe only while others use them"
)]
fn set_up() -> Result<(), git2::Error> {
    for level in [
        ConfigLevel::System,
        ConfigLevel::Global,
        ConfigLevel::XDG,
        ConfigLevel::ProgramData,
    ] {
        // SAFETY: `ready` lets one thread come here once, and lets nobody at libgit2 before.
        unsafe { git2::opts::set_search_path(level, "")? };
    }
    // SAFETY: the same. A mounted volume seldom belongs to the user of a pod, and what the check
    // guards against, programs named in a repository's configuration, is never run by libgit2.
    unsafe { git2::opts::set_verify_owner_validation(false)? };
    // SAFETY: the same.
    unsafe { git2::transport::register(transport::SCHEME, transport::open) }
}
