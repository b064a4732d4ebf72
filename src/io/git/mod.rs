//! Files into a branch of a Git repository, in signed commits, and back out with who put them
//! there. What the files are is for others to know.
//!
//! A remote is reached over https, ssh or as a folder. libgit2 keeps the objects and speaks the
//! protocol; the bytes go over transports of ours (`transport`), so that there is one TLS stack,
//! and a deadline and a limit for everything. Nothing is ever forced: a branch that moved is read
//! again, and the commit made anew on top of it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use git2::Oid;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::signature::{AllowedSigners, SigningKey};

use self::error::Secrets;
use self::transport::{Session, Way};

pub use self::error::Error;
pub use self::propose::{Describe, Edit, IsWanted, Proposal, Proposed};
pub use self::settings::{Limits, Problem, RemoteSettings};
pub use self::trail::{Change, Commit, Kept, Trail, What};

mod commit;
mod deliver;
mod error;
mod library;
mod local;
mod propose;
mod settings;
mod smart;
mod trail;
mod transport;
mod trees;

/// A libgit2 that computes does not look at the clock; it is given this long beyond the deadline
/// to come back before the work is left to itself.
const GRACE: Duration = Duration::from_millis(300);

/// libgit2 goes down into trees by recursion.
const STACK: usize = 16 << 20;

/// A branch of a repository, with everything that is needed to write to it.
#[derive(Clone)]
pub struct Remote(Arc<Checked>);

/// Settings that were checked.
struct Checked {
    /// As it may be shown.
    address: String,
    /// Of a repository that is a folder.
    folder: Option<std::path::PathBuf>,
    /// `refs/heads/…`.
    branch: String,
    way: Arc<Way>,
    secrets: Arc<Secrets>,
    signer: Option<Signer>,
    signers: AllowedSigners,
    limits: Limits,
}

/// Who makes commits.
struct Signer {
    name: String,
    mail: String,
    key: SigningKey,
}

/// A file to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// From the top of the repository, with slashes.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// Proof that files are in the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The commit at which the branch was seen to hold them.
    pub commit: String,
    /// Whether it was made for them; else they were there already.
    pub is_new: bool,
}

impl Remote {
    /// Checks settings, and reads the files that they name.
    ///
    /// On failure: everything that is wrong at once.
    pub fn new(settings: RemoteSettings) -> Result<Self, Vec<Problem>> {
        let ready = library::ready().map_err(|error| Problem {
            setting: "DAVY_GIT_URL",
            why: error.to_string(),
        });
        ready.map_err(|problem| vec![problem])?;
        settings.check().map(|checked| Self(Arc::new(checked)))
    }

    /// Commits files on top of the branch, which is made if there is none, and pushes.
    ///
    /// Guarantees: done only when the remote's branch was seen to contain them. Files that are
    /// there with the same bytes are not committed again. Nothing is overwritten or forced, and
    /// the commit is signed by a key that is allowed to at this time.
    ///
    /// On failure: the files may be in the branch all the same, if an answer was lost. The next
    /// call finds out.
    pub async fn deliver(
        &self,
        files: Vec<File>,
        message: &str,
        at: Timestamp,
    ) -> Result<Delivered, Error> {
        let message = message.to_owned();
        self.within(move |checked, session| {
            deliver::deliver(checked, session, &files, &message, at)
        })
        .await
    }

    /// Puts a change of files of the branch onto a branch of its own, for people to merge. The
    /// branch itself is only read.
    ///
    /// Guarantees: done only when the remote was seen to have the new branch. One that is there
    /// already is left as it is.
    pub async fn propose(&self, proposal: Proposal) -> Result<Proposed, Error> {
        self.within(move |checked, session| propose::propose(checked, session, &proposal))
            .await
    }

    /// What became of the files under a folder, over the whole history of the branch.
    pub async fn read(&self, folder: &str) -> Result<Trail, Error> {
        let folder = folder.to_owned();
        self.within(move |checked, session| trail::read(checked, session, &folder))
            .await
    }

    /// Work in a thread that may block, within the deadline. When the caller goes, it ends too, at
    /// its next look at the clock. It is no thread of the runtime's, and none that the end of the
    /// process waits for.
    async fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Checked, &Arc<Session>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let limits = self.0.limits;
        let deadline = Instant::now() + limits.deadline;
        let (waiting, wanted) = watch::channel(());
        let session = Arc::new(Session {
            remote: self.0.address.clone(),
            way: self.0.way.clone(),
            secrets: self.0.secrets.clone(),
            runtime: tokio::runtime::Handle::current(),
            limit: limits.deadline,
            deadline,
            connection: tokio::sync::Mutex::default(),
            wanted,
            left: Mutex::new(limits.received),
            trouble: Mutex::new(None),
            capabilities: Mutex::default(),
            is_narrow: AtomicBool::new(false),
        });
        let late = session.late();
        let unreadable = session.unreachable("the answer cannot be read");
        let checked = self.0.clone();
        let (done, working) = oneshot::channel();
        thread::Builder::new()
            .name("git".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                // Nobody may be there any more to take it.
                let _ = done.send(session.enter(|| work(&checked, &session)));
            })
            .map_err(|error| Error::Local(format!("starting a thread: {error}")))?;
        let worked = tokio::time::timeout_at(deadline + GRACE, working).await;
        drop(waiting);
        match worked {
            Ok(Ok(result)) => result,
            // git2 panics where a remote writes what is not UTF-8.
            Ok(Err(_)) => Err(unreadable),
            Err(_) => Err(late),
        }
    }
}

/// The remote as one piece of work sees it.
enum Opened<'a> {
    Local(local::Local<'a>),
    Smart(smart::Smart<'a>),
}

/// How much of a branch is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// One commit and its trees. The files come too where the server cannot leave them out.
    Trees,
    /// One commit, with all files.
    Files,
    /// All commits, with all files.
    All,
}

/// What became of a push.
enum Pushed {
    /// The remote says that it is done, which is not yet to be believed.
    Done,
    /// The branch is another than the one that the commit was made for, or somebody else is at it.
    Moved,
    /// The remote will not have it, and says why.
    Rejected(String),
    /// There was no answer, or none that makes sense. Some servers are overtaxed by two writers.
    Unanswered(Error),
}

impl<'a> Opened<'a> {
    fn open(checked: &'a Checked, session: &'a Arc<Session>) -> Result<Self, Error> {
        match &checked.folder {
            Some(folder) => local::Local::open(folder, session).map(Self::Local),
            None => smart::Smart::open(session).map(Self::Smart),
        }
    }

    fn repository(&self) -> &git2::Repository {
        match self {
            Self::Local(local) => &local.repository,
            Self::Smart(smart) => &smart.repository,
        }
    }

    /// The commit at which a branch of the remote is now, if there is one. It is in the repository
    /// then, with as much as was asked for.
    fn tip(&self, branch: &str, depth: Depth) -> Result<Option<Oid>, Error> {
        match self {
            Self::Local(local) => local.tip(branch),
            Self::Smart(smart) => smart.tip(branch, depth),
        }
    }

    /// Moves a branch of the remote from one commit to another, if it is still there.
    fn push(&self, branch: &str, from: Option<Oid>, to: Oid) -> Result<Pushed, Error> {
        match self {
            Self::Local(local) => local.push(branch, from, to),
            Self::Smart(smart) => smart.push(branch, from, to),
        }
    }
}
