//! The real wire against servers that lie, stall, flood and hang up: an error in time, little
//! memory, and nothing that was not asked for. Both halves, because they are different clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use davy::io::address::Allowed;
use davy::io::wire::{self, Limit, Limits};
use davy::io::{Wire, WireError};
use http::{Request, Response};
use tower::ServiceExt;

use self::server::{Server, answer, flood, raw, server};

mod address;
mod server;

const LIMIT: Limit = Limit {
    connect: Duration::from_millis(500),
    read: Duration::from_millis(500),
    total: Duration::from_secs(1),
    body: 100_000,
};

/// Far more than any limit above, and less than for ever: the machine may be busy.
const SOON: Duration = Duration::from_secs(10);

/// What the sockets of both sides may hold beyond what was read.
const SOCKET_BUFFERS: usize = 16 << 20;

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
        let Err(WireError::NoAnswer(text) | WireError::TooLarge(text)) = &result else {
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
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        // A length that lies upwards is enough to stop, and one for later is not believed.
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
    ] {
        let server = flood(head, vec![b'x'; 16384], Duration::ZERO);
        no_answer(&server, "larger than 100000 bytes").await;
        let sent = server.sent.load(Ordering::SeqCst);
        assert!(sent < SOCKET_BUFFERS, "{sent}");
    }
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = flood(
        chunks,
        format!("1000\r\n{}\r\n", "x".repeat(4096)).into_bytes(),
        Duration::ZERO,
    );
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
        b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec(),
        Duration::ZERO,
    );
    no_answer(&server, "GET ").await;
    assert!(server.sent.load(Ordering::SeqCst) < SOCKET_BUFFERS);
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_end_with_the_time_limit() {
    let pause = Duration::from_millis(50);
    no_answer(
        &flood("HTTP/1.1 200 OK\r\nx: ", b"y".to_vec(), pause),
        "no answer within 1s",
    )
    .await;
    no_answer(
        &flood("HTTP/1.1 200 OK\r\n\r\n", b"y".to_vec(), pause),
        "no answer within 1s",
    )
    .await;
}

#[tokio::test]
async fn a_silent_server_ends_with_the_time_limit() {
    no_answer(&server(|_| thread::park()), "no answer within 1s").await;
}

#[tokio::test]
async fn a_body_that_stops_is_not_waited_for() {
    let server = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        thread::park();
    });
    no_answer(&server, "the answer stopped for 500ms").await;
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
