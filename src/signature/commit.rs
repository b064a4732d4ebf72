//! The signature in a commit object, and the bytes that it is of, as git tells them apart.

/// What a header with the signature of a SHA-1 commit begins with.
const HEADER: &[u8] = b"gpgsig ";
/// What those of other hashes begin with too; they are no part of what is signed.
const ANY: &[u8] = b"gpgsig";

/// A commit object in its two parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The bytes that are signed.
    pub payload: Vec<u8>,
    /// The value of the signature's header; of several, one after the other.
    pub signature: Option<Vec<u8>>,
}

/// Which header the lines that begin with a space belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Signature,
    OfAnotherHash,
    Other,
}

impl Parts {
    /// Takes a commit object apart, without its type and size.
    pub fn of(commit: &[u8]) -> Self {
        let mut parts = Self::default();
        let mut within = Within::Other;
        let mut rest = commit;
        while !rest.is_empty() {
            let end = rest.iter().position(|letter| *letter == b'\n');
            let (line, behind) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            if line == b"\n" {
                // The message, which may look like anything.
                parts.payload.extend_from_slice(rest);
                return parts;
            }
            let text = parts.take(line, &mut within);
            if let Some(text) = text {
                let signature = parts.signature.get_or_insert_default();
                signature.extend_from_slice(text);
            }
            rest = behind;
        }
        parts
    }

    /// Takes a line of the header; what it adds to the signature, if anything.
    fn take<'a>(&mut self, line: &'a [u8], within: &mut Within) -> Option<&'a [u8]> {
        let continued = line.strip_prefix(b" ");
        if let (Within::Signature, Some(text)) = (*within, continued) {
            return Some(text);
        }
        if let Some(text) = line.strip_prefix(HEADER) {
            *within = Within::Signature;
            return Some(text);
        }
        *within = match *within {
            _ if line.starts_with(ANY) => Within::OfAnotherHash,
            Within::OfAnotherHash if continued.is_some() => Within::OfAnotherHash,
            _ => Within::Other,
        };
        if *within == Within::Other {
            self.payload.extend_from_slice(line);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn a_commit_is_taken_apart_as_git_does() {
        for (commit, payload, signature) in [
            ("tree 1\n\na message\n", "tree 1\n\na message\n", None),
            (
                "tree 1\ngpgsig a\n b\nx y\n\ngpgsig c\n",
                "tree 1\nx y\n\ngpgsig c\n",
                Some("a\nb\n"),
            ),
            (
                "gpgsig a\ngpgsig-sha256 b\n c\nx\n y\n\n",
                "x\n y\n\n",
                Some("a\n"),
            ),
            ("gpgsig a\n b\ngpgsig c\n\n", "\n", Some("a\nb\nc\n")),
            ("gpgsig-sha256 b\n\nm", "\nm", None),
            ("tree 1", "tree 1", None),
            ("", "", None),
        ] {
            let expected = Parts {
                payload: payload.as_bytes().to_vec(),
                signature: signature.map(|text| text.as_bytes().to_vec()),
            };
            assert_eq!(Parts::of(commit.as_bytes()), expected, "{commit:?}");
        }
    }
}
