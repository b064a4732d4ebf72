//! What the program is made of: the advisory check decides by its own code, and the bill of materials
//! names every crate of the lock file that is in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the advisory check with a program in place of cargo-deny that ends so.
fn advisories(fetched: u8, checked: u8) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("deny");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *fetch\\ db*) exit {fetched};; esac\n\
         case \"$*\" in *check*advisories*) exit {checked};; esac\nexit 99\n"
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let script = root().join(".ci/advisories");
    Command::new("bash")
        .arg(script)
        .arg(program)
        .output()
        .unwrap()
}

#[test]
fn only_a_database_that_cannot_be_fetched_is_let_pass() {
    for (fetched, checked, code) in [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 1, 0)] {
        let output = advisories(fetched, checked);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{fetched} {checked}: {output:?}"
        );
        assert_eq!(said.contains("unreachable"), fetched != 0, "{said}");
    }
}

#[test]
fn crates_that_were_taken_back_are_denied() {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    assert!(text.contains("\nyanked = \"deny\"\n"), "{text}");
}

/// Digest by name and version, of every crate of the registry in the lock file.
fn locked() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = text.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let value = |key: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(key))?;
                Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
            };
            let name = format!("{}@{}", value("name")?, value("version")?);
            Some((name, value("checksum")?))
        })
        .collect()
}

#[test]
fn bill_of_materials_names_what_is_in_the_program_with_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("davy");
    fs::write(&program, "a program").unwrap();
    let output = Command::new("bash")
        .arg(root().join(".ci/sbom"))
        .args([folder.path(), &program])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name: &str| -> Value {
        let path: PathBuf = folder.path().join(name);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let bill = read("davy.cdx.json");
    let components = bill["components"].as_array().unwrap();
    let locked = locked();
    for component in components {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = format!(
            "{}@{}",
            text(&component["name"]),
            text(&component["version"])
        );
        assert_eq!(component["purl"], format!("pkg:cargo/{name}"));
        assert_eq!(component["hashes"][0]["content"], locked[&name], "{name}");
    }
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    for name in ["kube", "rustls", "libgit2-sys", "serde_derive"] {
        assert!(has(name), "{name}");
    }
    // Of the tests only.
    assert!(!has("rcgen"));
    let provenance = read("davy.provenance.json");
    let subject = &provenance["subject"][0];
    // sha256sum of the text above.
    let digest = "d69ea8cda2433733c1ce02de65da8f48e6a3dbba6bb18876a2062908e54ef7cb";
    assert_eq!(subject["digest"]["sha256"], digest);
    let dependencies = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!(dependencies[1]["name"], "Cargo.lock");
}
