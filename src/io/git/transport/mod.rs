//! libgit2's way to a remote: it speaks the protocol, and these carry the bytes. Everything that
//! waits ends at the session's deadline, and everything that is read counts against its limit.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::io::git::Error;
use crate::io::git::error::Secrets;

pub(super) mod https;
pub(super) mod known_hosts;
pub(super) mod ssh;

/// The scheme of remotes as libgit2 sees them. It never sees the address, and so cannot tell it.
pub(super) const SCHEME: &str = "davy";

thread_local! {
    /// The session of the work on this thread: libgit2 asks for a transport by its scheme, once and
    /// for all, and from within the call that needs it.
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

/// How the bytes get there.
pub(super) enum Way {
    File,
    Https(https::Https),
    Ssh(ssh::Ssh),
}

/// One piece of work with a remote.
pub(super) struct Session {
    pub(super) remote: String,
    pub(super) way: Arc<Way>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) runtime: Handle,
    pub(super) limit: std::time::Duration,
    pub(super) deadline: Instant,
    pub(super) connection: tokio::sync::Mutex<ssh::Connection>,
    /// Nobody waits for the work any more when the other end is gone.
    pub(super) wanted: watch::Receiver<()>,
    /// Bytes that may still be read.
    pub(super) left: Mutex<u64>,
    /// What stopped a transport: libgit2 passes on texts only.
    pub(super) trouble: Mutex<Option<Error>>,
}

impl Session {
    /// Does work in which libgit2 may open transports.
    pub(super) fn enter<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.with(|current| current.borrow_mut().take());
            }
        }
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
        let _leave = Leave;
        work()
    }

    /// Waits for a step, but not beyond the deadline, nor when nobody waits for the whole.
    pub(super) fn wait<T>(&self, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut wanted = self.wanted.clone();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = wanted.changed() => Err(self.late()),
                done = tokio::time::timeout_at(self.deadline, step) => {
                    done.unwrap_or_else(|_| Err(self.late()))
                }
            }
        })
    }

    /// Whether there is time left.
    pub(super) fn is_in_time(&self) -> bool {
        Instant::now() < self.deadline && self.wanted.has_changed().is_ok()
    }

    pub(super) fn late(&self) -> Error {
        Error::Deadline {
            remote: self.remote.clone(),
            limit: self.limit,
        }
    }

    pub(super) fn unreachable(&self, why: impl AsRef<[u8]>) -> Error {
        Error::Unreachable {
            remote: self.remote.clone(),
            why: self.secrets.clean(why.as_ref()),
        }
    }

    pub(super) fn refused(&self, why: impl AsRef<[u8]>) -> Error {
        Error::Refused {
            remote: self.remote.clone(),
            why: self.secrets.clean(why.as_ref()),
        }
    }

    /// What really was wrong when libgit2 says that something was.
    pub(super) fn told(&self, error: &git2::Error) -> Error {
        let trouble = self.trouble.lock();
        let trouble = trouble.unwrap_or_else(PoisonError::into_inner).take();
        trouble.unwrap_or_else(|| {
            if self.is_in_time() {
                self.unreachable(error.message())
            } else {
                self.late()
            }
        })
    }

    /// Counts bytes that were read.
    fn spend(&self, bytes: usize) -> Result<(), Error> {
        let left = self.left.lock();
        let mut left = left.unwrap_or_else(PoisonError::into_inner);
        match left.checked_sub(bytes as u64) {
            Some(rest) => *left = rest,
            None => return Err(self.unreachable("the remote sends more than may be read")),
        }
        Ok(())
    }

    /// Keeps what was wrong, and gives libgit2 a text that fits into its own.
    fn keep(&self, error: Error) -> io::Error {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other("the transport failed")
    }
}

/// What libgit2 calls to reach a remote with our scheme.
pub(super) fn open(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    let session = CURRENT.with(|current| current.borrow().clone());
    let session = session.ok_or_else(|| git2::Error::from_str("no session on this thread"))?;
    let is_stateless = matches!(*session.way, Way::Https(_));
    Transport::smart(remote, is_stateless, Subtransport(session))
}

struct Subtransport(Arc<Session>);

impl SmartSubtransport for Subtransport {
    fn action(
        &self,
        _address: &str,
        service: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let session = self.0.clone();
        let channel = match &*session.way {
            Way::Https(https) => https
                .exchange(&session, service)
                .map(|exchange| Channel::Https(Box::new(exchange))),
            Way::Ssh(ssh) => session.wait(ssh.run(&session, service)).map(Channel::Ssh),
            Way::File => return Err(git2::Error::from_str("files need no transport")),
        };
        let channel = channel.map_err(|error| {
            let text = session.keep(error).to_string();
            git2::Error::from_str(&text)
        })?;
        Ok(Box::new(Stream { session, channel }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

enum Channel {
    Https(Box<https::Exchange>),
    Ssh(ssh::Running),
}

struct Stream {
    session: Arc<Session>,
    channel: Channel,
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self { session, channel } = self;
        let read = session.wait(async {
            match channel {
                Channel::Https(exchange) => exchange.read(session, into).await,
                Channel::Ssh(running) => running.read(session, into).await,
            }
        });
        let read = read.and_then(|count| session.spend(count).map(|()| count));
        read.map_err(|error| session.keep(error))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { session, channel } = self;
        let written = match channel {
            Channel::Https(exchange) => {
                exchange.write(bytes);
                Ok(())
            }
            Channel::Ssh(running) => session.wait(running.write(session, bytes)),
        };
        match written {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(session.keep(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
