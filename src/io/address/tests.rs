use std::net::IpAddr;

use super::Allowed;
use super::network::refused;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[test]
fn addresses_that_machines_trust_are_refused_in_every_form() {
    for text in [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::",
        "::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "::169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::169.254.169.254",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "169.254.170.2",
        "fd00:ec2::23",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:a9fe:a9:fe00::",
        "2001:db8::5efe:127.0.0.1",
        "2001:db8::200:5efe:169.254.169.254",
        "fe80::5efe:10.0.0.1",
    ] {
        assert!(refused(address(text)).is_some(), "{text}");
    }
}

#[test]
fn cluster_and_public_addresses_are_not() {
    for text in [
        "10.96.0.10",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "1.1.1.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "223.255.255.255",
        "192.0.1.1",
        "fd00::1",
        "fc00::1",
        "2600::1",
        "2001:db8::1",
        "2003::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::",
        "64:ff9b:2::1",
        "fd00:ec3::254",
        "2001:db8::5efe:10.0.0.1",
    ] {
        assert_eq!(refused(address(text)), None, "{text}");
    }
}

#[tokio::test]
async fn the_operator_may_allow_more() {
    for (list, addresses, allowed) in [
        ("", "10.0.0.1", true),
        ("", "127.0.0.1", false),
        // A name server of the user's may answer with both and let the connection choose.
        ("", "10.0.0.1 127.0.0.1", false),
        ("127.0.0.1", "10.0.0.1 127.0.0.1", true),
        ("127.0.0.1", "127.0.0.2", false),
        ("127.0.0.1", "::ffff:127.0.0.1", true),
        ("127.0.0.0/8", "127.255.0.1 ::1", false),
        ("127.0.0.0/8, ::1/128", "127.255.0.1 ::1", true),
        ("0.0.0.0/0", "127.0.0.1 169.254.169.254", true),
        ("0.0.0.0/0", "::1", false),
        ("::/0", "::1", true),
        ("::/0", "127.0.0.1", false),
        ("169.254.0.0/17", "169.254.169.254", false),
        ("fe80::/10", "fe80::1", true),
        ("64:ff9b:1::/48", "64:ff9b:1::1", true),
        ("*", "169.254.169.254 ::1", true),
        (" , *.example.com , 127.0.0.1", "127.0.0.1", true),
    ] {
        let policy = Allowed::parse(list.split(',')).unwrap_or_else(|why| panic!("{why}"));
        let addresses: Vec<_> = addresses.split(' ').map(address).collect();
        let checked = policy.check(&addresses).await;
        assert_eq!(
            checked.is_ok(),
            allowed,
            "{list} {addresses:?}: {checked:?}"
        );
    }
}

/// A listed name says who may be asked for, not where it leads.
#[tokio::test]
async fn a_listed_name_does_not_allow_the_address_that_it_leads_to() {
    let policy = Allowed::parse(["metrics.example.com"]).unwrap_or_default();
    assert_eq!(policy.check_host("metrics.example.com", 10_250), Ok(()));
    for text in ["127.0.0.1", "169.254.169.254", "::1"] {
        assert!(policy.check(&[address(text)]).await.is_err(), "{text}");
    }
}

