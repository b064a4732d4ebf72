//! A small https server: real `git http-backend` behind it, or whatever a hostile one would say.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

pub(crate) struct HttpsServer {
    pub(crate) port: u16,
    /// Who vouches for it, in PEM.
    pub(crate) authority: String,
    /// Requests that came.
    pub(crate) requests: Arc<AtomicUsize>,
}

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value)
    }

    fn read(stream: &mut Stream) -> Option<Self> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let method = words.next()?.to_owned();
        let target = words.next()?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.filter_map(|line| line.split_once(": "));
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body = vec![0; length];
        stream.read_exact(&mut request.body).ok()?;
        Some(request)
    }
}

/// Serves each connection one request.
pub(crate) fn serve(answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static) -> HttpsServer {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (requests.clone(), Arc::new(answer));
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (config, count, answer) = (config.clone(), count.clone(), answer.clone());
            thread::spawn(move || {
                let tls = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(tls, connection);
                // Whoever does not like the certificate sends nothing.
                if let Some(request) = Request::read(&mut stream) {
                    count.fetch_add(1, Ordering::SeqCst);
                    answer(&request, &mut stream);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    HttpsServer {
        port,
        authority: issuer.pem(),
        requests,
    }
}

/// Real git serves the repositories in a folder to whoever knows the password.
pub(crate) fn repositories(folder: &Path, password: &str) -> HttpsServer {
    let (folder, password) = (folder.to_owned(), password.to_owned());
    serve(move |request, stream| {
        let expected = format!("Basic {}", base64(format!("davy:{password}").as_bytes()));
        let answer = if request.header("authorization") == expected {
            backend(&folder, request)
        } else {
            b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\nconnection: close\r\n\r\n"
                .to_vec()
        };
        let _ = stream.write_all(&answer);
    })
}

/// Passes requests of whoever knows the password on to a server that speaks plain HTTP.
pub(crate) fn before(port: u16, password: &str) -> HttpsServer {
    let expected = format!("Basic {}", base64(format!("davy:{password}").as_bytes()));
    serve(move |request, stream| {
        let answer = if request.header("authorization") == expected {
            passed_on(port, request)
        } else {
            b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\nconnection: close\r\n\r\n"
                .to_vec()
        };
        let _ = stream.write_all(&answer);
    })
}

fn passed_on(port: u16, request: &Request) -> Vec<u8> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let target = match &*request.query {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let mut head = format!(
        "{} {target} HTTP/1.1\r\nhost: localhost\r\n",
        request.method
    );
    for (name, value) in &request.headers {
        if !["host", "connection"].contains(&&**name) {
            head = format!("{head}{name}: {value}\r\n");
        }
    }
    let head = format!("{head}connection: close\r\n\r\n");
    server.write_all(head.as_bytes()).unwrap();
    server.write_all(&request.body).unwrap();
    let mut answer = Vec::new();
    // One that is turned down may be hung up on before all of it was read.
    let _ = server.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else { return answer };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let lines = head.lines();
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    [
        format!("{head}\r\nconnection: close").as_bytes(),
        &answer[end..],
    ]
    .concat()
}

/// What `git http-backend` has to say, which is a CGI program.
pub(crate) fn backend(folder: &PathBuf, request: &Request) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("REMOTE_USER", "davy")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writer = thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap();
    // The program may have had enough before the end of it.
    let _ = writer.join().unwrap();
    let end = output
        .stdout
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_default();
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let mut answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{head}").into_bytes();
    answer.extend_from_slice(&output.stdout[end..]);
    answer
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use ssh_key::encoding::base64::{Base64, Encoding};
    Base64::encode_string(bytes)
}
