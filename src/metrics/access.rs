//! How a metrics system is spoken to, beyond its address: headers and credentials.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::metrics::AnyCertificate;

/// A system of one kind, and what it takes to be answered by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// `spec.provider.type` of a MetricTemplate: a name of the table of providers.
    pub provider: &'static str,
    /// Sent along as they are.
    pub headers: Vec<(String, String)>,
    /// The Secret that holds the credentials.
    pub secret: Option<SecretName>,
    /// What was read from it, once it was; empty until then.
    pub credentials: Credentials,
    /// Of an AWS service.
    pub region: Option<String>,
    /// Whether its certificate is taken as it comes.
    pub any_certificate: bool,
}

impl Default for Access {
    /// The Prometheus of the built-in checks.
    fn default() -> Self {
        Self {
            provider: "prometheus",
            headers: Vec::new(),
            secret: None,
            credentials: Credentials::default(),
            region: None,
            any_certificate: false,
        }
    }
}

/// A Secret of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}/{}", self.namespace, self.name)
    }
}

/// Credentials by the key that they have in their Secret. Shown nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<&'static str, Zeroizing<String>>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Ord for Credentials {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.all().cmp(other.all())
    }
}

impl PartialOrd for Credentials {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Credentials {
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    pub fn insert(&mut self, key: &'static str, value: String) {
        self.0.insert(key, Zeroizing::new(value));
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.as_str())
    }
}

impl Access {
    /// The value of a key that the Secret must hold.
    pub(super) fn key(&self, key: &str) -> Result<&str, String> {
        self.credentials.get(key).ok_or_else(|| match &self.secret {
            Some(secret) => format!("{secret} has no key {key}"),
            None => format!("spec.provider.secretRef is needed, with the key {key}"),
        })
    }

    /// A GET with the headers of the resource.
    pub(super) fn get(&self, uri: http::Uri) -> Result<http::request::Builder, String> {
        let mut request = http::Request::get(uri);
        for (name, value) in &self.headers {
            request = request.header(header_name(name)?, header_value(name, value)?);
        }
        if self.any_certificate {
            request = request.extension(AnyCertificate);
        }
        Ok(request)
    }
}

/// A name that a header can have.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("{name:?} is not the name of a header"))
}

/// A value that a header can have; what is wrong with it says nothing of the value.
pub(super) fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    let wrong = |_| format!("the value of {name} is not one that a header can have");
    HeaderValue::try_from(value).map_err(wrong)
}

/// The same of a secret: it is marked as one.
pub(super) fn secret_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    let mut value = header_value(name, value)?;
    value.set_sensitive(true);
    Ok(value)
}

/// With an `Authorization` header of this scheme.
pub(super) fn authorized(
    request: http::request::Builder,
    scheme: &str,
    secret: &str,
) -> Result<http::request::Builder, String> {
    let value = Zeroizing::new(format!("{scheme} {secret}"));
    Ok(request.header(AUTHORIZATION, secret_value("the credentials", &value)?))
}

/// With a user's name and password (RFC 7617).
pub(super) fn basic(
    request: http::request::Builder,
    username: &str,
    password: &str,
) -> Result<http::request::Builder, String> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    authorized(request, "Basic", &encoded)
}
