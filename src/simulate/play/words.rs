//! What the transcript says of a thing that happens.

use std::num::NonZeroU32;

use crate::simulate::scenario::answers::{Answer, Metrics};
use crate::simulate::scenario::hooks::Hooks;
use crate::simulate::scenario::{Event, Refuse, Selection, Subresource, WriteVerb};

pub(super) fn words(event: &Event) -> String {
    match event {
        Event::Image(tag) => format!("image {tag}"),
        Event::Metrics(metrics) => answers(metrics),
        Event::Hooks(hooks) => said_by_hooks(hooks),
        Event::Stuck(tag) => format!("pods of {tag} never become ready"),
        Event::PrimaryStuck(tag) => format!("pods of the primary with {tag} never become ready"),
        Event::Unstuck(tag) => format!("pods of {tag} become ready after all"),
        Event::Replicas(wanted) => format!("the autoscaler wants {wanted:?}"),
        Event::Patch(patch) => {
            let part = match patch.subresource {
                None => "",
                Some(Subresource::Status) => " (status)",
                Some(Subresource::Scale) => " (scale)",
            };
            let (by, kind, name) = (&patch.by, &patch.kind, &patch.name);
            format!("{by} patches {kind} {name}{part}: {}", patch.patch)
        }
        Event::Delete(name) => format!("{} {} is deleted", name.kind, name.name),
        Event::Create(object) => {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            format!("{kind} {name} is created")
        }
        Event::Restore(name) => format!("{} {} is created again", name.kind, name.name),
        Event::Refuse(refuse) => refusal(refuse),
        Event::Admit(selection) => format!("writes to {} are admitted", named(selection)),
        Event::Crash(crash) => {
            let (call, outcome) = (crash.call, crash.outcome);
            format!("the next pass is killed at call {call} ({outcome:?})")
        }
        Event::Until(_) | Event::Weight(_) | Event::Step | Event::Passes(_) | Event::Sleep(_) => {
            String::new()
        }
    }
}

fn said_by_hooks(hooks: &Hooks) -> String {
    if let Some(answer) = &hooks.others {
        return format!("every webhook {answer}");
    }
    let said = hooks.by_name.iter();
    let said = said.map(|(name, answer)| format!("webhook {name} {answer}"));
    said.collect::<Vec<_>>().join(", ")
}

fn answers(metrics: &Metrics) -> String {
    let built_in = match (metrics.success_rate, metrics.milliseconds) {
        (Answer::Outage, Answer::Outage) => "the metrics system is down".to_owned(),
        (Answer::None, Answer::None) => "the checks have no data".to_owned(),
        (success_rate, milliseconds) => format!(
            "success rate {}, P99 {}",
            answer(success_rate, " %"),
            answer(milliseconds, " ms")
        ),
    };
    let others = metrics.others.iter();
    let others = others.map(|(name, value)| format!("{name} {}", answer(*value, "")));
    std::iter::once(built_in)
        .chain(others)
        .collect::<Vec<_>>()
        .join(", ")
}

fn answer(answer: Answer, unit: &str) -> String {
    match answer {
        Answer::Value(value) => format!("{value}{unit}"),
        Answer::None => "without data".to_owned(),
        Answer::Outage => "not answered".to_owned(),
    }
}

fn refusal(refuse: &Refuse) -> String {
    let verb = match refuse.verb {
        None => "writes to",
        Some(WriteVerb::Create) => "creation of",
        Some(WriteVerb::Update) => "updates of",
        Some(WriteVerb::Delete) => "deletion of",
    };
    let (what, code) = (named(&refuse.selection()), refuse.code.status().as_u16());
    let passes = match refuse.passes.map(NonZeroU32::get) {
        None => String::new(),
        Some(1) => " for 1 pass".to_owned(),
        Some(passes) => format!(" for {passes} passes"),
    };
    format!("{verb} {what} refused ({code}){passes}: {}", refuse.message)
}

fn named(selection: &Selection) -> String {
    match &selection.name {
        Some(name) => format!("{} {name}", selection.kind),
        None => format!("every {}", selection.kind),
    }
}
