//! Pushgateway: where the series of a program that has ended wait for Prometheus. One group is
//! replaced as a whole, so that the series of what is gone go too.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use tower::ServiceExt;

use crate::io::Io;
use crate::io::cluster::Scope;

/// Whose series these are. Two clusters, or two namespaces with a Davy each, do not replace each
/// other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name of the cluster.
    pub cluster: String,
    pub scope: Scope,
    /// Where several share the canaries of the scope.
    pub shard: Option<String>,
}

/// A Pushgateway, and the group that is ours in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushgateway {
    /// Its address, of the settings.
    pub url: String,
    pub group: Group,
}

impl Pushgateway {
    /// Replaces the group by the series of `text`.
    ///
    /// # On failure
    /// The error says why, without the address's user, path or query. Nothing is repeated: the
    /// next pass sends all again.
    pub async fn push(&self, io: &Io, text: String, content_type: &str) -> Result<(), String> {
        let request = http::Request::put(self.address())
            .header(CONTENT_TYPE, content_type)
            .body(Bytes::from(text))
            .map_err(|error| error.to_string())?;
        let response = io
            .wire
            .clone()
            .oneshot(request)
            .await
            .map_err(|error| error.to_string())?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("Pushgateway answers {status}")),
        }
    }

    /// The labels of a group replace those of the same name in its series, so neither is called
    /// `namespace`. In base64 because a name may hold a slash, and `*` is no namespace's name.
    fn address(&self) -> String {
        let scope = match &self.group.scope {
            Scope::Cluster => "*",
            Scope::Namespace(namespace) => namespace,
        };
        let address = format!(
            "{}/metrics/job/davy/cluster@base64/{}/scope@base64/{}",
            self.url,
            base64(&self.group.cluster),
            base64(scope)
        );
        match &self.group.shard {
            Some(shard) => format!("{address}/shard@base64/{}", base64(shard)),
            None => address,
        }
    }
}

/// Base64 with the letters for URLs, padded.
fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = if place <= three.len() {
                let index = (bits >> (18 - 6 * place)) & 63;
                char::from(LETTERS[index as usize])
            } else {
                '='
            };
            // Writing into a String cannot fail.
            let _ = write!(encoded, "{letter}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{Group, Pushgateway, Scope, base64};

    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("*", "Kg=="),
            ("??>", "Pz8-"),
        ] {
            assert_eq!(base64(text), encoded);
        }
    }

    #[test]
    fn group_is_told_by_cluster_and_scope() {
        let group = |cluster: &str, scope| Pushgateway {
            url: "http://pushgateway:9091".to_owned(),
            group: Group {
                cluster: cluster.to_owned(),
                scope,
                shard: None,
            },
        };
        assert_eq!(
            group("east", Scope::Cluster).address(),
            "http://pushgateway:9091/metrics/job/davy/cluster@base64/ZWFzdA==/scope@base64/Kg=="
        );
        let other = group("east", Scope::Namespace("test".to_owned()));
        assert_ne!(group("east", Scope::Cluster).address(), other.address());
        assert_ne!(
            group("west", Scope::Cluster).address(),
            group("east", Scope::Cluster).address()
        );
        let mut shard = group("east", Scope::Cluster);
        shard.group.shard = Some("1/2".to_owned());
        assert_ne!(shard.address(), group("east", Scope::Cluster).address());
    }
}
