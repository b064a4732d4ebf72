//! Servers on loopback that answer as no server should.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A server that does the same to every connection, once the head of a request has come.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// How many there were.
    pub(super) connections: Arc<AtomicUsize>,
    /// Bytes of the body that went out.
    pub(super) sent: Arc<AtomicUsize>,
}

pub(super) fn server(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    raw(move |stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            head.push(byte[0]);
        }
        act(stream);
    })
}

pub(super) fn raw(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
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
pub(super) fn flood(head: &'static str, piece: Vec<u8>, pause: Duration) -> Server {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let server = server(move |stream| {
        let _ = stream.write_all(head.as_bytes());
        while stream.write_all(&piece).is_ok() {
            count.fetch_add(piece.len(), Ordering::SeqCst);
            thread::sleep(pause);
        }
    });
    Server { sent, ..server }
}

pub(super) fn answer(text: &'static str) -> Server {
    server(move |stream| stream.write_all(text.as_bytes()).unwrap())
}
