//! Signatures of OpenPGP, version 4: of data, and of keys about themselves.

use crate::signature::KeyError;
use crate::signature::openpgp::key::{EDDSA, Numbers, Public, RSA, Secret};
use crate::signature::openpgp::packet::Reader;
use crate::signature::rsa::Hash;

/// Of a file, byte for byte.
pub(super) const BINARY: u8 = 0x00;
/// By a subkey, that it belongs to the primary key.
pub(super) const BACK: u8 = 0x19;

/// Kinds of subpackets.
const CREATED: u8 = 2;
const EXPIRES: u8 = 3;
const KEY_EXPIRES: u8 = 9;
const ISSUER: u8 = 16;
const FLAGS: u8 = 27;
const EMBEDDED: u8 = 32;
const ISSUER_FINGERPRINT: u8 = 33;

#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) kind: u8,
    hash: Hash,
    /// Everything from the version to the hashed subpackets, which is signed too.
    head: Vec<u8>,
    /// Seconds since 1970.
    pub(super) created: u32,
    /// Seconds after that; none: never.
    expires: Option<u32>,
    /// Seconds after the key was made.
    pub(super) key_expires: Option<u32>,
    pub(super) flags: Option<u8>,
    pub(super) embedded: Option<Vec<u8>>,
    numbers: Vec<u8>,
}

impl Signed {
    pub(super) fn read(packet: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(packet);
        if reader.byte()? != 4 {
            return Err("the signature is not of version 4".to_owned());
        }
        let (kind, _algorithm) = (reader.byte()?, reader.byte()?);
        let hash = match reader.byte()? {
            8 => Hash::Sha256,
            10 => Hash::Sha512,
            other => return Err(format!("hash {other} is not one to be believed")),
        };
        let hashed = reader.field()?;
        let head = packet[..packet.len() - reader.0.len()].to_vec();
        let unhashed = reader.field()?;
        reader.take(2)?;
        let mut signed = Self {
            kind,
            hash,
            head,
            created: 0,
            expires: None,
            key_expires: None,
            flags: None,
            embedded: None,
            numbers: reader.0.to_vec(),
        };
        let mut subpackets = Reader(hashed);
        while !subpackets.0.is_empty() {
            let (kind, body) = subpackets.subpacket()?;
            let number = || Reader(body).number(4);
            match kind {
                CREATED => signed.created = number()?,
                // Zero stands for never.
                EXPIRES => signed.expires = Some(number()?).filter(|time| *time > 0),
                KEY_EXPIRES => signed.key_expires = Some(number()?).filter(|time| *time > 0),
                FLAGS => signed.flags = Some(body.first().copied().unwrap_or(0)),
                EMBEDDED => signed.embedded = Some(body.to_vec()),
                _ => {}
            }
        }
        // What anybody could have added is believed only where it proves itself.
        let mut subpackets = Reader(unhashed);
        while !subpackets.0.is_empty() {
            if let (EMBEDDED, body) = subpackets.subpacket()? {
                signed.embedded = Some(body.to_vec());
            }
        }
        Ok(signed)
    }

    /// Whether a key made it over these bytes.
    pub(super) fn is_by(&self, key: &Public, bytes: &[u8]) -> bool {
        let whole = [bytes, &self.head, &trailer(&self.head)].concat();
        key.is_right(self.hash, &whole, &self.numbers)
    }

    /// Whether it counts at a time.
    pub(super) fn is_valid(&self, at: u32) -> bool {
        let end = self.expires.map(|time| self.created.saturating_add(time));
        self.created <= at && end.is_none_or(|end| at <= end)
    }
}

/// The packet of a signature of a file, made at a time.
pub(super) fn sign(
    key: &Public,
    secret: &Secret,
    bytes: &[u8],
    at: u32,
) -> Result<Vec<u8>, KeyError> {
    let algorithm = match key.numbers {
        Numbers::Rsa { .. } => RSA,
        Numbers::Ed25519(_) | Numbers::Other => EDDSA,
    };
    let fingerprint = key.fingerprint_bytes();
    let mut hashed = vec![22, ISSUER_FINGERPRINT, 4];
    hashed.extend_from_slice(&fingerprint);
    hashed.extend_from_slice(&[5, CREATED]);
    hashed.extend_from_slice(&at.to_be_bytes());
    // 10 is SHA-512.
    let mut head = vec![4, BINARY, algorithm, 10, 0, 0];
    head[5] = u8::try_from(hashed.len()).unwrap_or(u8::MAX);
    head.extend_from_slice(&hashed);
    let whole = [bytes, &head, &trailer(&head)].concat();
    let numbers = key.sign(secret, Hash::Sha512, &whole)?;
    let mut packet = head;
    // Old readers look for the key by the end of its fingerprint.
    packet.extend_from_slice(&[0, 10, 9, ISSUER]);
    packet.extend_from_slice(&fingerprint[fingerprint.len() - 8..]);
    packet.extend_from_slice(&Hash::Sha512.digest(&whole)[..2]);
    packet.extend_from_slice(&numbers);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    Ok([&[0xc2, 255][..], &length.to_be_bytes(), &packet].concat())
}

/// What ends the bytes that are signed.
fn trailer(head: &[u8]) -> Vec<u8> {
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    [&[4, 0xff][..], &length.to_be_bytes()].concat()
}
