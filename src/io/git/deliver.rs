//! Files into the branch, until it has been seen that they are there.

use std::sync::Arc;
use std::time::Duration;

use git2::Oid;
use jiff::Timestamp;

use crate::io::git::transport::Session;
use crate::io::git::trees::Walk;
use crate::io::git::{Checked, Delivered, Depth, Error, File, Opened, Pushed, commit};

/// Pushes of one delivery while others move the branch. With as many writers the last one is in
/// after so many rounds; the deadline ends it earlier as a rule.
const ATTEMPTS_MAX: u32 = 64;

/// Pushes that the remote turned down although nobody moved the branch. It may be somebody else's
/// lock, which is gone soon, and texts of servers are no ground to tell.
const REJECTIONS_MAX: u32 = 3;

/// The first wait before the branch is looked at again.
const WAIT: Duration = Duration::from_millis(20);

pub(super) fn deliver(
    checked: &Checked,
    session: &Arc<Session>,
    files: &[File],
    message: &str,
    at: Timestamp,
) -> Result<Delivered, Error> {
    let files = commit::checked(files)?;
    let remote = Opened::open(checked, session)?;
    let mut made: Option<Made> = None;
    let mut rejections = 0;
    for attempt in 0..ATTEMPTS_MAX {
        let tip = remote.tip(&checked.branch, Depth::Trees)?;
        let missing = match tip {
            Some(tip) if made.as_ref().is_some_and(|made| made.commit == tip) => {
                return Ok(delivered(tip, true));
            }
            Some(tip) => {
                let tree = remote.repository().find_commit(tip);
                let tree = tree.and_then(|commit| commit.tree());
                let tree = tree.map_err(|error| commit::local(&error))?;
                Walk::new(remote.repository(), session).check(&tree)?;
                commit::missing(remote.repository(), &tree, &files)?
            }
            None => files.clone(),
        };
        if let (Some(tip), true) = (tip, missing.is_empty()) {
            // Ours, if somebody built upon it before we looked.
            let is_ours = made.is_some_and(|made| matches!(made.pushed, Pushed::Done));
            return Ok(delivered(tip, is_ours));
        }
        let turned_down = made.filter(|made| made.from == tip);
        let failure = turned_down.and_then(|made| made.pushed.failure(session));
        rejections = if failure.is_some() { rejections + 1 } else { 0 };
        if let Some(error) = failure.filter(|_| rejections == REJECTIONS_MAX) {
            return Err(error);
        }
        pause(session, attempt, tip)?;
        let commit = commit::write(remote.repository(), checked, tip, &missing, message, at)?;
        let pushed = match remote.push(&checked.branch, tip, commit) {
            // Whether it was done shows when the branch is read again.
            Err(error @ Error::Unreachable { .. }) => Pushed::Unanswered(error),
            answered => answered?,
        };
        made = Some(Made {
            from: tip,
            commit,
            pushed,
        });
    }
    Err(Error::Contended {
        remote: checked.address.clone(),
        attempts: ATTEMPTS_MAX,
    })
}

/// A commit that was pushed, with what the remote said.
struct Made {
    from: Option<Oid>,
    commit: Oid,
    pushed: Pushed,
}

impl Pushed {
    /// Why the branch is where it was.
    pub(super) fn failure(self, session: &Session) -> Option<Error> {
        match self {
            Self::Done => Some(
                session
                    .refused("says that it took the commit, but the branch is where it was before"),
            ),
            // Somebody held the lock and did not get any further either.
            Self::Moved => None,
            Self::Rejected(why) => Some(session.refused(why)),
            Self::Unanswered(error) => Some(error),
        }
    }
}

fn delivered(tip: Oid, is_new: bool) -> Delivered {
    Delivered {
        commit: tip.to_string(),
        is_new,
    }
}

/// Lets others be done. How long differs between writers, who else would meet again: it follows
/// from the process and the commit, since nothing here is random.
fn pause(session: &Session, attempt: u32, tip: Option<Oid>) -> Result<(), Error> {
    if attempt == 0 {
        return Ok(());
    }
    let tip = tip.map_or(0, |tip| u32::from(tip.as_bytes()[0]));
    let thread = format!("{:?}", std::thread::current().id());
    let letters = thread.bytes().fold(std::process::id(), |sum, letter| {
        sum.wrapping_mul(31).wrapping_add(u32::from(letter))
    });
    let parts = (letters.wrapping_add(tip.wrapping_mul(7)) % 16) + 1;
    let wait = WAIT * attempt.min(8) * parts / 16;
    session.wait(async {
        tokio::time::sleep(wait).await;
        Ok(())
    })
}
