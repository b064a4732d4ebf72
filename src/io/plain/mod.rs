//! The half of the wire that is plain HTTP: metrics systems, hooks, chat, whatever has an address.
#![expect(clippy::disallowed_types, reason = "this is the wire")]

mod credentials;
pub(super) mod proxy;

use std::error::Error as StdError;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use reqwest::Client;
use tower::service_fn;

use crate::io::address::{Allowed, Checked, Lookup, Refused, literal, lookup};
use crate::io::wire::{self, AnyCertificate, Limit, StatusOnly, cause, limited, whole};
use crate::io::{Wire, WireError};
use crate::metrics::Untrusted;

/// Headers of HTTP/2 answers; the HTTP/1 reader has a limit of its own.
const HEADERS_MAX: u32 = 16 << 10;

/// All that is said of an address that a user chose when nothing comes of it. Whether a port is
/// closed, filtered, silent or speaks something else would make Davy a scanner of the network that
/// it is in; the log has it for the operator.
const UNUSABLE: &str = "no usable answer";

pub(super) fn wire(limit: Limit, allowed: Arc<Allowed>) -> Wire {
    wire_with(limit, allowed, lookup())
}

fn wire_with(limit: Limit, allowed: Arc<Allowed>, lookup: Lookup) -> Wire {
    let trusted = lazy(limit, None, false);
    // Its own client, so that its own pool: a connection that was opened to a trusted address is
    // not there for an untrusted request to use.
    let checked = Checked {
        allowed: allowed.clone(),
        lookup,
    };
    let unverified = lazy(limit, Some(checked.clone()), true);
    let untrusted = lazy(limit, Some(checked), false);
    Wire::new(service_fn(move |request: Request<Bytes>| {
        let is_untrusted = request.extensions().get::<Untrusted>().is_some();
        let checked = is_untrusted.then(|| allowed.clone());
        // Who may do without certificates is a user, whose addresses are checked all the same.
        let takes_any = request.extensions().get::<AnyCertificate>().is_some();
        let client = match (is_untrusted, takes_any) {
            (true, true) => &unverified,
            (true, false) => &untrusted,
            (false, _) => &trusted,
        }
        .clone();
        let own = request.extensions().get::<StatusOnly>();
        let limit = own.map_or(limit, |own| own.within(limit));
        let what = format!("{} {}", request.method(), shown(request.uri()));
        async move {
            let response = limited(what.clone(), limit, async move {
                let client = (**client)
                    .as_ref()
                    .map_err(|why| WireError::NotSent(why.clone()))?;
                match checked {
                    Some(allowed) => send_checked(client, &allowed, request, limit).await,
                    None => send(client, request, limit).await.map_err(|(why, _)| why),
                }
            });
            match response.await {
                Err(WireError::NoAnswer(_) | WireError::TooLarge(_)) if is_untrusted => {
                    Err(WireError::NoAnswer(format!("{what}: {UNUSABLE}")))
                }
                response => response,
            }
        }
    }))
}

/// A client that is made by the first request which needs it: to read the machine's certificates
/// takes longer than all else before a pass begins.
type Lazy =
    Arc<LazyLock<Result<Client, String>, Box<dyn FnOnce() -> Result<Client, String> + Send>>>;

fn lazy(limit: Limit, checked: Option<Checked>, takes_any_certificate: bool) -> Lazy {
    Arc::new(LazyLock::new(Box::new(move || {
        client(limit, checked.as_ref(), takes_any_certificate)
    })))
}

fn client(
    limit: Limit,
    checked: Option<&Checked>,
    takes_any_certificate: bool,
) -> Result<Client, String> {
    let builder = || {
        let builder = Client::builder()
            .user_agent(wire::USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(limit.connect)
            .tls_danger_accept_invalid_certs(takes_any_certificate)
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

/// Sends a request to an address that a user chose, if it leads where it may. What comes back
/// bears the mark of the request, and of a refusal no more than its status.
async fn send_checked(
    client: &Client,
    allowed: &Allowed,
    request: Request<Bytes>,
    limit: Limit,
) -> Result<Response<Bytes>, WireError> {
    let unsent = |why: String| Err(WireError::NotSent(why));
    // From here on there is one parser of the address: what it read is checked and connected to.
    let Ok(url) = reqwest::Url::parse(&request.uri().to_string()) else {
        return unsent("not the address of a server".to_owned());
    };
    if !["http", "https"].contains(&url.scheme()) {
        return unsent(format!("{} is neither http nor https", url.scheme()));
    }
    let host = url.host_str().unwrap_or_default();
    let mut checked = allowed.check_host(host, url.port_or_known_default().unwrap_or(0));
    // An address in numbers never reaches the resolver.
    if let (Ok(()), Some(literal)) = (checked, literal(host)) {
        checked = allowed.check(&[literal]).await;
    }
    if let Err(refused) = checked {
        tracing::warn!(host, kind = refused.kind, "{refused}");
        return unsent(refused.to_string());
    }
    match send(client, request, limit).await {
        Ok(mut response) => {
            if !response.status().is_success() {
                *response.body_mut() = Bytes::new();
                *response.headers_mut() = HeaderMap::new();
            }
            response.extensions_mut().insert(Untrusted);
            Ok(response)
        }
        Err((_, Some(refused))) => unsent(refused.to_string()),
        Err((WireError::NotSent(why), None)) => {
            tracing::warn!(host, why, "{UNUSABLE}");
            unsent(UNUSABLE.to_owned())
        }
        Err((WireError::NoAnswer(why) | WireError::TooLarge(why), None)) => {
            tracing::warn!(host, why, "{UNUSABLE}");
            Err(WireError::NoAnswer(UNUSABLE.to_owned()))
        }
    }
}

/// Sends a request once. With an error comes the policy's refusal, if it is one.
async fn send(
    client: &Client,
    request: Request<Bytes>,
    limit: Limit,
) -> Result<Response<Bytes>, (WireError, Option<Refused>)> {
    let uri = request.uri().clone();
    let status_only = request.extensions().get::<StatusOnly>().is_some();
    let not_sent = |why: reqwest::Error| WireError::NotSent(cause(&why.without_url()));
    let mut request = reqwest::Request::try_from(request).map_err(|why| (not_sent(why), None))?;
    let secrets = credentials::of(&mut request);
    if request.url().scheme() == "http" && !secrets.is_empty() {
        let host = request.url().host_str().unwrap_or_default();
        tracing::warn!(host, "credentials are sent over plain http");
    }
    let response = client.execute(request).await.map_err(|why| {
        let refused = refusal(&why);
        let before = why.is_connect() || why.is_builder();
        let text = cause(&why.without_url());
        if before {
            (WireError::NotSent(proxy::hinted(text, &uri)), refused)
        } else {
            (WireError::NoAnswer(text), refused)
        }
    })?;
    if status_only {
        return Ok(wire::without_body(Response::from(response), limit).await);
    }
    let response = whole(Response::from(response), limit).await;
    response
        .map(|response| response.map(|body| secrets.without(body)))
        .map_err(|why| (why, None))
}

/// The policy's refusal of an address that a name led to.
fn refusal(error: &(dyn StdError + 'static)) -> Option<Refused> {
    let mut layer = Some(error);
    while let Some(error) = layer {
        if let Some(refused) = error.downcast_ref() {
            return Some(*refused);
        }
        layer = error.source();
    }
    None
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

#[cfg(test)]
mod tests;
