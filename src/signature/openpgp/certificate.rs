//! What a key of OpenPGP says about itself: whose it is, which of its parts may sign, and for how
//! long. Only what the primary key has signed counts.

use crate::signature::openpgp::key::{self, Public, Secret};
use crate::signature::openpgp::packet::{Packet, packets};
use crate::signature::openpgp::signed::{BACK, Signed};

/// The key may sign files.
const MAY_SIGN: u8 = 0x02;

/// A primary key with its names and subkeys.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// `Name <mail>`, as a rule.
    pub(super) names: Vec<String>,
    /// The primary key first.
    pub(super) parts: Vec<Part>,
    is_revoked: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) public: Public,
    pub(super) secret: Secret,
    /// Seconds since 1970; none: never.
    expires: Option<u32>,
    may_sign: bool,
    is_revoked: bool,
    /// When the primary key last said so; none: it never did.
    bound: Option<u32>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

/// What the signatures that follow are about.
enum Subject {
    Primary,
    Name(String),
    Subkey,
    /// Pictures and the like.
    Other,
}

/// The keys of a file, public or secret.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
    let mut certificates: Vec<Certificate> = Vec::new();
    let mut subject = Subject::Other;
    for Packet { tag, body } in packets(bytes)? {
        match (tag, certificates.last_mut()) {
            (5 | 6, _) => {
                let part = part(tag == 5, body)?;
                certificates.push(Certificate {
                    names: Vec::new(),
                    parts: vec![part],
                    is_revoked: false,
                });
                subject = Subject::Primary;
            }
            (_, None) => return Err("it does not begin with a key".to_owned()),
            (7 | 14, Some(certificate)) => {
                certificate.parts.push(part(tag == 7, body)?);
                subject = Subject::Subkey;
            }
            (13, Some(_)) => subject = Subject::Name(String::from_utf8_lossy(body).into_owned()),
            (2, Some(certificate)) => {
                // Of others, or of a kind that is not believed.
                if let Ok(signed) = Signed::read(body) {
                    certificate.hear(&subject, &signed);
                }
            }
            _ => subject = Subject::Other,
        }
    }
    Ok(certificates)
}

fn part(is_secret: bool, body: &[u8]) -> Result<Part, String> {
    let (public, secret) = if is_secret {
        key::read_secret(body)?
    } else {
        (key::read(body)?.0, Secret::Absent)
    };
    Ok(Part {
        public,
        secret,
        expires: None,
        may_sign: false,
        is_revoked: false,
        bound: None,
    })
}

impl Certificate {
    /// Takes note of a signature, if it is the primary key's own.
    fn hear(&mut self, subject: &Subject, signed: &Signed) {
        let Some((primary, subkeys)) = self.parts.split_first_mut() else {
            return;
        };
        let about = primary.public.hashed();
        match (subject, signed.kind) {
            (Subject::Primary, 0x1f | 0x20) if signed.is_by(&primary.public, &about) => {
                if signed.kind == 0x20 {
                    self.is_revoked = true;
                } else {
                    primary.told(signed, true);
                }
            }
            (Subject::Name(name), 0x10..=0x13 | 0x30) => {
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
                let about = [&about, &[0xb4][..], &length, name.as_bytes()].concat();
                if !signed.is_by(&primary.public, &about) {
                    return;
                }
                self.names.retain(|other| other != name);
                if signed.kind != 0x30 {
                    self.names.push(name.clone());
                    primary.told(signed, true);
                }
            }
            (Subject::Subkey, 0x18 | 0x28) => {
                let Some(subkey) = subkeys.last_mut() else {
                    return;
                };
                let about = [about, subkey.public.hashed()].concat();
                if !signed.is_by(&primary.public, &about) {
                    return;
                }
                if signed.kind == 0x28 {
                    subkey.is_revoked = true;
                    return;
                }
                // Else somebody could take another's subkey for his own.
                let agrees = signed.embedded.as_ref().is_some_and(|back| {
                    Signed::read(back)
                        .is_ok_and(|back| back.kind == BACK && back.is_by(&subkey.public, &about))
                });
                subkey.told(signed, agrees);
            }
            _ => {}
        }
    }

    /// Whether a part may have signed at a time.
    pub(super) fn was_valid(&self, part: &Part, at: u32) -> bool {
        let primary = &self.parts[0];
        let has_expired = |part: &Part| part.expires.is_some_and(|expires| expires < at);
        !self.is_revoked
            && !part.is_revoked
            && part.public.created <= at
            && !has_expired(primary)
            && !has_expired(part)
    }

    /// The parts that may sign, and that somebody's name goes with.
    pub(super) fn signing(&self) -> impl Iterator<Item = &Part> {
        let has_name = !self.names.is_empty();
        self.parts
            .iter()
            .filter(move |part| has_name && part.may_sign && part.bound.is_some())
    }

    /// Whether one of the names has this mail address.
    pub(super) fn is_of(&self, mail: &str) -> bool {
        self.names.iter().any(|name| {
            let address = name
                .rsplit_once('<')
                .and_then(|(_, rest)| rest.strip_suffix('>'));
            address.unwrap_or(name) == mail
        })
    }
}

impl Part {
    /// The latest word counts.
    fn told(&mut self, signed: &Signed, may_sign: bool) {
        if self.bound.is_some_and(|bound| bound > signed.created) {
            return;
        }
        self.bound = Some(signed.created);
        self.expires = signed
            .key_expires
            .map(|time| self.public.created.saturating_add(time));
        let allowed = signed.flags.is_none_or(|flags| flags & MAY_SIGN != 0);
        self.may_sign = may_sign && allowed;
    }
}
