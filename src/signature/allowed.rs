//! Who may sign: OpenSSH's list of allowed signers (`ssh-keygen(1)`, ALLOWED SIGNERS).

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

use crate::signature::patterns::is_among;
use crate::signature::{NAMESPACE, Verdict};

/// Keys and the people who may sign with them.
#[derive(Clone, Debug, Default)]
pub struct AllowedSigners {
    list: Vec<Signer>,
}

/// One line of the list.
#[derive(Clone, Debug)]
struct Signer {
    principals: String,
    /// Absent: for everything.
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
    key: KeyData,
}

impl AllowedSigners {
    /// Reads a list. Times without a `Z` are read as UTC, in whatever zone the machine is.
    ///
    /// On failure: what is wrong with each line that is wrong.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut signers = Vec::new();
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.parse() {
                Ok(signer) => signers.push(signer),
                Err(why) => problems.push(format!("line {number}: {why}")),
            }
        }
        if signers.is_empty() && problems.is_empty() {
            problems.push("the list is empty".to_owned());
        }
        if problems.is_empty() {
            Ok(Self { list: signers })
        } else {
            Err(problems)
        }
    }

    pub(super) fn judge(&self, key: &KeyData, at: Timestamp) -> Verdict {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let mut untimely = None;
        for signer in self.list.iter().filter(|signer| signer.may_sign_with(key)) {
            let principal = signer.principals.clone();
            if signer.is_valid(at) {
                return Verdict::Good {
                    principal,
                    fingerprint,
                };
            }
            untimely.get_or_insert(principal);
        }
        match untimely {
            Some(principal) => Verdict::Untimely {
                principal,
                fingerprint,
            },
            None => Verdict::UnknownKey { fingerprint },
        }
    }

    pub(super) fn names(&self, key: &KeyData, mail: &str) -> Result<(), String> {
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let mut with_key = self
            .list
            .iter()
            .filter(|signer| signer.may_sign_with(key))
            .peekable();
        if with_key.peek().is_none() {
            return Err(format!("no line has the key {fingerprint} for git"));
        }
        let principals: Vec<_> = with_key.map(|signer| signer.principals.as_str()).collect();
        if principals.iter().any(|list| is_among(mail, list)) {
            Ok(())
        } else {
            Err(format!(
                "the key {fingerprint} is for {}, and not for {mail}",
                principals.join(" and ")
            ))
        }
    }
}

impl Signer {
    fn may_sign_with(&self, key: &KeyData) -> bool {
        let for_git = self
            .namespaces
            .as_ref()
            .is_none_or(|namespaces| is_among(NAMESPACE, namespaces));
        self.key == *key && for_git
    }

    fn is_valid(&self, at: Timestamp) -> bool {
        self.valid_after.is_none_or(|after| after <= at)
            && self.valid_before.is_none_or(|before| at <= before)
    }
}

impl FromStr for Signer {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (principals, rest) = word(line);
        let mut signer = Self {
            principals: principals.trim_matches('"').to_owned(),
            namespaces: None,
            valid_after: None,
            valid_before: None,
            key: KeyData::Ed25519(ssh_key::public::Ed25519PublicKey([0; 32])),
        };
        // Whatever is no key begins with options.
        let (options, key) = match PublicKey::from_openssh(rest) {
            Ok(_) => ("", rest),
            Err(_) => word(rest),
        };
        for option in split(options) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "namespaces" => signer.namespaces = Some(value.to_owned()),
                "valid-after" => signer.valid_after = Some(time(value)?),
                "valid-before" => signer.valid_before = Some(time(value)?),
                "cert-authority" => {
                    return Err("certificates are not supported; name the key itself".to_owned());
                }
                _ => {
                    return Err(format!(
                        "{:?} is neither a public key nor an option; known are namespaces, \
                         valid-after and valid-before",
                        shortened(option)
                    ));
                }
            }
        }
        signer.key = PublicKey::from_openssh(key)
            .map_err(|error| format!("not a public key: {error}"))?
            .key_data()
            .clone();
        Ok(signer)
    }
}

/// The first word, which may have spaces in quotes, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// The parts of a list with commas, of which some may be in quotes.
fn split(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
    .filter(|part| !part.is_empty())
}

/// Nobody wants to see a key in a message.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// `YYYYMMDD` or `YYYYMMDDHHMM[SS]`, with or without a `Z`.
fn time(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let whole = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        _ => digits.to_owned(),
    };
    DateTime::strptime("%Y%m%d%H%M%S", &whole)
        .ok()
        .filter(|_| whole.len() == 14)
        .and_then(|time| time.to_zoned(TimeZone::UTC).ok())
        .map(|time| time.timestamp())
        .ok_or_else(|| format!("{text:?} is not a time like 20260131 or 202601312359Z"))
}

#[cfg(test)]
mod tests {
    use super::{AllowedSigners, time};

    #[test]
    fn times_are_those_of_openssh() {
        for (text, expected) in [
            ("20260131", "2026-01-31T00:00:00Z"),
            ("202601312359Z", "2026-01-31T23:59:00Z"),
            ("20260131235958z", "2026-01-31T23:59:58Z"),
        ] {
            assert_eq!(time(text).unwrap().to_string(), expected);
        }
        for text in ["", "2026", "20261331", "2026-01-31", "202601312359581"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_wrong_line_is_told() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let list = format!(
            "# nobody\n\na@b cert-authority {key}\na@b namespace=\"git\" {key}\n\
             a@b valid-after=\"soon\" {key}\na@b ssh-ed25519 AAAA\n\"c d\"  {key} a comment\n"
        );
        let problems = AllowedSigners::parse(&list).unwrap_err();
        let lines: Vec<_> = problems.iter().map(|why| &why[..7]).collect();
        assert_eq!(lines, ["line 3:", "line 4:", "line 5:", "line 6:"]);
        assert!(problems[0].contains("certificates"), "{problems:?}");
        assert!(problems[1].contains("namespaces"), "{problems:?}");
        assert_eq!(AllowedSigners::parse("# none\n").unwrap_err().len(), 1);
    }
}
