//! What a Canary may not name, and not take over: each folder of `fixtures/tenancy` is a Canary with
//! what is there (`canary.yaml`, `objects.yaml`, `policy.yaml`), and what is said of it
//! (`problems.txt`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use davy::api::canary::Canary;
use davy::objects::tenancy::{self, Tenancy};
use davy::objects::{Key, Kind, Names, Objects, Policy, View, names_grammar};
use serde::Deserialize;
use serde_json::Value;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    strict: bool,
    hosts: Vec<String>,
    gateways: Vec<String>,
}

#[test]
fn every_case_is_refused_as_recorded_and_nothing_else_is() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 5, "{cases:?}");
    for case in cases {
        let file = case.join("problems.txt");
        let (found, expected) = (
            problems(&case),
            fs::read_to_string(&file).unwrap_or_default(),
        );
        if found == expected {
            continue;
        }
        if std::env::var_os("TEST_DAVY_UPDATE").is_some() {
            fs::write(&file, found).unwrap();
        } else {
            wrong.push(format!(
                "{}: expected\n{expected}got\n{found}",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All that is said of a case, a problem a line.
fn problems(case: &Path) -> String {
    let canary: Canary = serde_yaml::from_str(&read(case, "canary.yaml")).unwrap();
    let Settings {
        strict,
        hosts,
        gateways,
    } = serde_yaml::from_str(&read(case, "policy.yaml")).unwrap();
    let tenancy = Tenancy {
        strict,
        hosts,
        gateways,
    };
    let policy = Policy {
        tenancy,
        ..Policy::default()
    };
    let names = Names::of(&canary);
    let objects: Objects = serde_yaml::Deserializer::from_str(&read(case, "objects.yaml"))
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| object["kind"].is_string())
        .map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap();
            (Key::new(kind(&object), name), Arc::new(object))
        })
        .collect();
    let view = View {
        canary: &canary,
        names: &names,
        policy: &policy,
        objects: &objects,
    };
    let mut problems = names_grammar::problems(&canary);
    problems.extend(tenancy::problems(&view, &objects));
    let lines = problems.iter().map(ToString::to_string);
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn kind(object: &Value) -> &'static Kind {
    use davy::objects::{
        CONFIG_MAP, DEPLOYMENT, DESTINATION_RULE, HORIZONTAL_POD_AUTOSCALER, SERVICE,
        VIRTUAL_SERVICE,
    };
    let known = [
        &CONFIG_MAP,
        &DEPLOYMENT,
        &DESTINATION_RULE,
        &HORIZONTAL_POD_AUTOSCALER,
        &SERVICE,
        &VIRTUAL_SERVICE,
    ];
    let found = known.into_iter().find(|kind| object["kind"] == kind.kind);
    found.unwrap_or_else(|| panic!("{object}"))
}

fn read(case: &Path, file: &str) -> String {
    fs::read_to_string(case.join(file)).unwrap_or_else(|_| "{}".to_owned())
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tenancy");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    cases
}
