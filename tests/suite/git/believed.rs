//! What is believed of a commit is what real `git verify-commit` believes, whatever was done to the
//! commit, its signature or the list of allowed signers.

use std::io::Write;
use std::process::{Command, Stdio};

use davy::io::git::Remote;

use super::keys::public;
use super::place::{Over, Place, file, time};

/// The two parts around the armour of a commit's signature, and its lines.
struct Parts {
    before: String,
    armour: Vec<String>,
    after: String,
}

impl Parts {
    fn of(commit: &str) -> Self {
        let begin = commit.find("gpgsig ").unwrap();
        let end = commit.find("-----END SSH SIGNATURE-----\n").unwrap();
        let end = end + "-----END SSH SIGNATURE-----\n".len();
        let header = commit[begin + "gpgsig ".len()..end].trim_end();
        Self {
            before: commit[..begin].to_owned(),
            armour: header.split("\n ").map(str::to_owned).collect(),
            after: commit[end..].to_owned(),
        }
    }

    fn header(lines: &[String]) -> String {
        format!("gpgsig {}\n", lines.join("\n "))
    }

    fn with(&self, armour: &[String]) -> String {
        let Self { before, after, .. } = self;
        format!("{before}{}{after}", Self::header(armour))
    }

    /// Commits that somebody could make of this one, with what was done.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn altered(&self) -> Vec<(String, String)> {
        let Self {
            before,
            armour,
            after,
        } = self;
        let header = Self::header(armour);
        let whole = self.with(armour);
        let other = header.replacen("gpgsig ", "gpgsig-sha256 ", 1);
        let base: String = armour[1..armour.len() - 1].concat();
        let wrapped = |width: usize| {
            let letters: Vec<char> = base.chars().collect();
            let lines = letters.chunks(width).map(|line| line.iter().collect());
            let first = std::iter::once(armour[0].clone());
            first
                .chain(lines)
                .chain(armour.last().cloned())
                .collect::<Vec<String>>()
        };
        let put = |at: usize, line: &str| {
            let mut lines = armour.clone();
            lines.insert(at, line.to_owned());
            self.with(&lines)
        };
        let end = armour.len();
        let mut altered: Vec<(&str, String)> = vec![
            ("nothing", whole.clone()),
            ("the message", whole.replace("A record", "No record")),
            ("the author", whole.replacen("author Davy", "author Eve", 1)),
            ("the time", whole.replace("1767225601", "1767225602")),
            (
                "a header before",
                format!("{before}x-by eve\n{header}{after}"),
            ),
            (
                "a header behind",
                format!("{before}{header}x-by eve\n{after}"),
            ),
            (
                "the signature twice",
                format!("{before}{header}{header}{after}"),
            ),
            (
                "the other hash's, behind",
                format!("{before}{header}{other}{after}"),
            ),
            (
                "the other hash's, before",
                format!("{before}{other}{header}{after}"),
            ),
            ("the other hash's alone", format!("{before}{other}{after}")),
            (
                "the signature in another place",
                before.replacen("author", &format!("{header}author"), 1) + after,
            ),
            ("no signature", format!("{before}{after}")),
            ("an empty signature", format!("{before}gpgsig \n{after}")),
            (
                "the signature in the message",
                format!("{before}{after}\n{header}"),
            ),
            ("an empty line before the armour", put(0, "")),
            ("text before the armour", put(0, "signed by davy")),
            ("an empty line in the armour", put(2, "")),
            ("text in the armour", put(2, "!")),
            ("a header of the armour", put(1, "Comment: x")),
            ("text behind the armour", put(end, "and more")),
            ("an empty line behind the armour", put(end, "")),
            ("another armour behind it", put(end, &armour.join("\n "))),
            ("no end of the armour", self.with(&armour[..end - 1])),
            ("half of the armour", self.with(&armour[..end / 2])),
            (
                "a letter of the armour",
                whole.replacen("U1NIU0lH", "U1NIU0lI", 1),
            ),
            (
                "carriage returns",
                self.with(
                    &armour
                        .iter()
                        .map(|line| format!("{line}\r"))
                        .collect::<Vec<_>>(),
                ),
            ),
            (
                "spaces behind lines",
                self.with(
                    &armour
                        .iter()
                        .map(|line| format!("{line} "))
                        .collect::<Vec<_>>(),
                ),
            ),
            (
                "tabs before lines",
                self.with(
                    &armour
                        .iter()
                        .map(|line| format!("\t{line}"))
                        .collect::<Vec<_>>(),
                ),
            ),
            ("other dashes", whole.replace("-----BEGIN", "----BEGIN")),
            (
                "another kind of armour",
                whole.replace("SSH SIGNATURE", "PGP SIGNATURE"),
            ),
            ("a line more at the end", format!("{whole}\n")),
            ("no end of line", whole.trim_end().to_owned()),
        ];
        for width in [1, 4, 64, 70, 76, 10_000] {
            altered.push(("lines of another length", self.with(&wrapped(width))));
        }
        altered
            .into_iter()
            .map(|(what, commit)| (what.to_owned(), commit))
            .collect()
    }
}

