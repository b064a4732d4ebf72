//! Repositories of every shape: at the top of a host, behind RSA keys, moved by others, and large.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use davy::io::git::{Error, Proposal, Proposed, Remote, RemoteSettings};

use super::https_server::{Request, backend, serve};
use super::place::{ALL, Over, Place, file, time};
use super::ssh_server;

#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_into_the_branch_is_built_upon() {
    for over in ALL {
        let Some(place) = Place::new(over).await else {
            continue;
        };
        let remote = place.remote();
        for round in 1..4 {
            let name = format!("records/{round}");
            let delivered = remote
                .deliver(vec![file(&name, "ours")], "Ours", time(round))
                .await;
            let delivered = delivered.unwrap_or_else(|error| panic!("{over:?}: {error}"));
            assert_eq!(place.commits()[0], delivered.commit, "{over:?}");
            place.by_hand(&format!(
                "echo theirs >theirs-{round}; git add .; git commit -qm Theirs"
            ));
        }
        let subjects = place.git(&["log", "--format=%s", "main"]);
        let expected = "Theirs\nOurs\n".repeat(3);
        assert_eq!(subjects, expected, "{over:?}");
        let trail = remote.read("records").await;
        let trail = trail.unwrap_or_else(|error| panic!("{over:?}: {error}"));
        assert!(
            trail.files.iter().all(|kept| kept.added.is_believed()),
            "{over:?}"
        );
        assert_eq!(trail.files.len(), 3, "{over:?}");
        place.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_be_a_repository() {
    let Some(mut place) = Place::new(Over::Https).await else {
        return;
    };
    let folder = place.keys.folder.path().to_owned();
    let server = serve(move |request, stream| {
        let request = Request {
            path: format!("/audit.git{}", request.path),
            ..request.clone()
        };
        let _ = stream.write_all(&backend(&folder, &request));
    });
    place.settings.ca_file = Some(place.keys.file("ca.pem", &server.authority));
    for (number, end) in (1..).zip(["", "/"]) {
        place.settings.url = format!("https://localhost:{}{end}", server.port);
        let files = vec![file(&format!("{number}"), "a")];
        let delivered = place.remote().deliver(files, "A", time(number)).await;
        assert!(delivered.unwrap_or_else(|error| panic!("{error}")).is_new);
        assert!(place.remote().read("").await.unwrap().tip.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa_key_lets_in_by_sha2() {
    let Some(mut place) = Place::new(Over::Ssh).await else {
        return;
    };
    let ssh = ssh_server::shared().await.unwrap();
    place.settings.ssh_key_file = Some(ssh.rsa.clone());
    let remote = place.remote();
    let delivered = remote.deliver(vec![file("a", "a")], "A", time(1));
    let delivered = delivered.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(place.commits(), [delivered.commit]);
}

/// Fills the branch by git's own `fast-import`.
fn filled(
    place: &Place,
    count: usize,
    path: impl Fn(usize) -> String,
    text: impl Fn(usize) -> String,
) {
    let mut git = place.git_command();
    let mut importing = git
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = String::from(
        "commit refs/heads/main\ncommitter Eve <eve@example.com> 1767225600 +0000\n\
         data 4\nMany\n",
    );
    for number in 0..count {
        let text = text(number);
        writeln!(stream, "M 100644 inline {}", path(number)).unwrap();
        write!(stream, "data {}\n{text}\n", text.len()).unwrap();
    }
    let mut input = importing.stdin.take().unwrap();
    input.write_all(stream.as_bytes()).unwrap();
    drop(input);
    assert!(importing.wait().unwrap().success());
}

/// As hard to press as a record with digests in it.
fn noise(number: usize) -> String {
    let mut state = number as u64;
    let mut text = String::new();
    while text.len() < 1_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{state:016x}").unwrap();
    }
    text
}

/// A delivery on top of 100,000 records brings their names, and not what they hold, where the
/// server can leave that out.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_records_are_not_fetched_to_add_one() {
    for over in [Over::Https, Over::Ssh] {
        let Some(mut place) = Place::new(over).await else {
            return;
        };
        let path = |number: usize| {
            format!(
                "records/default/test/app-{}/{number:08}-promoted.yaml",
                number % 50
            )
        };
        filled(&place, 100_000, path, noise);
        place.git(&["config", "uploadpack.allowFilter", "true"]);
        place.settings.limits.received = 4 << 20;
        place.settings.limits.deadline = Duration::from_mins(1);
        let start = Instant::now();
        let remote = place.remote();
        let delivered = remote.deliver(
            vec![file("records/default/test/app-0/new", "new")],
            "New",
            time(1),
        );
        let delivered = delivered
            .await
            .unwrap_or_else(|error| panic!("{over:?}: {error}"));
        let took = start.elapsed();
        assert_eq!(place.commits()[0], delivered.commit);
        writeln!(
            std::io::stderr(),
            "{over:?}: onto 100,000 records with less than 4 MiB received, in {took:?}"
        )
        .unwrap();
        place.git(&["fsck", "--no-dangling", "--connectivity-only"]);
        place.git(&["config", "uploadpack.allowFilter", "false"]);
        let whole = place
            .remote()
            .deliver(vec![file("records/other", "new")], "New", time(2))
            .await;
        let Err(Error::Unreachable { why, .. }) = whole else {
            panic!("{over:?}: {whole:?}")
        };
        assert!(why.contains("uploadpack.allowFilter"), "{why}");
    }
}

fn proposal() -> Proposal {
    Proposal {
        branch: "davy/revert/a".to_owned(),
        folder: String::new(),
        is_wanted: |path| {
            path.rsplit_once('.')
                .is_some_and(|(_, kind)| kind == "yaml")
        },
        edit: Box::new(|_, text| text.starts_with("old").then(|| "new".to_owned())),
        describe: Box::new(|files| format!("Change {}", files.join(" "))),
        at: time(1),
    }
}

/// More than a thread can go through in the time that there is.
#[tokio::test(flavor = "multi_thread")]
async fn work_on_what_is_large_ends_at_the_deadline() {
    let Some(mut place) = Place::new(Over::File).await else {
        return;
    };
    filled(
        &place,
        100_000,
        |number| format!("{number}.yaml"),
        |_| "old".to_owned(),
    );
    place.settings.limits.deadline = Duration::from_millis(30);
    let soon = place.settings.limits.deadline + Duration::from_secs(1);
    let remote = place.remote();
    let start = Instant::now();
    let proposed = remote.propose(proposal()).await;
    assert!(
        matches!(proposed, Err(Error::Deadline { .. })),
        "{proposed:?}"
    );
    assert!(start.elapsed() < soon, "{:?}", start.elapsed());
    let start = Instant::now();
    let read = remote.read("").await;
    assert!(matches!(read, Err(Error::Deadline { .. })));
    assert!(start.elapsed() < soon, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_large_files_is_gone_through_and_they_are_left_alone() {
    let Some(mut place) = Place::new(Over::File).await else {
        return;
    };
    let text = |number: usize| match number {
        40 => "old".to_owned(),
        _ => format!("old {}", "x".repeat(2 << 20)),
    };
    filled(&place, 80, |number| format!("{number:02}.yaml"), text);
    place.settings.limits.deadline = Duration::from_secs(10);
    let proposed = place.remote().propose(proposal()).await;
    assert!(matches!(proposed, Ok(Proposed::Made(_))), "{proposed:?}");
    let message = place.git(&["log", "-1", "--format=%B", "davy/revert/a"]);
    assert_eq!(message.trim(), "Change 40.yaml");
}

/// Few bytes that stand for more folders than anybody could go through.
#[tokio::test(flavor = "multi_thread")]
async fn folders_within_folders_have_an_end() {
    for (what, script) in [
        (
            "deep",
            "tree=$(echo a | git hash-object -w --stdin | xargs -I{} printf '100644 blob {}\\ta\\n' | git mktree)\n\
             for n in $(seq 200); do tree=$(printf \"040000 tree $tree\\td\\n\" | git mktree); done",
        ),
        (
            "wide",
            "tree=$(echo a | git hash-object -w --stdin | xargs -I{} printf '100644 blob {}\\ta\\n' | git mktree)\n\
             for n in $(seq 30); do tree=$(for m in a b c d e f g h; do \
             printf \"040000 tree $tree\\t$m\\n\"; done | git mktree); done",
        ),
    ] {
        let Some(mut place) = Place::new(Over::File).await else {
            return;
        };
        place.settings.limits.deadline = Duration::from_secs(5);
        let mut shell = Command::new("sh");
        for who in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{who}_NAME"), "Eve");
            shell.env(format!("GIT_{who}_EMAIL"), "eve@example.com");
        }
        let script = format!(
            "set -e\n{script}\ngit update-ref refs/heads/main $(echo Bomb | git commit-tree $tree)"
        );
        super::keys::run(shell.args(["-c", &script]).current_dir(&place.repository));
        let proposed = place.remote().propose(proposal()).await;
        assert!(
            matches!(
                proposed,
                Err(Error::Refused { .. } | Error::Deadline { .. })
            ),
            "{what}: {proposed:?}"
        );
    }
}

/// Where the delivery that is traced goes.
const TRACED: &str = "TEST_DAVY_TRACED";

/// Only a delivery, in a process of its own.
#[tokio::test]
#[ignore = "what_counts_as_written_is_on_the_disk runs it, under strace"]
async fn a_delivery_that_is_traced() {
    #[expect(clippy::disallowed_methods, reason = "how the trace is told where")]
    let list = std::fs::read_to_string(std::env::var(TRACED).unwrap()).unwrap();
    let lines: Vec<_> = list.lines().collect();
    let settings = RemoteSettings {
        url: lines[0].to_owned(),
        branch: "main".to_owned(),
        author: Some("Davy <davy@example.com>".to_owned()),
        signing_key_file: Some(lines[1].into()),
        allowed_signers_file: Some(lines[2].into()),
        ..RemoteSettings::default()
    };
    let remote = Remote::new(settings).unwrap_or_else(|problems| panic!("{problems:?}"));
    let delivered = remote.deliver(vec![file("a", "a")], "A", time(1)).await;
    assert!(delivered.unwrap().is_new);
}

#[tokio::test]
async fn what_counts_as_written_is_on_the_disk() {
    let Some(place) = Place::new(Over::File).await else {
        return;
    };
    let strace = crate::bed::program("strace").unwrap_or_else(|error| panic!("{error}"));
    let Some(strace) = strace else { return };
    let shown = |path: &Option<std::path::PathBuf>| path.as_ref().unwrap().display().to_string();
    let told = [
        place.settings.url.clone(),
        shown(&place.settings.signing_key_file),
        shown(&place.settings.allowed_signers_file),
    ];
    let told = place.keys.file("traced", told.join("\n"));
    let trace = place.keys.file("trace", "");
    super::keys::run(
        Command::new(strace)
            .args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o"])
            .arg(&trace)
            .arg(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "git::shapes::a_delivery_that_is_traced",
            ])
            .env(TRACED, told),
    );
    let trace = std::fs::read_to_string(trace).unwrap();
    let synced = |what: &str| trace.lines().filter(|line| line.contains(what)).count();
    // A blob, a tree or more, and the commit; and the branch.
    assert!(synced("/audit.git/objects/") >= 3, "{trace}");
    assert!(synced("/audit.git/refs/heads/main") >= 1, "{trace}");
}
