//! Parity with Flagger: every recorded canary is played on the cluster in memory, and at each rest
//! the objects and the Events are held against the recording. What is meant to differ stands in
//! `fixtures/parity/differences.yaml` with its reason; anything else fails, and so does a listed
//! difference that no longer occurs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use davy::simulate::play::Play;
use davy::simulate::scenario::{Event, Scenario, documents};
use davy::simulate::world::World;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A difference that is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meant {
    /// Names of scenarios; one that ends with `*` stands for all that begin so.
    scenarios: Vec<String>,
    /// Text that begins the difference, as this test prints it.
    difference: String,
    reason: String,
}

#[tokio::test]
async fn recorded_canaries_come_to_the_same_rest_with_the_same_events() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parity");
    let meant: Vec<Meant> = {
        let text = std::fs::read_to_string(root.join("differences.yaml")).expect("differences");
        serde_yaml::from_str(&text).expect("differences.yaml is as it should be")
    };
    assert!(
        meant.iter().all(|meant| !meant.reason.is_empty()),
        "every difference has a reason"
    );
    let mut used = BTreeSet::new();
    let mut unmeant = Vec::new();
    for folder in folders(&root) {
        let name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        for difference in differences(&folder).await {
            let found = meant.iter().position(|meant| {
                difference.starts_with(&meant.difference)
                    && meant
                        .scenarios
                        .iter()
                        .any(|pattern| matches(pattern, &name))
            });
            match found {
                Some(index) => drop(used.insert(index)),
                None => unmeant.push(format!("{name}: {difference}")),
            }
        }
    }
    assert!(
        unmeant.is_empty(),
        "differences from Flagger:\n{}",
        unmeant.join("\n")
    );
    let gone: Vec<_> = (0..meant.len())
        .filter(|index| !used.contains(index))
        .map(|i| &meant[i])
        .collect();
    assert!(
        gone.is_empty(),
        "listed differences that no longer occur: {gone:#?}"
    );
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |head| name.starts_with(head))
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .expect("fixtures/parity")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() > 20, "the recordings are there");
    folders
}

/// Everything in which the played story differs from the recorded one.
async fn differences(folder: &Path) -> Vec<String> {
    let scenario = Scenario::read(folder).expect("a scenario");
    let steps = scenario.script.steps.clone();
    let mut play = Play::new(scenario).expect("a cluster");
    let mut differences = Vec::new();
    let mut rests = BTreeMap::<String, u32>::new();
    for step in &steps {
        if let Err(error) = play.happen(step).await {
            differences.push(format!("story: {error}"));
            break;
        }
        let rest = match step {
            Event::Until(phase) => format!("{phase:?}").to_lowercase(),
            Event::Sleep(seconds) => format!("after-{seconds}s"),
            _ => continue,
        };
        let count = rests.entry(rest.clone()).or_default();
        *count += 1;
        let suffix = if *count > 1 {
            format!("-{count}")
        } else {
            String::new()
        };
        let file = folder.join(format!("rest-{rest}{suffix}.yaml"));
        let recorded = std::fs::read_to_string(&file).expect("a recorded rest");
        let recorded = by_name(documents(&recorded).expect("recorded objects"));
        let shown = by_name(objects(&play.world));
        compare(&rest, &recorded, &shown, &mut differences);
    }
    let said = play.end().events;
    let recorded = std::fs::read_to_string(folder.join("events.txt")).expect("recorded events");
    compare_events(&recorded, &said, &mut differences);
    differences
}

/// The objects of the namespace that the recordings hold: none of those that controllers make.
fn objects(world: &World) -> Vec<Value> {
    let left_out = [
        "ReplicaSet",
        "ControllerRevision",
        "Event",
        "Namespace",
        "CustomResourceDefinition",
        "EndpointSlice",
        // The user's, and in no recording.
        "MetricTemplate",
    ];
    let state = world.lock();
    let objects = state.cluster.objects();
    objects
        .filter(|(key, _)| &*key.namespace == "test" && !left_out.contains(&&*key.kind))
        .map(|(_, object)| (**object).clone())
        .collect()
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    objects
        .into_iter()
        .map(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            (format!("{kind} {name}"), bare(object))
        })
        .collect()
}

