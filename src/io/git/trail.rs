//! What became of files: which commit added each, who signed it, and whether anybody changed or
//! removed it later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use git2::{Delta, ErrorCode, ObjectType, Oid, Repository, Sort, Tree};
use jiff::Timestamp;

use crate::io::git::commit::local;
use crate::io::git::transport::Session;
use crate::io::git::{Checked, Depth, Error, Opened, trees};
use crate::signature::Verdict;
use crate::signature::commit::Parts;

/// A larger file is told of, and not read.
const FILE_MAX: usize = 1 << 20;

/// What is read of all files together.
const FILES_MAX: usize = 1 << 30;

/// The files that are or were under a folder, by path, and the commits of the branch.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Absent: there is no such branch.
    pub tip: Option<String>,
    pub files: Vec<Kept>,
    commits: BTreeSet<String>,
}

impl Trail {
    /// Whether a commit is part of the branch's history. One that was delivered once and is not
    /// any more was removed by force.
    pub fn contains(&self, commit: &str) -> bool {
        self.commits.contains(commit)
    }
}

/// A file that was added to the branch.
#[derive(Clone, Debug)]
pub struct Kept {
    pub path: String,
    /// As they were added.
    pub bytes: Vec<u8>,
    pub added: Commit,
    /// What was done to it since, in order, on any way to the tip. Nothing, if all is well.
    pub changes: Vec<Change>,
    /// Whether the tip has it with the bytes with which it was added.
    pub is_intact: bool,
    /// It was too large to be read, so that there are no bytes of it.
    pub is_too_large: bool,
    blob: Oid,
}

/// A commit that did something to a file.
#[derive(Clone, Debug)]
pub struct Change {
    pub what: What,
    pub commit: Commit,
}

/// What was done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It has these bytes since.
    Edited(Vec<u8>),
    Removed,
    /// It was removed, and has come back with these bytes.
    Restored(Vec<u8>),
}

/// A commit, as far as one wants to know who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    /// `Name <mail>`, which anybody may write; the verdict tells whom to believe.
    pub author: String,
    /// The committer's time.
    pub at: Timestamp,
    pub message: String,
    pub verdict: Verdict,
}

impl Commit {
    /// Whether somebody made it who may.
    pub fn is_believed(&self) -> bool {
        matches!(self.verdict, Verdict::Good { .. })
    }

    /// Why it is not to be believed, if so.
    pub fn doubt(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Good { .. } => None,
            Verdict::UnknownKey { fingerprint } => Some(format!(
                "signed by the key {fingerprint}, which is not in DAVY_GIT_ALLOWED_SIGNERS_FILE"
            )),
            Verdict::Untimely {
                principal,
                fingerprint,
            } => Some(format!(
                "signed by the key {fingerprint} of {principal} at a time when it was not allowed"
            )),
            Verdict::Bad { why } => Some(format!("its signature is bad: {why}")),
            Verdict::Missing => Some("not signed".to_owned()),
        }
    }
}

pub(super) fn read(
    checked: &Checked,
    session: &Arc<Session>,
    folder: &str,
) -> Result<Trail, Error> {
    let remote = Opened::open(checked, session)?;
    let Some(tip) = remote.tip(&checked.branch, Depth::All)? else {
        return Ok(Trail::default());
    };
    let repository = remote.repository();
    let walked = walk(repository, session, tip)?;
    let mut commits = BTreeSet::new();
    let mut left = FILES_MAX;
    let mut files: BTreeMap<String, Kept> = BTreeMap::new();
    for id in walked {
        commits.insert(id.to_string());
        session.in_time()?;
        let changed = changed(repository, id, folder).map_err(|error| local(&error))?;
        if changed.is_empty() {
            continue;
        }
        let commit = told(repository, checked, id).map_err(|error| local(&error))?;
        for (path, blob) in changed {
            session.in_time()?;
            let file = blob.map(|blob| File::read(repository, blob)).transpose();
            let file = file.map_err(|error| local(&error))?;
            let size = file.as_ref().map_or(0, File::size);
            left = left.checked_sub(size).ok_or_else(|| {
                session.refused(format!(
                    "the files of {folder} are more than {FILES_MAX} bytes"
                ))
            })?;
            put(&mut files, path, file, &commit);
        }
    }
    let mut files: Vec<_> = files.into_values().collect();
    compare(repository, tip, &mut files).map_err(|error| local(&error))?;
    Ok(Trail {
        tip: Some(tip.to_string()),
        files,
        commits,
    })
}

