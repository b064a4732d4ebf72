//! A bare repository of real git's, with a way to it, and the keys for both.

use std::path::{Path, PathBuf};
use std::process::Command;

use davy::io::git::{File, Limits, Remote, RemoteSettings};
use jiff::Timestamp;

use super::https_server::{self, HttpsServer};
use super::keys::{Keys, public, run};
use super::servers::Kind;
use super::ssh_server;
use crate::bed;

/// What a hostile remote would like to see in a message.
pub(crate) const MARKER: &str = "hunter22-secret-marker";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    File,
    Https,
    Ssh,
    /// https to a server that is not git's own.
    Other(Kind),
}

pub(crate) const ALL: [Over; 6] = [
    Over::File,
    Over::Https,
    Over::Ssh,
    Over::Other(Kind::Dulwich),
    Over::Other(Kind::GoGit),
    Over::Other(Kind::JGit),
];

pub(crate) struct Place {
    pub(crate) keys: Keys,
    pub(crate) repository: PathBuf,
    pub(crate) settings: RemoteSettings,
    _server: Option<HttpsServer>,
}

impl Place {
    /// `None` where the programs cannot be had.
    pub(crate) async fn new(over: Over) -> Option<Self> {
        bed::program("git").unwrap_or_else(|error| panic!("{error}"))?;
        let keys = Keys::new()?;
        let repository = match over {
            Over::Other(kind) => {
                let name = keys.folder.path().file_name()?.to_string_lossy();
                kind.shared().await?.folder.join(format!("{name}.git"))
            }
            _ => keys.folder.path().join("audit.git"),
        };
        begin(&repository, &[]);
        let signing = keys.ed25519("signing");
        let list = format!("davy@example.com namespaces=\"git\" {}", public(&signing));
        let mut settings = RemoteSettings {
            url: format!("file://{}", repository.display()),
            branch: "main".to_owned(),
            author: Some("Davy <davy@example.com>".to_owned()),
            signing_key_file: Some(signing),
            allowed_signers_file: Some(keys.file("allowed", list)),
            limits: Limits::default(),
            ..RemoteSettings::default()
        };
        let mut server = None;
        match over {
            Over::File => {}
            Over::Https | Over::Other(_) => {
                let https = match over {
                    Over::Other(kind) => https_server::before(kind.shared().await?.port, MARKER),
                    _ => https_server::repositories(keys.folder.path(), MARKER),
                };
                let name = repository.file_name()?.to_string_lossy();
                settings.url = format!("https://localhost:{}/{name}", https.port);
                settings.ca_file = Some(keys.file("ca.pem", &https.authority));
                settings.username_file = Some(keys.secret("username", "davy\n"));
                settings.password_file = Some(keys.secret("password", format!("{MARKER}\n")));
                server = Some(https);
            }
            Over::Ssh => {
                let ssh = ssh_server::shared().await?;
                settings.url = ssh.url(&repository);
                settings.ssh_key_file = Some(ssh.key.clone());
                settings.known_hosts_file = Some(ssh.known_hosts.clone());
            }
        }
        Some(Self {
            keys,
            repository,
            settings,
            _server: server,
        })
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::new(self.settings.clone()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Real git in the repository, which believes the same signers.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        run(self.git_command().args(arguments))
    }

    pub(crate) fn git_command(&self) -> Command {
        let mut git = Command::new("git");
        let list = self.settings.allowed_signers_file.as_ref().unwrap();
        git.arg("-C")
            .arg(&self.repository)
            .arg("-c")
            .arg(format!("gpg.ssh.allowedSignersFile={}", list.display()));
        git
    }

    /// What a person does in a clone, as a script; it is pushed by force.
    pub(crate) fn by_hand(&self, script: &str) {
        let clone = tempfile::tempdir().unwrap();
        let script = format!(
            "set -e\ngit clone --quiet {} .\n{script}\ngit push --quiet --force origin HEAD:main",
            self.repository.display()
        );
        let mut shell = Command::new("sh");
        for who in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{who}_NAME"), "Eve");
            shell.env(format!("GIT_{who}_EMAIL"), "eve@example.com");
        }
        run(shell.args(["-c", &script]).current_dir(clone.path()));
    }

    /// A program that the repository runs.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        let path = self.repository.join("hooks").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        run(Command::new("chmod").arg("+x").arg(&path));
    }

    /// Makes the repository anew, with what `git init` is told besides.
    pub(crate) fn begin(&self, options: &[&str]) {
        begin(&self.repository, options);
    }

    /// Ends what [`Self::reject`] began.
    pub(crate) fn accept(&self, over: Over) {
        match over {
            Over::Other(_) => std::fs::remove_file(self.repository.join("reject")).unwrap(),
            _ => self.hook("pre-receive", "exit 0\n"),
        }
    }

    /// Has the server turn pushes down, and say this.
    pub(crate) fn reject(&self, over: Over, reason: &str) {
        match over {
            Over::Other(_) => std::fs::write(self.repository.join("reject"), reason).unwrap(),
            _ => self.hook("pre-receive", &format!("echo '{reason}' >&2\nexit 1\n")),
        }
    }

    /// The commits of the branch, newest first.
    pub(crate) fn commits(&self) -> Vec<String> {
        let list = self.git(&["rev-list", "main"]);
        list.lines().map(str::to_owned).collect()
    }

    /// Everything that git can find wrong with the repository.
    pub(crate) fn check(&self) {
        self.git(&["fsck", "--strict", "--no-dangling"]);
        let commits = self.commits();
        let mut verify = vec!["verify-commit"];
        verify.extend(commits.iter().map(String::as_str));
        self.git(&verify);
    }
}

fn begin(repository: &Path, options: &[&str]) {
    run(Command::new("git")
        .args(["init", "--quiet", "--bare", "--initial-branch=main"])
        .args(options)
        .arg(repository));
}

pub(crate) fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        bytes: text.as_bytes().to_vec(),
    }
}

pub(crate) fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}
