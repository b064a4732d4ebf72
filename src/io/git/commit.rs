//! A commit of some files on top of another: the tree, the signature, nothing else. The same files,
//! message, time and parent give the same commit.

use std::collections::BTreeMap;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Oid, Repository, Signature, Time, Tree};
use jiff::Timestamp;

use crate::io::git::{Checked, Error, File, Signer};
use crate::signature::Verdict;

/// What is to be committed, checked: no two files of one path, and no path that leads elsewhere.
pub(super) fn checked(files: &[File]) -> Result<BTreeMap<&str, &[u8]>, Error> {
    let mut checked = BTreeMap::new();
    for File { path, bytes } in files {
        let is_safe = path
            .split('/')
            .all(|name| !["", ".", ".."].contains(&name) && !name.eq_ignore_ascii_case(".git"));
        if !is_safe || path.chars().any(char::is_control) || path.contains('\\') {
            return Err(Error::Unfit(format!("{path:?} is no path of a file")));
        }
        if checked
            .insert(path.as_str(), bytes.as_slice())
            .is_some_and(|other| other != bytes)
        {
            return Err(Error::Unfit(format!("two files are called {path}")));
        }
    }
    if checked.is_empty() {
        return Err(Error::Unfit("no files to commit".to_owned()));
    }
    Ok(checked)
}

/// The files that a tree does not hold yet.
///
/// On failure: a file is there with other bytes, or something is in its way.
pub(super) fn missing<'a>(
    repository: &Repository,
    tree: &Tree<'_>,
    files: &BTreeMap<&'a str, &'a [u8]>,
) -> Result<BTreeMap<&'a str, &'a [u8]>, Error> {
    let mut missing = BTreeMap::new();
    for (path, bytes) in files {
        let occupied = || Error::Occupied {
            path: (*path).to_owned(),
        };
        let mut within = tree.clone();
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let entry = within.get_name(name);
            let Some((found, kind)) = entry.map(|entry| (entry.id(), entry.kind())) else {
                missing.insert(*path, *bytes);
                break;
            };
            match (kind, names.peek()) {
                (Some(ObjectType::Tree), Some(_)) => {
                    within = repository.find_tree(found).map_err(|error| local(&error))?;
                }
                (Some(ObjectType::Blob), None) => {
                    let same = Oid::hash_object(ObjectType::Blob, bytes);
                    if same.map_err(|error| local(&error))? != found {
                        return Err(occupied());
                    }
                }
                _ => return Err(occupied()),
            }
        }
    }
    Ok(missing)
}

/// Writes a commit of the files on top of `parent`. It belongs to no branch yet.
pub(super) fn write(
    repository: &Repository,
    checked: &Checked,
    parent: Option<Oid>,
    files: &BTreeMap<&str, &[u8]>,
    message: &str,
    at: Timestamp,
) -> Result<Oid, Error> {
    let signer = checked.signer.as_ref();
    let signer = signer.ok_or_else(|| Error::Unsigned("no key and author are set".to_owned()))?;
    let unsigned = unsigned(repository, signer, parent, files, message, at);
    let unsigned = unsigned.map_err(|error| local(&error))?;
    let signature = signer
        .key
        .sign(unsigned.as_bytes())
        .map_err(|error| Error::Unsigned(error.to_string()))?;
    // What others would not believe is not pushed: the list may have changed, and keys expire.
    match checked
        .signers
        .verify(unsigned.as_bytes(), Some(&signature), at)
    {
        Verdict::Good { .. } => {}
        Verdict::Untimely { fingerprint, .. } => {
            let why = format!("the key {fingerprint} is not valid at {at}");
            return Err(Error::Unsigned(why));
        }
        verdict => return Err(Error::Unsigned(format!("nobody believes it: {verdict:?}"))),
    }
    repository
        .commit_signed(&unsigned, &signature, None)
        .map_err(|error| local(&error))
}

fn unsigned(
    repository: &Repository,
    signer: &Signer,
    parent: Option<Oid>,
    files: &BTreeMap<&str, &[u8]>,
    message: &str,
    at: Timestamp,
) -> Result<String, git2::Error> {
    let parent = parent
        .map(|parent| repository.find_commit(parent))
        .transpose()?;
    let tree = match &parent {
        Some(parent) => parent.tree()?,
        None => repository.find_tree(repository.treebuilder(None)?.write()?)?,
    };
    let mut update = TreeUpdateBuilder::new();
    for (path, bytes) in files {
        update.upsert(*path, repository.blob(bytes)?, FileMode::Blob);
    }
    let tree = repository.find_tree(update.create_updated(repository, &tree)?)?;
    let time = Time::new(at.as_second(), 0);
    let author = Signature::new(&signer.name, &signer.mail, &time)?;
    let parents: Vec<_> = parent.iter().collect();
    let message = format!("{}\n", message.trim_end());
    let buffer = repository.commit_create_buffer(&author, &author, &message, &tree, &parents)?;
    let text = buffer.as_str()?;
    Ok(text.to_owned())
}

pub(super) fn local(error: &git2::Error) -> Error {
    Error::Local(format!("the repository: {}", error.message()))
}