/// Puts a commit at the tip as it is; whether git believes it.
fn git_believes(place: &Place, commit: &str) -> bool {
    let mut hashing = Command::new("git")
        .arg("-C")
        .arg(&place.repository)
        .args([
            "hash-object",
            "-t",
            "commit",
            "-w",
            "--literally",
            "--stdin",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    hashing
        .stdin
        .take()
        .unwrap()
        .write_all(commit.as_bytes())
        .unwrap();
    let output = hashing.wait_with_output().unwrap();
    let id = String::from_utf8(output.stdout).unwrap();
    place.git(&["update-ref", "refs/heads/main", id.trim()]);
    let verified = place
        .git_command()
        .args(["verify-commit", id.trim()])
        .output();
    verified.unwrap().status.success()
}

/// Whether we do. A list or a commit that cannot be read is not believed.
async fn we_believe(place: &Place) -> bool {
    let Ok(remote) = Remote::new(place.settings.clone()) else {
        return false;
    };
    match remote.read("").await {
        Ok(trail) => {
            !trail.files.is_empty() && trail.files.iter().all(|kept| kept.added.is_believed())
        }
        Err(_) => false,
    }
}

/// A repository with one signed commit, and that commit.
async fn signed() -> Option<(Place, String)> {
    let place = Place::new(Over::File).await?;
    let delivered = place
        .remote()
        .deliver(vec![file("a", "a")], "A record", time(1))
        .await;
    delivered.unwrap();
    let commit = place.git(&["cat-file", "commit", "main"]);
    Some((place, commit))
}

#[tokio::test]
async fn an_altered_commit_is_believed_as_git_does() {
    let Some((place, commit)) = signed().await else {
        return;
    };
    let mut believed = 0;
    let mut unlike = Vec::new();
    for (what, commit) in Parts::of(&commit).altered() {
        let git = git_believes(&place, &commit);
        let ours = we_believe(&place).await;
        believed += usize::from(ours);
        if git != ours {
            unlike.push(format!("{what}: git {git}, we {ours}"));
        }
    }
    // libgit2 reads no commit whose headers are in another order: reading the branch ends with that.
    assert_eq!(
        unlike,
        ["the signature in another place: git true, we false"]
    );
    assert!(believed >= 3, "{believed}");
}

#[tokio::test]
async fn a_list_of_signers_is_read_as_openssh_does() {
    let Some((mut place, commit)) = signed().await else {
        return;
    };
    let key = public(place.settings.signing_key_file.as_ref().unwrap());
    let other = public(&place.keys.ed25519("other"));
    let (kind, rest) = key.split_once(' ').unwrap();
    place.settings.author = None;
    place.settings.signing_key_file = None;
    let mut believed = 0;
    let mut unlike = Vec::new();
    // The commit is of 2026-01-01T00:00:01Z.
    for options in [
        "",
        "namespaces=\"git\"",
        "namespaces=\"file\"",
        "namespaces=\"file,git\"",
        "namespaces=\"g*\"",
        "namespaces=\"*,!git\"",
        "namespaces=\"GIT\"",
        "namespaces=\"\"",
        "valid-after=\"20260101000001Z\"",
        "valid-after=\"20260101000002Z\"",
        "valid-after=\"202601010000Z\"",
        "valid-before=\"20260101000001Z\"",
        "valid-before=\"20260101000002Z\"",
        "valid-before=\"20260101000000Z\"",
        "valid-before=\"20260101Z\"",
        "valid-after=\"20251231Z\",valid-before=\"20270101Z\"",
        "VALID-AFTER=\"20251231Z\"",
        "valid-after=\"20251231Z\",namespaces=\"git\"",
        "valid-after=\"soon\"",
        "unknown",
    ] {
        for principals in [
            "davy@example.com",
            "*",
            "eve@example.com",
            "\"a b\"",
            "a,b",
            "!x,*",
        ] {
            for line in [
                format!("{principals} {options} {key}\n"),
                format!("{principals} {options} {other}\n"),
                format!("# {principals} {options} {key}\n{principals} {options} {key}\n"),
                format!("\t{principals}\t{options}\t{kind} {rest} a comment\n"),
            ] {
                let list = place.keys.file("list", &line);
                place.settings.allowed_signers_file = Some(list);
                let git = git_believes(&place, &commit);
                let ours = we_believe(&place).await;
                believed += usize::from(ours);
                if git != ours {
                    unlike.push(format!("{line:?}: git {git}, we {ours}"));
                }
            }
        }
    }
    assert_eq!(unlike, [""; 0]);
    assert!(believed > 20, "{believed}");
}
