//! Signatures of commits, as `git verify-commit` reads them: keys, signing, verifying, and who may
//! sign. Bytes and texts in, bytes and texts out; files and clocks are others'.

use jiff::Timestamp;
use ssh_key::private::RsaKeypair;
use ssh_key::{HashAlg, Signature};

pub use allowed::AllowedSigners;

mod allowed;
pub mod commit;
pub mod patterns;
mod rsa;
mod ssh;

/// What git signs commits and tags for; a signature for anything else says nothing about a commit.
const NAMESPACE: &str = "git";

/// RSA below this is no longer advised for signatures that are to be believed in ten years
/// (NIST SP 800-57, after 2030).
const RSA_BITS_MIN: u32 = 3072;

/// A private key that signs commits. It is wiped from memory when it is dropped.
#[derive(Clone, Debug)]
pub struct SigningKey(ssh::Key);

/// Why a file is no key to sign with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the key is encrypted, and nobody is there to type its passphrase; write it without \
         (`ssh-keygen -p -N ''`)"
    )]
    Encrypted,
    #[error("an RSA key of {0} bits is too weak; needed are {RSA_BITS_MIN} or more")]
    Weak(u32),
    #[error("{0} keys cannot sign here; ed25519 and RSA can")]
    Unsupported(String),
    #[error("not a private key of OpenSSH's: {0}")]
    Unreadable(String),
    #[error("the key contradicts itself: {0}")]
    Inconsistent(String),
}

/// What is to be thought of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Made over these very bytes by a key that was allowed to at the time.
    Good {
        /// Who may sign with the key, as the list of allowed signers names them.
        principal: String,
        fingerprint: String,
    },
    /// Made over these very bytes, by a key that nobody allowed.
    UnknownKey { fingerprint: String },
    /// Made over these very bytes by a known key, before or after the key was to be believed.
    Untimely {
        principal: String,
        fingerprint: String,
    },
    /// No signature of these bytes.
    Bad { why: String },
    /// Not signed at all.
    Missing,
}

impl SigningKey {
    /// Reads an unencrypted private key of OpenSSH's.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        ssh::Key::parse(text).map(Self)
    }

    /// The armoured signature that belongs into the `gpgsig` header of a commit with these bytes.
    /// The same bytes and key give the same signature.
    pub fn sign(&self, bytes: &[u8]) -> Result<String, KeyError> {
        self.0.sign(bytes)
    }

    /// How `ssh-keygen -l` and `git verify-commit` name the key.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }
}

/// The signature by which an RSA key lets its owner in at an SSH server (RFC 8332).
///
/// On failure: the numbers of the key do not belong together, or the hash is none of SHA-2.
pub fn rsa_signature(
    pair: &RsaKeypair,
    hash: HashAlg,
    bytes: &[u8],
) -> Result<Signature, KeyError> {
    let hash = match hash {
        HashAlg::Sha256 => rsa::Hash::Sha256,
        HashAlg::Sha512 => rsa::Hash::Sha512,
        other => return Err(KeyError::Unsupported(format!("RSA with {other}"))),
    };
    ssh::rsa_signature(pair, hash, bytes)
}

impl AllowedSigners {
    /// Judges the signature of a commit's bytes, made at a time.
    pub fn verify(&self, bytes: &[u8], signature: Option<&str>, at: Timestamp) -> Verdict {
        let Some(signature) = signature else {
            return Verdict::Missing;
        };
        match ssh::verified(bytes, signature) {
            Ok(key) => self.judge(&key, at),
            Err(why) => Verdict::Bad { why },
        }
    }

    /// Whether somebody with this mail address may sign with the key at one time or another.
    pub fn allows(&self, key: &SigningKey, mail: &str) -> Result<(), String> {
        self.names(key.0.public(), mail)
    }
}
