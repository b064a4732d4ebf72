//! The real wire: Kubernetes by the kubeconfig or the pod's account, everything else by plain
//! HTTP. No request waits for ever, no answer fills the memory, and nothing is sent twice.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{BoxError, ServiceExt, service_fn};

use crate::io::address::Allowed;
use crate::io::{Wire, WireError, kubernetes, plain};
pub use crate::metrics::AnyCertificate;
use crate::metrics::Untrusted;

pub(super) const USER_AGENT: &str = concat!("davy/", env!("CARGO_PKG_VERSION"));

/// For how long a body is read that nobody wants.
const REST_MAX: Duration = Duration::from_millis(500);

/// How long a request may take and how much it may answer.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// From the name to a connection that is ready for use.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub read: Duration,
    /// From the name to the last byte.
    pub total: Duration,
    /// Bytes of an answer's body.
    pub body: usize,
}

/// The limits of a wire.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub kubernetes: Limit,
    pub plain: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A page of a LIST is the largest answer: 500 objects of 16 KiB fit, of larger ones
            // fewer are asked for. A single object is smaller than etcd's limit of 1.5 MiB.
            kubernetes: Limit {
                connect: Duration::from_secs(5),
                read: Duration::from_secs(10),
                total: Duration::from_secs(30),
                body: 8 << 20,
            },
            plain: Limit {
                connect: Duration::from_secs(2),
                read: Duration::from_secs(5),
                total: Duration::from_secs(5),
                body: 1 << 20,
            },
        }
    }
}

/// Marks a request (as an extension) by plain HTTP of whose answer nothing counts but status and
/// headers, with limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusOnly {
    /// From the name to the answer.
    pub total: Duration,
    /// Bytes of the answer's body that are read, and dropped.
    pub body: usize,
}

impl StatusOnly {
    /// The wire's limits with these in them.
    pub(super) fn within(self, limit: Limit) -> Limit {
        Limit {
            connect: limit.connect,
            read: self.total,
            total: self.total,
            body: self.body,
        }
    }
}

/// Why a wire cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("connecting to Kubernetes by {url}")]
    Kubernetes {
        url: String,
        source: Box<kube::Error>,
    },
    #[error("connecting to Kubernetes by {url}: {why}")]
    Credentials { url: String, why: &'static str },
    #[error("connecting to Kubernetes: Davy uses no proxy, and {by} names one for {host}{advice}")]
    Proxy {
        /// The field or variable that names it.
        by: &'static str,
        host: String,
        advice: &'static str,
    },
}

/// A wire to the world. Opens no connection yet.
///
/// Guarantees: a request is sent at most once; redirects are answers, not followed; no proxy is
/// taken from the environment; an `Untrusted` request connects only where `allowed` allows.
pub fn real(config: &kube::Config, limits: Limits, allowed: Allowed) -> Result<Wire, Error> {
    // Fails only if a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = &config.cluster_url;
    let default = if server.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    let port = server.port_u16().unwrap_or(default);
    let allowed = Arc::new(allowed.with_api_server(server.host(), port));
    let kubernetes = kubernetes::wire(config, limits.kubernetes)?;
    let plain = plain::wire(limits.plain, allowed);
    Ok(Wire::new(service_fn(move |request: Request<Bytes>| {
        // An address of a user's that is none must not become a path of the API server.
        let untrusted = request.extensions().get::<Untrusted>().is_some();
        let to_kubernetes = request.uri().host().is_none() && !untrusted;
        let half = if to_kubernetes { &kubernetes } else { &plain };
        logged(half.clone(), request)
    })))
}

/// A client for Kubernetes over any wire, also a simulated one. To be called within a runtime.
pub fn kube_client(wire: &Wire) -> kube::Client {
    let wire = wire.clone();
    let service = service_fn(move |request: Request<kube::client::Body>| {
        let wire = wire.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let response = wire.oneshot(Request::from_parts(parts, body)).await?;
            Ok::<_, BoxError>(response.map(Full::new))
        }
    });
    // Every call names its namespace.
    kube::Client::new(service, "default")
}

/// One line for each request. No query and no header, where secrets would be, and the path for
/// Kubernetes only: in the address of a chat channel the path is the secret.
async fn logged(wire: Wire, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
    let method = request.method().clone();
    let host = request.uri().host().unwrap_or("kubernetes").to_owned();
    let path = request
        .uri()
        .host()
        .map_or_else(|| request.uri().path(), |_| "")
        .to_owned();
    let start = tokio::time::Instant::now();
    let result = wire.oneshot(request).await;
    let status = result
        .as_ref()
        .map_or(0, |response| response.status().as_u16());
    let ms = start.elapsed().as_millis();
    tracing::debug!(%method, host, path, status, ms, "request");
    result
}

/// A response within the time limit, and errors that say what they are about.
pub(super) async fn limited(
    what: String,
    limit: Limit,
    response: impl Future<Output = Result<Response<Bytes>, WireError>>,
) -> Result<Response<Bytes>, WireError> {
    match tokio::time::timeout(limit.total, response).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(WireError::NotSent(why))) => Err(WireError::NotSent(format!("{what}: {why}"))),
        Ok(Err(WireError::NoAnswer(why))) => Err(WireError::NoAnswer(format!("{what}: {why}"))),
        Ok(Err(WireError::TooLarge(why))) => Err(WireError::TooLarge(format!("{what}: {why}"))),
        // It may have been about to connect still, but nobody knows.
        Err(_) => Err(WireError::NoAnswer(format!(
            "{what}: no answer within {:?}",
            limit.total
        ))),
    }
}

/// The whole response, if it comes in time and is not larger than allowed.
pub(super) async fn whole<B>(
    response: Response<B>,
    limit: Limit,
) -> Result<Response<Bytes>, WireError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let too_large =
        || WireError::TooLarge(format!("the answer is larger than {} bytes", limit.body));
    let (parts, body) = response.into_parts();
    if body.size_hint().lower() > u64::try_from(limit.body).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = tokio::time::timeout(limit.read, body.frame())
        .await
        .map_err(|_| WireError::NoAnswer(format!("the answer stopped for {:?}", limit.read)))?
    {
        // Anything but data is trailers, which nobody reads.
        let Ok(data) = frame
            .map_err(|why| WireError::NoAnswer(cause(&*why.into())))?
            .into_data()
        else {
            continue;
        };
        if data.len() > limit.body - bytes.len() {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Response::from_parts(parts, bytes.freeze()))
}

/// The response without its body. No more than allowed is read of that, and not for long: what the
/// sender has said by the status it has said, however it goes on.
pub(super) async fn without_body<B>(response: Response<B>, limit: Limit) -> Response<Bytes>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let read = async {
        let mut read = 0;
        while read < limit.body
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // A connection that is read to its end can serve again; else it is closed.
    let _ = tokio::time::timeout(REST_MAX, read).await;
    Response::from_parts(parts, Bytes::new())
}

/// What was at the bottom of an error. The layers above it tell how the client is built, and may
/// show the whole URL.
pub(super) fn cause(error: &(dyn StdError + 'static)) -> String {
    let mut bottom = error;
    while let Some(below) = bottom.source() {
        bottom = below;
    }
    bottom.to_string()
}
