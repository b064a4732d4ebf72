//! The half of the wire that goes to Kubernetes: kube's own TLS and credentials, without its retries.

pub(super) mod config;

use std::error::Error as StdError;

use bytes::Bytes;
use http::Request;
use http::header::{HeaderValue, USER_AGENT};
use http_body_util::Full;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{AuthError, ConfigExt};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

use crate::io::wire::{self, Error, Limit, cause, limited, whole};
use crate::io::{Wire, WireError};

pub(super) fn wire(config: &kube::Config, limit: Limit) -> Result<Wire, Error> {
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    if config.proxy_url.is_some() {
        return Err(Error::Proxy {
            by: "the kubeconfig's proxy-url",
            host,
            advice: "",
        });
    }
    let failed = |source: kube::Error| match plug_in(&source) {
        Some(why) => Error::Credentials {
            url: host.clone(),
            why,
        },
        None => Error::Kubernetes {
            url: host.clone(),
            source: Box::new(source),
        },
    };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = config
        .rustls_https_connector_with_connector(tcp)
        .map_err(failed)?;
    // The TCP connector's own limit would leave out the handshake.
    let connector = tls.map_future(move |connecting| {
        Box::pin(async move {
            match tokio::time::timeout(limit.connect, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {:?}", limit.connect).into()),
            }
        })
    });
    let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(failed)?)
        .layer(config.extra_headers_layer().map_err(failed)?)
        .map_err(BoxError::from)
        .service(client);
    let service = BoxCloneSyncService::new(service);
    Ok(Wire::new(service_fn(move |mut request: Request<Bytes>| {
        let service = service.clone();
        let what = format!("{} {}", request.method(), request.uri().path());
        let agent = HeaderValue::from_static(wire::USER_AGENT);
        request.headers_mut().entry(USER_AGENT).or_insert(agent);
        limited(what, limit, async move {
            let response = service
                .oneshot(request.map(Full::new))
                .await
                .map_err(|why| {
                    // Credentials and the connection come before anything is sent.
                    let sent = why
                        .downcast_ref::<legacy::Error>()
                        .is_some_and(|why| !why.is_connect());
                    let text = plug_in(&*why).map_or_else(|| cause(&*why), str::to_owned);
                    if sent {
                        WireError::NoAnswer(text)
                    } else {
                        WireError::NotSent(text)
                    }
                })?;
            whole(response, limit).await
        })
    })))
}

/// What is told of a credential plug-in that failed. Its errors hold the command with arguments and
/// environment, and what it has printed: credentials, if not all then some.
fn plug_in(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let mut layer = Some(error);
    while let Some(error) = layer {
        if let Some(error) = error.downcast_ref::<AuthError>() {
            return match error {
                AuthError::AuthExecStart(_) => {
                    Some("the kubeconfig's credential plug-in (exec) cannot be started")
                }
                AuthError::AuthExecRun { .. } => {
                    Some("the kubeconfig's credential plug-in (exec) has failed")
                }
                AuthError::AuthExecParse(_)
                | AuthError::AuthExecSerialize(_)
                | AuthError::AuthExec(_)
                | AuthError::ExecPluginFailed => {
                    Some("the kubeconfig's credential plug-in (exec) gave no credential")
                }
                _ => None,
            };
        }
        layer = error.source();
    }
    None
}
