//! One run per folder of `fixtures/routers/<router>/<case>`, where the router is named as in
//! `spec.provider`, without a version:
//!
//! | file | |
//! |---|---|
//! | `canary.yaml` | the Canary |
//! | `before.yaml` | the objects that are there, if any; beside it stands what else is ever made |
//! | `weight.txt` | the traffic asked for: `50`, `50 matched` of the requests that match, or `0 mirrored`; 0 when absent |
//! | `seen.txt` | what the router sees in `before.yaml`: traffic, or why it sees none |
//! | `problems.txt` | what it does not accept in the Canary, if anything; nothing is rendered then |
//! | `after.yaml` | the objects that change with that weight, whole |
//! | `restored.yaml` | what the user keeps when the Canary goes, if anything |
//! | `fields.txt` | what the next claim notes as named, where the Canary has a status |
//! | `obstacles.txt` | what among the objects keeps the route from being as it should be, if anything |
//! | `others.yaml` | other objects of the namespace, if any |
//! | `rivals.txt` | which of those claim the same traffic |
//!
//! All but the first three and `others.yaml` are written with `TEST_DAVY_UPDATE=1`, for review.
#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test reports a broken fixture"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use davy::api::canary::Canary;
use davy::objects::{
    DEPLOYMENT, Key, Names, Objects, Policy, Problem, Role, SERVICE, View, Wanted,
};
use davy::routers::{self, Router, Seen, Traffic};
use serde::Deserialize;
use serde_json::Value;

