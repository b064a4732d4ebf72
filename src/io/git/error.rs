//! What went wrong with a repository, in words that may be shown to anybody.

use std::time::Duration;

use zeroize::Zeroizing;

/// Why files are not in the branch, or cannot be read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{remote}: not done within {limit:?}")]
    Deadline { remote: String, limit: Duration },
    /// No connection, a broken one, or an answer that makes no sense.
    #[error("{remote}: {why}")]
    Unreachable { remote: String, why: String },
    /// The remote understood and will not have it, or cannot be trusted: credentials, host keys,
    /// hooks, protected branches.
    #[error("{remote}: {why}")]
    Refused { remote: String, why: String },
    /// Others wrote the branch each time just before we did.
    #[error("{remote}: the branch was moved by others {attempts} times in a row")]
    Contended { remote: String, attempts: u32 },
    /// What is written is never overwritten.
    #[error("{path} is in the branch already, with other bytes")]
    Occupied { path: String },
    /// What was asked cannot be committed.
    #[error("{0}")]
    Unfit(String),
    /// The key may not sign now, as the allowed signers have it.
    #[error("signing the commit: {0}")]
    Unsigned(String),
    /// Trouble on this side.
    #[error("{0}")]
    Local(String),
}

impl Error {
    /// Whether the same may go well later, although nobody changes anything.
    pub fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Deadline { .. }
            | Self::Unreachable { .. }
            | Self::Contended { .. }
            | Self::Local(_) => true,
            Self::Refused { .. } | Self::Occupied { .. } | Self::Unfit(_) | Self::Unsigned(_) => {
                false
            }
        }
    }
}

/// As much of what a remote says as anybody wants to read.
const SAID_MAX: usize = 300;

/// Texts that no message may hold.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(super) fn new(secrets: impl IntoIterator<Item = Zeroizing<String>>) -> Self {
        // To strike out a letter or two would make nonsense of every message and hide nothing.
        Self(
            secrets
                .into_iter()
                .filter(|secret| secret.len() > 3)
                .collect(),
        )
    }

    /// What a remote said, on one line, with nothing in it that moves a cursor, and not the
    /// credentials that a hostile one may say back.
    pub(super) fn clean(&self, said: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(said).into_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "***");
        }
        let lines = text.split(['\n', '\r']).map(str::trim);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        let shown = lines.join("; ");
        let shown: String = shown.chars().take(SAID_MAX).collect();
        // Backslashes and quotes are harmless, and doubled they are hard to read.
        shown
            .chars()
            .map(|letter| match letter {
                '\\' | '"' | '\'' => letter.to_string(),
                _ => letter.escape_debug().to_string(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[test]
    fn what_a_remote_says_is_shown_on_one_line_without_secrets() {
        let secrets = Secrets::new(["hunter22", "x"].map(|secret| secret.to_owned().into()));
        for (said, expected) in [
            (
                &b"remote: no\n  hunter22 is wrong\r\n"[..],
                "remote: no; *** is wrong",
            ),
            (b"\x1b[31mred\x07 \xff", "\\u{1b}[31mred\\u{7} \u{fffd}"),
            (b"it's \"x\"", "it's \"x\""),
        ] {
            assert_eq!(secrets.clean(said), expected);
        }
        assert_eq!(secrets.clean(&[b'a'; 5_000]).len(), super::SAID_MAX);
    }
}
