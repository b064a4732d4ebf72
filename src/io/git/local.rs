//! A branch of a repository that is a folder. The objects are written right there, and the branch
//! is moved under its lock, if it is where it was: libgit2's own push to a folder overwrites what
//! another writer did between its look and its write. Hooks are programs, and are not run.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use git2::{Config, ConfigLevel, ErrorCode, Oid, Repository, RepositoryOpenFlags};
use tempfile::NamedTempFile;

use crate::io::git::transport::{self, Session};
use crate::io::git::{Error, Pushed, commit};

/// What counts as written is on the disk: objects and references are synced, files and folders.
const DURABLE: &str = "[core]\n\tfsyncObjectFiles = true\n";

pub(super) struct Local<'a> {
    pub(super) repository: Repository,
    session: &'a Session,
    /// Configuration beside the repository's own; removed when dropped.
    _durable: NamedTempFile,
}

impl<'a> Local<'a> {
    pub(super) fn open(folder: &Path, session: &'a Arc<Session>) -> Result<Self, Error> {
        // Neither the folders above nor `GIT_DIR` are looked at.
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
        let nowhere: [&Path; 0] = [];
        let repository = Repository::open_ext(folder, flags, nowhere).map_err(|error| {
            match object_format(folder) {
                Some(format) => session.refused(transport::unsupported(&format)),
                None => session.unreachable(error.message()),
            }
        })?;
        if !repository.is_bare() {
            return Err(session.refused("not a bare repository: somebody works in it"));
        }
        let durable = durable(&repository)?;
        Ok(Self {
            repository,
            session,
            _durable: durable,
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

/// Has libgit2 sync what it writes. It reads that from configuration alone.
fn durable(repository: &Repository) -> Result<NamedTempFile, Error> {
    let file = || {
        let mut file = NamedTempFile::new()?;
        file.write_all(DURABLE.as_bytes())?;
        Ok(file)
    };
    let file: Result<NamedTempFile, std::io::Error> = file();
    let file = file.map_err(|error| Error::Local(format!("a temporary file: {error}")))?;
    let added = repository
        .config()
        .and_then(|mut config| config.add_file(file.path(), ConfigLevel::App, false));
    added.map_err(|error| commit::local(&error))?;
    Ok(file)
}

/// The hash that names the objects of a repository in a folder, where it is not SHA-1.
fn object_format(folder: &Path) -> Option<String> {
    let config = Config::open(&folder.join("config")).ok()?;
    let format = config.get_string("extensions.objectformat").ok()?;
    (format != "sha1").then_some(format)
}
