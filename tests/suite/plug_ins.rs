//! One run per folder of `fixtures/<subject>/<case>`, where the subject is a row of `SUBJECTS`, or
//! a kind of workload or autoscaler:
//!
//! | file | |
//! |---|---|
//! | `canary.yaml` | the Canary |
//! | `policy.yaml` | the settings, if not the default ones |
//! | `before.yaml` | the objects that are there; `kind: PartialObjectMetadata` says in `of` of what |
//! | `after.yaml` | what is made of it |
//!
//! `TEST_DAVY_UPDATE=1` writes `after.yaml` anew, for review. A new case needs no Rust.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be read is to stop the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use davy::api::canary::{AutoscalerReference, Canary, CanarySpec};
use davy::objects::{
    CONFIG_MAP, Key, Kind, Names, Objects, Policy, Problem, SECRET, SERVICE, View, Wanted, configs,
    hash, names, patch, services,
};
use davy::workloads::{
    self, Intent, PrimaryIntent, Readiness, ReadinessRule, ReadinessRules, Side, TargetIntent,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golden::{compare, yaml};

/// What a case answers, as text.
type Answer = fn(&Case) -> String;

/// A folder of cases, and what is asked in each of them.
static SUBJECTS: &[(&str, Answer)] = &[
    ("objects/services", |case| {
        case.wanted(|view| {
            let primary = case.primary();
            let canary = case
                .present_target()
                .map(|target| services::canary(view, target));
            let of_primary = [
                services::primary(view, &primary),
                services::apex(view, &primary),
            ];
            canary.into_iter().chain(of_primary).collect()
        })
    }),
    ("objects/given-back-apex", |case| {
        case.wanted(|view| {
            let given_back = services::give_back(view, case.present_target());
            Ok(given_back.into_iter().collect())
        })
    }),
    ("objects/named", |case| {
        yaml(&services::named::of(&case.view(), Vec::new()))
    }),
    ("objects/names", |case| {
        let problems = names::problems(&case.view(), case.present_target());
        yaml(&problems.iter().map(Problem::to_string).collect::<Vec<_>>())
    }),
    ("objects/configs", configs),
    ("objects/restored-configs", |case| {
        case.wanted(configs::restored_copies)
    }),
];

/// The rows, and one for each kind in the tables of plug-ins.
fn subjects() -> Vec<(String, Answer)> {
    let folder = |kind| format!("workloads/{}", with_hyphens(kind));
    let rows = SUBJECTS.iter();
    let rows = rows.map(|(subject, answer)| ((*subject).to_owned(), *answer));
    let workloads = workloads::workload_kinds().map(|kind| (folder(kind), workload as Answer));
    let autoscalers =
        workloads::autoscaler_kinds().map(|kind| (folder(kind), autoscaler as Answer));
    rows.chain(workloads).chain(autoscalers).collect()
}

#[test]
fn every_case_comes_out_as_recorded() {
    let mut wrong = Vec::new();
    for (subject, answer) in subjects() {
        for folder in folders(&fixtures().join(subject)) {
            let answer = answer(&Case::read(&folder));
            wrong.extend(compare(&folder.join("after.yaml"), &answer));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_is_asked_something() {
    let subjects: BTreeSet<_> = subjects().into_iter().map(|(subject, _)| subject).collect();
    let mut found = BTreeSet::new();
    for part in ["objects", "workloads"] {
        for folder in folders(&fixtures().join(part)) {
            assert!(
                !folders(&folder).is_empty(),
                "{} has no case",
                folder.display()
            );
            found.insert(format!("{part}/{}", file_name(&folder)));
        }
    }
    assert_eq!(found, subjects, "folders of fixtures, subjects");
}

#[test]
fn unknown_kinds_name_the_known_ones() {
    let mut canary = Canary::new("podinfo", CanarySpec::default());
    canary.spec.target_ref.kind = "StatefulSet".to_owned();
    canary.spec.autoscaler_ref = Some(AutoscalerReference::default());
    let problems = [
        workloads::workload(&canary).err().unwrap().to_string(),
        workloads::autoscaler(&canary).err().unwrap().to_string(),
    ];
    let workloads: Vec<_> = workloads::workload_kinds().collect();
    let autoscalers: Vec<_> = workloads::autoscaler_kinds().collect();
    let expected = [
        format!(
            "spec.targetRef.kind: \"StatefulSet\" is not supported; known are {}",
            workloads.join(", ")
        ),
        format!(
            "spec.autoscalerRef.kind: \"\" is not supported; known are {}",
            autoscalers.join(", ")
        ),
    ];
    assert_eq!(problems, expected);
}

/// Which configs are tracked and what they are called then, and what a promotion would write.
fn configs(case: &Case) -> String {
    let view = case.view();
    let template = &case.target()["spec"]["template"];
    let checksums = configs::checksums(&view, template).map(|checksums| {
        json!({ "trackedConfigs": checksums.tracked, "configVersions": checksums.versions })
    });
    let renamed = configs::renamed(template, &configs::renames(&view, template));
    let names = |keys: Vec<Key>| keys.iter().map(Key::to_string).collect::<Vec<_>>();
    let mut report = yaml(&json!({
        "checksums": checksums.unwrap_or_else(|problem| json!(problem.to_string())),
        "unread": names(configs::unread(&view, template)),
        "renamed": operations(&json_patch::diff(template, &renamed)),
    }));
    report.push_str("---\n");
    let copies = |view: &View<'_>| {
        let mut wanted = configs::previous_copies(view, template)?;
        wanted.extend(configs::copies(view, template)?);
        Ok(wanted)
    };
    report + &case.wanted(copies)
}

/// What a workload says of its target, and the primary: a new one, or the live one promoted.
fn workload(case: &Case) -> String {
    let view = case.view();
    let workload = workloads::workload(&case.canary).unwrap();
    let target = case.target();
    let problems: Vec<_> = workload
        .problems(&view, target)
        .iter()
        .map(Problem::to_string)
        .collect();
    let mut sides = serde_json::Map::new();
    let mut available = 0;
    for (key, _) in case
        .objects
        .iter()
        .filter(|(key, _)| key.kind == workload.kind())
    {
        let side = side_of(case, &key.name);
        if key.name == case.names.target {
            available = side.available;
        }
        sides.insert(key.name.clone(), json!(in_words(&side.readiness)));
    }
    let up = side_as(
        &view,
        &case.names.target,
        PrimaryIntent::Leave,
        TargetIntent::Up,
    );
    let mut report = json!({
        "problems": problems,
        "replicas": workload.replicas(target),
        "replicasUp": up.map_or(0, |up| workload.replicas(&up)),
        "available": available,
        "readiness": sides,
    });
    if !problems.is_empty() {
        return yaml(&report);
    }
    let template = workload.primary_template(&view, target);
    let name = &case.names.primary;
    let Some(primary) = view.object(workload.kind(), name) else {
        let primary = case.primary();
        assert!(hash::same_template(&workload.template(&primary), &template));
        report["newPrimary"] = primary;
        return yaml(&report);
    };
    report["isAlike"] = json!(hash::same_template(&template, &workload.template(primary)));
    let copy = || PrimaryIntent::Copy {
        flagger_id: "step-7".to_owned(),
    };
    let promoted = side_as(&view, name, copy(), TargetIntent::AsItIs).unwrap();
    report["promoted"] = operations(&patch::difference(primary, &promoted));
    let mut objects = case.objects.clone();
    let key = Key::new(workload.kind(), &**name);
    objects.insert(key, Arc::new(promoted.clone()));
    let after = case.view_of(&objects);
    assert_eq!(
        side_as(&after, name, copy(), TargetIntent::AsItIs),
        Some(promoted.clone())
    );
    assert!(hash::same_template(
        &template,
        &workload.template(&promoted)
    ));
    let history = case
        .objects
        .iter()
        .find(|(key, _)| key.kind == workload.history_kind());
    let earlier = workload.template(history.map_or(primary, |(_, object)| &**object));
    let put_back = PrimaryIntent::PutBack {
        template: Some(earlier.clone()),
    };
    let reverted = side_as(&after, name, put_back, TargetIntent::AsItIs).unwrap();
    assert!(hash::same_template(&earlier, &workload.template(&reverted)));
    report["reverted"] = operations(&patch::difference(&promoted, &reverted));
    yaml(&report)
}

/// The primary's autoscaler; and, where the target's own has to be held at zero, that.
fn autoscaler(case: &Case) -> String {
    let autoscaler = workloads::autoscaler(&case.canary).unwrap().unwrap();
    let primary = case.wanted(|view| autoscaler.render(view));
    let held = case.wanted(|view| Ok(autoscaler.hold(view, true).into_iter().collect()));
    let let_go = case.wanted(|view| Ok(autoscaler.hold(view, false).into_iter().collect()));
    if held.is_empty() {
        return primary;
    }
    format!("{primary}---\n# At zero:\n{held}---\n# Up:\n{let_go}")
}

/// The object of this name as these intents make it.
fn side_as(
    view: &View<'_>,
    name: &str,
    primary: PrimaryIntent<'_>,
    target: TargetIntent,
) -> Option<Value> {
    let workload = workloads::workload(view.canary).unwrap();
    let intent = Intent {
        primary,
        primary_awake: None,
        target,
    };
    let rendered = workload.render(view, &intent);
    let key = Key::new(workload.kind(), name);
    let wanted = rendered
        .objects
        .into_iter()
        .find(|wanted| wanted.key == key);
    wanted.map(|wanted| wanted.object)
}

/// What the object of this name shows, as if it were the target.
fn side_of(case: &Case, name: &str) -> Side {
    let rule = ReadinessRule {
        now: "2026-01-01T01:00:00Z".parse().unwrap(),
        threshold: 50,
        progress_deadline_seconds: 600,
    };
    let rules = ReadinessRules {
        target: rule,
        primary: rule,
    };
    let names = Names {
        target: name.to_owned(),
        ..case.names.clone()
    };
    let view = View {
        names: &names,
        ..case.view()
    };
    let workload = workloads::workload(&case.canary).unwrap();
    workload.observe(&view, &rules).target.unwrap()
}

fn in_words(readiness: &Readiness) -> String {
    match readiness {
        Readiness::Ready => "ready".to_owned(),
        Readiness::Waiting(text) => format!("waiting: {text}"),
        Readiness::Exceeded(text) => format!("exceeded: {text}"),
    }
}

/// One folder of `fixtures`.
struct Case {
    canary: Canary,
    names: Names,
    policy: Policy,
    objects: Objects,
}

impl Case {
    fn read(folder: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        let canary: Canary = serde_yaml::from_str(&read("canary.yaml"))
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let before = read("before.yaml");
        let objects = serde_yaml::Deserializer::from_str(&before)
            .map(|document| Value::deserialize(document).unwrap())
            .filter(|object| !object.is_null())
            .map(|object| keyed(object, folder))
            .collect();
        let names = Names::of(&canary);
        Self {
            canary,
            names,
            policy: policy(&read("policy.yaml")),
            objects,
        }
    }

    fn view(&self) -> View<'_> {
        self.view_of(&self.objects)
    }

    fn view_of<'a>(&'a self, objects: &'a Objects) -> View<'a> {
        View {
            canary: &self.canary,
            names: &self.names,
            policy: &self.policy,
            objects,
        }
    }

    fn target(&self) -> &Value {
        static NONE: Value = Value::Null;
        let kind = kind(&self.canary.spec.target_ref.kind);
        self.objects
            .get(&Key::new(kind, &*self.names.target))
            .map_or(&NONE, |target| &**target)
    }

    fn present_target(&self) -> Option<&Value> {
        Some(self.target()).filter(|target| !target.is_null())
    }

    /// The primary that is there, or else the one that is about to be made.
    fn primary(&self) -> Value {
        let workload = workloads::workload(&self.canary).unwrap();
        let view = self.view();
        if let Some(primary) = view.object(workload.kind(), &self.names.primary) {
            return primary.clone();
        }
        let create = PrimaryIntent::Create {
            template: None,
            replicas_min: None,
            flagger_id: "step-1".to_owned(),
        };
        side_as(&view, &self.names.primary, create, TargetIntent::AsItIs).unwrap()
    }

    /// What is written, and that it is then as it should be.
    fn wanted(&self, render: impl Fn(&View<'_>) -> Result<Vec<Wanted>, Problem>) -> String {
        let rendered = render(&self.view());
        let mut written = self.objects.clone();
        for wanted in rendered.iter().flatten() {
            written.insert(wanted.key.clone(), Arc::new(wanted.object.clone()));
        }
        if rendered.is_ok() {
            for wanted in render(&self.view_of(&written)).unwrap() {
                let key = &wanted.key;
                assert_eq!(*written[key], wanted.object, "{key} never settles");
            }
        }
        listing(&self.view(), rendered)
    }
}

fn keyed(mut object: Value, folder: &Path) -> (Key, Arc<Value>) {
    let of = object
        .as_object_mut()
        .and_then(|fields| fields.remove("of"));
    let kind_name = of.as_ref().unwrap_or(&object["kind"]).as_str();
    let name = object["metadata"]["name"].as_str();
    let (Some(kind_name), Some(name)) = (kind_name, name) else {
        panic!("{}: an object without kind or name", folder.display())
    };
    (Key::new(kind(kind_name), name), Arc::new(object))
}

fn kind(name: &str) -> &'static Kind {
    let mut kinds = workloads::kinds().chain([&SERVICE, &CONFIG_MAP, &SECRET]);
    kinds
        .find(|kind| kind.kind == name)
        .unwrap_or_else(|| panic!("a fixture of kind {name}, which no test knows"))
}

fn policy(text: &str) -> Policy {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
    struct Given {
        selector_labels: Option<Vec<String>>,
        include_label_prefix: Vec<String>,
        config_tracking: Option<bool>,
    }
    let given: Given = if text.is_empty() {
        Given::default()
    } else {
        serde_yaml::from_str(text).unwrap()
    };
    let default = Policy::default();
    Policy {
        selector_labels: given.selector_labels.unwrap_or(default.selector_labels),
        include_label_prefix: given.include_label_prefix,
        config_tracking: given.config_tracking.unwrap_or(default.config_tracking),
        ..Policy::default()
    }
}

/// The objects of a step: whole where they are new, else what differs.
fn listing(view: &View<'_>, rendered: Result<Vec<Wanted>, Problem>) -> String {
    let wanted = match rendered {
        Ok(wanted) => wanted,
        Err(problem) => return yaml(&json!({ "problem": problem.to_string() })),
    };
    let documents = wanted.iter().map(|Wanted { key, rank, object }| {
        let Some(live) = view.object(key.kind, &key.name) else {
            return format!("# {rank:?}: create {key}\n{}", yaml(object));
        };
        let patch = patch::difference(live, object);
        assert_eq!(
            patch.0.is_empty(),
            live == object,
            "{key}: what differs is not sent"
        );
        if patch.0.is_empty() {
            return format!("# {rank:?}: leave {key}\n");
        }
        format!("# {rank:?}: patch {key}\n{}", yaml(&operations(&patch)))
    });
    documents.collect::<Vec<_>>().join("---\n")
}

/// A patch, an operation a line.
fn operations(patch: &json_patch::Patch) -> Value {
    patch
        .0
        .iter()
        .map(|operation| Value::from(operation.to_string()))
        .collect()
}

/// `HorizontalPodAutoscaler` as `horizontal-pod-autoscaler`.
fn with_hyphens(kind: &str) -> String {
    let mut hyphenated = String::new();
    for letter in kind.chars() {
        if letter.is_uppercase() && !hyphenated.is_empty() {
            hyphenated.push('-');
        }
        hyphenated.extend(letter.to_lowercase());
    }
    hyphenated
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap_or_else(|error| panic!("{}: {error}", of.display()));
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
