//! Signatures against OpenSSH's own program, in both directions.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use davy::signature::{AllowedSigners, KeyError, SigningKey, Verdict};
use jiff::Timestamp;

use super::keys::{Keys, public, run};

const MESSAGE: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nRecord\n";

fn key(path: &Path) -> Result<SigningKey, KeyError> {
    SigningKey::parse(&std::fs::read_to_string(path).unwrap())
}

fn noon(day: &str) -> Timestamp {
    format!("{day}T12:00:00Z").parse().unwrap()
}

/// Whether the real program finds the signature good.
fn openssh_believes(keys: &Keys, list: &Path, signature: &str, bytes: &[u8]) -> bool {
    let signature = keys.file("signature", signature);
    let bytes = keys.file("bytes", bytes);
    Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "git", "-I", "davy@example.com", "-f"])
        .arg(list)
        .arg("-s")
        .arg(signature)
        .stdin(File::open(bytes).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn openssh_believes_our_signatures_and_we_believe_its() {
    let Some(keys) = Keys::new() else {
        return;
    };
    for (name, options) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("rsa3072", &["-t", "rsa", "-b", "3072"]),
        ("rsa4096", &["-t", "rsa", "-b", "4096"]),
    ] {
        let path = keys.make(name, options);
        let signing = key(&path).unwrap();
        let line = format!("davy@example.com namespaces=\"git\" {}", public(&path));
        let list = keys.file("allowed", &line);
        let signers = AllowedSigners::parse(&line).unwrap();
        assert_eq!(signers.allows(&signing, "davy@example.com"), Ok(()));
        let good = Verdict::Good {
            principal: "davy@example.com".to_owned(),
            fingerprint: signing.fingerprint(),
        };

        let ours = signing.sign(MESSAGE).unwrap();
        assert_eq!(ours, signing.sign(MESSAGE).unwrap(), "{name}");
        assert!(openssh_believes(&keys, &list, &ours, MESSAGE), "{name}");
        assert!(!openssh_believes(&keys, &list, &ours, b"other"), "{name}");
        let judge = |signature: &str, bytes: &[u8]| {
            signers.verify(bytes, Some(signature), noon("2026-01-01"))
        };
        assert_eq!(judge(&ours, MESSAGE), good);
        assert!(matches!(judge(&ours, b"other"), Verdict::Bad { .. }));

        let bytes = keys.file("message", MESSAGE);
        let sign = |namespace| {
            let _ = std::fs::remove_file(bytes.with_extension("sig"));
            run(Command::new("ssh-keygen")
                .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
                .arg(&path)
                .arg(&bytes));
            std::fs::read_to_string(bytes.with_extension("sig")).unwrap()
        };
        assert_eq!(judge(&sign("git"), MESSAGE), good);
        let Verdict::Bad { why } = judge(&sign("file"), MESSAGE) else {
            panic!("a signature for files is believed")
        };
        assert_eq!(why, "made for \"file\" and not for \"git\"");
        let listed = run(Command::new("ssh-keygen").arg("-lf").arg(&path));
        assert!(listed.contains(&signing.fingerprint()), "{listed}");
    }
}

#[test]
fn only_the_key_the_time_and_the_purpose_that_were_allowed_are_good() {
    let Some(keys) = Keys::new() else {
        return;
    };
    let (own, other) = (keys.ed25519("own"), keys.ed25519("other"));
    let signing = key(&own).unwrap();
    let signature = signing.sign(MESSAGE).unwrap();
    let verdict = |line: &str, day: &str| {
        let signers = AllowedSigners::parse(line).unwrap();
        signers.verify(MESSAGE, Some(&signature), noon(day))
    };
    let line = |options: &str| format!("*@example.com {options} {}", public(&own));
    let unknown = Verdict::UnknownKey {
        fingerprint: signing.fingerprint(),
    };
    let somebody = format!("davy@example.com {}", public(&other));
    assert_eq!(verdict(&somebody, "2026-01-01"), unknown);
    assert_eq!(verdict(&line("namespaces=\"file\""), "2026-01-01"), unknown);
    let year = line("valid-after=\"20260101\",valid-before=\"20270101Z\",namespaces=\"file,g*\"");
    for (day, expected) in [
        ("2025-12-31", false),
        ("2026-01-01", true),
        ("2026-12-31", true),
        ("2027-01-01", false),
    ] {
        let is_good = match verdict(&year, day) {
            Verdict::Good { principal, .. } => principal == "*@example.com",
            Verdict::Untimely { .. } => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(is_good, expected, "{day}");
    }
    let signers = AllowedSigners::parse(&year).unwrap();
    assert_eq!(signers.allows(&signing, "davy@example.com"), Ok(()));
    let elsewhere = signers.allows(&signing, "davy@example.org").unwrap_err();
    assert!(
        elsewhere.contains("not for davy@example.org"),
        "{elsewhere}"
    );
    let nobody = signers.allows(&key(&other).unwrap(), "davy@example.com");
    assert!(nobody.unwrap_err().contains("no line has the key"));
    assert_eq!(
        signers.verify(MESSAGE, None, noon("2026-01-01")),
        Verdict::Missing
    );
    for cut in ["", "-----BEGIN SSH SIGNATURE-----", &signature[..200]] {
        let verdict = signers.verify(MESSAGE, Some(cut), noon("2026-01-01"));
        assert!(matches!(verdict, Verdict::Bad { .. }), "{cut}");
    }
}

/// No bit of a signature may be turned without it being noticed, and none makes the reader fall.
#[test]
fn a_signature_with_one_letter_changed_is_none() {
    let Some(keys) = Keys::new() else {
        return;
    };
    let path = keys.ed25519("key");
    let signature = key(&path).unwrap().sign(MESSAGE).unwrap();
    let line = format!("davy@example.com {}", public(&path));
    let signers = AllowedSigners::parse(&line).unwrap();
    for place in 0..signature.len() {
        for letter in ['A', '/', '\n', '\u{0}'] {
            let mut changed: Vec<char> = signature.chars().collect();
            if changed[place] == letter {
                continue;
            }
            changed[place] = letter;
            let changed: String = changed.into_iter().collect();
            let verdict = signers.verify(MESSAGE, Some(&changed), noon("2026-01-01"));
            // A line may be broken elsewhere, and the bits beyond the last byte say nothing.
            let same = changed.replace('\n', "") == signature.replace('\n', "");
            assert!(
                same || !matches!(verdict, Verdict::Good { .. }) || place + 40 > signature.len(),
                "{place}: {changed}"
            );
        }
    }
}

#[test]
fn a_key_that_cannot_sign_says_why() {
    let Some(keys) = Keys::new() else {
        return;
    };
    let weak = keys.make("weak", &["-t", "rsa", "-b", "2048"]);
    assert_eq!(key(&weak).unwrap_err(), KeyError::Weak(2048));
    let curve = keys.make("curve", &["-t", "ecdsa"]);
    let unsupported = key(&curve).unwrap_err().to_string();
    assert!(unsupported.starts_with("ecdsa-sha2-nistp256 keys cannot sign"));
    let encrypted = keys.ed25519("encrypted");
    run(Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "a passphrase", "-f"])
        .arg(&encrypted));
    assert_eq!(key(&encrypted).unwrap_err(), KeyError::Encrypted);
    let text = std::fs::read_to_string(&weak).unwrap();
    for text in ["", "a key", &text[..400], &public(&weak)] {
        assert!(matches!(
            SigningKey::parse(text),
            Err(KeyError::Unreadable(_))
        ));
    }
}
