//! Signatures of OpenPGP against the real `gpg`, in both directions.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use davy::signature::{AllowedSigners, KeyError, SigningKey, Verdict};
use jiff::{SignedDuration, Timestamp};

use super::keys::run;
use super::place::{Over, Place, file};
use crate::bed;

const MESSAGE: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nRecord\n";

/// A folder of keys, and the agent that it gets.
struct Gnupg(tempfile::TempDir);

impl Gnupg {
    fn new() -> Option<Self> {
        bed::program("gpg").unwrap_or_else(|error| panic!("{error}"))?;
        let home = tempfile::tempdir().unwrap();
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(home.path(), private).unwrap();
        Some(Self(home))
    }

    fn command(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--no-tty", "--trust-model", "always"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(["--faked-system-time", MADE])
            .env("GNUPGHOME", self.0.path());
        gpg
    }

    fn run(&self, arguments: &[&str]) -> String {
        run(self.command().args(arguments))
    }

    /// A new key for a mail address.
    fn make(&self, mail: &str, kind: &str, usage: &str, expires: &str) {
        let name = format!("Davy <{mail}>");
        self.run(&["--quick-generate-key", &name, kind, usage, expires]);
    }

    fn secret(&self, mail: &str) -> String {
        self.run(&["--armor", "--export-secret-keys", mail])
    }

