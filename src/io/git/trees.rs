//! The trees of a commit, within bounds: a remote may send trees without end, of which few bytes
//! stand for many entries, and libgit2 goes down into them by recursion.

use std::collections::HashMap;

use git2::{ObjectType, Oid, Repository, Tree};

use crate::io::git::transport::Session;
use crate::io::git::{Error, commit};

/// Folders within folders.
const DEPTH_MAX: usize = 64;

/// Files and folders of a branch. A thousand promotions a day for three years are not more.
const ENTRIES_MAX: usize = 2_000_000;

/// Goes through trees and files, and counts.
pub(super) struct Walk<'a> {
    repository: &'a Repository,
    session: &'a Session,
    left: usize,
}

/// A file below the folder in which a walk began.
pub(super) struct Entry {
    /// From that folder, with slashes.
    pub(super) path: String,
    pub(super) id: Oid,
    pub(super) mode: i32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(repository: &'a Repository, session: &'a Session) -> Self {
        Self {
            repository,
            session,
            left: ENTRIES_MAX,
        }
    }

    /// Makes sure that the trees under this one can be gone through. Each is looked at once,
    /// however often it stands in others.
    pub(super) fn check(&mut self, tree: &Tree<'_>) -> Result<(), Error> {
        self.height(tree, 0, &mut HashMap::new()).map(drop)
    }

    fn height(
        &mut self,
        tree: &Tree<'_>,
        above: usize,
        known: &mut HashMap<Oid, usize>,
    ) -> Result<usize, Error> {
        let mut height = 0;
        for entry in tree {
            self.count()?;
            if entry.kind() != Some(ObjectType::Tree) {
                continue;
            }
            let below = if let Some(height) = known.get(&entry.id()) {
                *height
            } else {
                self.within(above + 1)?;
                let tree = self.tree(entry.id())?;
                self.height(&tree, above + 1, known)?
            };
            height = height.max(below + 1);
        }
        self.within(above + height)?;
        known.insert(tree.id(), height);
        Ok(height)
    }

    /// Every file under a tree, in order; one that is in several places as often.
    pub(super) fn files(
        &mut self,
        tree: &Tree<'_>,
        visit: &mut impl FnMut(Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.files_under(tree, "", 0, visit)
    }

    fn files_under(
        &mut self,
        tree: &Tree<'_>,
        above: &str,
        depth: usize,
        visit: &mut impl FnMut(Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.within(depth)?;
        for entry in tree {
            self.count()?;
            // What is called otherwise is no file that anybody here wants.
            let Ok(name) = entry.name() else { continue };
            let path = format!("{above}{name}");
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let tree = self.tree(entry.id())?;
                    self.files_under(&tree, &format!("{path}/"), depth + 1, visit)?;
                }
                Some(ObjectType::Blob) => visit(Entry {
                    path,
                    id: entry.id(),
                    mode: entry.filemode(),
                })?,
                _ => {}
            }
        }
        Ok(())
    }

    fn tree(&self, id: Oid) -> Result<Tree<'a>, Error> {
        let tree = self.repository.find_tree(id);
        tree.map_err(|error| commit::local(&error))
    }

    fn count(&mut self) -> Result<(), Error> {
        self.session.in_time()?;
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let why = format!("the branch has more than {ENTRIES_MAX} files and folders");
            self.session.refused(why)
        })?;
        Ok(())
    }

    fn within(&self, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            let why = format!("the branch has more than {DEPTH_MAX} folders within each other");
            return Err(self.session.refused(why));
        }
        Ok(())
    }
}

/// A file, unless it is larger than it may be: its size is asked first.
pub(super) fn file(
    repository: &Repository,
    id: Oid,
    max: usize,
) -> Result<Option<Vec<u8>>, git2::Error> {
    let (size, _) = repository.odb()?.read_header(id)?;
    if size > max {
        return Ok(None);
    }
    Ok(Some(repository.find_blob(id)?.content().to_vec()))
}
