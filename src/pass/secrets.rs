//! Where a Secret may be sent, and the credentials of metrics systems. Whoever may write an
//! AlertProvider or a MetricTemplate need not be one who may read the Secrets beside it: under strict
//! tenancy the Secret itself says which hosts are to see it.

use std::collections::BTreeMap;

use http::Uri;
use k8s_openapi::api::core::v1::Secret;

use crate::io::cluster::{self, Cluster};
use crate::metrics::{self, Access, Check, Credentials, SecretName, System};
use crate::objects::SECRET;

/// Hosts that a Secret may be sent to, separated by commas; `*.example.com` stands for all names
/// below it.
const ALLOWED_HOSTS: &str = "flagger.app/allowed-hosts";

/// What is asked of a metrics system that may want credentials.
pub(super) trait Credentialed {
    fn address(&self) -> &str;
    fn access(&self) -> &Access;
    fn access_mut(&mut self) -> &mut Access;
}

impl Credentialed for Check {
    fn address(&self) -> &str {
        &self.address
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn access_mut(&mut self) -> &mut Access {
        &mut self.access
    }
}

impl Credentialed for System {
    fn address(&self) -> &str {
        &self.address
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn access_mut(&mut self) -> &mut Access {
        &mut self.access
    }
}

/// Questions with the credentials that their systems ask for, in order: each Secret is read once, and
/// of it the keys of its provider alone.
///
/// On failure: the question cannot be asked, and why.
pub(super) async fn with_credentials<Q: Credentialed>(
    cluster: &Cluster,
    is_strict: bool,
    questions: Vec<Q>,
) -> Vec<Result<Q, String>> {
    let mut read: BTreeMap<SecretName, Result<Secret, String>> = BTreeMap::new();
    let mut dressed = Vec::with_capacity(questions.len());
    for mut question in questions {
        if let Some(name) = question.access().secret.clone() {
            if !read.contains_key(&name) {
                read.insert(name.clone(), secret(cluster, &name).await);
            }
            let credentials = read
                .get(&name)
                .cloned()
                .unwrap_or_else(|| Err("it was not read".to_owned()))
                .and_then(|secret| {
                    credentials(question.access(), question.address(), is_strict, &secret)
                });
            match credentials {
                Ok(credentials) => question.access_mut().credentials = credentials,
                Err(why) => {
                    dressed.push(Err(format!("spec.provider.secretRef: {name}: {why}")));
                    continue;
                }
            }
        }
        dressed.push(Ok(question));
    }
    dressed
}

async fn secret(cluster: &Cluster, name: &SecretName) -> Result<Secret, String> {
    let read = cluster.get(&SECRET, &name.namespace, &name.name).await;
    let read = read.map_err(|error| match error {
        cluster::Error::NotFound => "it does not exist".to_owned(),
        error => format!("it cannot be read: {}", cluster::chain(&error)),
    })?;
    serde_json::from_value(read).map_err(|_| "its data is not base64".to_owned())
}

fn credentials(
    access: &Access,
    address: &str,
    is_strict: bool,
    secret: &Secret,
) -> Result<Credentials, String> {
    if is_strict {
        may_be_sent(secret, address)?;
    }
    let mut credentials = Credentials::default();
    for key in metrics::provider_of(access.provider)?.secret_keys() {
        let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(*key)) else {
            continue;
        };
        let text = String::from_utf8(bytes.0.clone())
            .map_err(|_| format!("the value of {key} is not text"))?;
        credentials.insert(key, text.trim().to_owned());
    }
    Ok(credentials)
}

/// Whether a Secret may be sent to this address: over https, to a host that it names.
///
/// On failure: says what is missing, without the address's path, which is part of the secret.
pub(super) fn may_be_sent(secret: &Secret, address: &str) -> Result<(), String> {
    let uri: Uri = address.parse().map_err(|_| "its address is not one")?;
    let host = plain(uri.host().unwrap_or_default());
    if uri.scheme_str() != Some("https") {
        return Err("it is sent over https alone where DAVY_TENANCY is strict".to_owned());
    }
    let annotations = secret.metadata.annotations.as_ref();
    let Some(allowed) = annotations.and_then(|annotations| annotations.get(ALLOWED_HOSTS)) else {
        return Err(format!(
            "it has no annotation {ALLOWED_HOSTS}, which DAVY_TENANCY=strict asks for"
        ));
    };
    let is_allowed = allowed.split(',').map(plain).any(|allowed| {
        let below = allowed
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'));
        !host.is_empty() && (allowed == host || below.is_some_and(|below| host.ends_with(below)))
    });
    if is_allowed {
        Ok(())
    } else {
        Err(format!(
            "its annotation {ALLOWED_HOSTS} does not name {host}"
        ))
    }
}

/// Whether whoever is on the way reads what is sent there.
pub(super) fn is_in_the_clear(address: &str) -> bool {
    let uri: Result<Uri, _> = address.parse();
    uri.is_ok_and(|uri| uri.scheme_str() == Some("http"))
}

fn plain(host: &str) -> String {
    host.trim().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sent_where_it_says_and_nowhere_else() {
        for (hosts, address, expected) in [
            (
                Some("hooks.slack.com"),
                "https://hooks.slack.com/services/x",
                None,
            ),
            (
                Some("a.test, Hooks.Slack.com."),
                "https://hooks.slack.COM:443/x",
                None,
            ),
            (Some("*.example.com"), "https://a.b.example.com/x", None),
            (
                Some("*.example.com"),
                "https://example.com/x",
                Some("does not name example.com"),
            ),
            (
                Some("example.com"),
                "https://evilexample.com/",
                Some("does not name"),
            ),
            (
                Some("example.com"),
                "https://example.com.evil.test/",
                Some("does not name"),
            ),
            (
                Some("example.com"),
                "https://example.com@evil.test/",
                Some("name evil.test"),
            ),
            (Some("*"), "https://evil.test/", Some("does not name")),
            (Some(""), "https://evil.test/", Some("does not name")),
            (
                Some("hooks.slack.com"),
                "http://hooks.slack.com/x",
                Some("over https alone"),
            ),
            (
                None,
                "https://hooks.slack.com/x",
                Some("no annotation flagger.app/allowed-hosts"),
            ),
            (Some("a.test"), "no address", Some("is not one")),
        ] {
            let mut secret = Secret::default();
            let annotation = hosts.map(|hosts| (ALLOWED_HOSTS.to_owned(), hosts.to_owned()));
            secret.metadata.annotations = Some(annotation.into_iter().collect());
            let why = may_be_sent(&secret, address).err();
            match expected {
                None => assert_eq!(why, None, "{hosts:?} {address}"),
                Some(expected) => {
                    let why = why.unwrap_or_default();
                    assert!(why.contains(expected), "{hosts:?} {address}: {why}");
                }
            }
        }
    }

    #[test]
    fn plain_http_is_in_the_clear() {
        assert!(is_in_the_clear("http://hooks.test/x"));
        assert!(!is_in_the_clear("https://hooks.test/x"));
    }
}
