//! Write, then believe the answer: what the API server stored is how the object looks from now on.
//! Admission policies change what is written, take annotations off, or make a write come to
//! nothing; none of that is drift, a new revision, or unfinished.

use serde_json::Value;

use crate::api::status::{CanaryStatus, EventType, StepEvent, StoredObject};
use crate::io::cluster;
use crate::objects::hash::{content_hash, template_hash};
use crate::objects::{Key, Wanted};
use crate::pass::decide;
use crate::pass::desired::{Desired, desired};
use crate::pass::snapshot::{Snapshot, wanted_traffic};

use super::{Converged, Written};

/// What came of a step.
pub struct Acknowledged {
    /// The status that tells it, where it is not what the step was claimed for.
    pub status: Option<CanaryStatus>,
    /// What people hear of it once, beside the Events of the step. A claim stays as it was made.
    pub events: Vec<StepEvent>,
}

/// Holds what was written against what a step was claimed for.
pub fn acknowledged(status: &CanaryStatus, converged: &Converged) -> Acknowledged {
    let mut told = status.clone();
    let mut events = Vec::new();
    let snapshot = &converged.snapshot;
    for written in &converged.written {
        prove(&mut told, snapshot, written);
        note_revision(&mut told, snapshot, written);
        events.extend(stored_otherwise(snapshot, written));
    }
    if converged
        .written
        .iter()
        .any(|written| written.sent.is_some())
    {
        let mut now = snapshot.clone();
        now.status = status.clone();
        let wanted = desired(&now, status);
        for written in &converged.written {
            if let Some(wanted) = wanted.get(&written.key) {
                note_stored(&mut told, snapshot, wanted);
            }
        }
        forget_stored(&mut told, snapshot, &wanted);
    }
    events.extend(note_refusal(&mut told, converged));
    note_weight(&mut told, converged);
    Acknowledged {
        status: (told != *status).then_some(told),
        events,
    }
}

/// A write that the API server has answered is done, whatever mark the object bears after it.
fn prove(told: &mut CanaryStatus, snapshot: &Snapshot, written: &Written) {
    let Some(step) = &mut told.step else { return };
    let key = &written.key;
    let before = written.before.as_ref();
    let version = before.and_then(|object| object["metadata"]["resourceVersion"].as_str());
    let is_unchanged = version.is_some_and(|version| version == snapshot.resource_version(key));
    let is_marked = snapshot.step_of(key) == Some(step.number);
    if is_unchanged || !is_marked {
        step.objects
            .retain(|object| !key.is(&object.api_version, &object.kind, &object.name));
    }
}

/// A policy that acts on our write of the target makes no new revision.
fn note_revision(told: &mut CanaryStatus, snapshot: &Snapshot, written: &Written) {
    if written.key != snapshot.target_key() {
        return;
    }
    let hash = |object: &Value| template_hash(&snapshot.workload.template(object));
    let before = written.before.as_deref().map(hash);
    let after = snapshot.target().map(hash);
    let (Some(before), Some(after)) = (before, after) else {
        return;
    };
    if before == after {
        return;
    }
    for known in [&mut told.last_applied_spec, &mut told.last_promoted_spec] {
        if known.as_deref() == Some(&before) {
            *known = Some(after.clone());
        }
    }
    told.canary_revision.clone_from(&told.last_applied_spec);
}

/// What is stored otherwise than it would be sent once more is how the object should look.
fn note_stored(told: &mut CanaryStatus, snapshot: &Snapshot, wanted: &Wanted) {
    let (key, sent) = (&wanted.key, &wanted.object);
    let Some(stored) = snapshot.objects.get(key) else {
        return;
    };
    let shows_other_traffic =
        snapshot.holds_weight(key) && snapshot.shown() != wanted_traffic(&snapshot.canary, told);
    if **stored == *sent || shows_other_traffic {
        return;
    }
    let has_template = *key == snapshot.primary_key();
    let template =
        |object: &Value| has_template.then(|| template_hash(&snapshot.workload.template(object)));
    told.stored
        .retain(|object| !key.is(&object.api_version, &object.kind, &object.name));
    told.stored.push(StoredObject {
        api_version: key.kind.api_version(),
        kind: key.kind.kind.to_owned(),
        name: key.name.clone(),
        sent: content_hash(sent),
        stored: content_hash(stored),
        sent_template: template(sent),
        stored_template: template(stored),
    });
}

