//! The settings of a remote, checked: addresses, credentials, keys, and whether the author is one
//! whom others will believe. A mismatch is an error at the start, not a badge later.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use reqwest::Certificate;
use russh::keys::PrivateKey;
use ssh_key::HashAlg;
use ssh_key::private::KeypairData;
use zeroize::Zeroizing;

use crate::io::git::error::Secrets;
use crate::io::git::transport::Way;
use crate::io::git::transport::https::Https;
use crate::io::git::transport::known_hosts::KnownHost;
use crate::io::git::transport::ssh::Ssh;
use crate::io::git::{Checked, Signer};
use crate::signature::{AllowedSigners, SigningKey, rsa_signature};

use self::address::Address;

mod address;

/// A larger file is neither a key, nor a password, nor a list of those.
const FILE_MAX: u64 = 1 << 20;

/// A branch of a repository, and what is needed to read and write it, as an operator sets it.
#[derive(Clone, Debug, Default)]
pub struct RemoteSettings {
    /// `https://`, `ssh://`, `file://` or `user@host:path`.
    pub url: String,
    pub branch: String,
    /// For https, both or none.
    pub username_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    /// For https: the authorities to be believed, and no others.
    pub ca_file: Option<PathBuf>,
    /// For ssh, both.
    pub ssh_key_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
    /// `Name <mail>`. Whoever only reads needs neither this nor the key.
    pub author: Option<String>,
    pub signing_key_file: Option<PathBuf>,
    pub allowed_signers_file: Option<PathBuf>,
    pub limits: Limits,
}

/// How long a piece of work may take and how much it may read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the name to the proof, with all that is done again because others were faster.
    pub deadline: Duration,
    /// Bytes that a remote may send.
    pub received: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A pass has 50 s in all.
            deadline: Duration::from_secs(20),
            received: 256 << 20,
        }
    }
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {why}")]
pub struct Problem {
    /// The environment variable.
    pub setting: &'static str,
    pub why: String,
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, setting: &'static str, why: impl Into<String>) {
        let why = why.into();
        self.0.push(Problem { setting, why });
    }

    /// What was asked for, or a problem more.
    fn take<T>(&mut self, setting: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.add(setting, why)).ok()
    }

    /// A setting that this address needs.
    fn needed<'a, T>(
        &mut self,
        setting: &'static str,
        value: Option<&'a T>,
        what: &str,
    ) -> Option<&'a T> {
        if value.is_none() {
            self.add(setting, format!("is needed {what}"));
        }
        value
    }
}

impl RemoteSettings {
    pub(super) fn check(self) -> Result<Checked, Vec<Problem>> {
        let mut problems = Problems::default();
        let address = problems.take("DAVY_GIT_URL", Address::parse(&self.url));
        let branch = format!("refs/heads/{}", self.branch);
        if !git2::Reference::is_valid_name(&branch) {
            let why = format!("{:?} is no name of a branch", self.branch);
            problems.add("DAVY_GIT_BRANCH", why);
        }
        let mut secrets = Vec::new();
        let way = match &address {
            Some(Address::Https { .. }) => Some(self.https(&self.url, &mut secrets, &mut problems)),
            Some(Address::Ssh {
                user,
                host,
                port,
                path,
            }) => self.ssh(host, *port, &mut problems).map(|(key, known)| {
                Way::Ssh(Ssh {
                    user: user.clone(),
                    host: host.clone(),
                    port: *port,
                    path: path.clone(),
                    key: Arc::new(key),
                    known: Arc::new(known),
                })
            }),
            Some(Address::File(_)) => Some(Way::File),
            None => None,
        };
        let (signer, signers) = self.signing(&mut problems);
        let folder = match &address {
            Some(Address::File(folder)) => Some(folder.clone()),
            _ => None,
        };
        match (address, way) {
            (Some(address), Some(way)) if problems.0.is_empty() => Ok(Checked {
                address: address.to_string(),
                folder,
                branch,
                way: Arc::new(way),
                secrets: Arc::new(Secrets::new(secrets)),
                signer,
                signers,
                limits: self.limits,
            }),
            _ => Err(problems.0),
        }
    }

