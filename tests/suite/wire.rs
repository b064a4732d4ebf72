//! The real wire against servers that lie, stall, flood and hang up: an error in time, little
//! memory, and nothing that was not asked for. Both halves, because they are different clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use davy::io::address::Allowed;
use davy::io::wire::{self, Limit, Limits};
use davy::io::{Wire, WireError};
use davy::metrics::Untrusted;
use http::{Request, Response};
use tower::ServiceExt;

const LIMIT: Limit = Limit {
    connect: Duration::from_millis(300),
    read: Duration::from_millis(300),
    total: Duration::from_millis(700),
    body: 100_000,
};

/// Far more than any limit above, and less than for ever: the machine may be busy.
const SOON: Duration = Duration::from_secs(10);

/// What the sockets of both sides may hold beyond what was read.
const SOCKET_BUFFERS: usize = 16 << 20;

/// A server that does the same to every connection, once the head of a request has come.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

fn server(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    raw(move |stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            head.push(byte[0]);
        }
        act(stream);
    })
}

fn raw(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, act) = (connections.clone(), Arc::new(act));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let act = act.clone();
            thread::spawn(move || act(&mut stream));
        }
    });
    Server {
        address,
        connections,
        sent,
    }
}

/// A server that sends `head` and then `piece` again and again, until it is hung up on.
fn flood(head: &'static str, piece: &'static [u8], pause: Duration) -> Server {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let server = server(move |stream| {
        let _ = stream.write_all(head.as_bytes());
        while stream.write_all(piece).is_ok() {
            count.fetch_add(piece.len(), Ordering::SeqCst);
            thread::sleep(pause);
        }
    });
    Server { sent, ..server }
}

fn answer(text: &'static str) -> Server {
    server(move |stream| stream.write_all(text.as_bytes()).unwrap())
}

fn wire_to(kubernetes: SocketAddr, allowed: Allowed) -> Wire {
    let config = kube::Config::new(format!("http://{kubernetes}").parse().unwrap());
    wire::real(
        &config,
        Limits {
            kubernetes: LIMIT,
            plain: LIMIT,
        },
        allowed,
    )
    .unwrap()
}

fn get(uri: &str) -> Request<Bytes> {
    Request::get(uri).body(Bytes::new()).unwrap()
}

/// The server's answer over each half, with how long it took.
async fn over_both_halves(server: &Server) -> [(Result<Response<Bytes>, WireError>, Duration); 2] {
    let wire = wire_to(server.address, Allowed::default());
    let send = async |uri: String| {
        let start = Instant::now();
        (wire.clone().oneshot(get(&uri)).await, start.elapsed())
    };
    [
        send("/apis/x".to_owned()).await,
        send(format!("http://{}/x?y=secret", server.address)).await,
    ]
}

/// Both halves fail in time and say so, without what may be secret.
async fn no_answer(server: &Server, why: &str) {
    for (result, took) in over_both_halves(server).await {
        let Err(WireError::NoAnswer(text)) = &result else {
            panic!("{result:?}")
        };
        assert!(text.contains(why), "{text}");
        assert!(
            text.starts_with("GET ") && !text.contains("secret"),
            "{text}"
        );
        assert!(took < SOON, "{took:?}");
    }
}

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let text = "HTTP/1.1 201 Created\r\ncontent-length: 5\r\nx: y\r\n\r\nhello";
    for (result, _) in over_both_halves(&answer(text)).await {
        let response = result.unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["x"], "y");
        assert_eq!(&response.body()[..], b"hello");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    static BODY: [u8; 65_536] = [b'x'; 65_536];
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        // A length that lies upwards is enough to stop, and one for later is not believed.
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
    ] {
        let server = flood(head, &BODY, Duration::ZERO);
        no_answer(&server, "larger than 100000 bytes").await;
        let sent = server.sent.load(Ordering::SeqCst);
        assert!(sent < SOCKET_BUFFERS, "{sent}");
    }
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = flood(chunks, b"10\r\n0123456789abcdef\r\n", Duration::ZERO);
    no_answer(&server, "larger than 100000 bytes").await;
}

#[tokio::test]
async fn a_body_of_just_the_limit_passes() {
    let server = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(&vec![b'x'; LIMIT.body]);
    });
    for (result, _) in over_both_halves(&server).await {
        assert_eq!(result.unwrap().body().len(), LIMIT.body);
    }
}

