//! RSA signatures by ring, over the numbers that OpenSSH keeps of a key.

use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
};
use zeroize::Zeroizing;

use crate::signature::KeyError;

/// The hashes that are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// The numbers of a private key, big endian, without zeros before them.
pub(super) struct Private<'a> {
    pub(super) n: &'a [u8],
    pub(super) e: &'a [u8],
    pub(super) d: &'a [u8],
    pub(super) p: &'a [u8],
    pub(super) q: &'a [u8],
    /// Of q modulo p.
    pub(super) inverse: &'a [u8],
}

/// PKCS #1 v1.5. The random numbers only blind the computation: the same data give the same
/// signature.
pub(super) fn sign(private: &Private<'_>, hash: Hash, data: &[u8]) -> Result<Vec<u8>, KeyError> {
    let Private {
        n,
        e,
        d,
        p,
        q,
        inverse,
    } = *private;
    // OpenSSH does not write these two.
    let exponents = [p, q].map(|prime| remainder(d, &less_one(prime)));
    let inconsistent = |why: &dyn std::fmt::Display| KeyError::Inconsistent(why.to_string());
    let key = KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &exponents[0],
        dQ: &exponents[1],
        qInv: inverse,
    })
    .map_err(|why| inconsistent(&why))?;
    let mut signature = vec![0; key.public().modulus_len()];
    let random = SystemRandom::new();
    let padding = match hash {
        Hash::Sha256 => &RSA_PKCS1_SHA256,
        Hash::Sha512 => &RSA_PKCS1_SHA512,
    };
    key.sign(padding, &random, data, &mut signature)
        .map_err(|why| inconsistent(&why))?;
    Ok(signature)
}

/// Whether a signature of these data was made with the private half of the key.
pub(super) fn is_right(n: &[u8], e: &[u8], hash: Hash, data: &[u8], signature: &[u8]) -> bool {
    let parameters = match hash {
        Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
    };
    PublicKeyComponents { n, e }
        .verify(parameters, data, signature)
        .is_ok()
}

/// An odd number, big endian, less one: a prime of a key is odd, so the last bit goes.
fn less_one(odd: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut less = Zeroizing::new(odd.to_vec());
    if let Some(last) = less.last_mut() {
        *last &= !1;
    }
    less
}

/// What is left of a number after division, big endian, by the method of school. It is done once
/// for each signature, at no time that anybody could choose or measure from outside.
fn remainder(number: &[u8], divisor: &[u8]) -> Zeroizing<Vec<u8>> {
    // One byte more than the divisor, for the doubling.
    let mut left = Zeroizing::new(vec![0_u8; divisor.len() + 1]);
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in left.iter_mut().rev() {
                let high = *digit >> 7;
                *digit = *digit << 1 | carry;
                carry = high;
            }
            if left[0] != 0 || &left[1..] >= divisor {
                subtract(&mut left, divisor);
            }
        }
    }
    let zeroes = left.iter().take_while(|digit| **digit == 0).count();
    Zeroizing::new(left[zeroes..].to_vec())
}

/// Takes a number from a larger one that has one byte more.
fn subtract(from: &mut [u8], number: &[u8]) {
    let mut borrow = false;
    for (digit, less) in from.iter_mut().rev().zip(number.iter().rev().chain([&0])) {
        let (once, first) = digit.overflowing_sub(*less);
        let (twice, second) = once.overflowing_sub(u8::from(borrow));
        *digit = twice;
        borrow = first || second;
    }
}

#[cfg(test)]
mod tests {
    use super::{less_one, remainder};

    #[test]
    fn remainders_are_those_of_the_processor() {
        let mut state: u128 = 0x0123_4567_89ab_cdef;
        let mut next = || {
            state = state
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(0x5851_f42d_4c95_7f2d);
            state
        };
        for bits in (1..=120).cycle().take(2_000) {
            let (number, divisor) = (next(), (next() >> (127 - bits)).max(1));
            let divisor_bytes = divisor.to_be_bytes();
            let start = divisor_bytes.iter().take_while(|byte| **byte == 0).count();
            let left = remainder(&number.to_be_bytes(), &divisor_bytes[start..]);
            let expected = (number % divisor).to_be_bytes();
            let start = expected.iter().take_while(|byte| **byte == 0).count();
            assert_eq!(*left, expected[start..], "{number} % {divisor}");
        }
        assert_eq!(*less_one(&[1, 0xff]), [1, 0xfe]);
    }
}