/// Looks which files the tip has as they were added.
fn compare(repository: &Repository, tip: Oid, files: &mut [Kept]) -> Result<(), git2::Error> {
    let tree = repository.find_commit(tip)?.tree()?;
    for kept in files {
        kept.is_intact = match tree.get_path(kept.path.as_ref()) {
            Ok(entry) => entry.id() == kept.blob,
            Err(error) if error.code() == ErrorCode::NotFound => false,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

/// The commits of a branch, parents first.
fn walk(repository: &Repository, session: &Session, tip: Oid) -> Result<Vec<Oid>, Error> {
    let begin = || {
        let mut walk = repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME | Sort::REVERSE)?;
        walk.push(tip)?;
        Ok(walk)
    };
    let walk = begin().map_err(|error| local(&error))?;
    let next = walk.map(|id| {
        session.in_time()?;
        id.map_err(|error| local(&error))
    });
    next.collect()
}

/// A file as a commit has it.
struct File {
    blob: Oid,
    /// Absent: it is too large.
    bytes: Option<Vec<u8>>,
}

impl File {
    fn read(repository: &Repository, blob: Oid) -> Result<Self, git2::Error> {
        let bytes = trees::file(repository, blob, FILE_MAX)?;
        Ok(Self { blob, bytes })
    }

    fn size(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}

/// Adds to what is known of a file.
fn put(files: &mut BTreeMap<String, Kept>, path: String, file: Option<File>, commit: &Commit) {
    let Some(kept) = files.get_mut(&path) else {
        // What goes without ever having come was in one parent of a merge only, and is told there.
        if let Some(File { blob, bytes }) = file {
            let kept = Kept {
                path: path.clone(),
                is_too_large: bytes.is_none(),
                blob,
                bytes: bytes.unwrap_or_default(),
                added: commit.clone(),
                changes: Vec::new(),
                is_intact: false,
            };
            files.insert(path, kept);
        }
        return;
    };
    let last = kept.changes.last().map(|change| &change.what);
    let bytes = file.map(|file| file.bytes.unwrap_or_default());
    let what = match (bytes, last) {
        // A merge with a branch that still had it.
        (None, Some(What::Removed)) => return,
        (Some(bytes), Some(What::Removed)) => What::Restored(bytes),
        (Some(bytes), _) => What::Edited(bytes),
        (None, _) => What::Removed,
    };
    kept.changes.push(Change {
        what,
        commit: commit.clone(),
    });
}

/// The files under a folder that a commit added or changed, with their blobs, and those it removed,
/// without. In a merge, what one of the parents has just so was not done by the merge; what any of
/// them had and it has not, was.
fn changed(
    repository: &Repository,
    commit: Oid,
    folder: &str,
) -> Result<BTreeMap<String, Option<Oid>>, git2::Error> {
    let commit = repository.find_commit(commit)?;
    let tree = under(repository, &commit.tree()?, folder)?;
    let mut changed: Option<BTreeMap<String, Option<Oid>>> = None;
    let parents: Vec<_> = commit.parents().map(Some).collect();
    let parents = if parents.is_empty() {
        vec![None]
    } else {
        parents
    };
    for parent in parents {
        let before = match parent {
            Some(parent) => under(repository, &parent.tree()?, folder)?,
            None => None,
        };
        let differing = differing(repository, before.as_ref(), tree.as_ref(), folder)?;
        changed = Some(match changed {
            None => differing,
            Some(others) => joined(&others, &differing),
        });
    }
    Ok(changed.unwrap_or_default())
}

fn joined(
    left: &BTreeMap<String, Option<Oid>>,
    right: &BTreeMap<String, Option<Oid>>,
) -> BTreeMap<String, Option<Oid>> {
    let all = left.iter().chain(right);
    all.filter(|(path, blob)| {
        blob.is_none() || (left.contains_key(*path) && right.contains_key(*path))
    })
    .map(|(path, blob)| (path.clone(), *blob))
    .collect()
}

/// The folder in a tree, if it is there.
fn under<'a>(
    repository: &'a Repository,
    tree: &Tree<'a>,
    folder: &str,
) -> Result<Option<Tree<'a>>, git2::Error> {
    if folder.is_empty() {
        return Ok(Some(tree.clone()));
    }
    match tree.get_path(folder.as_ref()) {
        Ok(entry) if entry.kind() == Some(ObjectType::Tree) => {
            repository.find_tree(entry.id()).map(Some)
        }
        Ok(_) => Ok(None),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn differing(
    repository: &Repository,
    before: Option<&Tree<'_>>,
    after: Option<&Tree<'_>>,
    folder: &str,
) -> Result<BTreeMap<String, Option<Oid>>, git2::Error> {
    let mut differing = BTreeMap::new();
    if before.map(Tree::id) == after.map(Tree::id) {
        return Ok(differing);
    }
    let difference = repository.diff_tree_to_tree(before, after, None)?;
    for delta in difference.deltas() {
        let (file, blob) = match delta.status() {
            Delta::Deleted => (delta.old_file(), None),
            _ => (delta.new_file(), Some(delta.new_file().id())),
        };
        let path = String::from_utf8_lossy(file.path_bytes().unwrap_or_default()).into_owned();
        let path = match folder {
            "" => path,
            folder => format!("{folder}/{path}"),
        };
        differing.insert(path, blob);
    }
    Ok(differing)
}

/// A commit, with what is to be thought of its signature.
fn told(repository: &Repository, checked: &Checked, id: Oid) -> Result<Commit, git2::Error> {
    let commit = repository.find_commit(id)?;
    let at = Timestamp::from_second(commit.time().seconds()).unwrap_or_default();
    let Parts { payload, signature } = Parts::of(repository.odb()?.read(id)?.data());
    let signature = signature.as_deref().map(String::from_utf8_lossy);
    let verdict = checked.signers.verify(&payload, signature.as_deref(), at);
    let author = commit.author();
    let [name, mail] = [author.name_bytes(), author.email_bytes()].map(String::from_utf8_lossy);
    Ok(Commit {
        id: id.to_string(),
        author: format!("{name} <{mail}>"),
        at,
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        verdict,
    })
}
