//! Git over ssh: one connection for a piece of work, and a command on it for each exchange. The
//! host has to show a key that is known; ours comes from a file, and nothing else is tried.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use git2::transport::Service;
use russh::Signer;
use russh::client::AuthResult;
use russh::client::{self, Handle, Msg};
use russh::keys::agent::AgentIdentity;
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Preferred, SendError};
use ssh_key::HashAlg;
use ssh_key::encoding::Encode;
use ssh_key::private::{KeypairData, RsaKeypair};

use crate::io::git::Error;
use crate::io::git::transport::Session;
use crate::io::git::transport::known_hosts::KnownHost;
use crate::signature;

/// From the name to a host that has shown its key.
const CONNECT: Duration = Duration::from_secs(5);

/// As much of a server's complaints as is kept.
const COMPLAINT_MAX: usize = 4 << 10;

pub(in crate::io::git) struct Ssh {
    pub(in crate::io::git) user: String,
    pub(in crate::io::git) host: String,
    pub(in crate::io::git) port: u16,
    pub(in crate::io::git) path: String,
    pub(in crate::io::git) key: Arc<PrivateKey>,
    pub(in crate::io::git) known: Arc<KnownHost>,
}

/// The connection of a session, once it was needed.
#[derive(Default)]
pub(in crate::io::git) struct Connection(Option<Handle<Host>>);

/// A command that runs on the host.
pub(super) struct Running {
    channel: Channel<Msg>,
    read: Bytes,
    /// What the command said to people.
    complaint: Vec<u8>,
    status: Option<u32>,
}

impl Ssh {
    /// Connects, and runs the program of a service.
    pub(super) async fn run(&self, session: &Session, service: Service) -> Result<Running, Error> {
        let program = match service {
            Service::UploadPackLs | Service::UploadPack => "git-upload-pack",
            Service::ReceivePackLs | Service::ReceivePack => "git-receive-pack",
        };
        // The path is in the server's shell's quotes, in which only a quote means anything.
        let command = format!("{program} '{}'", self.path.replace('\'', r"'\''"));
        let broken = |error: russh::Error| session.unreachable(error.to_string());
        let mut shared = session.connection.lock().await;
        let connection = match shared.0.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connected(session).await?,
        };
        let connection = shared.0.insert(connection);
        let channel = connection.channel_open_session().await.map_err(broken)?;
        channel.exec(true, command).await.map_err(broken)?;
        Ok(Running {
            channel,
            read: Bytes::new(),
            complaint: Vec::new(),
            status: None,
        })
    }

    async fn connected(&self, session: &Session) -> Result<Handle<Host>, Error> {
        let config = client::Config {
            preferred: Preferred {
                key: self.known.algorithms().into(),
                ..Preferred::DEFAULT
            },
            nodelay: true,
            ..client::Config::default()
        };
        let refusal = Arc::new(Mutex::new(None));
        let host = Host {
            known: self.known.clone(),
            refusal: refusal.clone(),
        };
        let connecting = client::connect(Arc::new(config), (&*self.host, self.port), host);
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        // The connection may have been given up because of its key.
        let refused = refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(why) = refused {
            return Err(session.refused(why));
        }
        let mut connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(session.unreachable(error.to_string())),
            Err(_) => return Err(session.unreachable(format!("no connection within {CONNECT:?}"))),
        };
        match self.authenticated(&mut connection).await {
            Ok(answer) if answer.success() => Ok(connection),
            Ok(_) => {
                let bye = connection.disconnect(Disconnect::ByApplication, "", "");
                // The answer is in already.
                let _ = bye.await;
                Err(session.refused(format!("does not let {} in with this key", self.user)))
            }
            Err(error) => Err(session.unreachable(error.to_string())),
        }
    }

    async fn authenticated(
        &self,
        connection: &mut Handle<Host>,
    ) -> Result<AuthResult, russh::Error> {
        let KeypairData::Rsa(pair) = self.key.key_data() else {
            let key = PrivateKeyWithHashAlg::new(self.key.clone(), None);
            return connection.authenticate_publickey(&self.user, key).await;
        };
        let hash = match connection.best_supported_rsa_hash().await? {
            Some(Some(hash)) => hash,
            // It does not say, or names SHA-1 only, which is broken.
            Some(None) | None => HashAlg::Sha512,
        };
        let public = self.key.public_key().clone();
        let mut signer = RsaSigner(pair);
        connection
            .authenticate_publickey_with(&self.user, public, Some(hash), &mut signer)
            .await
            .map_err(|NotSigned(error)| error)
    }
}

/// Signs with an RSA key, for which russh would need the `rsa` crate.
struct RsaSigner<'a>(&'a RsaKeypair);

/// Why it could not; of a type of its own, since russh's does not hold all that may happen.
struct NotSigned(russh::Error);

impl From<SendError> for NotSigned {
    fn from(_: SendError) -> Self {
        Self(russh::Error::SendError)
    }
}

impl Signer for RsaSigner<'_> {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut request: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        let hash = hash.unwrap_or(HashAlg::Sha512);
        // The key was tried when it was read.
        let signature = signature::rsa_signature(self.0, hash, &request)
            .map_err(|_| NotSigned(russh::Error::CouldNotReadKey))?;
        let appended = signature.encode_prefixed(&mut request);
        appended.map_err(|error| NotSigned(error.into()))?;
        Ok(request)
    }
}

impl Running {
    /// Reads some bytes of what the command writes; none at its end.
    pub(super) async fn read(
        &mut self,
        session: &Session,
        into: &mut [u8],
    ) -> Result<usize, Error> {
        while self.read.is_empty() {
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => self.read = data,
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    session.spend(data.len())?;
                    let room = COMPLAINT_MAX.saturating_sub(self.complaint.len());
                    self.complaint
                        .extend_from_slice(&data[..room.min(data.len())]);
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                Some(ChannelMsg::Failure) => {
                    return Err(session.refused("runs no commands for this key"));
                }
                Some(ChannelMsg::Close) | None => return self.end(session),
                Some(_) => {}
            }
        }
        let count = self.read.len().min(into.len());
        self.read.copy_to_slice(&mut into[..count]);
        Ok(count)
    }

    fn end(&self, session: &Session) -> Result<usize, Error> {
        match self.status {
            Some(0) => Ok(0),
            Some(_) if !self.complaint.is_empty() => Err(session.refused(&self.complaint)),
            Some(status) => Err(session.refused(format!("the command ended with {status}"))),
            None => Err(session.unreachable("the connection ended")),
        }
    }

    pub(super) async fn write(&mut self, session: &Session, bytes: &[u8]) -> Result<(), Error> {
        let written = self.channel.data_bytes(bytes.to_vec()).await;
        written.map_err(|error| session.unreachable(error.to_string()))
    }
}

/// What the other end has to prove.
pub(super) struct Host {
    known: Arc<KnownHost>,
    refusal: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let checked = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.known.check(key),
            PublicKeyOrCertificate::Certificate(_) => {
                Err("the host shows a certificate, which was not asked for".to_owned())
            }
        };
        let is_known = checked.is_ok();
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = checked.err();
        Ok(is_known)
    }
}
