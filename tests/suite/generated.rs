//! What is kept in the repository but made by the code is what the code makes.
#![expect(
    clippy::expect_used,
    reason = "a panic with a text is how a test reports"
)]

use std::{env, fs, path::Path};

use davy::api::crd::crds;

#[test]
fn config_crd_holds_what_the_types_describe() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/crd");
    let mut names = Vec::new();
    for crd in crds() {
        let name = crd["metadata"]["name"].as_str().expect("a name");
        let name = format!("{name}.yaml");
        let text = serde_yaml::to_string(&crd).expect("a definition is plain YAML");
        compare(&folder.join(&name), &text);
        names.push(name);
    }
    for entry in fs::read_dir(&folder).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        // By hand: it lets kustomize take the others.
        if name == "kustomization.yaml" {
            continue;
        }
        let made = names.iter().any(|made| name == made.as_str());
        assert!(made, "config/crd/{} is made by nothing", name.display());
    }
}

/// With `TEST_DAVY_UPDATE=1` the file is written anew, and what `git diff` shows is for the review.
fn compare(file: &Path, text: &str) {
    if env::var_os("TEST_DAVY_UPDATE").is_some() {
        fs::write(file, text).expect("a file that can be written");
    }
    let kept = fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept == text,
        "{} is not what the types describe: run the tests with TEST_DAVY_UPDATE=1",
        file.display()
    );
}
