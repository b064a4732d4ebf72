//! Several passes that share the canaries among them, by the hash of their names.

use std::fmt;
use std::num::ParseIntError;

use sha2::{Digest, Sha256};

/// More shards than this are a mistake.
const SHARDS_MAX: u32 = 1_000;

/// The first of four is `1/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |_: ParseIntError| format!("\"{text}\" is not a shard such as 1/4");
        let (number, of) = text.split_once('/').unwrap_or((text, ""));
        let (number, of) = (number.parse().map_err(wrong)?, of.parse().map_err(wrong)?);
        if (1..=SHARDS_MAX).contains(&of) && (1..=of).contains(&number) {
            Ok(Self { number, of })
        } else {
            Err(format!(
                "\"{text}\" is not within 1/1 and {SHARDS_MAX}/{SHARDS_MAX}"
            ))
        }
    }

    /// Whether a canary, as `namespace/name`, belongs to this shard: to exactly one of them.
    pub fn holds(self, canary: &str) -> bool {
        let digest = Sha256::digest(canary.as_bytes());
        let first = digest.iter().take(4);
        let hash = first.fold(0_u32, |hash, byte| hash << 8 | u32::from(*byte));
        hash % self.of == self.number - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn every_canary_belongs_to_exactly_one_shard() {
        let shards: Vec<_> = (1..=4)
            .map(|number| Shard::parse(&format!("{number}/4")).unwrap())
            .collect();
        let mut counts = [0; 4];
        for number in 0..400 {
            let name = format!("test/canary-{number}");
            let holders: Vec<_> = (0..4).filter(|place| shards[*place].holds(&name)).collect();
            assert_eq!(holders.len(), 1, "{name}");
            counts[holders[0]] += 1;
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in [
            "", "1", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/2", "1/1001",
        ] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
        assert_eq!(Shard::parse("3/4").unwrap().to_string(), "3/4");
    }
}