/// Where a policy changes what leads the traffic or scales the primary, people hear of it once: it
/// is not what the Canary asks for.
fn stored_otherwise(snapshot: &Snapshot, written: &Written) -> Option<StepEvent> {
    let key = &written.key;
    let (sent, stored) = (written.sent.as_ref()?, snapshot.objects.get(key)?);
    let mut known = snapshot.status.stored.iter();
    let is_known = known.any(|object| key.is(&object.api_version, &object.kind, &object.name));
    let fields = changed_fields(&sent["spec"], &stored["spec"]);
    if is_known || fields.is_empty() || !(snapshot.is_route(key) || snapshot.is_scaler_copy(key)) {
        return None;
    }
    let message = format!(
        "{key} is stored with another {} than was sent, and is left so",
        fields.join(", ")
    );
    Some(event(EventType::Normal, message))
}

/// The fields of a `spec` that were sent and are not what is stored, by their paths.
fn changed_fields(sent: &Value, stored: &Value) -> Vec<String> {
    let sent = sent.as_object().into_iter().flatten();
    sent.filter(|(name, value)| !is_kept(value, &stored[*name]))
        .map(|(name, _)| format!("spec.{name}"))
        .collect()
}

/// Whether a value is stored as it was sent, but for defaults of fields that it left out.
fn is_kept(sent: &Value, stored: &Value) -> bool {
    match (sent, stored) {
        (Value::Object(sent), Value::Object(stored)) => sent.iter().all(|(name, value)| {
            stored
                .get(name)
                .is_some_and(|stored| is_kept(value, stored))
        }),
        (Value::Array(sent), Value::Array(stored)) => {
            sent.len() == stored.len()
                && sent
                    .iter()
                    .zip(stored)
                    .all(|(sent, stored)| is_kept(sent, stored))
        }
        (sent, stored) => sent == stored,
    }
}

/// What looks as it would be sent needs no note any more.
fn forget_stored(told: &mut CanaryStatus, snapshot: &Snapshot, wanted: &Desired) {
    told.stored.retain(|object| {
        let is_same = |wanted: &&Wanted| {
            let key: &Key = &wanted.key;
            key.is(&object.api_version, &object.kind, &object.name)
        };
        let Some(wanted) = wanted.objects.iter().find(is_same) else {
            return true;
        };
        let is_primarys =
            object.stored_template.is_some() && object.stored_template == snapshot.primary_hash();
        let live = snapshot.objects.get(&wanted.key);
        is_primarys || live.is_none_or(|live| **live != wanted.object)
    });
}

/// A write that the API server refuses keeps the canary from what it should be: condition Ready says
/// so for as long as that lasts, and an Event once.
fn note_refusal(told: &mut CanaryStatus, converged: &Converged) -> Option<StepEvent> {
    let now = converged.snapshot.now;
    match &converged.error {
        Some(error) if is_refusal(&error.source) => {
            let why = error.to_string();
            let is_news = !decide::is_unwell(&converged.snapshot.status, &why);
            decide::set_health(told, Some((decide::WRITE_REFUSED, &why)), now);
            is_news.then(|| event(EventType::Warning, why))
        }
        None => {
            decide::forget_refusal(told, now);
            None
        }
        Some(_) => None,
    }
}

/// Whether the same write would be answered the same: a server that has no time, or a fault, says
/// nothing of what it was sent.
fn is_refusal(error: &cluster::Error) -> bool {
    matches!(error, cluster::Error::Refused { code, .. } if (400..500).contains(code) && *code != 429)
}

fn event(r#type: EventType, message: String) -> StepEvent {
    StepEvent {
        r#type,
        message,
        when_shown: false,
    }
}

/// What people see says the weight that the route shows.
fn note_weight(told: &mut CanaryStatus, converged: &Converged) {
    let snapshot = &converged.snapshot;
    let wanted = wanted_traffic(&snapshot.canary, told).canary;
    if converged.shows(told) || snapshot.unreadable_route.is_some() {
        if told.wanted_weight.take().is_some() {
            told.canary_weight = Some(i64::from(wanted));
            decide::set_health(told, None, snapshot.now);
        }
        return;
    }
    let shown = snapshot.weight();
    told.canary_weight = Some(i64::from(shown));
    told.wanted_weight = Some(i64::from(wanted));
    if let Some(error) = &converged.error
        && snapshot.holds_weight(&error.key)
    {
        let why = format!("the canary still has {shown} % of the traffic, not {wanted} %: {error}");
        decide::set_health(told, Some((decide::ROUTE_BEHIND, &why)), snapshot.now);
    }
}
