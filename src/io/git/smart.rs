//! A branch of a repository at the other end of a transport. What is fetched lives in a repository
//! of our own, in a private folder that goes when the work is done: libgit2 cannot fetch into
//! memory, but a pod can mount memory there (`TMPDIR`).

use std::cell::{Cell, RefCell};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use git2::{
    AutotagOption, Direction, ErrorCode, FetchOptions, Oid, PushOptions, RemoteCallbacks,
    RemoteRedirect, Repository, RepositoryInitOptions,
};
use tempfile::TempDir;

use crate::io::git::transport::{SCHEME, Session};
use crate::io::git::{Depth, Error, Pushed};

/// Where what was fetched is kept.
const FETCHED: &str = "refs/davy/fetched";
/// Where what is pushed is kept.
const PUSHED: &str = "refs/davy/pushed";

/// Objects of a fetch. A thousand promotions a day for three years are not more.
const OBJECTS_MAX: usize = 5_000_000;

/// Fetches of a branch that is moved each time before it is sent.
const FETCHES_MAX: usize = 8;

/// As much of what a server says during a push as is kept: its end.
const SAID_MAX: usize = 4 << 10;

pub(super) struct Smart<'a> {
    pub(super) repository: Repository,
    session: &'a Session,
    /// Removed when dropped, after the repository.
    _folder: TempDir,
}

impl<'a> Smart<'a> {
    pub(super) fn open(session: &'a Arc<Session>) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("davy-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| Error::Local(format!("making a temporary folder: {error}")))?;
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false);
        let repository = Repository::init_opts(folder.path(), &options)
            .map_err(|error| Error::Local(format!("making a repository: {}", error.message())))?;
        Ok(Self {
            repository,
            session,
            _folder: folder,
        })
    }

    pub(super) fn tip(&self, branch: &str, depth: Depth) -> Result<Option<Oid>, Error> {
        let mut attempts = 0;
        loop {
            let wanted = Cell::new(None);
            let error = match self.tip_of(branch, depth, &wanted) {
                Ok(tip) => return Ok(tip),
                Err(error) => self.session.told(&error),
            };
            attempts += 1;
            if wanted.get().is_none() || attempts == FETCHES_MAX {
                return Err(error);
            }
            // Not every server has a commit to give that was the tip when it was asked.
            match self.head(branch) {
                Ok(head) if head != wanted.get() => {}
                _ => return Err(error),
            }
        }
    }

    /// Where a branch is now.
    fn head(&self, branch: &str) -> Result<Option<Oid>, git2::Error> {
        let mut remote = self.remote()?;
        let connection = remote.connect_auth(Direction::Fetch, None, None)?;
        let heads = connection.list()?;
        let head = heads.iter().find(|head| head.name() == branch);
        Ok(head.map(git2::RemoteHead::oid))
    }

    fn remote(&self) -> Result<git2::Remote<'_>, git2::Error> {
        self.repository
            .remote_anonymous(&format!("{SCHEME}://remote"))
    }

    fn tip_of(
        &self,
        branch: &str,
        depth: Depth,
        wanted: &Cell<Option<Oid>>,
    ) -> Result<Option<Oid>, git2::Error> {
        let is_narrow = depth == Depth::Trees;
        self.session.is_narrow.store(is_narrow, Ordering::Relaxed);
        let mut remote = self.remote()?;
        let mut connection = remote.connect_auth(Direction::Fetch, None, None)?;
        let heads = connection.list()?;
        let head = heads.iter().find(|head| head.name() == branch);
        let Some(tip) = head.map(git2::RemoteHead::oid) else {
            return Ok(None);
        };
        wanted.set(Some(tip));
        if depth != Depth::All && self.repository.find_commit(tip).is_ok() {
            return Ok(Some(tip));
        }
        let mut callbacks = RemoteCallbacks::new();
        callbacks.transfer_progress(|progress| {
            self.session.is_in_time() && progress.total_objects() <= OBJECTS_MAX
        });
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .download_tags(AutotagOption::None)
            .follow_redirects(RemoteRedirect::None)
            .update_fetchhead(false);
        if depth != Depth::All && self.session.capabilities().shallow {
            options.depth(1);
        }
        // What is ours may be moved; the remote's branch is only read.
        let refspec = format!("+{branch}:{FETCHED}");
        connection
            .remote()
            .fetch(&[refspec], Some(&mut options), None)?;
        self.repository.refname_to_id(FETCHED).map(Some)
    }

    pub(super) fn push(&self, branch: &str, from: Option<Oid>, to: Oid) -> Result<Pushed, Error> {
        let said = RefCell::new(Vec::new());
        let rejection = RefCell::new(None);
        let is_moved = RefCell::new(false);
        let mut callbacks = RemoteCallbacks::new();
        callbacks
            .sideband_progress(|text| {
                let mut said = said.borrow_mut();
                said.extend_from_slice(text);
                let before = said.len().saturating_sub(SAID_MAX);
                said.drain(..before);
                self.session.is_in_time()
            })
            .push_update_reference(|_, status| {
                *rejection.borrow_mut() = status.map(str::to_owned);
                Ok(())
            })
            // The remote moves its branch only from the commit that it is told, which is the one
            // that it showed on this connection: it has to be the one that we built upon.
            .push_negotiation(|updates| {
                let from = from.unwrap_or(Oid::ZERO_SHA1);
                *is_moved.borrow_mut() = updates.iter().any(|update| update.src() != from);
                if *is_moved.borrow() {
                    return Err(git2::Error::from_str("the branch was moved"));
                }
                Ok(())
            });
        let mut options = PushOptions::new();
        options
            .remote_callbacks(callbacks)
            .follow_redirects(RemoteRedirect::None)
            .packbuilder_parallelism(1);
        let pushed = self.push_with(&mut options, branch, to);
        drop(options);
        match pushed {
            Ok(()) => Ok(match rejection.into_inner() {
                None => Pushed::Done,
                Some(why) => Pushed::Rejected(
                    self.session
                        .secrets
                        .rejection(why.as_bytes(), &said.into_inner()),
                ),
            }),
            Err(_) if *is_moved.borrow() => Ok(Pushed::Moved),
            Err(error) if error.code() == ErrorCode::NotFastForward => Ok(Pushed::Moved),
            Err(error) => Err(self.session.told(&error)),
        }
    }

    fn push_with(
        &self,
        options: &mut PushOptions<'_>,
        branch: &str,
        to: Oid,
    ) -> Result<(), git2::Error> {
        self.repository.reference(PUSHED, to, true, "davy")?;
        let mut remote = self.remote()?;
        // Without a plus: never forced.
        remote.push(&[format!("{PUSHED}:{branch}")], Some(options))
    }
}
