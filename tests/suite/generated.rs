//! What is kept in the repository but made by the code is what the code makes.
#![expect(
    clippy::expect_used,
    reason = "a panic with a text is how a test reports"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs, path::Path};

use davy::api::crd::crds;
use davy::io::rights::{self, Need};
use davy::routers;

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

/// A provider that writes objects has a component that adds the rights for them.
#[test]
fn kustomize_components_hold_the_rights_of_each_router() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kustomize/components");
    let mut needs: BTreeMap<&str, BTreeSet<Need>> = BTreeMap::new();
    for name in routers::names() {
        let router = routers::router(name).expect("a router of this name");
        let kinds = router.kinds().iter().copied().map(Need::Kind);
        needs
            .entry(routers::base_name(name))
            .or_default()
            .extend(kinds);
    }
    for (provider, needs) in needs.into_iter().filter(|(_, needs)| !needs.is_empty()) {
        let mut text = format!(
            "# Rights for the routes of provider {provider}.\n\
             apiVersion: kustomize.config.k8s.io/v1alpha1\n\
             kind: Component\n\
             patches:\n\
             - target: {{kind: Role|ClusterRole, name: davy}}\n  patch: |\n"
        );
        for rule in rights::rules(&needs) {
            let resources: Vec<_> = rule.resources.into_iter().collect();
            let verbs: Vec<_> = rule.verbs.into_iter().collect();
            writeln!(text, "    - op: add\n      path: /rules/-\n      value:").expect("a text");
            writeln!(text, "        apiGroups: [{}]", rule.group).expect("a text");
            writeln!(text, "        resources: [{}]", resources.join(", ")).expect("a text");
            writeln!(text, "        verbs: [{}]", verbs.join(", ")).expect("a text");
        }
        let folder = folder.join(provider);
        fs::create_dir_all(&folder).expect("a folder");
        compare(&folder.join("kustomization.yaml"), &text);
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
