//! Proxies that the environment names. Davy goes through none: where a request goes is checked by the
//! address that it connects to, and of a proxy that would be the proxy's. What is told here is
//! whether one was meant for an address, so that an error can name the variable.

use std::net::IpAddr;

use http::Uri;

/// The variable that names a proxy for this address, unless `NO_PROXY` leaves the address out.
pub(in crate::io) fn variable(uri: &Uri) -> Option<&'static str> {
    variable_of(uri, environment)
}

/// A variable of the environment that is everybody's convention, and no setting of Davy's.
#[expect(
    clippy::disallowed_methods,
    reason = "what the machine and the kubelet say of the network, read where it is reached"
)]
pub(in crate::io) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether a proxy is the one that the environment names for https, and not a file's.
pub(in crate::io) fn is_of_environment(proxy: Option<&Uri>) -> bool {
    ["HTTPS_PROXY", "https_proxy"].iter().any(|name| {
        let named = environment(name).and_then(|text| text.parse().ok());
        named.as_ref() == proxy && proxy.is_some()
    })
}

/// An error of connecting, with what may be behind it.
pub(super) fn hinted(why: String, uri: &Uri) -> String {
    match variable(uri) {
        Some(variable) => format!("{why} ({variable} names a proxy, and Davy uses none)"),
        None => why,
    }
}

fn variable_of(uri: &Uri, read: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let given = |name: &str| read(name).filter(|value| !value.trim().is_empty());
    let names: &[&'static str] = if uri.scheme_str() == Some("http") {
        // HTTP_PROXY in capitals may be a header of a request, where programs are run by one.
        &["http_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    };
    let name = names.iter().copied().find(|name| given(name).is_some())?;
    let left_out = given("NO_PROXY").or_else(|| given("no_proxy"));
    let host = uri.host().unwrap_or_default();
    let is_left_out = left_out
        .iter()
        .flat_map(|list| list.split(','))
        .any(|entry| matches(entry.trim(), host, uri.port_u16()));
    (!is_left_out).then_some(name)
}

/// Whether an entry of `NO_PROXY` is about this host: `*`, a name and all names below it, an
/// address, or a network, each perhaps with a port.
fn matches(entry: &str, host: &str, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    if let Ok(address) = host.parse::<IpAddr>() {
        let (network, only) = with_port(entry);
        return port_fits(only, port) && holds(network.trim_matches(['[', ']']), address);
    }
    let (name, only) = with_port(entry);
    let name = name.trim_start_matches("*.").trim_matches('.');
    let is_below = |host: &str| {
        let before = host.len().checked_sub(name.len());
        before.is_some_and(|at| {
            host.is_char_boundary(at)
                && host[at..].eq_ignore_ascii_case(name)
                && (at == 0 || host[..at].ends_with('.'))
        })
    };
    !name.is_empty() && port_fits(only, port) && is_below(host)
}

/// An entry and the port behind it. The colons of an IPv6 address without brackets are its own.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn port_fits(only: Option<u16>, port: Option<u16>) -> bool {
    only.is_none_or(|only| port == Some(only))
}

/// Whether a network, or a single address, holds an address.
fn holds(network: &str, address: IpAddr) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, bits.parse().ok()),
        None => (network, Some(128)),
    };
    let (Ok(base), Some(bits)) = (base.parse::<IpAddr>(), bits) else {
        return false;
    };
    let same = |one: u128, other: u128, width: u32| {
        let shift = width.saturating_sub(bits);
        one.checked_shr(shift).unwrap_or(0) == other.checked_shr(shift).unwrap_or(0)
    };
    match (base, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            same(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::variable_of;

    #[test]
    fn no_proxy_is_respected() {
        for (uri, variables, expected) in [
            ("https://api:6443", &[][..], None),
            (
                "https://api:6443",
                &[("HTTPS_PROXY", "http://p:1")],
                Some("HTTPS_PROXY"),
            ),
            (
                "https://api:6443",
                &[("https_proxy", "http://p:1")],
                Some("https_proxy"),
            ),
            ("https://api:6443", &[("HTTPS_PROXY", " ")], None),
            (
                "https://api",
                &[("ALL_PROXY", "socks5://p:1")],
                Some("ALL_PROXY"),
            ),
            ("https://api", &[("http_proxy", "http://p:1")], None),
            (
                "http://api",
                &[("http_proxy", "http://p:1")],
                Some("http_proxy"),
            ),
            ("http://api", &[("HTTP_PROXY", "http://p:1")], None),
        ] {
            assert_eq!(found(uri, variables), expected, "{uri} {variables:?}");
        }
        for (uri, left_out, expected) in [
            ("https://api.test:6443", "*", true),
            ("https://api.test:6443", "other, api.test", true),
            ("https://api.test:6443", "test", true),
            ("https://api.test:6443", ".test", true),
            ("https://API.Test.:6443", "*.test", true),
            ("https://api.test:6443", "est", false),
            ("https://api.test:6443", "api", false),
            ("https://api.test:6443", "api.test:6443", true),
            ("https://api.test:6443", "api.test:443", false),
            ("https://10.96.0.1", "10.96.0.0/12", true),
            ("https://10.96.0.1", "10.96.0.1", true),
            ("https://10.96.0.1", "10.96.0.1:443", false),
            ("https://10.96.0.1", "10.97.0.0/16", false),
            ("https://10.96.0.1", "0.0.0.0/0", true),
            ("https://10.96.0.1", "96.0.1", false),
            ("https://[fd00::1]:6443", "fd00::/8", true),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", true),
            ("https://[fd00::1]:6443", "fd00::2", false),
            ("https://api.test", "", false),
            ("https://api.test", ",,", false),
            ("https://api.test", "10.0.0.0/8, /, x/y", false),
        ] {
            let variables = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", left_out)];
            assert_eq!(
                found(uri, &variables).is_none(),
                expected,
                "{uri} {left_out}"
            );
        }
    }

    fn found(uri: &str, variables: &[(&str, &str)]) -> Option<&'static str> {
        let read = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        variable_of(&uri.parse().unwrap(), read)
    }
}
