//! Ranges of addresses: those that an operator lists, and those that are refused whoever asks.
//! Address in, what it is out; the IPv4 address that is wrapped in an IPv6 one counts as itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
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
pub(super) fn plain_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => within(six).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// What an address is that may not be connected to.
pub(super) fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(four) => refused_v4(four),
        IpAddr::V6(six) => refused_v6(six),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [127, ..] => Some("loopback"),
        [0, ..] => Some("unspecified"),
        // Most clouds answer with a machine's credentials in here, and some with a pod's.
        [169, 254, ..] => Some("link-local"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        // Where clouds answer with credentials besides: Oracle, Alibaba, Azure.
        [192, 0, 0, _] | [100, 100, 100, 200] | [168, 63, 129, 16] => Some("a metadata service's"),
        _ => None,
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    let own = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Local NAT64: where the IPv4 address stands in it is the network's own affair.
        [0x64, 0xff9b, 1, ..] => Some("a translator's"),
        // Teredo: it leads to an IPv4 address that is hidden in it.
        [0x2001, 0, ..] => Some("a tunnel's"),
        // AWS (of machines ::254, of pods ::23) and Google.
        [0xfd00, 0x0ec2, 0, 0, ..] | [0xfd20, 0x00ce, 0, 0, ..] => Some("a metadata service's"),
        _ => None,
    };
    own.or_else(|| within(address).and_then(refused_v4))
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, translated, 6to4, or of a
/// tunnel within a site (ISATAP).
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(from(high, low)),
        _ => None,
    }
}
