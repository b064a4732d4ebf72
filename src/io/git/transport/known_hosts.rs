//! Which host keys are to be believed: OpenSSH's file of known hosts (`sshd(8)`).

use ring::hmac;
use ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey};

use crate::signature::patterns::is_among;

/// The keys of one host.
#[derive(Clone, Debug)]
pub(in crate::io::git) struct KnownHost {
    name: String,
    keys: Vec<KeyData>,
    revoked: Vec<KeyData>,
}

impl KnownHost {
    /// The keys that a file knows for a host. Lines that cannot be read are passed over, as ssh
    /// does; keys of authorities are not used, for certificates are not supported.
    ///
    /// On failure: no key of the host can be used.
    pub(in crate::io::git) fn find(text: &str, host: &str, port: u16) -> Result<Self, String> {
        let name = match port {
            22 => host.to_owned(),
            _ => format!("[{host}]:{port}"),
        };
        let mut found = Self {
            name,
            keys: Vec::new(),
            revoked: Vec::new(),
        };
        for line in text.lines().map(str::trim) {
            let Ok(entry) = line.parse::<Entry>() else {
                continue;
            };
            if !is_named(&found.name, entry.host_patterns()) {
                continue;
            }
            let key = entry.public_key().key_data().clone();
            match entry.marker() {
                None => found.keys.push(key),
                Some(Marker::Revoked) => found.revoked.push(key),
                Some(Marker::CertAuthority) => {}
            }
        }
        if found.algorithms().is_empty() {
            return Err(found.lacks());
        }
        Ok(found)
    }

    /// Why the host cannot be recognised.
    fn lacks(&self) -> String {
        let name = &self.name;
        if self.keys.iter().any(|key| key.algorithm().is_rsa()) {
            return format!(
                "has only an RSA key of {name}, and signatures of RSA host keys are not checked \
                 here: add its ed25519 or ECDSA key (`ssh-keyscan -t ed25519,ecdsa`), or use https"
            );
        }
        format!(
            "has no ed25519 or ECDSA key of {name}; `ssh-keyscan` writes such lines, and the \
             host's owner tells whether they are right"
        )
    }

    /// What the host is to be asked to show: only what could be believed.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<_> = self.keys.iter().map(KeyData::algorithm).collect();
        algorithms
            .retain(|algorithm| matches!(algorithm, Algorithm::Ed25519 | Algorithm::Ecdsa { .. }));
        algorithms.sort();
        algorithms.dedup();
        algorithms
    }

    /// Whether this is a key of the host's, or why not.
    pub(super) fn check(&self, key: &PublicKey) -> Result<(), String> {
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let (name, kind) = (&self.name, key.algorithm());
        if self.revoked.contains(key.key_data()) {
            Err(format!(
                "the host key of {name} is revoked: {kind} {fingerprint}"
            ))
        } else if self.keys.contains(key.key_data()) {
            Ok(())
        } else {
            Err(format!(
                "the host key of {name} is not the known one: {kind} {fingerprint}"
            ))
        }
    }
}

fn is_named(name: &str, patterns: &HostPatterns) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => is_among(name, &patterns.join(",")),
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
    }
}
