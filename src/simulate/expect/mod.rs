//! Whether a rehearsal ended as its script expects.

mod difference;
pub mod junit;

use serde::Serialize;
use serde_json::Value;

use crate::simulate::cluster::Key;
use crate::simulate::play::{Pass, Transcript};
use crate::simulate::route::Route;
use crate::simulate::scenario::Scenario;
use crate::simulate::scenario::expected::{Expect, ExpectedObject};
use crate::simulate::world::World;

/// Errors and Events that a failure names; the transcript has them all.
const TOLD_MAX: usize = 10;

/// One expectation, and how it was not met if it was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expectation {
    pub name: String,
    pub failure: Option<String>,
}

impl Expectation {
    fn new(name: impl Into<String>, failure: Option<String>) -> Self {
        Self {
            name: name.into(),
            failure,
        }
    }
}

/// Holds the end of a rehearsal against its script. A script that was not played to its end is a
/// failure of its own, before all others.
pub fn judge(scenario: &Scenario, transcript: &Transcript) -> Vec<Expectation> {
    let Some(world) = &transcript.world else {
        return Vec::new();
    };
    let canary = object(world, scenario, "Canary", None);
    let kind = canary["spec"]["targetRef"]["kind"].as_str();
    let kind = kind.unwrap_or("Deployment");
    let primary = object(world, scenario, kind, Some("-primary"));
    let target = object(world, scenario, kind, Some(""));
    let status = &canary["status"];
    // Without `..`: an expectation that nobody looks at would be met by anything.
    let Expect {
        phase,
        weight,
        primary_image,
        target_replicas,
        condition_reason,
        last_outcome,
        no_errors,
        events,
        no_events,
        primary_untouched,
        objects,
    } = &scenario.script.expect;
    let mut met = Vec::new();
    if let Some(why) = &transcript.stopped {
        met.push(Expectation::new("script", Some(why.clone())));
    }
    if let Some(phase) = phase {
        met.push(equal(
            "phase",
            &format!("{phase:?}"),
            status["phase"].as_str(),
        ));
    }
    if let Some(weight) = weight {
        met.push(is_weight(*weight, status, transcript));
    }
    if let Some(tag) = primary_image {
        met.push(equal("primary image", tag, Some(&tag_of(&primary))));
    }
    if let Some(replicas) = target_replicas {
        let shown = target["spec"]["replicas"].as_i64();
        let shown = shown.map_or_else(|| "none".to_owned(), |shown| shown.to_string());
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
    if let Some(outcome) = last_outcome {
        met.push(ends_in(outcome.name(), transcript.passes().next_back()));
    }
    if *no_errors {
        met.push(without_errors(transcript));
    }
    if !events.is_empty() {
        met.push(in_order(events, &transcript.events));
    }
    for text in no_events {
        let mut said = transcript.events.iter();
        let said = said.find(|event| event.contains(text.as_str()));
        let failure = said.map(|event| format!("was said: {event}"));
        met.push(Expectation::new(format!("no event \"{text}\""), failure));
    }
    if *primary_untouched {
        let written = rollouts(world, &primary);
        let failure = (written > 1).then(|| format!("its template was written {written} times"));
        met.push(Expectation::new("primary untouched", failure));
    }
    let namespace = canary["metadata"]["namespace"].as_str().unwrap_or("test");
    let objects = objects.iter();
    met.extend(objects.map(|expected| held(world, namespace, expected)));
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
    let is_at_hand = |of: &str| of.is_empty() || of == namespace;
    let found = state
        .cluster
        .objects()
        .find(|(key, _)| *key.kind == **kind && *key.name == **name && is_at_hand(&key.namespace));
    let failure = match found {
        None => Some("does not exist".to_owned()),
        Some((_, object)) => difference::lacking(object, contains),
    };
    Expectation::new(format!("{kind} {name}"), failure)
}

fn equal(name: &str, wanted: &str, shown: Option<&str>) -> Expectation {
    let shown = shown.unwrap_or("none");
    let failure = (shown != wanted).then(|| format!("expected {wanted}, it is {shown}"));
    Expectation::new(format!("{name} {wanted}"), failure)
}

/// By status and by the route: traffic follows the one, and people believe the other.
fn is_weight(wanted: i64, status: &Value, transcript: &Transcript) -> Expectation {
    let of_status = status["canaryWeight"].as_i64().unwrap_or(0);
    let (of_route, route) = match &transcript.route {
        Route::Share(share) => (Some(i64::from(*share)), format!("the route shows {share}")),
        Route::Missing => (Some(0), "there is no route".to_owned()),
        Route::Unreadable(why) => (None, why.clone()),
        // Nothing but status knows.
        Route::Unsplit => (Some(of_status), "nothing splits the traffic".to_owned()),
    };
    let is_met = of_status == wanted && of_route == Some(wanted);
    let failure = (!is_met).then(|| format!("expected {wanted}, status says {of_status}, {route}"));
    Expectation::new(format!("weight {wanted}"), failure)
}

fn ends_in(wanted: &str, last: Option<&Pass>) -> Expectation {
    let shown = match last {
        None => "there was no pass".to_owned(),
        Some(pass) => match (&pass.handled, &pass.error) {
            (Some(handled), _) if handled.outcome.name() == wanted => wanted.to_owned(),
            (Some(handled), _) => format!("{}: {}", handled.outcome.name(), handled.reason),
            (None, Some(error)) => format!("no pass: {error}"),
            (None, None) if pass.killed => "a pass that was killed".to_owned(),
            (None, None) => "nothing about this Canary".to_owned(),
        },
    };
    equal("last outcome", wanted, Some(&shown))
}

fn without_errors(transcript: &Transcript) -> Expectation {
    // By what is said, in the order in which it was first said.
    let mut errors: Vec<(String, u32, u32)> = Vec::new();
    for pass in transcript.passes() {
        for error in pass.errors() {
            match errors.iter_mut().find(|(known, ..)| *known == error) {
                Some((_, _, times)) => *times += 1,
                None => errors.push((error, pass.pass, 1)),
            }
        }
    }
    let errors = errors.into_iter().map(|(error, first, times)| match times {
        1 => format!("pass {first}: {error}"),
        times => format!("pass {first} and {} more: {error}", times - 1),
    });
    Expectation::new("no errors", told(errors.collect()))
}

fn in_order(wanted: &[String], said: &[String]) -> Expectation {
    let mut rest = said.iter();
    let mut after = rest.as_slice();
    let missing = wanted.iter().find(|text| {
        let is_missing = !rest.any(|event| event.contains(text.as_str()));
        if !is_missing {
            after = rest.as_slice();
        }
        is_missing
    });
    let failure = missing.map(|text| {
        let order = if said.iter().any(|event| event.contains(text.as_str())) {
            "was said too early"
        } else {
            "was not said"
        };
        let rest = told(after.to_vec()).unwrap_or_else(|| "nothing".to_owned());
        format!("\"{text}\" {order}; from there on was said: {rest}")
    });
    Expectation::new("events in order", failure)
}

/// The first of some texts, or nothing where there are none.
fn told(mut texts: Vec<String>) -> Option<String> {
    let more = texts.len().saturating_sub(TOLD_MAX);
    texts.truncate(TOLD_MAX);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    (!texts.is_empty()).then(|| texts.join(" · "))
}

fn tag_of(workload: &Value) -> String {
    let image = &workload["spec"]["template"]["spec"]["containers"][0]["image"];
    let image = image.as_str().unwrap_or_default();
    let tag = image.rsplit_once(':').map_or(image, |(_, tag)| tag);
    tag.to_owned()
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
                    && after["kind"] == primary["kind"]
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
    let Some(manifest) = scenario.canary() else {
        return Value::Null;
    };
    let canary = &manifest.object;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = canary["metadata"]["namespace"].as_str().unwrap_or("test");
    let (group, name) = match suffix {
        None => ("flagger.app", text(&canary["metadata"]["name"])),
        Some(suffix) => {
            let target = text(&canary["spec"]["targetRef"]["name"]);
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