#[test]
fn ports_and_names_of_the_cluster_are_refused_unless_they_are_listed() {
    for (list, host, port, kind) in [
        ("", "prometheus.monitoring", 9_090, None),
        ("", "10.0.0.7", 10_250, Some("the kubelet's")),
        ("", "node-1.internal", 10_255, Some("the kubelet's")),
        ("", "[fd00::7]", 2_379, Some("etcd's")),
        ("", "control-plane", 6_443, Some("the API server's")),
        ("node-1.internal", "node-1.internal", 10_250, None),
        ("*.internal", "node-1.internal.", 10_250, None),
        ("10.0.0.0/8", "10.0.0.7", 10_250, None),
        // A network is of addresses: what a name leads to is not known yet.
        (
            "10.0.0.0/8",
            "node-1.internal",
            10_250,
            Some("the kubelet's"),
        ),
        ("", "kubernetes", 443, Some("the API server's")),
        ("", "kubernetes.default", 443, Some("the API server's")),
        ("", "Kubernetes.Default.svc.", 443, Some("the API server's")),
        (
            "",
            "kubernetes.default.svc.cluster.local",
            443,
            Some("the API server's"),
        ),
        ("", "kubernetes.default.svcs", 443, None),
        ("", "kubernetes.shop", 443, None),
        (
            "",
            "metadata.google.internal",
            80,
            Some("a metadata service's"),
        ),
        (
            "",
            "METADATA.google.internal.",
            80,
            Some("a metadata service's"),
        ),
        ("", "instance-data", 80, Some("a metadata service's")),
        (
            "metadata.google.internal",
            "metadata.google.internal",
            80,
            None,
        ),
        ("*", "metadata.google.internal", 10_250, None),
    ] {
        let policy = Allowed::parse(list.split(',')).unwrap_or_default();
        let checked = policy
            .check_host(host, port)
            .err()
            .map(|refused| refused.kind);
        assert_eq!(checked, kind, "{list} {host} {port}");
    }
}

#[test]
fn names_are_listed_whole_or_by_their_end() {
    for (list, host, listed) in [
        ("localhost", "localhost", true),
        ("LocalHost.", "localhost", true),
        ("localhost", "LOCALHOST.", true),
        ("localhost", "notlocalhost", false),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "evilexample.com", false),
    ] {
        let policy = Allowed::parse([list]).unwrap_or_default();
        assert_eq!(policy.names(host), listed, "{list} {host}");
    }
}

#[tokio::test]
async fn the_api_server_is_refused_by_name_and_by_address() {
    for host in ["10.96.0.1", "[fd00::1]", "::ffff:10.96.0.1"] {
        let policy = Allowed::default().with_api_server(Some(host), 443);
        let (own, other) = if host.contains("fd00") {
            ("fd00::1", "fd00::2")
        } else {
            ("10.96.0.1", "10.96.0.2")
        };
        assert!(policy.check(&[address(own)]).await.is_err(), "{host}");
        assert!(policy.check(&[address(other)]).await.is_ok(), "{host}");
    }
    let policy = Allowed::parse(["127.0.0.2"])
        .unwrap_or_default()
        .with_api_server(Some("localhost"), 6_443);
    assert!(policy.check(&[address("127.0.0.2")]).await.is_ok());
    let refused = policy.check(&[address("127.0.0.1")]).await.err();
    assert_eq!(
        refused.map(|refused| refused.kind),
        Some("the API server's")
    );
}

/// On one machine with a Prometheus, as a developer has it.
#[test]
fn a_listed_network_leaves_out_the_api_servers_own_port() {
    let policy = Allowed::parse(["127.0.0.0/8"])
        .unwrap_or_default()
        .with_api_server(Some("127.0.0.1"), 34_567);
    for (host, port, allowed) in [
        ("127.0.0.1", 9_090, true),
        ("127.0.0.1", 34_567, false),
        ("::ffff:127.0.0.1", 34_567, false),
        ("localhost", 34_567, false),
        ("localhost", 9_090, true),
    ] {
        let checked = policy.check_host(host, port);
        assert_eq!(checked.is_ok(), allowed, "{host} {port}: {checked:?}");
    }
}

#[test]
fn every_entry_that_cannot_be_read_is_named() {
    let list = [
        "10.0.0.0/33",
        "10.0.0/8",
        "::/129",
        "http://x",
        "a b",
        "*.",
        "*x",
        "ok",
        "é",
    ];
    let why = Allowed::parse(list).err().unwrap_or_default();
    for entry in list {
        assert_eq!(
            why.contains(&format!("{entry:?}")),
            entry != "ok",
            "{entry}: {why}"
        );
    }
}
