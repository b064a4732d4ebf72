//! Remotes that refuse, lie, stall, flood and listen: an error in time that says what it was, no
//! secret in it, and nothing lost or forced.

use std::fmt::Debug;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use davy::io::git::{Delivered, Error};

use super::https_server::{self, HttpsServer, Request, Stream, backend, serve};
use super::keys::{public, run};
use super::place::{MARKER, Over, Place, file, time};

/// Far more than any deadline below, and less than for ever: the machine may be busy.
const SOON: Duration = Duration::from_secs(20);

/// What becomes of a piece of work, which comes in time and tells no secret.
async fn watched<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let start = Instant::now();
    let worked = work.await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    if let Err(error) = &worked {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(MARKER), "{shown}");
        assert!(!shown.chars().any(char::is_control), "{shown}");
    }
    worked
}

async fn deliver(place: &Place) -> Result<Delivered, Error> {
    let files = vec![file("a", "one")];
    watched(place.remote().deliver(files, "First", time(1))).await
}

/// A repository at an https server of the test's own.
async fn at(
    answer: impl Fn(&Request, &mut Stream) + Send + Sync + 'static,
) -> Option<(Place, HttpsServer)> {
    let mut place = Place::new(Over::Https).await?;
    let server = serve(answer);
    place.settings.url = format!("https://localhost:{}/audit.git", server.port);
    place.settings.ca_file = Some(place.keys.file("ca.pem", &server.authority));
    place.settings.limits.deadline = Duration::from_secs(2);
    Some((place, server))
}

