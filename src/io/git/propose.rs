//! A change for people to merge, on a branch of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{ErrorCode, FileMode, Oid, Repository, Tree};
use jiff::Timestamp;

use crate::io::git::commit::{self, local};
use crate::io::git::transport::Session;
use crate::io::git::trees::{self, Walk};
use crate::io::git::{Checked, Depth, Error, Opened, Pushed};

/// Somebody else makes the same branch, or holds its lock: the next look tells.
const ATTEMPTS_MAX: u32 = 8;

/// A larger file is not written by people.
const FILE_MAX: usize = 1 << 20;

/// What is read of all files together.
const FILES_MAX: usize = 64 << 20;

/// Whether a file of this path may be one to change.
pub type IsWanted = fn(&str) -> bool;

/// From a file's path and text to what it is to be, if anything else.
pub type Edit = Box<dyn Fn(&str, &str) -> Option<String> + Send>;

/// From the paths of the files that are changed to what the commit says.
pub type Describe = Box<dyn Fn(&[&str]) -> String + Send>;

/// A change of files that are in the branch.
pub struct Proposal {
    /// The branch that is made for it, without `refs/heads/`.
    pub branch: String,
    /// Only files under this folder are changed; an empty one is the whole repository.
    pub folder: String,
    pub is_wanted: IsWanted,
    pub edit: Edit,
    pub describe: Describe,
    pub at: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// The remote has the branch, at this commit.
    Made(String),
    /// No file would be another one.
    Nothing,
}

pub(super) fn propose(
    checked: &Checked,
    session: &Arc<Session>,
    proposal: &Proposal,
) -> Result<Proposed, Error> {
    let name = format!("refs/heads/{}", proposal.branch);
    if !git2::Reference::is_valid_name(&name) || name == checked.branch {
        let why = format!("{:?} is no name of a branch", proposal.branch);
        return Err(Error::Unfit(why));
    }
    let remote = Opened::open(checked, session)?;
    let mut turned_down = None;
    for _ in 0..ATTEMPTS_MAX {
        if let Some(there) = remote.tip(&name, Depth::Trees)? {
            return Ok(Proposed::Made(there.to_string()));
        }
        if let Some(error) = turned_down {
            return Err(error);
        }
        let Some(tip) = remote.tip(&checked.branch, Depth::Files)? else {
            let why = format!("there is no branch {}", checked.branch);
            return Err(session.refused(why));
        };
        let changed = changed(remote.repository(), session, tip, proposal)?;
        if changed.is_empty() {
            return Ok(Proposed::Nothing);
        }
        let files: BTreeMap<_, _> = changed
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_bytes()))
            .collect();
        let paths: Vec<_> = files.keys().copied().collect();
        let (message, at) = ((proposal.describe)(&paths), proposal.at);
        let commit = commit::write(
            remote.repository(),
            checked,
            Some(tip),
            &files,
            &message,
            at,
        )?;
        turned_down = match remote.push(&name, None, commit)? {
            Pushed::Moved => None,
            pushed => pushed.failure(session),
        };
    }
    Err(Error::Contended {
        remote: checked.address.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

/// The files that are to be others, by path.
fn changed(
    repository: &Repository,
    session: &Session,
    tip: Oid,
    proposal: &Proposal,
) -> Result<BTreeMap<String, String>, Error> {
    let tree = repository.find_commit(tip).and_then(|tip| tip.tree());
    let tree = tree.map_err(|error| local(&error))?;
    // The whole of it is pushed upon.
    Walk::new(repository, session).check(&tree)?;
    let folder = proposal.folder.trim_matches('/');
    let mut changed = BTreeMap::new();
    let Some(tree) = under(repository, tree, folder).map_err(|error| local(&error))? else {
        return Ok(changed);
    };
    let mut left = FILES_MAX;
    Walk::new(repository, session).files(&tree, &mut |entry| {
        // A link's target is no text, and a program no manifest.
        if entry.mode != i32::from(FileMode::Blob) || !(proposal.is_wanted)(&entry.path) {
            return Ok(());
        }
        let file = trees::file(repository, entry.id, FILE_MAX).map_err(|error| local(&error))?;
        let Some(text) = file.and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return Ok(());
        };
        left = left.checked_sub(text.len()).ok_or_else(|| {
            let why = format!("its manifests are more than {FILES_MAX} bytes; name their folder");
            session.refused(why)
        })?;
        if let Some(edited) = (proposal.edit)(&entry.path, &text) {
            let slash = if folder.is_empty() { "" } else { "/" };
            changed.insert(format!("{folder}{slash}{}", entry.path), edited);
        }
        Ok(())
    })?;
    Ok(changed)
}

/// The folder in a tree, if it is there.
fn under<'a>(
    repository: &'a Repository,
    tree: Tree<'a>,
    folder: &str,
) -> Result<Option<Tree<'a>>, git2::Error> {
    if folder.is_empty() {
        return Ok(Some(tree));
    }
    match tree.get_path(folder.as_ref()) {
        Ok(entry) => Ok(entry.to_object(repository)?.into_tree().ok()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
