//! The house: who may import whom, what a room never contains, how large files and folders are.
//! The table is that of `src/lib.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room, what it may import of ours, and what its text never contains.
struct Room {
    path: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

/// What effects look like.
const EFFECTS: &[&str] = &[
    "async fn",
    ".await",
    "kube::Client",
    "kube::Api",
    "reqwest",
    "tokio::",
    "tracing::",
    "Timestamp::now",
    "SystemTime",
    "std::env",
    "std::fs",
];

const ROOMS: &[Room] = &[
    Room {
        path: "api",
        may_use: &["api"],
        never: EFFECTS,
    },
    Room {
        path: "objects",
        may_use: &["api", "objects"],
        never: EFFECTS,
    },
    Room {
        path: "routers",
        may_use: &["api", "objects", "routers"],
        never: EFFECTS,
    },
    Room {
        path: "workloads",
        may_use: &["api", "objects", "workloads"],
        never: EFFECTS,
    },
    Room {
        path: "metrics",
        may_use: &["api", "objects", "metrics", "routers"],
        never: EFFECTS,
    },
    Room {
        path: "judges",
        may_use: &["api", "judges", "metrics"],
        never: EFFECTS,
    },
    Room {
        path: "notifiers",
        may_use: &["api", "objects", "notifiers"],
        never: EFFECTS,
    },
    Room {
        path: "webhooks",
        may_use: &["api", "objects", "webhooks"],
        never: EFFECTS,
    },
    Room {
        path: "records",
        may_use: &["api", "records"],
        never: EFFECTS,
    },
    Room {
        path: "report",
        may_use: &["api", "judges", "metrics", "pass", "records", "report"],
        never: EFFECTS,
    },
    Room {
        path: "pass/decide",
        may_use: &[
            "api",
            "objects",
            "pass",
            "records",
            "routers",
            "workloads",
            "metrics",
            "notifiers",
            "webhooks",
        ],
        never: &[
            "async fn",
            ".await",
            "io::",
            "tracing::",
            "now()",
            "random",
            "Result<",
            "istio",
            "deployment::",
            "prometheus",
        ],
    },
    Room {
        path: "pass/deliver/series",
        may_use: &["api", "metrics", "pass"],
        never: EFFECTS,
    },
    Room {
        path: "pass/totals.rs",
        may_use: &["api"],
        never: EFFECTS,
    },
    Room {
        path: "pass/desired",
        may_use: &["api", "objects", "pass", "routers", "workloads"],
        never: &[
            "async fn",
            ".await",
            "io::",
            "tracing::",
            "now()",
            "random",
            "istio",
        ],
    },
    Room {
        path: "signature",
        may_use: &["signature"],
        never: EFFECTS,
    },
    Room {
        path: "io/git",
        may_use: &["io", "signature"],
        never: &["Phase", "canary", "Canary", "record"],
    },
    Room {
        path: "io",
        may_use: &["api", "objects", "metrics", "io", "signature", "webhooks"],
        never: &["Phase"],
    },
    Room {
        path: "pass",
        may_use: &[
            "api",
            "io",
            "judges",
            "metrics",
            "notifiers",
            "objects",
            "pass",
            "records",
            "routers",
            "webhooks",
            "workloads",
        ],
        never: &["Timestamp::now", "std::env", "println!"],
    },
    Room {
        path: "simulate",
        may_use: &[
            "api", "io", "metrics", "objects", "pass", "routers", "settings", "simulate",
            "webhooks",
        ],
        never: &["Timestamp::now", "std::env", "println!"],
    },
];

/// Plug-in folders grow with every mesh and metrics system.
const PLUG_INS: &[&str] = &["routers", "workloads", "metrics", "judges", "notifiers"];
const FOLDER_MAX: usize = 16;
const FILE_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        files.extend(self::files(&entry.unwrap().path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

/// The code of a file without its comments and its tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap()
        .to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "tests.rs")
}

/// The first names after `crate::` in a text, those in braces too.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest,
        };
        let several = rest.starts_with('{');
        for name in names.split(',') {
            let name: String = name
                .trim()
                .chars()
                .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
                .collect();
            if !name.is_empty() {
                found.insert(name);
            }
            if !several {
                break;
            }
        }
    }
    found
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        for file in files(&root().join(room.path))
            .iter()
            .filter(|file| !is_test(file))
        {
            for name in imports(&code(file)) {
                if !room.may_use.contains(&&*name) {
                    wrong.push(format!("{} imports crate::{name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_room_contains_what_it_must_not() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        for file in files(&root().join(room.path))
            .iter()
            .filter(|file| !is_test(file))
        {
            let code = code(file);
            for never in room.never.iter().filter(|never| code.contains(**never)) {
                wrong.push(format!("{} contains {never}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Repositories are `io::git`'s, so that no other room reaches a remote past its limits.
#[test]
fn libgit2_and_ssh_stay_where_they_are() {
    let outside = files(&root()).into_iter().filter(|file| {
        let code = code(file);
        !file.starts_with(root().join("io/git"))
            && ["git2::", "russh::"].iter().any(|name| code.contains(name))
    });
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

/// The compiler denies it elsewhere; this keeps the exceptions to one.
#[test]
fn one_file_only_is_unsafe() {
    let mut found = files(&root());
    found.retain(|file| !is_test(file) && code(file).contains("unsafe"));
    assert_eq!(found, [root().join("io/git/library.rs")]);
}

#[test]
fn every_folder_of_the_house_is_in_the_table() {
    let known: BTreeSet<_> = ROOMS
        .iter()
        .map(|room| room.path)
        .chain(["command", "settings"])
        .collect();
    let entries = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let unknown: Vec<_> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !known.contains(&**name) && name != "lib.rs" && name != "main.rs")
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} is in no row of the table");
}

#[test]
fn plug_ins_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for folder in ["routers", "workloads", "metrics", "notifiers"] {
        for file in files(&root().join(folder)) {
            // How a data plane counts requests is for its router to say.
            let is_known =
                |other: &str| other == folder || (folder, other) == ("metrics", "routers");
            for other in PLUG_INS.iter().filter(|other| !is_known(other)) {
                if imports(&code(&file)).contains(*other) {
                    wrong.push(format!("{} imports crate::{other}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_folders_can_be_taken_in_at_a_glance() {
    let mut wrong = Vec::new();
    for file in files(&root()).iter().filter(|file| !is_test(file)) {
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .lines()
            .count();
        if lines > FILE_MAX {
            wrong.push(format!("{} has {lines} lines", file.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is for", file.display()));
        }
    }
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        let entries: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let is_plug_ins = PLUG_INS
            .iter()
            .any(|name| folder.ends_with(format!("src/{name}")));
        // The house itself has a room for each row of the table.
        if entries.len() > FOLDER_MAX && !is_plug_ins && folder != root() {
            wrong.push(format!(
                "{} has {} entries",
                folder.display(),
                entries.len()
            ));
        }
        folders.extend(entries.into_iter().filter(|path| path.is_dir()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
