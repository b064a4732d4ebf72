//! An HTTP server that says what a test wants: a metrics system, or an API server, that misbehaves.
use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Answers every request with a status 200 and this body, made anew each time; the URL comes back. It
/// ends with the test process.
pub(crate) fn stand_in(body: impl Fn() -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // One that hangs up is not served.
            let _ = answer(connection, &body);
        }
    });
    format!("http://{address}")
}

fn answer(mut connection: TcpStream, body: &impl Fn() -> String) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = BufReader::new(&connection);
    let mut header = String::new();
    while request.read_line(&mut header)? > 2 {
        header.clear();
    }
    let body = body();
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// What Prometheus answers to a query whose value is this.
pub(crate) fn vector(value: &str) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[\
         {{\"metric\":{{}},\"value\":[{},\"{value}\"]}}]}}}}",
        now.as_secs()
    )
}