fn refusal<T: Debug>(worked: Result<T, Error>) -> String {
    match worked {
        Err(error @ Error::Refused { .. }) => {
            assert!(!error.is_worth_another_try());
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

fn trouble<T: Debug>(worked: Result<T, Error>) -> String {
    match worked {
        Err(error @ Error::Unreachable { .. }) => {
            assert!(error.is_worth_another_try());
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_hook_says_is_told() {
    for over in [Over::Https, Over::Ssh] {
        for hook in ["pre-receive", "update"] {
            let Some(place) = Place::new(over).await else {
                return;
            };
            place.hook(
                hook,
                "printf 'no \\033[31mrecords\\007 here\\n' >&2; exit 1",
            );
            let why = refusal(deliver(&place).await);
            assert!(why.contains("declined"), "{over:?}: {why}");
            assert!(why.contains("no \\u{1b}[31mrecords\\u{7} here"), "{why}");
            assert!(place.git(&["for-each-ref"]).is_empty());
        }
    }
}

#[tokio::test]
async fn a_remote_that_takes_it_back_after_its_ok_is_not_believed() {
    for over in [Over::Https, Over::Ssh] {
        let Some(place) = Place::new(over).await else {
            return;
        };
        deliver(&place).await.unwrap();
        let before = place.commits();
        place.hook(
            "post-receive",
            "while read old new name; do git update-ref $name $old; done",
        );
        let files = vec![file("b", "two")];
        let lost = place.remote().deliver(files, "Second", time(2)).await;
        let why = refusal(lost);
        assert!(
            why.contains("says that it took the commit"),
            "{over:?}: {why}"
        );
        assert_eq!(place.commits(), before);
    }
}

#[tokio::test]
async fn a_branch_that_is_moved_each_time_ends_in_an_error_and_loses_nothing() {
    let Some(mut place) = Place::new(Over::Https).await else {
        return;
    };
    let folder = place.keys.folder.path().to_owned();
    let repository = place.repository.clone();
    let server = serve(move |request, stream| {
        if request.path.ends_with("/git-receive-pack") {
            let script = "tip=$(git rev-parse -q --verify main)
                tree=$(git mktree </dev/null)
                new=$(echo Other | git commit-tree $tree ${tip:+-p $tip})
                git update-ref refs/heads/main $new";
            let mut shell = Command::new("sh");
            for who in ["AUTHOR", "COMMITTER"] {
                shell.env(format!("GIT_{who}_NAME"), "Other");
                shell.env(format!("GIT_{who}_EMAIL"), "other@example.com");
            }
            run(shell.args(["-c", script]).current_dir(&repository));
        }
        let _ = stream.write_all(&backend(&folder, request));
    });
    place.settings.url = format!("https://localhost:{}/audit.git", server.port);
    place.settings.ca_file = Some(place.keys.file("ca.pem", &server.authority));
    place.settings.limits.deadline = Duration::from_secs(4);
    let failed = deliver(&place).await;
    assert!(
        matches!(
            failed,
            Err(Error::Deadline { .. } | Error::Contended { .. })
        ),
        "{failed:?}"
    );
    let authors = place.git(&["log", "--format=%an", "main"]);
    assert!(authors.lines().count() > 1, "{authors}");
    assert!(authors.lines().all(|author| author == "Other"), "{authors}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_credentials_do_not_travel() {
    let elsewhere = serve(|_, _| {});
    let port = elsewhere.port;
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
    ] {
        let redirect = move |request: &Request, stream: &mut Stream| {
            let (path, query) = (&request.path, &request.query);
            let head = format!(
                "HTTP/1.1 {status}\r\nlocation: https://localhost:{port}{path}?{query}\r\n\
                 content-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
        };
        let Some((place, server)) = at(redirect).await else {
            return;
        };
        let why = refusal(deliver(&place).await);
        assert!(why.contains("redirects are not followed"), "{why}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    }
    assert_eq!(elsewhere.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn credentials_are_offered_once() {
    let ask = |_: &Request, stream: &mut Stream| {
        let head = b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\n\
                     content-length: 0\r\n\r\n";
        let _ = stream.write_all(head);
    };
    let Some((place, server)) = at(ask).await else {
        return;
    };
    let why = refusal(deliver(&place).await);
    assert!(why.contains("401 Unauthorized"), "{why}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_wrong_password_or_key_is_said() {
    let Some(mut place) = Place::new(Over::Https).await else {
        return;
    };
    place.settings.password_file = Some(place.keys.secret("wrong", format!("{MARKER}x")));
    let why = refusal(deliver(&place).await);
    assert!(why.contains("401 Unauthorized"), "{why}");
    let Some(mut place) = Place::new(Over::Ssh).await else {
        return;
    };
    let missing = place.settings.url.replace("audit.git", "missing.git");
    let good = std::mem::replace(&mut place.settings.url, missing);
    let why = refusal(deliver(&place).await);
    assert!(
        why.contains("does not appear to be a git repository"),
        "{why}"
    );
    place.settings.url = good;
    place.settings.ssh_key_file = Some(place.keys.ed25519("stranger"));
    let why = refusal(deliver(&place).await);
    assert!(why.contains("with this key"), "{why}");
}

#[tokio::test]
async fn a_host_or_an_authority_that_is_not_the_known_one_gets_nothing() {
    let Some(mut place) = Place::new(Over::Ssh).await else {
        return;
    };
    let known = place.settings.known_hosts_file.as_ref().unwrap();
    let known = std::fs::read_to_string(known).unwrap();
    let (host, key) = known.split_once(' ').unwrap();
    let other = public(&place.keys.ed25519("other"));
    let shown = run(Command::new("ssh-keygen")
        .arg("-lf")
        .arg(place.keys.file("known", &known)));
    let fingerprint = shown.split(' ').nth(1).unwrap();
    for (list, reason) in [
        (format!("{host} {other}"), "is not the known one"),
        (format!("{known}@revoked {host} {key}"), "is revoked"),
    ] {
        place.settings.known_hosts_file = Some(place.keys.file("wrong", list));
        let why = refusal(deliver(&place).await);
        assert!(why.contains(reason) && why.contains(fingerprint), "{why}");
    }
    let Some((mut place, server)) = at(|_, _| {}).await else {
        return;
    };
    let other = https_server::serve(|_, _| {});
    place.settings.ca_file = Some(place.keys.file("other.pem", &other.authority));
    let why = trouble(deliver(&place).await);
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

/// Begins an answer and leaves it at that.
fn stall(_: &Request, stream: &mut Stream) {
    let head = b"HTTP/1.1 200 OK\r\n\
                 content-type: application/x-git-upload-pack-advertisement\r\n\r\n001e#";
    let _ = stream.write_all(head);
    let _ = stream.flush();
    // Until it is hung up on.
    let _ = std::io::Read::read(&mut stream.sock, &mut [0]);
}

#[tokio::test]
async fn a_remote_that_never_answers_is_given_up_in_time() {
    // Connections wait in the kernel; nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for over in [Over::Https, Over::Ssh] {
        let Some(mut place) = Place::new(over).await else {
            return;
        };
        place.settings.limits.deadline = Duration::from_millis(300);
        match over {
            Over::Ssh => {
                let known = place.settings.known_hosts_file.as_ref().unwrap();
                let known = std::fs::read_to_string(known).unwrap();
                let key = known.split_once(' ').unwrap().1;
                let list = format!("[127.0.0.1]:{port} {key}");
                place.settings.known_hosts_file = Some(place.keys.file("silent", list));
                place.settings.url = format!("ssh://git@127.0.0.1:{port}/audit.git");
            }
            _ => place.settings.url = format!("https://localhost:{port}/audit.git"),
        }
        let late = deliver(&place).await;
        assert!(
            matches!(late, Err(Error::Deadline { .. })),
            "{over:?}: {late:?}"
        );
    }
    // After it has begun.
    let Some((mut place, _server)) = at(stall).await else {
        return;
    };
    place.settings.limits.deadline = Duration::from_millis(500);
    let late = deliver(&place).await;
    assert!(matches!(late, Err(Error::Deadline { .. })), "{late:?}");
}

/// A pass that is over does not wait for a remote, whatever the remote's own deadline.
#[test]
fn work_that_nobody_waits_for_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = Instant::now();
    runtime.block_on(async {
        let Some((mut place, _server)) = at(stall).await else {
            return;
        };
        place.settings.limits.deadline = Duration::from_mins(10);
        let given_up = tokio::time::timeout(Duration::from_millis(200), deliver(&place)).await;
        assert!(given_up.is_err());
    });
    // Waits for what still works.
    drop(runtime);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// What comes after the head of an answer, again and again.
fn endless(kind: &str, start: &[u8], piece: &[u8], stream: &mut Stream) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-git-{kind}\r\n\r\n");
    let _ = stream.write_all(&[head.as_bytes(), start].concat());
    let pieces = piece.repeat(1 + 60_000 / piece.len());
    while stream.write_all(&pieces).is_ok() {}
}

fn packet(bytes: &[u8]) -> Vec<u8> {
    [format!("{:04x}", bytes.len() + 4).as_bytes(), bytes].concat()
}

/// A head that leads somewhere, and one branch.
fn advertisement() -> Vec<u8> {
    let mut lines = packet(b"# service=git-upload-pack\n");
    lines.extend_from_slice(b"0000");
    let line = format!(
        "{} refs/heads/main\0shallow side-band-64k\n",
        "1".repeat(40)
    );
    lines.extend(packet(line.as_bytes()));
    lines.extend_from_slice(b"0000");
    lines
}

fn advertised(stream: &mut Stream, lines: &[u8]) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement\r\n\
                connection: close\r\n\r\n";
    let _ = stream.write_all(&[head.as_bytes(), lines].concat());
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let refs = |_: &Request, stream: &mut Stream| {
        let line = packet(format!("{} refs/heads/x\n", "1".repeat(40)).as_bytes());
        let start = packet(b"# service=git-upload-pack\n");
        endless("upload-pack-advertisement", &start, &line, stream);
    };
    // A pack of one file of a terabyte, and one of two thousand million files.
    let pack = |count: u32| {
        move |request: &Request, stream: &mut Stream| {
            if request.method == "GET" {
                return advertised(stream, &advertisement());
            }
            let head = [&b"\x01PACK\0\0\0\x02"[..], &count.to_be_bytes()].concat();
            // A blob of 2^40 bytes, packed by a method that does not pack.
            let blob = b"\xb0\x80\x80\x80\x80\x80\x02\x78\x01";
            let start = [packet(b"NAK\n"), packet(&[&head[..], blob].concat())].concat();
            let block = b"\x01\0\x60\xea\x9f\x15";
            let piece = packet(&[&block[..], &vec![0; 60_000]].concat());
            endless("upload-pack-result", &start, &piece, stream);
        }
    };
    let talk = |request: &Request, stream: &mut Stream| {
        if request.method == "GET" {
            return advertised(stream, &advertisement());
        }
        endless(
            "upload-pack-result",
            &packet(b"NAK\n"),
            &packet(b"\x02still there\n"),
            stream,
        );
    };
    let mut tried = Vec::new();
    for place in [
        at(refs).await,
        at(pack(1)).await,
        at(pack(2_000_000_000)).await,
        at(talk).await,
    ] {
        let Some((mut place, _server)) = place else {
            return;
        };
        place.settings.limits.received = 1 << 20;
        place.settings.limits.deadline = Duration::from_secs(15);
        tried.push(trouble(watched(place.remote().read("")).await));
    }
    let cut = |why: &String| why.contains("sends more than may be read");
    assert!(
        cut(&tried[0]) && cut(&tried[1]) && cut(&tried[3]),
        "{tried:#?}"
    );
    assert!(!cut(&tried[2]), "{tried:#?}");
}

#[tokio::test]
async fn nonsense_is_an_error_and_not_the_end() {
    let secret = format!("ERR {MARKER} is wrong, and so is davy:{MARKER}\x1b[2J");
    let mut bad_name = packet(b"# service=git-upload-pack\n");
    bad_name.extend_from_slice(b"0000");
    let line = [&[b'1'; 40][..], b" refs/heads/\xff\xfe\0shallow\n"].concat();
    bad_name.extend(packet(&line));
    bad_name.extend_from_slice(b"0000");
    for lines in [
        Vec::new(),
        b"0000".to_vec(),
        b"ffff".to_vec(),
        b"zzzz".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"<html>".to_vec(),
        packet(secret.as_bytes()),
        [
            packet(b"# service=git-upload-pack\n"),
            b"0000".to_vec(),
            packet(secret.as_bytes()),
        ]
        .concat(),
        bad_name,
    ] {
        let shown = String::from_utf8_lossy(&lines).into_owned();
        let Some((place, _server)) = at(move |_, stream| advertised(stream, &lines)).await else {
            return;
        };
        let delivered = deliver(&place).await;
        assert!(
            matches!(delivered, Err(Error::Unreachable { .. })),
            "{shown:?}: {delivered:?}"
        );
    }
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        "",
    ] {
        let say = move |_: &Request, stream: &mut Stream| {
            let _ = stream.write_all(head.as_bytes());
        };
        let Some((place, _server)) = at(say).await else {
            return;
        };
        trouble(deliver(&place).await);
    }
}
