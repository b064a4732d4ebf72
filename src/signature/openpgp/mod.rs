//! OpenPGP, as far as commits need it: detached signatures by keys of version 4, Ed25519 or RSA,
//! as GnuPG makes them by default, and judged against a file of public keys.
//!
//! It is our own because of what the libraries bring: `pgp` some 85 crates, among them every cipher
//! since 1991 and the RSA with RUSTSEC-2023-0071, `sequoia-openpgp` a C library or the same. What a
//! signature needs is two algorithms that ring has, and a format that has not moved since 1998.

use jiff::Timestamp;

use crate::signature::{KeyError, Verdict};

use self::certificate::{Certificate, Part};
use self::packet::{armoured, packets, unarmoured};
use self::signed::{BINARY, Signed};

mod certificate;
mod key;
mod packet;
mod signed;

/// How an armoured signature begins.
pub(super) const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
/// How an armoured private key begins.
pub(super) const PRIVATE: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
/// How a list of armoured public keys begins.
pub(super) const PUBLIC: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The part of a private key that signs.
#[derive(Clone, Debug)]
pub(super) struct Key(Part);

impl Key {
    /// The newest part of an exported private key that may sign, as GnuPG takes it.
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let unreadable = KeyError::Unreadable;
        let bytes = unarmoured(text, "PRIVATE KEY BLOCK").map_err(unreadable)?;
        let certificates = certificate::read(&bytes).map_err(unreadable)?;
        let [certificate] = &certificates[..] else {
            let count = certificates.len();
            return Err(unreadable(format!("it holds {count} keys, and not one")));
        };
        let part = certificate
            .signing()
            .filter(|part| !matches!(part.secret, key::Secret::Absent))
            .max_by_key(|part| part.public.created)
            .ok_or_else(|| unreadable("no part of it may sign".to_owned()))?;
        part.public.weakness()?;
        let key = Self(part.clone());
        // To sign is to find out whether the numbers belong together.
        key.sign(&[], Timestamp::UNIX_EPOCH)?;
        Ok(key)
    }

    pub(super) fn sign(&self, bytes: &[u8], at: Timestamp) -> Result<String, KeyError> {
        let part = &self.0;
        let packet = signed::sign(&part.public, &part.secret, bytes, seconds(at))?;
        Ok(armoured(&packet, "SIGNATURE"))
    }

    pub(super) fn fingerprint(&self) -> String {
        self.0.public.fingerprint()
    }
}

/// Public keys, and whose they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyring(Vec<Certificate>);

impl Keyring {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let certificates = certificate::read(&unarmoured(text, "PUBLIC KEY BLOCK")?)?;
        for certificate in &certificates {
            if certificate.signing().next().is_none() {
                let fingerprint = certificate.parts[0].public.fingerprint();
                return Err(format!(
                    "no part of the key {fingerprint} may sign, or is of a kind that is believed"
                ));
            }
        }
        Ok(Self(certificates))
    }

    pub(super) fn verify(&self, bytes: &[u8], signature: &str, at: Timestamp) -> Verdict {
        let bad = |why: String| Verdict::Bad { why };
        let read =
            unarmoured(signature, "SIGNATURE").and_then(|bytes| match &packets(&bytes)?[..] {
                [packet] if packet.tag == 2 => Signed::read(packet.body),
                _ => Err("it is not one signature".to_owned()),
            });
        let signed = match read {
            Ok(signed) if signed.kind == BINARY => signed,
            Ok(_) => return bad("it is not a signature of a file".to_owned()),
            Err(why) => return bad(format!("not a signature of OpenPGP: {why}")),
        };
        for certificate in &self.0 {
            for part in certificate.signing() {
                if !signed.is_by(&part.public, bytes) {
                    continue;
                }
                let principal = certificate.names.join(", ");
                let fingerprint = part.public.fingerprint();
                let at = seconds(at);
                // By the signature's own time, which its maker chose, and by the commit's.
                return if certificate.was_valid(part, at)
                    && certificate.was_valid(part, signed.created)
                    && signed.is_valid(at.max(signed.created))
                {
                    Verdict::Good {
                        principal,
                        fingerprint,
                    }
                } else {
                    Verdict::Untimely {
                        principal,
                        fingerprint,
                    }
                };
            }
        }
        // Without the key nobody can say whether it is a signature of these bytes.
        bad("made with none of the allowed keys, or not of these bytes".to_owned())
    }

    pub(super) fn names(&self, key: &Key, mail: &str) -> Result<(), String> {
        let fingerprint = key.fingerprint();
        let found = self.0.iter().find(|certificate| {
            let mut parts = certificate.signing();
            parts.any(|part| part.public == key.0.public)
        });
        match found {
            None => Err(format!("no key that may sign is {fingerprint}")),
            Some(certificate) if certificate.is_of(mail) => Ok(()),
            Some(certificate) => Err(format!(
                "the key {fingerprint} is for {}, and not for {mail}",
                certificate.names.join(" and ")
            )),
        }
    }
}

/// OpenPGP counts in 32 bits, until 2106.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0)).unwrap_or(u32::MAX)
}
