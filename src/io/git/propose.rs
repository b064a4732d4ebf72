//! A change for people to merge, on a branch of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{FileMode, ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};
use jiff::Timestamp;

use crate::io::git::commit::{self, local};
use crate::io::git::transport::Session;
use crate::io::git::{Checked, Error, Opened, Pushed};

/// Somebody else makes the same branch, or holds its lock: the next look tells.
const ATTEMPTS_MAX: u32 = 8;

/// A larger file is not written by people.
const FILE_MAX: usize = 1 << 20;

/// From a file's path and text to what it is to be, if anything else.
pub type Edit = Box<dyn Fn(&str, &str) -> Option<String> + Send>;

/// A change of files that are in the branch.
pub struct Proposal {
    /// The branch that is made for it, without `refs/heads/`.
    pub branch: String,
    /// Only files under this folder are changed; an empty one is the whole repository.
    pub folder: String,
    pub edit: Edit,
    pub message: String,
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
        if let Some(there) = remote.tip(&name)? {
            return Ok(Proposed::Made(there.to_string()));
        }
        if let Some(why) = turned_down {
            return Err(session.refused(why));
        }
        let Some(tip) = remote.tip(&checked.branch)? else {
            let why = format!("there is no branch {}", checked.branch);
            return Err(session.refused(why));
        };
        let changed = changed(remote.repository(), tip, proposal).map_err(|e| local(&e))?;
        if changed.is_empty() {
            return Ok(Proposed::Nothing);
        }
        let files: BTreeMap<_, _> = changed
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_bytes()))
            .collect();
        let (message, at) = (&proposal.message, proposal.at);
        let commit = commit::write(remote.repository(), checked, Some(tip), &files, message, at)?;
        turned_down = match remote.push(&name, None, commit)? {
            Pushed::Moved => None,
            pushed => pushed.reason(),
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
    tip: Oid,
    proposal: &Proposal,
) -> Result<BTreeMap<String, String>, git2::Error> {
    let folder = proposal.folder.trim_matches('/');
    let mut changed = BTreeMap::new();
    let mut failed = None;
    let tree = repository.find_commit(tip)?.tree()?;
    tree.walk(TreeWalkMode::PreOrder, |above, entry| {
        let Some(name) = entry
            .name()
            .ok()
            .filter(|_| entry.kind() == Some(ObjectType::Blob))
        else {
            return TreeWalkResult::Ok;
        };
        let path = format!("{above}{name}");
        let is_within = folder.is_empty() || path.starts_with(&format!("{folder}/"));
        // A link's target is no text, and a program no manifest.
        if !is_within || entry.filemode() != i32::from(FileMode::Blob) {
            return TreeWalkResult::Ok;
        }
        match repository.find_blob(entry.id()) {
            Ok(blob) if blob.size() <= FILE_MAX => {
                let text = std::str::from_utf8(blob.content()).ok();
                let edited = text.and_then(|text| (proposal.edit)(&path, text));
                changed.extend(edited.map(|edited| (path, edited)));
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        TreeWalkResult::Ok
    })?;
    failed.map_or(Ok(changed), Err)
}
