use std::net::IpAddr;

use super::{Allowed, refused};

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
    ] {
        assert_eq!(refused(address(text)), None, "{text}");
    }
}

#[tokio::test]
async fn the_operator_may_allow_more() {
    for (list, host, addresses, allowed) in [
        (vec![], "prometheus", vec!["10.0.0.1"], true),
        (vec![], "prometheus", vec!["127.0.0.1"], false),
        // A name server of the user's may answer with both and let the connection choose.
        (vec![], "prometheus", vec!["10.0.0.1", "127.0.0.1"], false),
        (
            vec!["127.0.0.1"],
            "prometheus",
            vec!["10.0.0.1", "127.0.0.1"],
            true,
        ),
        (vec!["127.0.0.1"], "prometheus", vec!["127.0.0.2"], false),
        (vec!["127.0.0.1"], "x", vec!["::ffff:127.0.0.1"], true),
        (vec!["127.0.0.0/8"], "x", vec!["127.255.0.1", "::1"], false),
        (
            vec!["127.0.0.0/8", "::1/128"],
            "x",
            vec!["127.255.0.1", "::1"],
            true,
        ),
        (
            vec!["0.0.0.0/0"],
            "x",
            vec!["127.0.0.1", "169.254.169.254"],
            true,
        ),
        (vec!["0.0.0.0/0"], "x", vec!["::1"], false),
        (vec!["::/0"], "x", vec!["::1"], true),
        (vec!["::/0"], "x", vec!["127.0.0.1"], false),
        (vec!["169.254.0.0/17"], "x", vec!["169.254.169.254"], false),
        (vec!["fe80::/10"], "x", vec!["fe80::1"], true),
        (vec!["localhost"], "localhost", vec!["127.0.0.1"], true),
        (vec!["LocalHost."], "localhost", vec!["127.0.0.1"], true),
        (vec!["localhost"], "LOCALHOST.", vec!["127.0.0.1"], true),
        (vec!["localhost"], "notlocalhost", vec!["127.0.0.1"], false),
        (
            vec!["*.example.com"],
            "a.b.example.com",
            vec!["127.0.0.1"],
            true,
        ),
        (
            vec!["*.example.com"],
            "example.com",
            vec!["127.0.0.1"],
            false,
        ),
        (
            vec!["*.example.com"],
            "evilexample.com",
            vec!["127.0.0.1"],
            false,
        ),
        (vec!["*"], "anything", vec!["169.254.169.254", "::1"], true),
        (
            vec![" ", "*.example.com ", "127.0.0.1"],
            "x",
            vec!["127.0.0.1"],
            true,
        ),
    ] {
        let policy = Allowed::parse(list.iter().copied()).unwrap_or_else(|why| panic!("{why}"));
        let addresses: Vec<_> = addresses.into_iter().map(address).collect();
        let checked = policy.check(host, &addresses).await;
        assert_eq!(
            checked.is_ok(),
            allowed,
            "{list:?} {host} {addresses:?}: {checked:?}"
        );
    }
}

#[tokio::test]
async fn the_api_server_is_refused_by_name_and_by_address() {
    for host in ["10.96.0.1", "[fd00::1]", "::ffff:10.96.0.1"] {
        let policy = Allowed::default().with_api_server(Some(host));
        let six = host.contains("fd00");
        let (own, other) = if six {
            ("fd00::1", "fd00::2")
        } else {
            ("10.96.0.1", "10.96.0.2")
        };
        assert!(policy.check("x", &[address(own)]).await.is_err(), "{host}");
        assert!(policy.check("x", &[address(other)]).await.is_ok(), "{host}");
    }
    let policy = Allowed::parse(["127.0.0.2"])
        .unwrap_or_default()
        .with_api_server(Some("localhost"));
    assert!(policy.check("x", &[address("127.0.0.2")]).await.is_ok());
    let why = policy
        .check("x", &[address("127.0.0.1")])
        .await
        .err()
        .unwrap_or_default();
    assert!(why.contains("the API server's"), "{why}");
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
