//! The half of the wire that is plain HTTP: metrics systems, hooks, chat, whatever has an address.
#![expect(clippy::disallowed_types, reason = "this is the wire")]

mod credentials;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Request, Response};
use reqwest::Client;
use tower::service_fn;

use crate::io::address::{Allowed, Checked};
use crate::io::wire::{self, Limit, cause, limited, whole};
use crate::io::{Wire, WireError};
use crate::metrics::Untrusted;

/// Headers of HTTP/2 answers; the HTTP/1 reader has a limit of its own.
const HEADERS_MAX: u32 = 16 << 10;

pub(super) fn wire(limit: Limit, allowed: Arc<Allowed>) -> Wire {
    let trusted = lazy(limit, None);
    // Its own client, so that its own pool: a connection that was opened to a trusted address is
    // not there for an untrusted request to use.
    let untrusted = lazy(limit, Some(Checked(allowed.clone())));
    Wire::new(service_fn(move |request: Request<Bytes>| {
        let checked = request
            .extensions()
            .get::<Untrusted>()
            .map(|_| allowed.clone());
        let client = checked.as_ref().map_or(&trusted, |_| &untrusted).clone();
        let what = format!("{} {}", request.method(), shown(request.uri()));
        limited(what, limit, async move {
            let client = (**client)
                .as_ref()
                .map_err(|why| WireError::NotSent(why.clone()))?;
            send(client, checked.as_deref(), request, limit).await
        })
    }))
}

/// A client that is made by the first request which needs it: to read the machine's certificates
/// takes longer than all else before a pass begins.
type Lazy =
    Arc<LazyLock<Result<Client, String>, Box<dyn FnOnce() -> Result<Client, String> + Send>>>;

fn lazy(limit: Limit, checked: Option<Checked>) -> Lazy {
    Arc::new(LazyLock::new(Box::new(move || {
        client(limit, checked.as_ref())
    })))
}

fn client(limit: Limit, checked: Option<&Checked>) -> Result<Client, String> {
    let builder = || {
        let builder = Client::builder()
            .user_agent(wire::USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(limit.connect)
            .http2_max_header_list_size(HEADERS_MAX);
        match checked {
            Some(checked) => builder.dns_resolver(checked.clone()),
            None => builder,
        }
    };
    // An image with nothing in it has no certificates either. Most of what Davy talks to is
    // inside of the cluster and speaks plain HTTP, so that is no reason to stop.
    builder().build().or_else(|why| {
        tracing::warn!(why = cause(&why), "no certificates found: https will fail");
        builder()
            .tls_certs_only([])
            .build()
            .map_err(|why| cause(&why))
    })
}

async fn send(
    client: &Client,
    checked: Option<&Allowed>,
    request: Request<Bytes>,
    limit: Limit,
) -> Result<Response<Bytes>, WireError> {
    let not_sent = |why: reqwest::Error| WireError::NotSent(cause(&why.without_url()));
    // From here on there is one parser of the address: what it read is checked and connected to.
    let mut request = reqwest::Request::try_from(request).map_err(not_sent)?;
    let secrets = credentials::of(&mut request);
    if let Some(allowed) = checked {
        let scheme = request.url().scheme();
        if !["http", "https"].contains(&scheme) {
            return Err(WireError::NotSent(format!(
                "{scheme} is neither http nor https"
            )));
        }
        // An address in numbers never reaches the resolver.
        let host = request.url().host_str().unwrap_or_default();
        if let Ok(literal) = host.trim_matches(['[', ']']).parse() {
            allowed
                .check(host, &[literal])
                .await
                .map_err(WireError::NotSent)?;
        }
    }
    let response = client.execute(request).await.map_err(|why| {
        let before = why.is_connect() || why.is_builder();
        let text = cause(&why.without_url());
        if before {
            WireError::NotSent(text)
        } else {
            WireError::NoAnswer(text)
        }
    })?;
    let response = whole(Response::from(response), limit).await;
    response
        .map(|response| response.map(|body| secrets.without(body)))
        .map_err(WireError::NoAnswer)
}

/// An address as far as it may be told: with neither user, path nor query.
fn shown(uri: &http::Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    uri.port().map_or_else(
        || format!("{scheme}://{host}"),
        |port| format!("{scheme}://{host}:{port}"),
    )
}
