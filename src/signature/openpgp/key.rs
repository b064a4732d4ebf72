//! Keys of OpenPGP, version 4, of the two kinds that GnuPG makes for signing: RSA and Ed25519.

use std::fmt::Write as _;

use ring::digest;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::signature::openpgp::packet::{Reader, padded, put_integer};
use crate::signature::rsa::{self, Hash};
use crate::signature::{KeyError, RSA_BITS_MIN};

pub(super) const RSA: u8 = 1;
pub(super) const EDDSA: u8 = 22;

/// How the curve is named in a key.
const ED25519_CURVE: &[u8] = b"\x2b\x06\x01\x04\x01\xda\x47\x0f\x01";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Public {
    /// What fingerprints and signatures on keys are made of.
    pub(super) body: Vec<u8>,
    /// Seconds since 1970.
    pub(super) created: u32,
    pub(super) numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519([u8; 32]),
    /// Of a kind that is not looked at.
    Other,
}

#[derive(Clone)]
pub(super) enum Secret {
    Rsa {
        d: Zeroizing<Vec<u8>>,
        p: Zeroizing<Vec<u8>>,
        q: Zeroizing<Vec<u8>>,
        /// Of p modulo q.
        inverse: Zeroizing<Vec<u8>>,
    },
    Ed25519(Zeroizing<[u8; 32]>),
    /// Not without a passphrase.
    Encrypted,
    /// Somewhere else, or of a kind that is not looked at.
    Absent,
}

/// A public key, and what follows it in the packet of a secret one.
pub(super) fn read(packet: &[u8]) -> Result<(Public, Reader<'_>), String> {
    let mut reader = Reader(packet);
    if reader.byte()? != 4 {
        return Err("the key is not of version 4".to_owned());
    }
    let created = reader.number(4)?;
    let numbers = match reader.byte()? {
        RSA => Numbers::Rsa {
            n: reader.integer()?.to_vec(),
            e: reader.integer()?.to_vec(),
        },
        EDDSA => {
            let length = usize::from(reader.byte()?);
            let curve = reader.take(length)?;
            let point = reader.integer()?;
            match point.split_first() {
                Some((0x40, point)) if curve == ED25519_CURVE => Numbers::Ed25519(padded(point)?),
                _ => return Err("the key is on a curve that is not known".to_owned()),
            }
        }
        // Keys to encrypt with are beside the signing ones; how long they are does not matter.
        _ => {
            reader = Reader(&[]);
            Numbers::Other
        }
    };
    let body = packet[..packet.len() - reader.0.len()].to_vec();
    let public = Public {
        body,
        created,
        numbers,
    };
    Ok((public, reader))
}

pub(super) fn read_secret(packet: &[u8]) -> Result<(Public, Secret), String> {
    let (public, mut reader) = read(packet)?;
    if public.numbers == Numbers::Other {
        return Ok((public, Secret::Absent));
    }
    match reader.byte()? {
        0 => {}
        // GnuPG's own way to leave out the primary key's secret: cipher, mode 101, a hash, "GNU".
        254 | 255 if reader.0.get(1) == Some(&101) => return Ok((public, Secret::Absent)),
        _ => return Ok((public, Secret::Encrypted)),
    }
    let numbers = reader;
    let mut integer = || {
        let integer = reader.integer()?;
        Ok::<_, String>(Zeroizing::new(integer.to_vec()))
    };
    let secret = match public.numbers {
        Numbers::Rsa { .. } => Secret::Rsa {
            d: integer()?,
            p: integer()?,
            q: integer()?,
            inverse: integer()?,
        },
        Numbers::Ed25519(_) => Secret::Ed25519(Zeroizing::new(padded(&integer()?)?)),
        Numbers::Other => Secret::Absent,
    };
    let read = &numbers.0[..numbers.0.len() - reader.0.len()];
    let sum = read
        .iter()
        .fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    if reader.number(2)? != u32::from(sum) {
        return Err("the key's checksum is wrong".to_owned());
    }
    Ok((public, secret))
}

impl Public {
    /// In hexadecimal, as `gpg` shows it.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::new();
        for byte in self.fingerprint_bytes() {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02X}");
        }
        text
    }

    pub(super) fn fingerprint_bytes(&self) -> Vec<u8> {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.hashed());
        digest.as_ref().to_vec()
    }

    /// As it goes into what is signed about it.
    pub(super) fn hashed(&self) -> Vec<u8> {
        let length = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        [&[0x99][..], &length.to_be_bytes(), &self.body].concat()
    }

    /// Why nothing should be signed with it.
    pub(super) fn weakness(&self) -> Result<(), KeyError> {
        match &self.numbers {
            Numbers::Rsa { n, .. } => {
                let bits = u32::try_from(n.len() * 8).unwrap_or(u32::MAX);
                let bits = bits - n.first().map_or(0, |first| first.leading_zeros());
                if bits < RSA_BITS_MIN {
                    return Err(KeyError::Weak(bits));
                }
                Ok(())
            }
            Numbers::Ed25519(_) => Ok(()),
            Numbers::Other => Err(KeyError::Unsupported("such OpenPGP".to_owned())),
        }
    }

    /// Whether the numbers of a signature are those of these bytes.
    pub(super) fn is_right(&self, hash: Hash, bytes: &[u8], numbers: &[u8]) -> bool {
        let mut numbers = Reader(numbers);
        match &self.numbers {
            Numbers::Rsa { n, e } => numbers.integer().is_ok_and(|signature| {
                // ring wants the zeros that OpenPGP leaves out.
                let mut whole = vec![0; n.len().saturating_sub(signature.len())];
                whole.extend_from_slice(signature);
                rsa::is_right(n, e, hash, bytes, &whole)
            }),
            Numbers::Ed25519(point) => {
                let mut half = || numbers.integer().and_then(padded::<32>);
                let (Ok(r), Ok(s)) = (half(), half()) else {
                    return false;
                };
                let digest = hash.digest(bytes);
                UnparsedPublicKey::new(&ED25519, point)
                    .verify(&digest, &[r, s].concat())
                    .is_ok()
            }
            Numbers::Other => false,
        }
    }

    /// The numbers of a signature of these bytes.
    pub(super) fn sign(
        &self,
        secret: &Secret,
        hash: Hash,
        bytes: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let mut numbers = Vec::new();
        match (&self.numbers, secret) {
            (Numbers::Rsa { n, e }, Secret::Rsa { d, p, q, inverse }) => {
                // OpenPGP's primes are the other way round.
                let private = rsa::Private {
                    n,
                    e,
                    d,
                    p: q,
                    q: p,
                    inverse,
                };
                put_integer(&mut numbers, &rsa::sign(&private, bytes)?);
            }
            (Numbers::Ed25519(point), Secret::Ed25519(seed)) => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&**seed, point)
                    .map_err(|why| KeyError::Inconsistent(why.to_string()))?;
                let signature = pair.sign(&hash.digest(bytes));
                let (r, s) = signature.as_ref().split_at(32);
                put_integer(&mut numbers, r);
                put_integer(&mut numbers, s);
            }
            (_, Secret::Encrypted) => return Err(KeyError::Encrypted),
            _ => return Err(KeyError::Unsupported("such OpenPGP".to_owned())),
        }
        Ok(numbers)
    }
}
