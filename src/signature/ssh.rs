//! OpenSSH's keys and its SSHSIG signatures. The format is ssh-key's; ed25519 is computed there, and
//! RSA by ring, because the `rsa` crate leaks timing (RUSTSEC-2023-0071) and has no release without.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh_key::encoding::Decode;
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{Algorithm, HashAlg, LineEnding, Mpint, PrivateKey, PublicKey, Signature, SshSig};

use crate::signature::rsa::{self, Hash, Private};
use crate::signature::{KeyError, NAMESPACE, RSA_BITS_MIN};

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----";

#[derive(Clone, Debug)]
pub(super) struct Key(PrivateKey);

impl Key {
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(text)
            .map_err(|error| KeyError::Unreadable(error.to_string()))?;
        match key.key_data() {
            KeypairData::Encrypted(_) => return Err(KeyError::Encrypted),
            KeypairData::Ed25519(_) => {}
            KeypairData::Rsa(pair) if pair.key_size() < RSA_BITS_MIN => {
                return Err(KeyError::Weak(pair.key_size()));
            }
            // To sign is to find out whether the numbers belong together.
            KeypairData::Rsa(pair) => drop(sign_by_rsa(pair, Hash::Sha512, &[])?),
            _ => return Err(KeyError::Unsupported(key.algorithm().to_string())),
        }
        Ok(Self(key))
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Result<String, KeyError> {
        let failed = |error: ssh_key::Error| KeyError::Inconsistent(error.to_string());
        let hash = HashAlg::Sha512;
        let signed = match self.0.key_data() {
            KeypairData::Rsa(pair) => {
                let data = SshSig::signed_data(NAMESPACE, hash, bytes).map_err(failed)?;
                let signature = rsa_signature(pair, Hash::Sha512, &data)?;
                SshSig::new(self.public().clone(), NAMESPACE, hash, signature)
            }
            _ => self.0.sign(NAMESPACE, hash, bytes),
        };
        let armoured = signed
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(failed)?;
        // A header's value ends without a line of its own.
        Ok(armoured.trim_end().to_owned())
    }

    pub(super) fn public(&self) -> &KeyData {
        self.0.public_key().key_data()
    }

    pub(super) fn fingerprint(&self) -> String {
        self.public().fingerprint(HashAlg::Sha256).to_string()
    }
}

/// The key with which these bytes were signed, or why they were not.
pub(super) fn verified(bytes: &[u8], signature: &str) -> Result<KeyData, String> {
    let signature =
        dearmored(signature).map_err(|why| format!("not a signature of OpenSSH's: {why}"))?;
    // These two parts could be changed without the key, so there is one way to write them.
    if signature.version() != SshSig::VERSION || !signature.reserved().is_empty() {
        return Err("not a signature as OpenSSH makes them".to_owned());
    }
    if signature.namespace() != NAMESPACE {
        let namespace = signature.namespace().escape_debug();
        return Err(format!(
            "made for \"{namespace}\" and not for \"{NAMESPACE}\""
        ));
    }
    let key = signature.public_key();
    let is_right = match key {
        KeyData::Rsa(public) => {
            let data = SshSig::signed_data(NAMESPACE, signature.hash_alg(), bytes)
                .map_err(|error| error.to_string())?;
            is_by_rsa(public, signature.signature(), &data)
        }
        _ => PublicKey::from(key.clone())
            .verify(NAMESPACE, bytes, &signature)
            .is_ok(),
    };
    if is_right {
        Ok(key.clone())
    } else {
        Err("not the signature of these bytes".to_owned())
    }
}

/// Takes the armour off as `ssh-keygen` does: nothing may stand before it, lines may be of any
/// length, and what comes behind it says nothing.
fn dearmored(armour: &str) -> Result<SshSig, String> {
    let body = armour.strip_prefix(BEGIN).ok_or("it has no armour")?;
    let (body, _) = body.split_once(END).ok_or("its armour has no end")?;
    let letters: String = body.chars().filter(|letter| !is_space(*letter)).collect();
    let bytes = STANDARD
        .decode(letters)
        .map_err(|error| error.to_string())?;
    let mut rest = &bytes[..];
    let signature = SshSig::decode(&mut rest).map_err(|error| error.to_string())?;
    if rest.is_empty() {
        Ok(signature)
    } else {
        Err("more follows it".to_owned())
    }
}

/// As C's `isspace` has it.
fn is_space(letter: char) -> bool {
    letter.is_ascii_whitespace() || letter == '\u{b}'
}

/// The signature of these bytes as OpenSSH writes it (`rsa-sha2-256` and `rsa-sha2-512`, RFC 8332).
pub(super) fn rsa_signature(
    pair: &RsaKeypair,
    hash: Hash,
    data: &[u8],
) -> Result<Signature, KeyError> {
    let algorithm = Algorithm::Rsa {
        hash: Some(match hash {
            Hash::Sha256 => HashAlg::Sha256,
            Hash::Sha512 => HashAlg::Sha512,
        }),
    };
    Signature::new(algorithm, sign_by_rsa(pair, hash, data)?)
        .map_err(|error| KeyError::Inconsistent(error.to_string()))
}

fn sign_by_rsa(pair: &RsaKeypair, hash: Hash, data: &[u8]) -> Result<Vec<u8>, KeyError> {
    let (public, private) = (pair.public(), pair.private());
    let private = Private {
        n: positive(public.n())?,
        e: positive(public.e())?,
        d: positive(private.d())?,
        p: positive(private.p())?,
        q: positive(private.q())?,
        inverse: positive(private.iqmp())?,
    };
    rsa::sign(&private, hash, data)
}

fn is_by_rsa(public: &RsaPublicKey, signature: &Signature, data: &[u8]) -> bool {
    let hash = match signature.algorithm() {
        Algorithm::Rsa {
            hash: Some(HashAlg::Sha512),
        } => Hash::Sha512,
        Algorithm::Rsa {
            hash: Some(HashAlg::Sha256),
        } => Hash::Sha256,
        // SHA-1 is broken.
        _ => return false,
    };
    let (Ok(n), Ok(e)) = (positive(public.n()), positive(public.e())) else {
        return false;
    };
    rsa::is_right(n, e, hash, data, signature.as_bytes())
}

fn positive(number: &Mpint) -> Result<&[u8], KeyError> {
    number
        .as_positive_bytes()
        .ok_or_else(|| KeyError::Inconsistent("a negative number".to_owned()))
}
