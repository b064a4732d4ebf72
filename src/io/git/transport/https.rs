//! Git over https: every exchange is one request. No redirect is followed, no proxy is taken from
//! the environment, and the credentials are sent once, with the request: a remote that asks again
//! has refused them.
#![expect(clippy::disallowed_types, reason = "this is the wire of repositories")]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Buf, Bytes};
use git2::transport::Service;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use reqwest::{Certificate, Client, Response};

use crate::io::git::Error;
use crate::io::git::transport::Session;
use crate::io::wire::{USER_AGENT, cause};

/// From the name to a connection that is ready for use.
const CONNECT: Duration = Duration::from_secs(5);

/// A client that is made by the first exchange: most passes have nothing to deliver, and a list of
/// authorities may be long.
type Lazy = LazyLock<Result<Client, String>, Box<dyn FnOnce() -> Result<Client, String> + Send>>;

pub(in crate::io::git) struct Https {
    client: Lazy,
    /// The address without a slash behind it.
    address: String,
    authorization: Option<HeaderValue>,
}

impl Https {
    /// Believes these authorities and no others.
    pub(in crate::io::git) fn new(
        address: String,
        authorities: Vec<Certificate>,
        authorization: Option<HeaderValue>,
    ) -> Self {
        Self {
            client: LazyLock::new(Box::new(|| client(authorities))),
            address,
            authorization,
        }
    }

    /// The exchange for a service; nothing is sent yet.
    pub(super) fn exchange(&self, session: &Session, service: Service) -> Result<Exchange, Error> {
        let client = self.client.as_ref().map_err(|why| {
            session.refused(format!(
                "no https: {why}; DAVY_GIT_CA_FILE may say whom to believe"
            ))
        })?;
        let (method, path, kind) = match service {
            Service::UploadPackLs => (
                Method::GET,
                "info/refs?service=git-upload-pack",
                "upload-pack-advertisement",
            ),
            Service::ReceivePackLs => (
                Method::GET,
                "info/refs?service=git-receive-pack",
                "receive-pack-advertisement",
            ),
            Service::UploadPack => (Method::POST, "git-upload-pack", "upload-pack-result"),
            Service::ReceivePack => (Method::POST, "git-receive-pack", "receive-pack-result"),
        };
        let expected = format!("application/x-git-{kind}");
        let mut request = client
            .request(method, format!("{}/{path}", self.address))
            .header(ACCEPT, &expected);
        if let Some(asked) = expected.strip_suffix("-result") {
            request = request.header(CONTENT_TYPE, format!("{asked}-request"));
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        Ok(Exchange {
            request: Some(request),
            body: Vec::new(),
            expected,
            response: None,
            read: Bytes::new(),
        })
    }
}

fn client(authorities: Vec<Certificate>) -> Result<Client, String> {
    // Fails only if a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .https_only(true)
        // Git's own client asks for HTTP/1.1 where servers are particular, and gains nothing.
        .http1_only()
        .connect_timeout(CONNECT)
        .tls_certs_only(authorities)
        .build()
        .map_err(|error| cause(&error))
}

/// A request that is written, and its answer that is read.
pub(super) struct Exchange {
    /// Until it is sent.
    request: Option<reqwest::RequestBuilder>,
    body: Vec<u8>,
    expected: String,
    response: Option<Response>,
    read: Bytes,
}

impl Exchange {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    /// Reads some bytes of the answer; none at its end.
    pub(super) async fn read(
        &mut self,
        session: &Session,
        into: &mut [u8],
    ) -> Result<usize, Error> {
        let broken = |error: reqwest::Error| session.unreachable(cause(&error.without_url()));
        if let Some(request) = self.request.take() {
            let request = request.body(std::mem::take(&mut self.body));
            let response = request.send().await.map_err(broken)?;
            self.response = Some(self.accepted(session, response)?);
        }
        let Some(response) = &mut self.response else {
            return Ok(0);
        };
        while self.read.is_empty() {
            match response.chunk().await.map_err(broken)? {
                Some(chunk) => self.read = chunk,
                None => return Ok(0),
            }
        }
        let count = self.read.len().min(into.len());
        self.read.copy_to_slice(&mut into[..count]);
        Ok(count)
    }

    /// The response, if it is one of a Git server that serves us.
    fn accepted(&self, session: &Session, response: Response) -> Result<Response, Error> {
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                let why = "no such repository, or not with these credentials";
                return Err(session.refused(format!("answers {status}: {why}")));
            }
            _ if status.is_redirection() => {
                let why = "redirects are not followed; use the repository's own address";
                return Err(session.refused(format!("answers {status}: {why}")));
            }
            _ => return Err(session.unreachable(format!("answers {status}"))),
        }
        let kind = response.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes() == self.expected.as_bytes()) {
            Ok(response)
        } else {
            Err(session.unreachable("answers, but not as a Git server does"))
        }
    }
}
