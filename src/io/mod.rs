//! All effects. `Io` is the one thing in which a real pass and a rehearsal differ: requests go over
//! its wire, and the time is its clock's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use crate::io::clock::Clock;

pub mod address;
pub mod ask;
pub mod clock;
pub mod cluster;
pub mod git;
pub mod hooks;
mod kubernetes;
pub mod listener;
mod plain;
pub mod pushgateway;
pub mod rights;
pub mod wire;

/// The world, as far as Davy can touch it.
#[derive(Clone, Debug)]
pub struct Io {
    pub wire: Wire,
    pub clock: Clock,
}

/// Why there are no effects to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("finding the cluster: by KUBECONFIG: {kubeconfig}; by the pod's account: {account}")]
    Config { kubeconfig: String, account: String },
    /// A field of the kubeconfig, and why it is not used.
    #[error("the kubeconfig: {0}: {1}")]
    Refused(&'static str, &'static str),
    #[error(transparent)]
    Wire(#[from] wire::Error),
}

/// The real world: the cluster that `KUBECONFIG` or the pod's account names, and plain HTTP.
pub async fn real(allowed: &address::Allowed) -> Result<Io, Error> {
    let config = kubernetes::config::config().await?;
    let (host, port) = kubernetes::config::server_of_pod();
    let allowed = allowed.clone().with_api_server(host.as_deref(), port);
    let wire = wire::real(&config, wire::Limits::default(), allowed)?;
    Ok(Io {
        wire,
        clock: Clock::System,
    })
}

/// Carries every request: to Kubernetes if its URI has no host, else plain HTTP to that host.
pub type Wire = BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, WireError>;

/// Why there is no response. The texts name the request, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It never left: no such host, no connection, not allowed. Nothing has happened.
    #[error("{0}")]
    NotSent(String),
    /// It may have left, and its answer never came, or not whole. Whether it was acted upon is
    /// found out by reading, never by sending it again.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer came and was larger than the limit. What was asked has been carried out.
    #[error("{0}")]
    TooLarge(String),
}

impl Io {
    /// The same, and how many requests went to Kubernetes since.
    pub fn counted(&self) -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let (wire, counting) = (self.wire.clone(), count.clone());
        let wire = Wire::new(service_fn(move |request: http::Request<Bytes>| {
            if request.uri().host().is_none() {
                counting.fetch_add(1, Ordering::Relaxed);
            }
            wire.clone().oneshot(request)
        }));
        let clock = self.clock.clone();
        (Self { wire, clock }, count)
    }

    /// A client for Kubernetes over the wire. To be called within a runtime.
    pub fn kube_client(&self) -> kube::Client {
        wire::kube_client(&self.wire)
    }
}
