//! Keys made by the real `ssh-keygen`, and the lists that allow them.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bed;

/// A private key in a folder of its own.
pub(crate) struct Keys {
    pub(crate) folder: tempfile::TempDir,
}

impl Keys {
    /// `None` where the program cannot be had.
    pub(crate) fn new() -> Option<Self> {
        bed::program("ssh-keygen").unwrap_or_else(|error| panic!("{error}"))?;
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// A new key, with what `ssh-keygen` is told besides.
    pub(crate) fn make(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.folder.path().join(name);
        run(Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", name, "-f"])
            .arg(&path)
            .args(options));
        path
    }

    pub(crate) fn ed25519(&self, name: &str) -> PathBuf {
        self.make(name, &["-t", "ed25519"])
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A file with this text that is not for everybody.
    pub(crate) fn secret(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name, text);
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// The public half of a key, as a line of a list has it.
pub(crate) fn public(key: &Path) -> String {
    let text = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    text.trim().to_owned()
}

/// Runs a program that has to succeed, and returns what it wrote.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{:?}: {}{}",
        command.get_args().collect::<Vec<&OsStr>>(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
