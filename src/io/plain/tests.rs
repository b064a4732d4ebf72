//! A name that leads elsewhere each time that it is asked for (DNS rebinding): what was checked is
//! what is connected to. And what is told of an address that a user chose.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tower::ServiceExt;

use super::wire_with;
use crate::io::address::{Allowed, Lookup};
use crate::io::wire::{Limit, StatusOnly};
use crate::io::{Wire, WireError};
use crate::metrics::Untrusted;

const LIMIT: Limit = Limit {
    connect: Duration::from_millis(500),
    read: Duration::from_millis(500),
    total: Duration::from_secs(1),
    body: 1_000,
};

/// Addresses of this machine, so that nothing leaves it: one that the operator allows, one not.
const ALLOWED: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server that gives every connection this answer, and how many there were.
fn server(address: SocketAddr, answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    (port, connections)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Resolves to each of these in turn, and counts how often it was asked.
fn alternating(answers: Vec<Vec<Ipv4Addr>>) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let lookup: Lookup = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let next = answers
            .lock()
            .unwrap()
            .next()
            .expect("no lookup beyond these");
        Box::pin(async move { Ok(next.into_iter().map(IpAddr::V4).collect()) })
    });
    (lookup, asked)
}

fn wire(lookup: Lookup) -> Wire {
    // Fails only if a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let allowed = Allowed::parse(["127.0.0.1"]).unwrap();
    wire_with(LIMIT, Arc::new(allowed), lookup)
}

async fn sent(wire: &Wire, uri: String) -> Result<http::Response<Bytes>, WireError> {
    let mut request = Request::get(uri).body(Bytes::new()).unwrap();
    request.extensions_mut().insert(Untrusted);
    wire.clone().oneshot(request).await
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let (port, allowed) = server((ALLOWED, 0).into(), OK);
    let (_, other) = server((OTHER, port).into(), OK);
    let (lookup, asked) = alternating(vec![
        vec![ALLOWED],
        vec![OTHER],
        vec![ALLOWED, OTHER],
        vec![ALLOWED],
    ]);
    let wire = wire(lookup);
    let uri = || format!("http://rebinding.test:{port}/");
    let mut results = Vec::new();
    for _ in 0..4 {
        results.push(
            sent(&wire, uri())
                .await
                .map(|response| response.status().as_u16()),
        );
    }
    let refused = Err(WireError::NotSent(format!(
        "GET http://rebinding.test:{port}: the address is not allowed; \
         DAVY_ALLOW_ADDRESSES may allow it"
    )));
    assert_eq!(results, [Ok(200), refused.clone(), refused, Ok(200)]);
    // Asked once for each connection: what was checked was not asked for again.
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    assert_eq!(allowed.load(Ordering::SeqCst), 2);
    assert_eq!(other.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn of_an_address_that_a_user_chose_nothing_is_told_but_a_status() {
    let (closed, _) = {
        let listener = TcpListener::bind((ALLOWED, 0)).unwrap();
        (listener.local_addr().unwrap().port(), listener)
    };
    let (strange, _) = server((ALLOWED, 0).into(), b"SSH-2.0-OpenSSH_9.6\r\n");
    let (hangs_up, _) = server((ALLOWED, 0).into(), b"");
    let (cut, _) = server(
        (ALLOWED, 0).into(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    );
    let nowhere: Lookup =
        Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such host: marker")) }));
    let wire = wire(nowhere);
    for (host, port) in [
        ("127.0.0.1", closed),
        ("127.0.0.1", strange),
        ("127.0.0.1", hangs_up),
        ("127.0.0.1", cut),
        ("nowhere.test", closed),
    ] {
        let result = sent(&wire, format!("http://{host}:{port}/secret")).await;
        let Err(WireError::NotSent(why) | WireError::NoAnswer(why)) = result else {
            panic!("{result:?}")
        };
        assert_eq!(why, format!("GET http://{host}:{port}: no usable answer"));
    }
    let (refuses, _) = server(
        (ALLOWED, 0).into(),
        b"HTTP/1.1 403 Marker\r\nx-marker: marker\r\ncontent-type: text/marker\r\n\
          connection: close\r\ncontent-length: 6\r\n\r\nmarker",
    );
    let response = sent(&wire, format!("http://127.0.0.1:{refuses}/"))
        .await
        .unwrap();
    assert_eq!(response.status(), 403);
    assert!(
        response.body().is_empty() && response.headers().is_empty(),
        "{response:?}"
    );
}

/// A hook that says yes at great length has said yes.
#[tokio::test]
async fn of_an_answer_whose_status_counts_the_rest_is_not_waited_for() {
    let nowhere: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("none")) }));
    let wire = wire(nowhere);
    for answer in [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9000000\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    ] {
        let (port, _) = server((ALLOWED, 0).into(), answer);
        let mut request = Request::get(format!("http://127.0.0.1:{port}/"))
            .body(Bytes::new())
            .unwrap();
        request.extensions_mut().insert(Untrusted);
        request.extensions_mut().insert(StatusOnly {
            total: LIMIT.total,
            body: 10,
        });
        let response = wire.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.body().is_empty());
    }
}
