//! Where requests may go whose address a user wrote in a resource. Davy can reach more than its
//! users can, so addresses behind which machines trust their neighbours are refused, unless the
//! operator allows them. Private networks are not refused: cluster services live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What the operator allows besides what is allowed to everyone.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    everything: bool,
    /// Host names; one that begins with a dot stands for all names that end so.
    hosts: Vec<String>,
    networks: Vec<Network>,
    api_server: Option<String>,
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

    /// Refuses the API server too: it answers Davy what it would not answer a user.
    #[must_use]
    pub fn with_api_server(self, host: Option<&str>) -> Self {
        let api_server = host.map(|host| host.trim_matches(['[', ']']).to_owned());
        Self { api_server, ..self }
    }

    /// Whether a host may be connected to at these addresses: at all of them, because the next
    /// connection may take another one.
    pub async fn check(&self, host: &str, addresses: &[IpAddr]) -> Result<(), String> {
        if self.everything || self.names(host) {
            return Ok(());
        }
        let api_server = match &self.api_server {
            Some(host) => resolved(host).await.unwrap_or_default(),
            None => Vec::new(),
        };
        for address in addresses {
            let refused = if api_server
                .iter()
                .any(|api| plain_address(*api) == plain_address(*address))
            {
                Some("the API server's")
            } else {
                refused(*address)
            };
            if let Some(kind) = refused
                && !self
                    .networks
                    .iter()
                    .any(|network| network.contains(*address))
            {
                return Err(format!(
                    "the address is not allowed: it is {kind}; DAVY_ALLOW_ADDRESSES may allow it"
                ));
            }
        }
        Ok(())
    }

    fn names(&self, host: &str) -> bool {
        let host = plain_name(host);
        self.hosts.iter().any(|allowed| {
            host == *allowed || (allowed.starts_with('.') && host.ends_with(allowed.as_str()))
        })
    }
}

/// A resolver that only gives out addresses which have been checked.
#[derive(Clone, Debug)]
pub(super) struct Checked(pub(super) Arc<Allowed>);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let addresses = resolved(name.as_str()).await?;
            allowed.check(name.as_str(), &addresses).await?;
            // Port 0 is filled in by the caller.
            let addresses = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

async fn resolved(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0))
        .await?
        .map(|address| address.ip())
        .collect())
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

/// A range of addresses.
#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |left: u128, right: u128, width: u8| {
            let shift = u32::from(width - self.bits);
            left.checked_shr(shift).unwrap_or(0) == right.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(other)) => {
                within(other).is_some_and(|inner| self.contains(IpAddr::V4(inner)))
            }
            (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// An address without the wrapping that leads to the same machine.
fn plain_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => within(six).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// What an address is that may not be connected to.
fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(four) => refused_v4(four),
        IpAddr::V6(six) => refused_v6(six),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [127, ..] => Some("loopback"),
        [0, ..] => Some("unspecified"),
        [169, 254, ..] => Some("link-local"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        // Where clouds answer with credentials besides 169.254.169.254: Oracle, Alibaba, Azure.
        [192, 0, 0, _] | [100, 100, 100, 200] | [168, 63, 129, 16] => Some("a metadata service's"),
        _ => None,
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = within(address) {
        return refused_v4(inner);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Teredo: it leads to an IPv4 address that is hidden in it.
        [0x2001, 0, ..] => Some("a tunnel's"),
        // AWS and Google.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => {
            Some("a metadata service's")
        }
        _ => None,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, translated, or 6to4.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
