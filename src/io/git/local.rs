//! A branch of a repository that is a folder. The objects are written right there, and the branch
//! is moved under its lock, if it is where it was: libgit2's own push to a folder overwrites what
//! another writer did between its look and its write. Hooks are programs, and are not run.

use std::path::Path;
use std::sync::Arc;

use git2::{ErrorCode, Oid, Repository, RepositoryOpenFlags};

use crate::io::git::transport::Session;
use crate::io::git::{Error, Pushed};

pub(super) struct Local<'a> {
    pub(super) repository: Repository,
    session: &'a Session,
}

impl<'a> Local<'a> {
    pub(super) fn open(folder: &Path, session: &'a Arc<Session>) -> Result<Self, Error> {
        // Neither the folders above nor `GIT_DIR` are looked at.
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
        let nowhere: [&Path; 0] = [];
        let repository = Repository::open_ext(folder, flags, nowhere)
            .map_err(|error| session.unreachable(error.message()))?;
        if !repository.is_bare() {
            return Err(session.refused("not a bare repository: somebody works in it"));
        }
        Ok(Self {
            repository,
            session,
        })
    }

    pub(super) fn tip(&self, branch: &str) -> Result<Option<Oid>, Error> {
        match self.repository.refname_to_id(branch) {
            Ok(tip) => Ok(Some(tip)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.session.unreachable(error.message())),
        }
    }

    pub(super) fn push(&self, branch: &str, from: Option<Oid>, to: Oid) -> Result<Pushed, Error> {
        // Nothing is forced: the flag only allows a branch that is there, and where it has to be
        // is the next argument. All zeroes stand for no branch.
        let moved = self.repository.reference_matching(
            branch,
            to,
            true,
            from.unwrap_or(Oid::ZERO_SHA1),
            "davy",
        );
        match moved {
            Ok(_) => Ok(Pushed::Done),
            Err(error) => match error.code() {
                ErrorCode::Modified | ErrorCode::Locked | ErrorCode::NotFound => Ok(Pushed::Moved),
                _ => Err(self.session.unreachable(error.message())),
            },
        }
    }
}