/// Without what no two runs share: times, hashes, numbers that the server gives, `flagger-id`.
fn bare(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    for field in [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "namespace",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("deployment.kubernetes.io/revision");
        annotations.remove("deprecated.daemonset.template.generation");
        annotations.remove("flagger.app/step");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    for owner in metadata
        .get_mut("ownerReferences")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        owner.as_object_mut().expect("an owner").remove("uid");
    }
    if let Some(id) = object.pointer_mut("/spec/template/metadata/annotations/flagger-id") {
        *id = json!("an id");
    }
    // How the recorder made pods stick.
    let template = object.pointer_mut("/spec/template/metadata");
    if let Some(template) = template.and_then(Value::as_object_mut)
        && let Some(annotations) = template.get_mut("annotations")
    {
        let annotations = annotations.as_object_mut().expect("annotations");
        annotations.remove("lab/stuck");
        if annotations.is_empty() {
            template.remove("annotations");
        }
    }
    // Flagger discovers ports in random order.
    if let Some(ports) = object
        .pointer_mut("/spec/ports")
        .and_then(Value::as_array_mut)
    {
        ports.sort_by_key(|port| port["port"].as_i64());
    }
    if object["kind"] == "Canary" {
        let Some(status) = object["status"].as_object_mut() else {
            return object;
        };
        status.remove("lastTransitionTime");
        for hash in ["lastAppliedSpec", "lastPromotedSpec"] {
            if status.contains_key(hash) {
                status.insert(hash.to_owned(), json!("a hash"));
            }
        }
        // Flagger knows none of the others.
        let mut conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
        if let Some(conditions) = &mut conditions {
            conditions.retain(|condition| condition["type"] == "Promoted");
        }
        for condition in conditions.into_iter().flatten() {
            let condition = condition.as_object_mut().expect("a condition");
            condition.remove("lastTransitionTime");
            condition.remove("lastUpdateTime");
        }
    } else {
        object.as_object_mut().expect("an object").remove("status");
        // Given by the server, and not in the recordings.
        if object["kind"] == "Service" {
            let spec = object["spec"].as_object_mut().expect("a spec");
            for field in [
                "clusterIP",
                "clusterIPs",
                "ipFamilies",
                "ipFamilyPolicy",
                "internalTrafficPolicy",
                "sessionAffinity",
            ] {
                spec.remove(field);
            }
        }
    }
    object
}

fn compare(
    rest: &str,
    recorded: &BTreeMap<String, Value>,
    shown: &BTreeMap<String, Value>,
    differences: &mut Vec<String>,
) {
    let names: BTreeSet<_> = recorded.keys().chain(shown.keys()).collect();
    for name in names {
        match (recorded.get(name), shown.get(name)) {
            (Some(recorded), Some(shown)) => {
                fields("", recorded, shown, &mut |path, text| {
                    differences.push(format!("{name} {path}: {text} (at {rest})"));
                });
            }
            (Some(_), None) => differences.push(format!("{name}: is missing (at {rest})")),
            (None, Some(_)) => {
                differences.push(format!("{name}: is not in the recording (at {rest})"));
            }
            (None, None) => {}
        }
    }
}

fn fields(path: &str, recorded: &Value, shown: &Value, report: &mut dyn FnMut(&str, String)) {
    match (recorded, shown) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                fields(&below, member(a, key), member(b, key), report);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                fields(&format!("{path}[{index}]"), a, b, report);
            }
        }
        _ if recorded == shown => {}
        _ => report(path, format!("Flagger {recorded}, Davy {shown}")),
    }
}

fn member<'a>(map: &'a Map<String, Value>, key: &str) -> &'a Value {
    map.get(key).unwrap_or(&Value::Null)
}

/// The Events that tell of waiting depend on when passes are made: they are compared as a set of
/// texts without their numbers. All others have the same texts in the same order.
fn compare_events(recorded: &str, said: &[String], differences: &mut Vec<String>) {
    let recorded: Vec<String> = recorded
        .lines()
        .map(|line| line.replacen(" Synced ", " ", 1))
        .collect();
    let mut seen = BTreeSet::new();
    let said: Vec<&String> = said
        .iter()
        .filter(|event| seen.insert((*event).clone()))
        .collect();
    let told: Vec<_> = said
        .iter()
        .filter(|event| !is_waiting(event))
        .map(|e| &***e)
        .collect();
    let wanted: Vec<_> = recorded
        .iter()
        .filter(|event| !is_waiting(event))
        .map(String::as_str)
        .collect();
    for event in wanted.iter().filter(|event| !told.contains(event)) {
        differences.push(format!("event not said: {event}"));
    }
    for event in told.iter().filter(|event| !wanted.contains(event)) {
        differences.push(format!("event not in the recording: {event}"));
    }
    let common = |of: &[&str], other: &[&str]| -> Vec<String> {
        of.iter()
            .filter(|event| other.contains(event))
            .map(|event| (*event).to_owned())
            .collect()
    };
    if common(&told, &wanted) != common(&wanted, &told) {
        differences.push(format!("events in another order: {told:#?}"));
    }
    let waits = |event: &str| event.split(": ").next().unwrap_or_default().to_owned();
    let recorded: BTreeSet<_> = recorded
        .iter()
        .filter(|event| is_waiting(event))
        .map(|event| waits(event))
        .collect();
    let said: BTreeSet<_> = said
        .iter()
        .filter(|event| is_waiting(event))
        .map(|event| waits(event))
        .collect();
    for event in recorded.difference(&said) {
        differences.push(format!("waiting not said: {event}"));
    }
    for event in said.difference(&recorded) {
        differences.push(format!("waiting not in the recording: {event}"));
    }
}

fn is_waiting(event: &str) -> bool {
    event.contains(" not ready: ") && !event.contains("failed, primary not ready")
}
