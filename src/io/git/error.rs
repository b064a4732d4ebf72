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

/// The parts of a rejection, which together are no more.
const STATUS_MAX: usize = 100;
const LAST_WORDS_MAX: usize = SAID_MAX - STATUS_MAX - " ()".len();

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
        let lines = self.lines(said).join("; ");
        escaped(lines.chars().take(SAID_MAX))
    }

    /// What a remote says of a push that it turned down: its status, and the end of what it said
    /// beside that, cleaned the same way and without its progress. The reason is said last, and
    /// greetings and counters come before it.
    pub(super) fn rejection(&self, status: &[u8], said: &[u8]) -> String {
        let status = self.lines(status).join("; ");
        let status: String = escaped(status.chars().take(STATUS_MAX));
        let said = self.last_words(said);
        if said.is_empty() {
            status
        } else {
            format!("{status} ({said})")
        }
    }

    fn last_words(&self, said: &[u8]) -> String {
        let mut lines = self.lines(said);
        lines.retain(|line| !is_progress(line));
        let lines = lines.join("; ");
        let before = lines.chars().count().saturating_sub(LAST_WORDS_MAX);
        escaped(lines.chars().skip(before))
    }

    fn lines(&self, said: &[u8]) -> Vec<String> {
        let mut text = String::from_utf8_lossy(said).into_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "***");
        }
        let lines = text.split(['\n', '\r']).map(str::trim);
        let lines = lines.filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }
}

/// Whether a line counts something, as in `Resolving deltas: 100% (3/3), done.`,
/// `Updating references: 50% (1/2)` and `Processing changes: refs: 1, done`.
fn is_progress(line: &str) -> bool {
    let end = line.trim_end_matches('.');
    let of_all = |line: &str| {
        let (_, count) = line.rsplit_once(": ")?;
        let (percent, _) = count.split_once("% (")?;
        percent.trim().parse::<u8>().ok()
    };
    of_all(line).is_some() || (line.contains(": ") && end.ends_with(", done"))
}

/// Backslashes and quotes are harmless, and doubled they are hard to read.
fn escaped(text: impl Iterator<Item = char>) -> String {
    text.map(|letter| match letter {
        '\\' | '"' | '\'' => letter.to_string(),
        _ => letter.escape_debug().to_string(),
    })
    .collect()
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

    #[test]
    fn the_reason_of_a_rejection_is_what_was_said_last() {
        let secrets = Secrets::new(["hunter22".to_owned().into()]);
        for (said, expected) in [
            ("Welcome\nnot today\n", "Welcome; not today"),
            (
                "Resolving deltas:  50% (1/2)\rResolving deltas: 100% (2/2), done.\nnot today",
                "not today",
            ),
            (
                "Updating references: 100% (1/1)\nProcessing changes: refs: 1, done    \n\
                 commit abc: hunter22 is no sign-off\n",
                "commit abc: *** is no sign-off",
            ),
            (
                "Counting objects: 3, done.\nquota: 100% of it is used, none is left\n",
                "quota: 100% of it is used, none is left",
            ),
        ] {
            assert_eq!(secrets.last_words(said.as_bytes()), expected);
        }
        let long = format!("{}the reason", "x".repeat(5_000));
        let shown = secrets.rejection(&[b'a'; 5_000], long.as_bytes());
        assert!(shown.len() == super::SAID_MAX && shown.ends_with("the reason)"));
        assert_eq!(secrets.rejection(b"declined", b""), "declined");
    }
}
