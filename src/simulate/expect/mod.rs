//! Whether a rehearsal ended as its script expects, also as JUnit for CI.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::simulate::cluster::Key;
use crate::simulate::play::Transcript;
use crate::simulate::scenario::{Expect, ExpectedObject, Scenario};
use crate::simulate::world::World;

/// One expectation, and how it was not met if it was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expectation {
    pub name: String,
    pub failure: Option<String>,
}

/// Holds the end of a rehearsal against its script.
pub fn judge(scenario: &Scenario, transcript: &Transcript) -> Vec<Expectation> {
    let Some(world) = &transcript.world else {
        return Vec::new();
    };
    let canary = object(world, scenario, "Canary", None);
    let primary = object(world, scenario, "Deployment", Some("-primary"));
    let target = object(world, scenario, "Deployment", Some(""));
    let status = &canary["status"];
    let image = |object: &Value| {
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        let image = image.as_str().unwrap_or_default();
        image
            .rsplit_once(':')
            .map_or(image, |(_, tag)| tag)
            .to_owned()
    };
    // Without `..`: an expectation that nobody looks at would be met by anything.
    let Expect {
        phase,
        weight,
        primary_image,
        target_replicas,
        condition_reason,
        events,
        no_events,
        primary_untouched,
        objects,
    } = &scenario.script.expect;
    let mut met = Vec::new();
    if let Some(phase) = phase {
        met.push(equal(
            "phase",
            &format!("{phase:?}"),
            status["phase"].as_str(),
        ));
    }
    if let Some(weight) = weight {
        let shown = status["canaryWeight"].as_i64().unwrap_or(0).to_string();
        met.push(equal("weight", &weight.to_string(), Some(&shown)));
    }
    if let Some(tag) = primary_image {
        met.push(equal("primary image", tag, Some(&image(&primary))));
    }
    if let Some(replicas) = target_replicas {
        let shown = target["spec"]["replicas"].as_i64().unwrap_or(0).to_string();
        met.push(equal(
            "target replicas",
            &replicas.to_string(),
            Some(&shown),
        ));
    }
    if let Some(reason) = condition_reason {
        met.push(equal(
            "condition reason",
            reason,
            status["conditions"][0]["reason"].as_str(),
        ));
    }
    if !events.is_empty() {
        met.push(in_order(events, &transcript.events));
    }
    for text in no_events {
        let said = transcript
            .events
            .iter()
            .find(|event| event.contains(text.as_str()));
        let failure = said.map(|event| format!("was said: {event}"));
        met.push(Expectation {
            name: format!("no event \"{text}\""),
            failure,
        });
    }
    if *primary_untouched == Some(true) {
        let generations = rollouts(world, &primary);
        let failure =
            (generations > 1).then(|| format!("its template was written {generations} times"));
        met.push(Expectation {
            name: "primary untouched".to_owned(),
            failure,
        });
    }
    let namespace = canary["metadata"]["namespace"].as_str().unwrap_or("test");
    met.extend(
        objects
            .iter()
            .map(|expected| held(world, namespace, expected)),
    );
    met
}

/// Whether there is such an object with at least the fields that are expected of it.
fn held(world: &World, namespace: &str, expected: &ExpectedObject) -> Expectation {
    let ExpectedObject {
        kind,
        name,
        contains,
    } = expected;
    let state = world.lock();
    let found = state.cluster.objects().find(|(key, _)| {
        *key.kind == **kind && *key.name == **name && *key.namespace == *namespace
    });
    let failure = match found {
        None => Some("does not exist".to_owned()),
        Some((_, object)) if !has(object, contains) => Some(format!("does not hold {contains}")),
        Some(_) => None,
    };
    Expectation {
        name: format!("{kind} {name}"),
        failure,
    }
}

/// Whether a value has at least what another has.
fn has(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| fields.get(name).is_some_and(|value| has(value, wanted))),
        _ => value == wanted,
    }
}

fn equal(name: &str, wanted: &str, shown: Option<&str>) -> Expectation {
    let shown = shown.unwrap_or("none");
    let failure = (shown != wanted).then(|| format!("expected {wanted}, it is {shown}"));
    Expectation {
        name: format!("{name} {wanted}"),
        failure,
    }
}

fn in_order(wanted: &[String], said: &[String]) -> Expectation {
    let mut rest = said.iter();
    let missing = wanted
        .iter()
        .find(|text| !rest.any(|event| event.contains(text.as_str())));
    let failure = missing.map(|text| format!("\"{text}\" was not said, or not in this order"));
    Expectation {
        name: "events in order".to_owned(),
        failure,
    }
}

/// How often the primary's template was written.
fn rollouts(world: &World, primary: &Value) -> usize {
    let state = world.lock();
    state
        .cluster
        .history()
        .filter(|write| {
            write.after.as_ref().is_some_and(|after| {
                after["metadata"]["uid"] == primary["metadata"]["uid"]
                    && after["kind"] == "Deployment"
            })
        })
        .filter(|write| {
            let template = |object: &std::sync::Arc<Value>| object["spec"]["template"].clone();
            write.before.as_ref().map(template) != write.after.as_ref().map(template)
        })
        .count()
}

/// An object of the scenario's canary: itself, or what its target's name and a suffix make.
fn object(world: &World, scenario: &Scenario, kind: &str, suffix: Option<&str>) -> Value {
    let manifest = scenario
        .objects
        .iter()
        .find(|object| object["kind"] == "Canary");
    let Some(manifest) = manifest else {
        return Value::Null;
    };
    let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or("test");
    let (group, name) = match suffix {
        None => (
            "flagger.app",
            manifest["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ),
        Some(suffix) => {
            let target = manifest["spec"]["targetRef"]["name"]
                .as_str()
                .unwrap_or_default();
            ("apps", format!("{target}{suffix}"))
        }
    };
    let key = Key::new(group, kind, namespace, &name);
    world
        .lock()
        .cluster
        .get(&key)
        .map(|object| (*object).clone())
        .unwrap_or_default()
}

/// The results of several rehearsals as JUnit's XML.
pub fn junit(results: &[(String, Vec<Expectation>)]) -> String {
    let all = results.iter().map(|(_, met)| met.len()).sum::<usize>();
    let failed = results
        .iter()
        .flat_map(|(_, met)| met)
        .filter(|e| e.failure.is_some())
        .count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites tests=\"{all}\" failures=\"{failed}\">");
    for (name, expectations) in results {
        let failures = expectations.iter().filter(|e| e.failure.is_some()).count();
        let (name, tests) = (escaped(name), expectations.len());
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">"
        );
        for expectation in expectations {
            let case = escaped(&expectation.name);
            match &expectation.failure {
                None => {
                    let _ = writeln!(xml, "    <testcase classname=\"{name}\" name=\"{case}\"/>");
                }
                Some(failure) => {
                    let _ = writeln!(
                        xml,
                        "    <testcase classname=\"{name}\" name=\"{case}\"><failure \
                         message=\"{}\"/></testcase>",
                        escaped(failure)
                    );
                }
            }
        }
        let _ = writeln!(xml, "  </testsuite>");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// What XML 1.0 allows in an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}
