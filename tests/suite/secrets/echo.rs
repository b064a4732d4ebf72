//! A server that gives back whatever it was sent, credentials and all, in every place of an answer
//! in which a client might look for words to show.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With this status, in the body and in the reason.
    Status(u16),
    /// To itself, to an address that holds it.
    Redirect,
    /// Not in HTTP at all.
    Garbage,
    /// Half of it, and no more.
    Cut,
}

pub(super) const ANSWERS: [Answer; 11] = [
    Answer::Status(200),
    Answer::Status(400),
    Answer::Status(401),
    Answer::Status(403),
    Answer::Status(404),
    Answer::Status(422),
    Answer::Status(429),
    Answer::Status(500),
    Answer::Redirect,
    Answer::Garbage,
    Answer::Cut,
];

pub(super) struct Echo {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(Answer::Status(500)));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let (asked, kept) = (answer.clone(), bodies.clone());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (answer, bodies) = (asked.clone(), kept.clone());
                thread::spawn(move || {
                    let Some((head, body)) = read(&mut stream) else {
                        return;
                    };
                    let answer = *answer.lock().unwrap_or_else(PoisonError::into_inner);
                    // Whoever has gone needs no answer.
                    let _ = stream.write_all(&given_back(answer, &head, &body));
                    let mut bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
                    bodies.push(body);
                });
            }
        });
        Self {
            address,
            answer,
            bodies,
        }
    }

    pub(super) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The bodies of all requests.
    pub(super) fn bodies(&self) -> String {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.join("\n")
    }
}

/// The head and the body of a request.
fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok()).flatten()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

/// An answer that holds the request wherever there is room.
pub(super) fn given_back(answer: Answer, head: &str, body: &str) -> Vec<u8> {
    let line = head.lines().next().unwrap_or_default();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let secrets: Vec<_> = head
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("authorization"))
        .collect();
    let secrets = format!("{} {path}", secrets.join(" "));
    let said = serde_json::json!({
        "status": "error", "errorType": "bad_data", "error": format!("{secrets} {head} {body}"),
        "message": secrets, "warnings": [secrets],
    })
    .to_string();
    let answered = |status: &str, header: &str| {
        format!(
            "HTTP/1.1 {status} {secrets}\r\nContent-Type: application/json\r\n{header}\
             WWW-Authenticate: Basic realm=\"{path}\"\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{said}",
            said.len()
        )
    };
    match answer {
        Answer::Status(status) => answered(&status.to_string(), "").into_bytes(),
        Answer::Redirect => {
            let header = format!("Location: {path}?{}\r\n", path.trim_start_matches('/'));
            answered("302", &header).into_bytes()
        }
        Answer::Garbage => format!("{secrets}\r\n{said}").into_bytes(),
        Answer::Cut => {
            let whole = answered("200", "").into_bytes();
            whole[..whole.len() - said.len() / 2].to_vec()
        }
    }
}
