//! Where requests may go whose address a user wrote in a resource. Davy can reach more than its
//! users can, so addresses behind which machines trust their neighbours are refused, unless the
//! operator allows them. Private networks are not refused: cluster services live there.
//!
//! Refused are:
//!
//! - addresses of this machine, of the link, multicast and reserved ones, and those at which clouds
//!   hand out credentials, in every form in which IPv6 wraps IPv4 ([`network`]);
//! - the API server: by the address that the kubeconfig or the pod's environment has for it, and by
//!   the name of its Service. The other addresses of that Service are not known here;
//! - ports of nodes and of the control plane ([`PORTS`]), on whatever address: which addresses are
//!   nodes' would need a right to list them;
//! - names of metadata services, whatever they lead to.
//!
//! What the operator lists lifts that: a network or address its addresses; a name its ports and
//! itself, but not the address that it leads to; `*` all.

mod network;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use self::network::{Network, plain_address, refused};

/// Where a node or a control plane answers to whoever reaches it.
const PORTS: &[(u16, &str)] = &[
    (2_379, "etcd's"),
    (2_380, "etcd's"),
    (6_443, "the API server's"),
    (10_248, "the kubelet's"),
    (10_249, "kube-proxy's"),
    (10_250, "the kubelet's"),
    (10_255, "the kubelet's"),
    (10_256, "kube-proxy's"),
    (10_257, "the controller manager's"),
    (10_259, "the scheduler's"),
];

/// Names at which clouds hand out credentials; some resolve them to addresses of their own.
const METADATA_NAMES: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.tencentyun.com",
];

/// Names of the API server's Service. What follows is the cluster's domain.
const API_SERVER: &str = "kubernetes.default.svc";
const API_SERVER_NAMES: &[&str] = &["kubernetes", "kubernetes.default", API_SERVER];

/// What the operator allows besides what is allowed to everyone.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    everything: bool,
    /// Host names; one that begins with a dot stands for all names that end so.
    hosts: Vec<String>,
    networks: Vec<Network>,
    api_servers: Vec<Endpoint>,
}

/// Where an API server is.
#[derive(Clone, Debug)]
struct Endpoint {
    host: String,
    port: u16,
}

/// Why a request does not go where a user has sent it. It says no more than that: what an address
/// is that a name leads to may be none of its author's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is not allowed; DAVY_ALLOW_ADDRESSES may allow it")]
pub struct Refused {
    /// Whose it is or what, for the operator.
    pub kind: &'static str,
}

impl Allowed {
    /// From a list of host names (`prometheus.example.com`, `*.example.com`), addresses and
    /// networks (`127.0.0.1`, `10.0.0.0/8`, `fd00::/8`); `*` allows everything, as Flagger does.
    ///
    /// On failure: names every entry that cannot be read.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut allowed = Self::default();
        let mut wrong = Vec::new();
        for entry in entries
            .into_iter()
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let suffix = entry.strip_prefix('*').filter(|rest| rest.starts_with('.'));
            if entry == "*" {
                allowed.everything = true;
            } else if let Some(network) = Network::parse(entry) {
                allowed.networks.push(network);
            } else if is_name(suffix.map_or(entry, |suffix| &suffix[1..])) {
                allowed.hosts.push(plain_name(suffix.unwrap_or(entry)));
            } else {
                wrong.push(format!("{entry:?}"));
            }
        }
        if wrong.is_empty() {
            Ok(allowed)
        } else {
            Err(format!(
                "neither host, address nor network: {}",
                wrong.join(", ")
            ))
        }
    }

    /// Refuses this API server too: it answers Davy what it would not answer a user.
    #[must_use]
    pub fn with_api_server(mut self, host: Option<&str>, port: u16) -> Self {
        self.api_servers.extend(host.map(|host| Endpoint {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        }));
        self
    }

    /// Whether a host may be asked for at this port, as far as that shows before it is resolved.
    pub fn check_host(&self, host: &str, port: u16) -> Result<(), Refused> {
        let literal = literal(host);
        if self.everything {
            return Ok(());
        }
        if let Some(literal) = literal
            && self.api_servers.iter().any(|api| api.is_at(literal, port))
        {
            return Err(Refused {
                kind: "the API server's",
            });
        }
        if self.names(host) || literal.is_some_and(|address| self.contains(address)) {
            return Ok(());
        }
        let of_name = refused_name(&plain_name(host)).filter(|_| literal.is_none());
        let of_port = PORTS.iter().find(|(known, _)| *known == port);
        let of_port = of_port.map(|(_, kind)| *kind).or_else(|| {
            let is_api = |api: &Endpoint| api.port == port && ![80, 443].contains(&port);
            let is_api = literal.is_none() && self.api_servers.iter().any(is_api);
            is_api.then_some("the API server's")
        });
        match of_name.or(of_port) {
            Some(kind) => Err(Refused { kind }),
            None => Ok(()),
        }
    }

    /// Whether these addresses may be connected to: all of them, because the next connection may
    /// take another one. That they are a listed name's changes nothing: whoever owns the name
    /// says where it leads.
    pub async fn check(&self, addresses: &[IpAddr]) -> Result<(), Refused> {
        if self.everything {
            return Ok(());
        }
        let mut api_servers = Vec::new();
        for api in &self.api_servers {
            api_servers.extend(resolved(api.host.clone()).await.unwrap_or_default());
        }
        for address in addresses {
            let is_api = |api: &IpAddr| plain_address(*api) == plain_address(*address);
            let kind = if api_servers.iter().any(is_api) {
                Some("the API server's")
            } else {
                refused(*address)
            };
            if let Some(kind) = kind
                && !self.contains(*address)
            {
                return Err(Refused { kind });
            }
        }
        Ok(())
    }

    /// Whether the operator lists this name.
    pub fn names(&self, host: &str) -> bool {
        let host = plain_name(host);
        self.hosts.iter().any(|allowed| {
            host == *allowed || (allowed.starts_with('.') && host.ends_with(allowed.as_str()))
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

impl Endpoint {
    fn is_at(&self, address: IpAddr, port: u16) -> bool {
        let own = literal(&self.host).map(plain_address);
        self.port == port && own == Some(plain_address(address))
    }
}

/// Finds the addresses of a name.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// By the machine's resolver.
pub(super) fn lookup() -> Lookup {
    Arc::new(|host| Box::pin(resolved(host)))
}

/// A resolver that only gives out addresses which have been checked. What it gives out is what is
/// connected to: the name is not asked for again in between.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) allowed: Arc<Allowed>,
    pub(super) lookup: Lookup,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allowed, lookup } = self.clone();
        Box::pin(async move {
            let addresses = lookup(name.as_str().to_owned()).await?;
            let checked = allowed.check(&addresses).await;
            if let Err(refused) = checked {
                let (host, kind) = (name.as_str(), refused.kind);
                tracing::warn!(host, kind, "{refused}");
                return Err(refused.into());
            }
            // Port 0 is filled in by the caller.
            let addresses = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// The address that a host is, if it is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

async fn resolved(host: String) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0))
        .await?
        .map(|address| address.ip())
        .collect())
}

fn refused_name(host: &str) -> Option<&'static str> {
    if METADATA_NAMES.contains(&host) {
        return Some("a metadata service's");
    }
    let in_domain = host.strip_prefix(API_SERVER);
    let is_api =
        API_SERVER_NAMES.contains(&host) || in_domain.is_some_and(|domain| domain.starts_with('.'));
    is_api.then_some("the API server's")
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.trim_end_matches('.')
        .split('.')
        .all(|label| !label.is_empty() && label.chars().all(letter))
}

fn plain_name(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