    fn public(&self, mail: &str) -> String {
        self.run(&["--armor", "--export", mail])
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn verify(&self, signature: &str, bytes: &[u8]) -> Output {
        let signature = self.write("signature", signature);
        let bytes = self.write("bytes", bytes);
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--no-tty", "--trust-model", "always"])
            .env("GNUPGHOME", self.0.path());
        gpg.arg("--verify")
            .arg(signature)
            .arg(bytes)
            .output()
            .unwrap()
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", self.0.path())
            .output();
    }
}

/// When the keys are made and sign: the program can be told what time it is.
const MADE: &str = "20260101T000000!";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

#[test]
fn gnupg_believes_our_signatures_and_we_believe_its() {
    let Some(gnupg) = Gnupg::new() else {
        return;
    };
    gnupg.make("ed25519@example.com", "ed25519", "sign", "none");
    gnupg.make("rsa@example.com", "rsa3072", "sign", "none");
    // The primary key is to sign keys only, and another part signs.
    gnupg.make("parts@example.com", "ed25519", "cert", "none");
    let listed = gnupg.run(&["--with-colons", "--list-keys", "parts@example.com"]);
    let primary = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
    let primary = primary.unwrap().trim_matches(':');
    gnupg.run(&["--quick-add-key", primary, "ed25519", "sign", "none"]);
    gnupg.run(&["--quick-add-key", primary, "cv25519", "encr", "none"]);
    let all: Vec<_> = ["ed25519", "rsa", "parts"]
        .map(|name| format!("{name}@example.com"))
        .to_vec();
    let keyring: String = all.iter().map(|mail| gnupg.public(mail)).collect();
    let signers = AllowedSigners::parse(&keyring).unwrap();
    for mail in &all {
        let key = SigningKey::parse(&gnupg.secret(mail)).unwrap();
        assert_eq!(signers.allows(&key, mail), Ok(()));
        let other = signers.allows(&key, "nobody@example.com").unwrap_err();
        assert!(other.ends_with("and not for nobody@example.com"), "{other}");
        let good = Verdict::Good {
            principal: format!("Davy <{mail}>"),
            fingerprint: key.fingerprint(),
        };
        let time = at("2026-02-01T00:00:00Z");
        let ours = key.sign(MESSAGE, time).unwrap();
        assert_eq!(ours, key.sign(MESSAGE, time).unwrap());
        let believed = gnupg.verify(&ours, MESSAGE);
        let said = String::from_utf8_lossy(&believed.stderr);
        assert!(believed.status.success(), "{mail}: {said}");
        assert!(said.contains(&key.fingerprint()), "{said}");
        assert!(!gnupg.verify(&ours, b"other").status.success());
        let judge = |signature: &str, bytes: &[u8]| signers.verify(bytes, Some(signature), time);
        assert_eq!(judge(&ours, MESSAGE), good);
        assert!(matches!(judge(&ours, b"other"), Verdict::Bad { .. }));

        let bytes = gnupg.write("message", MESSAGE);
        let bytes = bytes.to_str().unwrap();
        let theirs = gnupg.run(&[
            "--armor",
            "-u",
            mail,
            "--output",
            "-",
            "--detach-sign",
            bytes,
        ]);
        assert_eq!(judge(&theirs, MESSAGE), good, "{mail}");
        // A signature of a text is another kind, which git does not make.
        let text = [
            "--armor",
            "-u",
            mail,
            "--textmode",
            "--output",
            "-",
            "--detach-sign",
            bytes,
        ];
        assert!(matches!(
            judge(&gnupg.run(&text), MESSAGE),
            Verdict::Bad { .. }
        ));
    }
    // A list without the key.
    let key = SigningKey::parse(&gnupg.secret(&all[0])).unwrap();
    let others = AllowedSigners::parse(&gnupg.public(&all[1])).unwrap();
    assert!(others.allows(&key, &all[0]).is_err());
    let signature = key.sign(MESSAGE, at("2026-02-01T00:00:00Z")).unwrap();
    let verdict = others.verify(MESSAGE, Some(&signature), at("2026-02-01T00:00:00Z"));
    assert!(matches!(verdict, Verdict::Bad { .. }), "{verdict:?}");
}

#[test]
fn a_key_is_believed_while_it_is_valid_and_not_revoked() {
    let Some(gnupg) = Gnupg::new() else {
        return;
    };
    let mail = "year@example.com";
    gnupg.make(mail, "ed25519", "sign", "1y");
    let key = SigningKey::parse(&gnupg.secret(mail)).unwrap();
    let verdict = |list: &str, time: &str| {
        let signature = key.sign(MESSAGE, at(time)).unwrap();
        let signers = AllowedSigners::parse(list).unwrap();
        match signers.verify(MESSAGE, Some(&signature), at(time)) {
            Verdict::Good { .. } => true,
            Verdict::Untimely { .. } => false,
            other => panic!("{other:?}"),
        }
    };
    let public = gnupg.public(mail);
    for (time, expected) in [
        ("2025-12-31T23:59:59Z", false),
        ("2026-01-01T00:00:00Z", true),
        ("2026-12-31T00:00:00Z", true),
        ("2027-01-02T00:00:00Z", false),
    ] {
        assert_eq!(verdict(&public, time), expected, "{time}");
    }
    // GnuPG makes a revocation with every key; a colon keeps it from being used by accident.
    let folder = gnupg.0.path().join("openpgp-revocs.d");
    let path = std::fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let revocation = std::fs::read_to_string(path).unwrap();
    let revocation = gnupg.write("revocation", revocation.replace(":-----", "-----"));
    gnupg.run(&["--import", revocation.to_str().unwrap()]);
    assert!(!verdict(&gnupg.public(mail), "2026-02-01T00:00:00Z"));
}

#[test]
fn a_key_of_openpgp_that_cannot_sign_says_why() {
    let Some(gnupg) = Gnupg::new() else {
        return;
    };
    gnupg.make("weak@example.com", "rsa2048", "sign", "none");
    gnupg.make("silent@example.com", "ed25519", "cert", "none");
    gnupg.make("curve@example.com", "nistp256", "sign", "none");
    let parse = |mail| SigningKey::parse(&gnupg.secret(mail)).unwrap_err();
    assert_eq!(parse("weak@example.com"), KeyError::Weak(2048));
    let none = parse("silent@example.com").to_string();
    assert!(none.ends_with("no part of it may sign"), "{none}");
    assert!(matches!(
        parse("curve@example.com"),
        KeyError::Unreadable(_)
    ));
    let silent = AllowedSigners::parse(&gnupg.public("silent@example.com")).unwrap_err();
    assert!(silent[0].contains("may sign"), "{silent:?}");
    let secret = gnupg
        .public("weak@example.com")
        .replace("PUBLIC", "PRIVATE");
    assert!(SigningKey::parse(&secret).is_err());
    let name = "Davy <locked@example.com>";
    run(Command::new("gpg")
        .args(["--batch", "--quiet", "--pinentry-mode", "loopback"])
        .args(["--passphrase", "a passphrase", "--faked-system-time", MADE])
        .args(["--quick-generate-key", name, "ed25519", "sign", "none"])
        .env("GNUPGHOME", gnupg.0.path()));
    let locked = run(Command::new("gpg")
        .args(["--batch", "--quiet", "--pinentry-mode", "loopback"])
        .args(["--passphrase", "a passphrase", "--armor"])
        .args(["--export-secret-keys", "locked@example.com"])
        .env("GNUPGHOME", gnupg.0.path()));
    assert_eq!(SigningKey::parse(&locked).unwrap_err(), KeyError::Encrypted);
}

/// Cut anywhere, or with a letter changed anywhere: an error or a verdict, and never good for other
/// bytes.
#[test]
fn damaged_keys_and_signatures_are_errors() {
    let Some(gnupg) = Gnupg::new() else {
        return;
    };
    let mail = "davy@example.com";
    gnupg.make(mail, "ed25519", "sign", "none");
    let (secret, public) = (gnupg.secret(mail), gnupg.public(mail));
    let time = at("2026-02-01T00:00:00Z");
    let key = SigningKey::parse(&secret).unwrap();
    let signature = key.sign(MESSAGE, time).unwrap();
    let signers = AllowedSigners::parse(&public).unwrap();
    let damaged = |text: &str| {
        let mut damaged = Vec::new();
        for place in 0..text.len() {
            damaged.push(text[..place].to_owned());
            for letter in ["A", "/", "7"] {
                damaged.push([&text[..place], letter, &text[place + 1..]].concat());
            }
        }
        damaged
    };
    for text in damaged(&signature) {
        let verdict = signers.verify(b"other", Some(&text), time);
        assert!(
            matches!(verdict, Verdict::Bad { .. }),
            "{text}: {verdict:?}"
        );
        let _ = signers.verify(MESSAGE, Some(&text), time);
    }
    for text in damaged(&public) {
        if let Ok(signers) = AllowedSigners::parse(&text) {
            let verdict = signers.verify(b"other", Some(&signature), time);
            assert!(!matches!(verdict, Verdict::Good { .. }), "{text}");
        }
    }
    for text in damaged(&secret) {
        if let Ok(key) = SigningKey::parse(&text) {
            let _ = key.sign(MESSAGE, time);
        }
    }
}

#[tokio::test]
async fn git_verifies_commits_that_are_signed_by_openpgp() {
    let (Some(gnupg), Some(mut place)) = (Gnupg::new(), Place::new(Over::File).await) else {
        return;
    };
    let mail = "davy@example.com";
    gnupg.make(mail, "rsa3072", "sign", "none");
    place.settings.signing_key_file = Some(place.keys.secret("openpgp", gnupg.secret(mail)));
    place.settings.allowed_signers_file = Some(place.keys.file("keyring", gnupg.public(mail)));
    let remote = place.remote();
    for second in 1..4 {
        let files = vec![file(&format!("{second}"), "x")];
        let time = at("2026-02-01T00:00:00Z") + SignedDuration::from_secs(second);
        remote.deliver(files, "Record", time).await.unwrap();
    }
    for commit in place.commits() {
        let verified = place
            .git_command()
            .args(["verify-commit", &commit])
            .env("GNUPGHOME", gnupg.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(
            verified.status.success() && said.contains("Good signature"),
            "{said}"
        );
    }
    place.git(&["fsck", "--strict", "--no-dangling"]);
    let trail = remote.read("").await.unwrap();
    assert_eq!(trail.files.len(), 3);
    for kept in trail.files {
        assert!(matches!(kept.added.verdict, Verdict::Good { .. }));
    }
}
