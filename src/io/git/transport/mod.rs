//! libgit2's way to a remote: it speaks the protocol, and these carry the bytes. Everything that
//! waits ends at the session's deadline, and everything that is read counts against its limit.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::io::git::Error;
use crate::io::git::error::Secrets;

use self::lines::{Capabilities, Incoming, Wants};

pub(super) mod https;
pub(super) mod known_hosts;
mod lines;
pub(super) mod ssh;

/// The scheme of remotes as libgit2 sees them. It never sees the address, and so cannot tell it.
pub(super) const SCHEME: &str = "davy";

/// Bytes that are read from a connection at once.
const PIECE: usize = 16 << 10;

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
    /// What the server last said that it can do.
    pub(super) capabilities: Mutex<Capabilities>,
    /// Whether fetches ask for no files.
    pub(super) is_narrow: AtomicBool,
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
        // The runtime may be gone with whoever waited.
        self.in_time()?;
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

    /// On failure: the time is over, or nobody waits any more.
    pub(super) fn in_time(&self) -> Result<(), Error> {
        if self.is_in_time() {
            Ok(())
        } else {
            Err(self.late())
        }
    }

    /// What the server can do, as far as it has said so.
    pub(super) fn capabilities(&self) -> Capabilities {
        let capabilities = self.capabilities.lock();
        *capabilities.unwrap_or_else(PoisonError::into_inner)
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
        let rest = left.checked_sub(bytes as u64);
        *left = rest.ok_or_else(|| self.too_much())?;
        Ok(())
    }

    fn too_much(&self) -> Error {
        let is_narrow = self.is_narrow.load(Ordering::Relaxed);
        let hint = if is_narrow && !self.capabilities().filter {
            "; it would send less if its uploadpack.allowFilter were true"
        } else {
            ""
        };
        self.unreachable(format!("the remote sends more than may be read{hint}"))
    }

    /// Keeps what was wrong, and gives libgit2 a text that fits into its own.
    fn keep(&self, error: Error) -> io::Error {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other("the transport failed")
    }
}

/// Why a repository cannot be used whose objects are not named by SHA-1.
pub(super) fn unsupported(object_format: &str) -> String {
    format!("is a repository of {object_format} objects; only SHA-1 repositories can be used")
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
        let is_fetch = matches!(service, Service::UploadPackLs | Service::UploadPack);
        Ok(Box::new(Stream {
            wants: is_fetch.then(Wants::default),
            session,
            channel,
            incoming: Incoming::default(),
            has_ended: false,
        }))
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
    incoming: Incoming,
    /// Of a fetch.
    wants: Option<Wants>,
    has_ended: bool,
}

impl Stream {
    /// Reads a piece more of what comes.
    fn receive(&mut self) -> Result<(), Error> {
        let Self {
            session, channel, ..
        } = self;
        let mut piece = [0; PIECE];
        let count = session.wait(async {
            match channel {
                Channel::Https(exchange) => exchange.read(session, &mut piece).await,
                Channel::Ssh(running) => running.read(session, &mut piece).await,
            }
        })?;
        session.spend(count)?;
        let asked = self.wants.as_ref();
        let is_stateless = matches!(self.channel, Channel::Https(_));
        if is_stateless && asked.is_some_and(Wants::are_of_depth_alone) {
            self.incoming.end_at_flush();
        }
        if count == 0 {
            self.has_ended = true;
            self.incoming.end();
        }
        let added = self.incoming.add(&piece[..count]);
        added.map_err(|format| self.session.refused(unsupported(&format.0)))?;
        if let Some(capabilities) = self.incoming.capabilities() {
            let said = self.session.capabilities.lock();
            *said.unwrap_or_else(PoisonError::into_inner) = capabilities;
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let narrow = self.session.is_narrow.load(Ordering::Relaxed);
        let narrow = narrow && self.session.capabilities().filter;
        let wants = self.wants.as_mut();
        let instead = wants.map(|wants| wants.instead(bytes, narrow));
        let bytes = instead.as_deref().unwrap_or(bytes);
        match &mut self.channel {
            Channel::Https(exchange) => {
                exchange.write(bytes);
                Ok(())
            }
            Channel::Ssh(running) => {
                let session = &self.session;
                session.wait(running.write(session, bytes))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.incoming.give(into);
            if count > 0 || self.has_ended || into.is_empty() {
                return Ok(count);
            }
            let received = self.receive();
            received.map_err(|error| self.session.keep(error))?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.send(bytes);
        sent.map_err(|error| self.session.keep(error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
