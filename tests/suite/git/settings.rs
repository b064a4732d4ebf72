//! What is wrong with a setting is said at the start, by its name, and all at once.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use davy::io::git::{Remote, RemoteSettings};

use super::place::{MARKER, Over, Place};

fn problems(settings: RemoteSettings) -> Vec<String> {
    match Remote::new(settings) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// The one problem of settings that differ in one thing from good ones.
fn problem(place: &Place, change: impl FnOnce(&mut RemoteSettings)) -> String {
    let mut settings = place.settings.clone();
    change(&mut settings);
    let problems = problems(settings);
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(!problem.contains(MARKER), "{problem}");
    problem.clone()
}

#[tokio::test]
async fn everything_that_is_missing_is_said_at_once() {
    let none = problems(RemoteSettings::default());
    assert_eq!(none.len(), 2, "{none:?}");
    let ssh = problems(RemoteSettings {
        url: "git@example.com:audit.git".to_owned(),
        branch: "a..b".to_owned(),
        author: Some("Davy".to_owned()),
        ..RemoteSettings::default()
    });
    let names = ssh.iter().filter_map(|problem| problem.split(':').next());
    let names: Vec<_> = names.collect();
    assert_eq!(
        names,
        [
            "DAVY_GIT_BRANCH",
            "DAVY_GIT_SSH_KEY_FILE",
            "DAVY_GIT_KNOWN_HOSTS_FILE",
            "DAVY_GIT_AUTHOR",
            "DAVY_GIT_SIGNING_KEY_FILE",
            "DAVY_GIT_ALLOWED_SIGNERS_FILE",
        ]
    );
}

#[tokio::test]
async fn a_reader_needs_no_key() {
    let Some(place) = Place::new(Over::File).await else {
        return;
    };
    let settings = RemoteSettings {
        url: place.settings.url.clone(),
        branch: "main".to_owned(),
        ..RemoteSettings::default()
    };
    let trail = Remote::new(settings).ok().unwrap().read("").await;
    assert_eq!(trail.unwrap().tip, None);
}

#[tokio::test]
async fn author_key_and_allowed_signers_have_to_fit() {
    let Some(place) = Place::new(Over::File).await else {
        return;
    };
    for author in [
        "Davy",
        "<davy@example.com>",
        "Davy <davy>",
        "Da\nvy <a@b>",
        " D <a@b>",
    ] {
        let why = problem(&place, |settings| settings.author = Some(author.to_owned()));
        assert!(why.starts_with("DAVY_GIT_AUTHOR: "), "{why}");
    }
    let why = problem(&place, |settings| {
        settings.author = Some("Davy <davy@example.org>".to_owned());
    });
    assert!(why.starts_with("DAVY_GIT_ALLOWED_SIGNERS_FILE: the key SHA256:"));
    assert!(why.ends_with("is for davy@example.com, and not for davy@example.org"));
    let other = place.keys.ed25519("other");
    let why = problem(&place, |settings| settings.signing_key_file = Some(other));
    assert!(why.contains("no line has the key"), "{why}");
    let weak = place.keys.make("weak", &["-t", "rsa", "-b", "2048"]);
    let why = problem(&place, |settings| settings.signing_key_file = Some(weak));
    assert!(why.contains("2048 bits is too weak"), "{why}");
    let none = place.keys.folder.path().join("none");
    let why = problem(&place, |settings| settings.signing_key_file = Some(none));
    assert!(why.contains("none: No such file"), "{why}");
    let bad = place.keys.file("bad", "davy@example.com\n");
    let why = problem(&place, |settings| settings.allowed_signers_file = Some(bad));
    assert!(
        why.starts_with("DAVY_GIT_ALLOWED_SIGNERS_FILE: line 1: "),
        "{why}"
    );
}

#[tokio::test]
async fn credentials_are_files_of_ones_own_that_make_sense() {
    let Some(place) = Place::new(Over::Https).await else {
        return;
    };
    let everybody = place.keys.secret("everybody", MARKER);
    std::fs::set_permissions(&everybody, Permissions::from_mode(0o644)).unwrap();
    let why = problem(&place, |settings| settings.password_file = Some(everybody));
    assert!(why.contains("everybody may read it"), "{why}");
    let lines = place.keys.secret("lines", format!("{MARKER}\n{MARKER}"));
    let why = problem(&place, |settings| settings.password_file = Some(lines));
    assert!(why.contains("is not one line"), "{why}");
    let large = place.keys.secret("large", vec![b'x'; 2 << 20]);
    let why = problem(&place, |settings| settings.password_file = Some(large));
    assert!(why.contains("at most 1048576 bytes"), "{why}");
    let why = problem(&place, |settings| {
        settings.password_file = Some("/dev/zero".into());
    });
    assert!(
        why.starts_with("DAVY_GIT_PASSWORD_FILE: /dev/zero"),
        "{why}"
    );
    let why = problem(&place, |settings| settings.password_file = None);
    assert!(
        why.starts_with("DAVY_GIT_PASSWORD_FILE: is needed"),
        "{why}"
    );
    let host = place.settings.url.trim_start_matches("https://").to_owned();
    for url in [
        format!("https://davy:{MARKER}@{host}"),
        format!("https://{MARKER}@{host}"),
        format!("http://{host}"),
    ] {
        let why = problem(&place, |settings| settings.url = url);
        assert!(why.starts_with("DAVY_GIT_URL: "), "{why}");
    }
    let why = problem(&place, |settings| settings.ca_file = None);
    assert!(why.starts_with("DAVY_GIT_CA_FILE: is needed for https"));
    let junk = place.keys.file("junk.pem", "no certificate");
    let why = problem(&place, |settings| settings.ca_file = Some(junk));
    assert!(why.starts_with("DAVY_GIT_CA_FILE: "), "{why}");
}

#[tokio::test]
async fn an_ssh_host_has_to_be_known_and_hashed_names_are_names() {
    let Some(place) = Place::new(Over::Ssh).await else {
        return;
    };
    let known = place.settings.known_hosts_file.as_ref().unwrap();
    let known = std::fs::read_to_string(known).unwrap();
    let key = known.split_once(' ').unwrap().1.trim();
    let (host, _) = known.split_once(' ').unwrap();
    let hashed = place.keys.file("hashed", &known);
    super::keys::run(
        std::process::Command::new("ssh-keygen")
            .args(["-H", "-f"])
            .arg(&hashed),
    );
    let hashed = std::fs::read_to_string(hashed).unwrap();
    assert!(hashed.starts_with("|1|"));
    for (list, is_known) in [
        (known.clone(), true),
        (hashed, true),
        (format!("# none\nnonsense\n{known}"), true),
        (format!("other,{host} {key}"), true),
        (format!("[127.0.0.*]:* {key}"), true),
        (format!("!{host},[127.0.0.*]:* {key}"), false),
        (format!("127.0.0.1 {key}"), false),
        (format!("@cert-authority {host} {key}"), false),
        (String::new(), false),
    ] {
        let mut settings = place.settings.clone();
        settings.known_hosts_file = Some(place.keys.file("known", &list));
        let problems = problems(settings);
        assert_eq!(problems.is_empty(), is_known, "{list}: {problems:?}");
    }
}