    fn https(
        &self,
        url: &str,
        secrets: &mut Vec<Zeroizing<String>>,
        problems: &mut Problems,
    ) -> Way {
        let setting = "DAVY_GIT_CA_FILE";
        let file = problems.needed(
            setting,
            self.ca_file.as_ref(),
            "for https: who is to be believed is said, not found on the machine, which may have \
             /etc/ssl/certs/ca-certificates.crt",
        );
        let authorities = file.and_then(|path| {
            let read = read(path).and_then(|text| authorities(&text));
            problems.take(setting, read)
        });
        let mut word = |setting, path: &Path| {
            let word = read_secret(path).and_then(|text| one_line(&text));
            problems.take(setting, word)
        };
        let credentials = match (&self.username_file, &self.password_file) {
            (None, None) => None,
            (Some(username), Some(password)) => {
                let username = word("DAVY_GIT_USERNAME_FILE", username);
                let password = word("DAVY_GIT_PASSWORD_FILE", password);
                username.zip(password)
            }
            (None, Some(_)) => {
                problems.add("DAVY_GIT_USERNAME_FILE", "is needed with a password");
                None
            }
            (Some(_), None) => {
                problems.add("DAVY_GIT_PASSWORD_FILE", "is needed with a username");
                None
            }
        };
        let authorization = credentials.and_then(|(username, password)| {
            let pair = Zeroizing::new(format!("{}:{}", *username, *password));
            let basic = Zeroizing::new(format!("Basic {}", base64(pair.as_bytes())));
            secrets.extend([username, password]);
            secrets.push(Zeroizing::new(basic["Basic ".len()..].to_owned()));
            let mut header = HeaderValue::from_str(&basic).ok()?;
            header.set_sensitive(true);
            Some(header)
        });
        let address = url.trim_end_matches('/').to_owned();
        Way::Https(Https::new(
            address,
            authorities.unwrap_or_default(),
            authorization,
        ))
    }

    fn ssh(
        &self,
        host: &str,
        port: u16,
        problems: &mut Problems,
    ) -> Option<(PrivateKey, KnownHost)> {
        let setting = "DAVY_GIT_SSH_KEY_FILE";
        let file = problems.needed(setting, self.ssh_key_file.as_ref(), "for ssh");
        let key = file.and_then(|path| {
            let key = read_secret(path).and_then(|text| ssh_key(&text));
            problems.take(setting, key)
        });
        let setting = "DAVY_GIT_KNOWN_HOSTS_FILE";
        let file = problems.needed(
            setting,
            self.known_hosts_file.as_ref(),
            "for ssh: a host that nobody knows is not to be believed",
        );
        let known = file.and_then(|path| {
            let known = read(path).and_then(|text| KnownHost::find(&text, host, port));
            problems.take(setting, known)
        });
        key.zip(known)
    }

