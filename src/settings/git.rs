//! The repositories: of promotion records, and the one that manifests come from.

use crate::io::git::{Limits, RemoteSettings};
use crate::pass::deliver::reverts::Reverts;

use super::Texts;

const BRANCH: &str = "main";

impl Texts {
    /// The repository of promotion records, to be checked where it is used.
    pub(super) fn git(&self) -> Option<RemoteSettings> {
        let url = self.git_url.clone()?;
        let branch = self.git_branch.clone();
        Some(RemoteSettings {
            username_file: self.git_username_file.clone(),
            password_file: self.git_password_file.clone(),
            ssh_key_file: self.git_ssh_key_file.clone(),
            ..self.remote(url, branch)
        })
    }

    /// The repository of manifests. Credentials that it has of its own are used as they are given; without
    /// any those of the records are, as for a source in the same place.
    pub(super) fn reverts(&self) -> Option<Reverts> {
        let url = self.revert_url.clone()?;
        let branch = self.revert_branch.clone();
        let own = [
            &self.revert_username_file,
            &self.revert_password_file,
            &self.revert_ssh_key_file,
        ];
        let has_own = own.into_iter().any(Option::is_some);
        let one =
            |own: &Option<_>, records: &Option<_>| if has_own { own } else { records }.clone();
        let settings = RemoteSettings {
            username_file: one(&self.revert_username_file, &self.git_username_file),
            password_file: one(&self.revert_password_file, &self.git_password_file),
            ssh_key_file: one(&self.revert_ssh_key_file, &self.git_ssh_key_file),
            ..self.remote(url, branch)
        };
        let folder = self.revert_path.clone().unwrap_or_default();
        let folder = folder.trim_matches('/').to_owned();
        Some(Reverts { settings, folder })
    }

    /// What all repositories have in common: who writes, and who is believed.
    fn remote(&self, url: String, branch: Option<String>) -> RemoteSettings {
        RemoteSettings {
            url,
            branch: branch.unwrap_or_else(|| BRANCH.to_owned()),
            ca_file: self.git_ca_file.clone(),
            known_hosts_file: self.git_known_hosts_file.clone(),
            author: self.git_author.clone(),
            signing_key_file: self.git_signing_key_file.clone(),
            allowed_signers_file: self.git_allowed_signers_file.clone(),
            limits: Limits::default(),
            ..RemoteSettings::default()
        }
    }
}
