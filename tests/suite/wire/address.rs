//! The address policy, as requests meet it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use davy::io::WireError;
use davy::io::address::Allowed;
use davy::metrics::Untrusted;
use http::Request;
use tower::ServiceExt;

use super::server::answer;
use super::{get, wire_to};

/// Ways to write an address that a careless check lets through.
#[tokio::test]
async fn an_address_from_a_resource_cannot_be_disguised() {
    let server = answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let wire = wire_to(server.address, Allowed::default());
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7F.0x0.0x0.0x1",
        "0177.0.0.1",
        "017700000001",
        "0177.0x0.0.1",
        "%31%32%37.0.0.1",
        "127.0.0.1%2e",
        "0",
        "0.0.0.0",
        "0x0",
        "00000",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "user@127.0.0.1",
        "prometheus:9090@127.0.0.1",
        "10.0.0.1@127.0.0.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
        "255.255.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    ] {
        for uri in [
            format!("http://{host}:{port}/"),
            format!("https://{host}:{port}/"),
        ] {
            // Whatever cannot even be written as a request is refused too.
            let Ok(mut request) = Request::get(&uri).body(Bytes::new()) else {
                continue;
            };
            request.extensions_mut().insert(Untrusted);
            let result = wire.clone().oneshot(request).await;
            let Err(WireError::NotSent(why)) = &result else {
                panic!("{uri}: {result:?}")
            };
            // And for that reason: no connection was tried that merely failed.
            let reasons = ["is not allowed", "not the address of", "no usable answer"];
            assert!(reasons.iter().any(|reason| why.contains(reason)), "{why}");
            assert!(!why.contains("user@") && !why.contains("9090@"), "{why}");
        }
    }
    for uri in ["/api/v1/secrets", "*", "127.0.0.1:80", "ftp://127.0.0.1/"] {
        let Ok(mut request) = Request::get(uri).body(Bytes::new()) else {
            continue;
        };
        request.extensions_mut().insert(Untrusted);
        let result = wire.clone().oneshot(request).await;
        assert!(
            matches!(result, Err(WireError::NotSent(_))),
            "{uri}: {result:?}"
        );
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_allowed_address_and_a_trusted_one_are_connected_to() {
    let server = answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let port = server.address.port();
    for (list, host) in [
        ("127.0.0.0/8, ::1", "127.0.0.1"),
        ("127.0.0.0/8, ::1", "localhost"),
        ("127.0.0.0/8, ::1, localhost", "localhost"),
    ] {
        // Another API server, for this one's address is refused to resources.
        let kubernetes = "192.0.2.1:6443".parse().unwrap();
        let wire = wire_to(kubernetes, Allowed::parse(list.split(',')).unwrap());
        let mut request = get(&format!("http://{host}:{port}/"));
        request.extensions_mut().insert(Untrusted);
        assert_eq!(
            wire.oneshot(request).await.unwrap().status(),
            200,
            "{list} {host}"
        );
    }
    let wire = wire_to(server.address, Allowed::default());
    assert_eq!(
        wire.oneshot(get(&format!("http://127.0.0.1:{port}/")))
            .await
            .unwrap()
            .status(),
        200
    );
}