    fn signing(&self, problems: &mut Problems) -> (Option<Signer>, AllowedSigners) {
        let signers = self.allowed_signers_file.as_deref().and_then(|path| {
            let list = read(path).and_then(|text| {
                AllowedSigners::parse(&text).map_err(|problems| problems.join("; "))
            });
            problems.take("DAVY_GIT_ALLOWED_SIGNERS_FILE", list)
        });
        let author = self
            .author
            .as_deref()
            .and_then(|text| problems.take("DAVY_GIT_AUTHOR", author(text)));
        let key = self.signing_key_file.as_deref().and_then(|path| {
            let key = read_secret(path)
                .and_then(|text| SigningKey::parse(&text).map_err(|error| error.to_string()));
            problems.take("DAVY_GIT_SIGNING_KEY_FILE", key)
        });
        let signs = self.author.is_some() || self.signing_key_file.is_some();
        if signs {
            problems.needed("DAVY_GIT_AUTHOR", self.author.as_ref(), "to sign");
            let file = self.signing_key_file.as_ref();
            problems.needed("DAVY_GIT_SIGNING_KEY_FILE", file, "to sign");
            let file = self.allowed_signers_file.as_ref();
            problems.needed("DAVY_GIT_ALLOWED_SIGNERS_FILE", file, "to sign");
        }
        let signer = author.zip(key).map(|((name, mail), key)| {
            if let Some(signers) = &signers {
                let allowed = signers.allows(&key, &mail);
                problems.take("DAVY_GIT_ALLOWED_SIGNERS_FILE", allowed);
            }
            Signer { name, mail, key }
        });
        (signer, signers.unwrap_or_default())
    }
}

/// `Name <mail>`, of letters that git keeps as they are.
fn author(text: &str) -> Result<(String, String), String> {
    let parts = text
        .strip_suffix('>')
        .and_then(|text| text.split_once(" <"));
    let Some((name, mail)) = parts else {
        return Err(format!("{text:?} is not \"Name <mail>\""));
    };
    let is_odd = |text: &str| {
        text.is_empty()
            || text.trim() != text
            || text.contains(['<', '>', '\n', '\0'])
            || text.starts_with(['.', ',', ':', ';', '"', '\''])
            || text.ends_with(['.', ',', ':', ';', '"', '\''])
    };
    if is_odd(name) || is_odd(mail) || mail.contains(' ') || !mail.contains('@') {
        return Err(format!("{text:?} is not \"Name <mail>\" as git keeps it"));
    }
    Ok((name.to_owned(), mail.to_owned()))
}

fn authorities(text: &str) -> Result<Vec<Certificate>, String> {
    let authorities = Certificate::from_pem_bundle(text.as_bytes());
    let authorities = authorities.map_err(|_| "not certificates in PEM".to_owned())?;
    if authorities.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(authorities)
}

fn ssh_key(text: &str) -> Result<PrivateKey, String> {
    let key = PrivateKey::from_openssh(text)
        .map_err(|error| format!("not a private key of OpenSSH's: {error}"))?;
    if key.is_encrypted() {
        return Err("is encrypted, and nobody is there to type its passphrase".to_owned());
    }
    match key.key_data() {
        KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) => {}
        // To sign is to find out whether the numbers belong together.
        KeypairData::Rsa(pair) => {
            let signed = rsa_signature(pair, HashAlg::Sha512, &[]);
            signed.map_err(|error| error.to_string())?;
        }
        _ => {
            let kind = key.algorithm();
            return Err(format!("{kind} keys are not supported; use ed25519"));
        }
    }
    Ok(key)
}

fn one_line(text: &str) -> Result<Zeroizing<String>, String> {
    // Editors end files with an end of line.
    let line = text.trim_end_matches(['\n', '\r']);
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err("is not one line of text".to_owned());
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// A file that only its owner should read. ssh refuses a key that others may read; a Secret is
/// mounted into a pod group readable where the pod has an `fsGroup`, and nobody else is in there,
/// so only what all the world may read is refused.
fn read_secret(path: &Path) -> Result<Zeroizing<String>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| about(path, &error))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(format!(
            "{}: everybody may read it; `chmod o= {0}`, or defaultMode 0440 for a Secret",
            path.display()
        ));
    }
    read(path)
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| about(path, &error))?;
    // A pipe or a device would never end.
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        let path = path.display();
        return Err(format!("{path}: not a file of at most {FILE_MAX} bytes"));
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| about(path, &error))
}

fn about(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Base64 as HTTP has it.
fn base64(bytes: &[u8]) -> String {
    use ssh_key::encoding::base64::{Base64, Encoding};
    Base64::encode_string(bytes)
}