#[test]
fn every_case_is_routed_as_recorded() {
    let mut wrong = Vec::new();
    for router in entries(&fixtures()) {
        for case in entries(&router) {
            wrong.extend(run(&case));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_router_has_a_name_of_its_own_and_a_case() {
    let names: Vec<_> = routers::names().collect();
    let unique: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(unique.len(), names.len(), "a name twice in {names:?}");
    let folders: BTreeSet<_> = entries(&fixtures())
        .iter()
        .map(|path| file_name(path))
        .collect();
    let bases: BTreeSet<_> = names
        .iter()
        .map(|name| routers::base_name(name).to_owned())
        .collect();
    assert_eq!(
        bases, folders,
        "names of routers, folders of fixtures/routers"
    );
    for folder in entries(&fixtures()) {
        assert!(
            !entries(&folder).is_empty(),
            "{} has no case",
            folder.display()
        );
    }
}

#[test]
fn unknown_provider_names_the_known_ones() {
    let problem = routers::router("isto")
        .err()
        .map(|problem| problem.to_string());
    let known = routers::names().collect::<Vec<_>>().join(", ");
    let expected = format!("spec.provider: \"isto\" is not supported; known are {known}");
    assert_eq!(problem, Some(expected));
}

#[test]
fn provider_that_is_discontinued_is_refused_with_the_way_on() {
    for provider in [
        "appmesh",
        "appmesh:v1beta1",
        "appmesh:v1beta2",
        "kuma",
        "osm",
    ] {
        let problem = routers::router(provider).err();
        let problem = problem.unwrap_or_else(|| panic!("{provider} is routed on"));
        let text = problem.to_string();
        let begin = format!("spec.provider: \"{provider}\" is not supported: ");
        let why = text
            .strip_prefix(&*begin)
            .unwrap_or_else(|| panic!("{text}"));
        assert!(why.contains("discontinued"), "{text}");
        assert!(
            why.contains("provider gatewayapi:v1") || why.contains("providers istio"),
            "{text}"
        );
    }
}

fn run(case: &Path) -> Vec<String> {
    let text = fs::read_to_string(case.join("canary.yaml")).unwrap();
    let canary: Canary = serde_yaml::from_str(&text).unwrap();
    let folder = file_name(case.parent().unwrap());
    let provider = canary.spec.provider.as_deref().unwrap_or(&folder);
    assert_eq!(routers::base_name(provider), folder, "{}", case.display());
    let router = routers::router(provider).unwrap_or_else(|problem| panic!("{problem}"));
    let names = Names::of(&canary);
    let policy = Policy::default();
    let view = |objects| View {
        canary: &canary,
        names: &names,
        policy: &policy,
        objects,
    };
    let none = Objects::new();
    let mut before = objects(case, "before.yaml");
    let traffic = fs::read_to_string(case.join("weight.txt"))
        .map_or(Traffic::default(), |traffic| parsed(&traffic));

    let mut wrong = Vec::new();
    let mut golden = |file: &str, text: Option<String>| {
        wrong.extend(compare(&case.join(file), text.as_deref()));
    };
    let problems: Vec<_> = routers::problems(router, &canary, provider)
        .iter()
        .map(ToString::to_string)
        .collect();
    golden(
        "problems.txt",
        (!problems.is_empty()).then(|| problems.join("\n") + "\n"),
    );
    if !problems.is_empty() {
        return wrong;
    }
    let reads = router.reads(&canary, &names);
    let is_written = |key: &Key| {
        reads
            .iter()
            .any(|(read, role)| read == key && *role != Role::UsersOwn)
    };
    if before.keys().any(is_written) {
        for made in router.render(&view(&none), Traffic::default()) {
            before
                .entry(made.key)
                .or_insert_with(|| Arc::new(made.object));
        }
    }
    golden(
        "seen.txt",
        (!before.is_empty()).then(|| seen(router, &view(&before))),
    );
    let of_before = view(&before);
    for (file, text) in said(case, router, &of_before) {
        golden(file, text);
    }

    let rendered = router.render(&of_before, traffic);
    let is_changed =
        |wanted: &&Wanted| before.get(&wanted.key).map(|b| &**b) != Some(&wanted.object);
    golden("after.yaml", yaml(rendered.iter().filter(is_changed)));

    let after = written(&before, rendered.iter());
    let restored = router.give_back(&view(&after));
    golden("restored.yaml", yaml(restored.iter()));

    holds(case, router, &of_before, traffic);
    for traffic in others(router, &canary) {
        holds(case, router, &of_before, traffic);
    }
    let name = case.display();
    for wanted in rendered.iter().chain(&restored) {
        let key = &wanted.key;
        assert!(
            is_written(key),
            "{name}: {key} is written, and not among what is read"
        );
    }
    for (key, _) in &reads {
        let is_known = router.kinds().contains(&key.kind);
        assert!(is_known, "{name}: {key} is of none of the router's kinds");
    }
    let end = written(&after, restored.iter());
    assert_eq!(
        router.give_back(&view(&end)),
        restored,
        "{name}: restored again"
    );
    wrong
}

/// What the router says of the objects that are there, by file; `None` where it says nothing.
fn said(case: &Path, router: &dyn Router, view: &View<'_>) -> [(&'static str, Option<String>); 3] {
    for own in view.objects.values() {
        let name = case.display();
        assert!(!router.is_rival(view, own), "{name}: a rival of itself");
    }
    let fields = view.canary.status.as_ref().map(|_| router.fields(view));
    let obstacles = router.obstacles(view);
    let obstacles: Vec<_> = obstacles.iter().map(ToString::to_string).collect();
    let others = objects(case, "others.yaml");
    let rivals = others
        .iter()
        .filter(|(_, other)| router.is_rival(view, other));
    let rivals: Vec<_> = rivals.map(|(key, _)| key.to_string()).collect();
    [
        ("fields.txt", fields.map(|fields| lines(&fields))),
        (
            "obstacles.txt",
            (!obstacles.is_empty()).then(|| lines(&obstacles)),
        ),
        ("rivals.txt", (!others.is_empty()).then(|| lines(&rivals))),
    ]
}

/// Traffic of `weight.txt`, and as `seen.txt` has it.
fn parsed(text: &str) -> Traffic {
    let mut words = text.split_whitespace();
    let canary = words.next().unwrap().parse().unwrap();
    let mut traffic = Traffic::share(canary);
    for word in words {
        match word {
            "matched" => traffic.matched = true,
            "mirrored" => traffic.mirror = true,
            other => panic!("traffic that is {other}"),
        }
    }
    traffic
}

fn shown(traffic: Traffic) -> String {
    let matched = if traffic.matched { " matched" } else { "" };
    let mirrored = if traffic.mirror { " mirrored" } else { "" };
    format!("{}{matched}{mirrored}", traffic.canary)
}

/// Traffic that a router may be asked for at any time, besides that of the case.
fn others(router: &dyn Router, canary: &Canary) -> Vec<Traffic> {
    let mut others = vec![Traffic::default()];
    let can = router.can();
    if can.weights {
        others.push(Traffic::ALL);
    }
    let analysis = canary.spec.analysis();
    if can.matches && analysis.is_some_and(|analysis| !analysis.r#match.is_empty()) {
        others.push(Traffic::of_matched(100));
    }
    if can.mirror && analysis.is_some_and(|analysis| analysis.mirror == Some(true)) {
        others.push(Traffic {
            mirror: true,
            ..Traffic::default()
        });
    }
    others
}

/// That what is rendered shows the traffic, is rendered again as it is, and shows the traffic as well
/// when nothing but the objects that hold the weights was written.
fn holds(case: &Path, router: &dyn Router, view: &View<'_>, traffic: Traffic) {
    let name = format!("{}, asked for {}", case.display(), shown(traffic));
    let rendered = router.render(view, traffic);
    let holding = router.weight_keys(view.canary, view.names);
    let is_made = holding.is_empty() || rendered.iter().any(|it| holding.contains(&it.key));
    if !is_made {
        let obstacles = router.obstacles(view);
        assert!(
            !obstacles.is_empty(),
            "{name}: no route is made, and no reason given"
        );
        return;
    }
    let expected = if router.can().weights {
        traffic
    } else {
        Traffic::default()
    };
    let shifted = rendered
        .iter()
        .filter(|wanted| holding.contains(&wanted.key));
    let shifted = written(view.objects, shifted);
    let of_shifted = View {
        objects: &shifted,
        ..*view
    };
    assert_eq!(
        share(router, &of_shifted),
        Ok(Some(expected)),
        "{name}: when the weights are written alone"
    );
    let after = written(view.objects, rendered.iter());
    let of_after = View {
        objects: &after,
        ..*view
    };
    assert_eq!(
        share(router, &of_after),
        Ok(Some(expected)),
        "{name}: what the route shows"
    );
    assert_eq!(
        router.render(&of_after, traffic),
        rendered,
        "{name}: rendered again"
    );
}

fn written<'a>(objects: &Objects, wanted: impl Iterator<Item = &'a Wanted>) -> Objects {
    let mut objects = objects.clone();
    objects.extend(wanted.map(|wanted| (wanted.key.clone(), Arc::new(wanted.object.clone()))));
    objects
}

fn lines(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

/// What of the traffic goes to the canary, whatever the controller of the route has seen of it.
fn share(router: &dyn Router, view: &View<'_>) -> Result<Option<Traffic>, Problem> {
    let seen = router.observe(view)?;
    Ok(seen.map(|seen| seen.traffic))
}

fn seen(router: &dyn Router, view: &View<'_>) -> String {
    let seen = match router.observe(view) {
        Ok(None) => "no route".to_owned(),
        Ok(Some(Seen {
            traffic,
            programmed,
        })) => match programmed {
            Ok(()) => shown(traffic),
            Err(why) => format!("{}, not programmed: {why}", shown(traffic)),
        },
        Err(problem) => problem.to_string(),
    };
    seen + "\n"
}

fn objects(case: &Path, file: &str) -> Objects {
    let Ok(text) = fs::read_to_string(case.join(file)) else {
        return Objects::new();
    };
    let documents = serde_yaml::Deserializer::from_str(&text);
    let objects = documents.map(|document| Value::deserialize(document).unwrap());
    objects
        .map(|object| (key(&object), Arc::new(object)))
        .collect()
}

fn key(object: &Value) -> Key {
    let mut kinds = routers::kinds().chain([&DEPLOYMENT, &SERVICE]);
    let kind = kinds
        .find(|kind| object["apiVersion"] == kind.api_version() && object["kind"] == kind.kind);
    let kind = kind.unwrap_or_else(|| panic!("a kind unknown to this test: {object}"));
    Key::new(kind, object["metadata"]["name"].as_str().unwrap())
}

fn yaml<'a>(wanted: impl Iterator<Item = &'a Wanted>) -> Option<String> {
    let documents = wanted.map(|wanted| {
        assert_eq!(key(&wanted.object), wanted.key);
        serde_yaml::to_string(&wanted.object).unwrap()
    });
    let documents: Vec<_> = documents.collect();
    (!documents.is_empty()).then(|| documents.join("---\n"))
}

/// Says how a file differs from what it should hold; `None` should not be there.
fn compare(file: &Path, text: Option<&str>) -> Option<String> {
    let found = fs::read_to_string(file).ok();
    if found.as_deref() == text {
        return None;
    }
    if std::env::var_os("TEST_DAVY_UPDATE").is_some() {
        match text {
            Some(text) => fs::write(file, text).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
        return None;
    }
    let shown = |text: Option<&str>| text.unwrap_or("(no file)\n").to_owned();
    Some(format!(
        "{}: expected\n{}got\n{}",
        file.display(),
        shown(found.as_deref()),
        shown(text)
    ))
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/routers")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = read.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
