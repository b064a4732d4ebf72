//! Telling the world: the Events of a step, each under a name that follows from the step, so that
//! a second post of the same says nothing twice; the series of a pass; and what outboxes hold.

pub mod alerts;
pub mod hooks;
pub mod outbox;
mod ownership;
pub mod records;
pub mod reverts;
pub mod series;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::status::{EventType, Step, StepEvent};
use crate::api::text::cut;
use crate::io::Io;
use crate::io::cluster::{Cluster, Error};
use crate::io::pushgateway::Pushgateway;
use crate::objects::hash::identifier;
use crate::objects::{EVENT, Names};
use crate::pass::report::{Outcome, Report};

/// The API server forgets Events after an hour; a step that old would be told anew.
const AGE_MAX: SignedDuration = SignedDuration::from_mins(30);
/// What the API server accepts.
const MESSAGE_MAX: usize = 1_024;
const NAME_MAX: usize = 253;

/// Posts the Events of a step that was just claimed or finished, and of what came of it. `is_shown` says that the route has
/// the weight of the step: some are true only then.
pub async fn events(
    cluster: &Cluster,
    names: &Names,
    step: &Step,
    came_of_it: &[StepEvent],
    is_shown: bool,
    now: Timestamp,
) -> Result<(), Error> {
    if now.duration_since(step.time.0) > AGE_MAX {
        return Ok(());
    }
    let own = step.events.iter().enumerate();
    let own = own.map(|(index, said)| (index.to_string(), said));
    // Several passes may carry out one step: their texts are told apart by what they say.
    let others = came_of_it
        .iter()
        .map(|said| (identifier(&[&said.message]), said));
    for (which, said) in own.chain(others) {
        if said.when_shown && !is_shown {
            continue;
        }
        let event = event(names, step, &which, said);
        match cluster.create(&EVENT, &names.namespace, &event).await {
            Ok(_) | Err(Error::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The series of a pass, where it is the one that knows most. The pass that was faster than this
/// one sends them: what is older must not come after, or a counter would fall, which Prometheus
/// takes for a restart and counts again.
pub fn page(report: &Report, mesh_provider: &str) -> Option<String> {
    (report.count(Outcome::Superseded) == 0).then(|| series::text(report, mesh_provider))
}

/// Sends the series of a pass.
///
/// # On failure
/// The pass has been made all the same: the error is for its summary, and the next pass sends all.
pub async fn metrics(
    io: &Io,
    pushgateway: &Pushgateway,
    report: &Report,
    mesh_provider: &str,
) -> Result<(), String> {
    match page(report, mesh_provider) {
        Some(page) => pushgateway.push(io, page, series::TEXT_FORMAT).await,
        None => Ok(()),
    }
}

fn event(names: &Names, step: &Step, which: &str, said: &StepEvent) -> Value {
    let time = step.time.0;
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": event_name(names, step.number, which), "namespace": names.namespace },
        "involvedObject": {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "name": names.canary,
            "namespace": names.namespace,
            "uid": names.uid,
        },
        "reason": "Synced",
        "type": match said.r#type { EventType::Normal => "Normal", EventType::Warning => "Warning" },
        "message": cut(&said.message, MESSAGE_MAX),
        "source": { "component": crate::pass::FIELD_MANAGER },
        "reportingComponent": crate::pass::FIELD_MANAGER,
        "reportingInstance": crate::pass::FIELD_MANAGER,
        "action": "Synced",
        "firstTimestamp": format!("{time:.0}"),
        "lastTimestamp": format!("{time:.0}"),
        "eventTime": format!("{time:.6}"),
        "count": 1,
    })
}

fn event_name(names: &Names, number: i64, which: &str) -> String {
    let uid: String = names.uid.chars().take(8).collect();
    let tail = format!(".{uid}.{number:08}-{which}");
    let head = cut(&names.canary, NAME_MAX - tail.len());
    format!("{}{tail}", head.trim_end_matches(['.', '-']))
}
