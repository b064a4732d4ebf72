//! The outside of OpenPGP (RFC 9580): armour, packets and numbers. Nothing is read beyond the end
//! of what was given, whatever its lengths say.

use std::fmt::Write as _;

use ssh_key::encoding::base64::{Base64, Encoding};

/// A packet's kind and what is in it.
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

const CUT_SHORT: &str = "it is cut short";

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A big-endian number of so many bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u32, String> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|taken| taken[0])
    }

    /// Bytes that are preceded by their length in two bytes.
    pub(super) fn field(&mut self) -> Result<&'a [u8], String> {
        let length = self.number(2)?;
        self.take(length as usize)
    }

    /// A number of any size, without zeros before it.
    pub(super) fn integer(&mut self) -> Result<&'a [u8], String> {
        let bits = self.number(2)?;
        self.take(bits.div_ceil(8) as usize)
    }

    /// The length of a new packet or of a subpacket, by its first byte.
    fn length(&mut self, first: u8, partial: u8) -> Result<usize, String> {
        let length = match first {
            0..192 => u32::from(first),
            255 => self.number(4)?,
            _ if first >= partial => return Err("it comes in parts".to_owned()),
            _ => (u32::from(first) - 192) * 256 + u32::from(self.byte()?) + 192,
        };
        Ok(length as usize)
    }

    pub(super) fn subpacket(&mut self) -> Result<(u8, &'a [u8]), String> {
        let first = self.byte()?;
        let length = self.length(first, 255)?;
        let whole = self.take(length)?;
        let (kind, body) = whole.split_first().ok_or(CUT_SHORT)?;
        // The upper bit says that whoever does not understand it must not go on.
        Ok((*kind & 0x7f, body))
    }

    fn packet(&mut self) -> Result<Packet<'a>, String> {
        let head = self.byte()?;
        if head & 0x80 == 0 {
            return Err("there is no packet where one should be".to_owned());
        }
        let (tag, length) = if head & 0x40 == 0 {
            let length = match head & 3 {
                0 => self.number(1)?,
                1 => self.number(2)?,
                2 => self.number(4)?,
                _ => return Err("a packet has no length".to_owned()),
            };
            (head >> 2 & 0x0f, length as usize)
        } else {
            let first = self.byte()?;
            (head & 0x3f, self.length(first, 224)?)
        };
        let body = self.take(length)?;
        Ok(Packet { tag, body })
    }
}

pub(super) fn packets(bytes: &[u8]) -> Result<Vec<Packet<'_>>, String> {
    let mut reader = Reader(bytes);
    let mut packets = Vec::new();
    while !reader.0.is_empty() {
        packets.push(reader.packet()?);
    }
    Ok(packets)
}

/// Adds a number as OpenPGP writes it.
pub(super) fn put_integer(into: &mut Vec<u8>, number: &[u8]) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    let bits = number
        .first()
        .map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize);
    into.extend_from_slice(&u16::try_from(bits).unwrap_or(u16::MAX).to_be_bytes());
    into.extend_from_slice(number);
}

/// A number in so many bytes, with the zeros before it.
pub(super) fn padded<const SIZE: usize>(number: &[u8]) -> Result<[u8; SIZE], String> {
    let mut padded = [0; SIZE];
    let start = SIZE.checked_sub(number.len());
    let start = start.ok_or("a number is too large")?;
    padded[start..].copy_from_slice(number);
    Ok(padded)
}

/// The bytes of every armoured block of a kind, one after the other.
pub(super) fn unarmoured(text: &str, kind: &str) -> Result<Vec<u8>, String> {
    let (begin, end) = (
        format!("-----BEGIN PGP {kind}-----"),
        format!("-----END PGP {kind}-----"),
    );
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once(&begin) {
        let (block, after) = block.split_once(&end).ok_or(CUT_SHORT)?;
        rest = after;
        let mut lines = block.lines().map(str::trim);
        // Headers go to the first empty line. The line's own end is the first line here.
        lines.next();
        let data = lines
            .skip_while(|line| line.contains(": "))
            .filter(|line| !line.is_empty());
        // The checksum is no protection, and new writers leave it out.
        let data: String = data.take_while(|line| !line.starts_with('=')).collect();
        let decoded = Base64::decode_vec(&data);
        bytes.extend(decoded.map_err(|_| "it is not in base64")?);
    }
    if bytes.is_empty() {
        return Err(format!("there is no {begin}"));
    }
    Ok(bytes)
}

pub(super) fn armoured(bytes: &[u8], kind: &str) -> String {
    let mut text = format!("-----BEGIN PGP {kind}-----\n\n");
    let encoded = Base64::encode_string(bytes);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{line}");
        rest = after;
    }
    let checksum = Base64::encode_string(&crc24(bytes).to_be_bytes()[1..]);
    let _ = write!(text, "={checksum}\n-----END PGP {kind}-----");
    text
}

fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00b7_04ce, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 16, |sum, _| {
            let shifted = sum << 1;
            if shifted & 0x0100_0000 == 0 {
                shifted
            } else {
                shifted ^ 0x0186_4cfb
            }
        })
    })
}