#[tokio::test]
async fn endless_headers_are_cut() {
    let server = flood(
        "HTTP/1.1 200 OK\r\n",
        b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        Duration::ZERO,
    );
    no_answer(&server, "GET ").await;
    assert!(server.sent.load(Ordering::SeqCst) < SOCKET_BUFFERS);
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_end_with_the_time_limit() {
    let pause = Duration::from_millis(50);
    no_answer(
        &flood("HTTP/1.1 200 OK\r\nx: ", b"y", pause),
        "no answer within 700ms",
    )
    .await;
    no_answer(
        &flood("HTTP/1.1 200 OK\r\n\r\n", b"y", pause),
        "no answer within 700ms",
    )
    .await;
}

#[tokio::test]
async fn a_silent_server_ends_with_the_time_limit() {
    no_answer(&server(|_| thread::park()), "no answer within 700ms").await;
}

#[tokio::test]
async fn a_body_that_stops_is_not_waited_for() {
    let server = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        thread::park();
    });
    no_answer(&server, "the answer stopped for 300ms").await;
}

#[tokio::test]
async fn a_server_that_hangs_up_has_not_answered() {
    no_answer(&server(|_| ()), "GET ").await;
    no_answer(
        &answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        "GET ",
    )
    .await;
    no_answer(
        &answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"),
        "GET ",
    )
    .await;
    // To close with unread data resets the connection.
    let reset = raw(|stream| {
        let _ = stream.read(&mut [0; 1]);
    });
    no_answer(&reset, "GET ").await;
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    no_answer(&answer("SSH-2.0-OpenSSH_9.6\r\n"), "GET ").await;
    no_answer(&answer("HTTP/9.9 200 OK\r\n\r\n"), "GET ").await;
    no_answer(&answer("\0\0\0\0\0\0\r\n\r\n"), "GET ").await;
}

#[tokio::test]
async fn a_request_that_cannot_have_left_is_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let wire = wire_to(closed, Allowed::default());
    for uri in [
        "/api".to_owned(),
        format!("http://{closed}/"),
        "http://no-such.invalid/".to_owned(),
    ] {
        let result = wire.clone().oneshot(get(&uri)).await;
        assert!(
            matches!(result, Err(WireError::NotSent(_))),
            "{uri}: {result:?}"
        );
    }
}

/// The limit on connecting covers the handshake: nothing of the request has left before it.
#[tokio::test]
async fn a_handshake_that_stalls_ends_with_the_connect_limit() {
    let server = raw(|_| thread::park());
    let config = kube::Config::new(format!("https://{}", server.address).parse().unwrap());
    let limits = Limits {
        kubernetes: LIMIT,
        plain: LIMIT,
    };
    let wire = wire::real(&config, limits, Allowed::default()).unwrap();
    for uri in ["/api".to_owned(), format!("https://{}/", server.address)] {
        let start = Instant::now();
        let result = wire.clone().oneshot(get(&uri)).await;
        assert!(
            matches!(result, Err(WireError::NotSent(_))),
            "{uri}: {result:?}"
        );
        assert!(start.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let target = answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let location = format!("http://{}/", target.address);
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let head =
            format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let server = server(move |stream| stream.write_all(head.as_bytes()).unwrap());
        for (result, _) in over_both_halves(&server).await {
            assert_eq!(result.unwrap().status().as_str(), &status[..3]);
        }
    }
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}

/// A hidden retry could take a step twice.
#[tokio::test]
async fn nothing_is_sent_twice() {
    for status in [
        "429 Slow Down",
        "500 Oops",
        "502 Bad",
        "503 Busy",
        "504 Late",
    ] {
        let head = format!(
            "HTTP/1.1 {status}\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let server = server(move |stream| stream.write_all(head.as_bytes()).unwrap());
        for (result, _) in over_both_halves(&server).await {
            assert_eq!(result.unwrap().status().as_str(), &status[..3]);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 2, "{status}");
    }
    let server = server(|_| ());
    no_answer(&server, "GET ").await;
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

/// What is not asked for cannot be unpacked: a small body stays one.
#[tokio::test]
async fn bodies_are_not_unpacked() {
    let server = raw(|stream| {
        let mut head = [0; 2048];
        let read = stream.read(&mut head).unwrap();
        let asks = String::from_utf8_lossy(&head[..read])
            .to_lowercase()
            .contains("accept-encoding");
        let body = if asks { "asks" } else { "none" };
        let text =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).unwrap();
    });
    for (result, _) in over_both_halves(&server).await {
        assert_eq!(&result.unwrap().body()[..], b"none");
    }
}

#[tokio::test]
async fn a_kubernetes_client_works_over_the_wire_and_keeps_its_errors() {
    let server = answer("HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"major\": \"1\"}   ");
    let client = wire::kube_client(&wire_to(server.address, Allowed::default()));
    let request = || Request::get("/version").body(Vec::new()).unwrap();
    let version: serde_json::Value = client.request(request()).await.unwrap();
    assert_eq!(version["major"], "1");

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = wire::kube_client(&wire_to(closed, Allowed::default()));
    let Err(kube::Error::Service(why)) = client.request::<serde_json::Value>(request()).await
    else {
        panic!("no error")
    };
    assert!(
        matches!(why.downcast_ref(), Some(WireError::NotSent(_))),
        "{why:?}"
    );
}

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
        ("localhost", "localhost"),
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
