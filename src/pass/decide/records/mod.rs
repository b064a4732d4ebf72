//! What a claim adds to the history of its release, and the promotion record that it leaves in the
//! outbox. The record is made in the very write that makes it true, so that neither can be lost
//! without the other.

mod reverts;
mod told;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::api::analysis::AlertReference;
use crate::api::crd::stored_record;
use crate::api::record::{
    Check, Evidence, News, OutboxEntry, Outcome, Record, Release, Terms, VERSION, Version,
};
use crate::api::status::{CanaryStatus, Phase, Step};
use crate::notifiers;
use crate::objects::metadata::{FIELD_MANAGER, writers};
use crate::pass::snapshot::Snapshot;
use crate::pass::terms::{self, Strategy};
use crate::records;
use crate::webhooks::Hook;

use super::conditions;
use told::{call_back, tell_events};

pub(super) use told::checksum;

/// Steps that a release remembers.
const STEPS_MAX: usize = 32;
/// Records that wait. A status may not grow without end: beyond either bound the oldest goes, and
/// the chain of digests shows that it is missing.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 256 * 1024;
const TEXT_MAX: usize = 1_024;
const TEMPLATE_BYTES_MAX: usize = 128 * 1024;

const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const COMMIT: &str = "org.opencontainers.image.revision";
const COMMIT_TIME: &str = "flagger.app/commit-time";

/// Notes what `step` does to the release. `asked` says that this step's checks are its own, not
/// those of an earlier one.
pub(super) fn note(snapshot: &Snapshot, status: &mut CanaryStatus, step: &Step, asked: bool) {
    tell_events(snapshot, status, step);
    call_back(snapshot, status, step);
    if !is_anybody_told(snapshot) {
        return;
    }
    let is_new = begins(&snapshot.status, status);
    if is_new {
        if status.release.is_some() {
            record(snapshot, status, step, Outcome::Superseded);
        }
        status.release = Some(release(snapshot, step));
    }
    let has_moved = {
        let before = &snapshot.status;
        let position = |status: &CanaryStatus| {
            (
                status.phase,
                status.canary_weight,
                status.iterations,
                status.failed_checks,
                status.held_checks,
            )
        };
        position(before) != position(status)
    };
    if has_moved || asked {
        let evidence = evidence(status, step, asked);
        if let (Some(release), Some(evidence)) = (&mut status.release, evidence) {
            release.steps.push(evidence);
            if release.steps.len() > STEPS_MAX {
                release.steps.remove(1);
                release.steps_left_out = release.steps_left_out.saturating_add(1);
            }
        }
    }
    match outcome(&snapshot.status, status) {
        Some(outcome) => {
            record(snapshot, status, step, outcome);
            reverts::note(snapshot, status, step, outcome);
            status.release = None;
        }
        None if is_new => record(snapshot, status, step, Outcome::NewRevision),
        None if begins_to_hold(snapshot, status) => record(snapshot, status, step, Outcome::Held),
        None => {}
    }
}

/// Whether there is somebody who hears of this canary's releases.
fn is_anybody_told(snapshot: &Snapshot) -> bool {
    let policy = &snapshot.policy;
    policy.records.is_some()
        || policy.reverts.is_some()
        || !policy.alerts.is_empty()
        || !alerts(snapshot).is_empty()
}

fn alerts(snapshot: &Snapshot) -> &[AlertReference] {
    terms::analysis(&snapshot.canary).map_or(&[], |analysis| &analysis.alerts)
}

/// Where a record goes. Git keeps how each release went, and not what it waited for meanwhile. A
/// Canary that names alerts is told of there and nowhere else, as in Flagger; where the next
/// revision has come before a verdict, the news is that one.
fn places(snapshot: &Snapshot, outcome: Outcome) -> Vec<String> {
    let policy = &snapshot.policy;
    let records = policy.records.iter().filter(|_| outcome != Outcome::Held);
    let mut places: Vec<_> = records.cloned().collect();
    if outcome == Outcome::Superseded {
        return places;
    }
    let severity = notifiers::severity(outcome);
    let alerts = alerts(snapshot);
    if alerts.is_empty() {
        places.extend(policy.alerts.iter().cloned());
    }
    for alert in alerts.iter().filter(|alert| alert.severity <= severity) {
        let reference = &alert.provider_ref;
        let namespace = reference.namespace.as_deref();
        // As in Flagger and everywhere in Kubernetes, an empty one is the own.
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or(&snapshot.names.namespace);
        let place = notifiers::place_of(namespace, &reference.name);
        // Two alerts by one provider are one message.
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Whether what is borne without an answer is used up with this claim: from here on the release
/// waits for the metrics, or for its deadline.
fn begins_to_hold(snapshot: &Snapshot, status: &CanaryStatus) -> bool {
    let held = |status: &CanaryStatus| status.held_checks.unwrap_or(0);
    let limit = snapshot.terms.error_threshold;
    (held(&snapshot.status) < limit && held(status) >= limit) || meets_a_gate(snapshot, status)
}

/// Whether a gate was found closed with this claim that people are to hear of.
fn meets_a_gate(snapshot: &Snapshot, status: &CanaryStatus) -> bool {
    let is_noted = |status: &CanaryStatus, hook: &Hook| {
        let mut notes = status.hooks.iter();
        notes.any(|note| note.id == hook.id)
    };
    snapshot.hooks.iter().any(|hook| {
        hook.is_gate()
            && !hook.mute_alert
            && is_noted(status, hook)
            && !is_noted(&snapshot.status, hook)
    })
}

/// Whether a release begins: another revision is acted upon than before.
fn begins(before: &CanaryStatus, after: &CanaryStatus) -> bool {
    let revision = |status: &CanaryStatus| {
        (
            status.last_applied_spec.clone(),
            status.tracked_configs.clone(),
        )
    };
    let was_analysed = matches!(
        before.phase,
        Some(Phase::Progressing | Phase::WaitingPromotion)
    );
    after.phase == Some(Phase::Progressing)
        && (!was_analysed || revision(before) != revision(after))
}

/// How a release ended with this claim, or the initialization did.
fn outcome(before: &CanaryStatus, after: &CanaryStatus) -> Option<Outcome> {
    if before.phase == after.phase {
        return None;
    }
    let reason = conditions::reason(after);
    // Nothing has begun that could end.
    if before.phase == Some(Phase::Waiting) && after.phase == Some(Phase::Succeeded) {
        return None;
    }
    match after.phase? {
        Phase::Initialized => Some(Outcome::Initialized),
        Phase::Succeeded if reason == conditions::REVERTED => Some(Outcome::Reverted),
        Phase::Succeeded => Some(Outcome::Promoted),
        Phase::Failed if reason == conditions::PROMOTION_FAILED => Some(Outcome::PromotionFailed),
        Phase::Failed => Some(Outcome::RolledBack),
        _ => None,
    }
}

fn evidence(status: &CanaryStatus, step: &Step, asked: bool) -> Option<Evidence> {
    Some(Evidence {
        step: step.number,
        time: step.time.clone(),
        phase: status.phase?,
        weight: status.canary_weight.unwrap_or(0),
        iterations: status.iterations.unwrap_or(0),
        mirrored: status
            .traffic
            .as_ref()
            .is_some_and(|traffic| traffic.mirrored),
        failed_checks: status.failed_checks.unwrap_or(0),
        held_checks: status.held_checks.unwrap_or(0),
        reason: cut(status.reason.as_deref().unwrap_or_default()),
        checks: if asked {
            status.checks.clone()
        } else {
            Vec::new()
        },
    })
}

fn release(snapshot: &Snapshot, step: &Step) -> Release {
    let target = snapshot.target().unwrap_or(&Value::Null);
    let annotation = |name: &str| {
        let template = &snapshot.workload.template(target)["metadata"]["annotations"][name];
        let text = target["metadata"]["annotations"][name].as_str();
        text.or(template.as_str()).map(cut)
    };
    Release {
        from: snapshot.primary().map(|primary| version(snapshot, primary)),
        to: version(snapshot, target),
        began: step.time.clone(),
        actor: actor(target).map(cut),
        change_cause: annotation(CHANGE_CAUSE),
        commit: annotation(COMMIT),
        commit_time: annotation(COMMIT_TIME).and_then(|time| Some(Time(time.parse().ok()?))),
        template: template(snapshot, target),
        steps: Vec::new(),
        steps_left_out: 0,
    }
}

/// A pod template as a record has it, where records are to have any; none that a status cannot hold.
fn template(snapshot: &Snapshot, workload: &Value) -> Option<String> {
    if !snapshot.policy.restores {
        return None;
    }
    let text = snapshot.workload.template(workload).to_string();
    (text.len() <= TEMPLATE_BYTES_MAX).then_some(text)
}

/// The target's template that the primary has from this transition on, where records hold it.
fn taken_over(snapshot: &Snapshot, status: &CanaryStatus, outcome: Outcome) -> Option<String> {
    match outcome {
        Outcome::Promoted => status.release.as_ref()?.template.clone(),
        Outcome::Initialized if snapshot.copy_hash() == snapshot.primary_hash() => {
            template(snapshot, snapshot.target()?)
        }
        _ => None,
    }
}

/// Who last changed the target's template, as far as the API server tells: else who last wrote the
/// object at all, controllers' statuses and we aside.
fn actor(target: &Value) -> Option<&str> {
    let others = writers(target).filter(|entry| entry["manager"] != FIELD_MANAGER);
    let last = others.max_by_key(|entry| {
        let has_template = entry["fieldsV1"]["f:spec"]["f:template"].is_object();
        (has_template, entry["time"].as_str())
    })?;
    last["manager"].as_str()
}

fn version(snapshot: &Snapshot, workload: &Value) -> Version {
    let template = snapshot.workload.template(workload);
    let images = snapshot.workload.images(workload).into_iter();
    let images = images.map(|(name, image)| (cut(image), cut(name)));
    let (images, containers) = images.take(STEPS_MAX).unzip();
    Version {
        images,
        containers,
        spec: crate::objects::hash::template_hash(&template),
    }
}

/// Puts the record into the outbox, and its digest where the next one finds it.
fn record(snapshot: &Snapshot, status: &mut CanaryStatus, step: &Step, outcome: Outcome) {
    let to = places(snapshot, outcome);
    if to.is_empty() {
        return;
    }
    let names = &snapshot.names;
    let is_judged = !matches!(outcome, Outcome::Initialized | Outcome::NewRevision);
    let record = Record {
        version: VERSION,
        tool: concat!("davy ", env!("CARGO_PKG_VERSION")).to_owned(),
        cluster: snapshot.policy.cluster_name.clone(),
        namespace: names.namespace.clone(),
        canary: names.canary.clone(),
        uid: names.uid.clone(),
        step: step.number,
        outcome,
        time: step.time.clone(),
        reason: cut(status.reason.as_deref().unwrap_or_default()),
        previous: status.last_record.clone(),
        release: status.release.clone().map(|release| Release {
            template: None,
            ..release
        }),
        template: taken_over(snapshot, status, outcome),
        analysis: is_judged.then(|| terms(snapshot)),
    };
    let record = stored_record(&record);
    // The chain is of those that are kept.
    if snapshot
        .policy
        .records
        .as_ref()
        .is_some_and(|git| to.contains(git))
    {
        status.last_record = Some(records::digest(&records::bytes(&record)));
    }
    wait(snapshot, status, to, News::Record(Box::new(record)));
}

/// Puts news into the outbox.
pub(super) fn wait(snapshot: &Snapshot, status: &mut CanaryStatus, to: Vec<String>, news: News) {
    let entry = serde_json::to_value(OutboxEntry::new(to, news));
    status.outbox.extend(entry);
    bound(&mut status.outbox, snapshot.policy.records.as_deref());
}

/// The oldest goes first; while there are any, one that no repository waits for.
fn bound(outbox: &mut Vec<Value>, records: Option<&str>) {
    let size = |outbox: &Vec<Value>| serde_json::to_vec(outbox).map_or(0, |bytes| bytes.len());
    while outbox.len() > 1 && (outbox.len() > WAITING_MAX || size(outbox) > WAITING_BYTES_MAX) {
        let is_kept = |entry: &Value| {
            let places = entry["to"].as_array().into_iter().flatten();
            places.into_iter().any(|place| place.as_str() == records)
        };
        let oldest = outbox.iter().position(|entry| !is_kept(entry));
        outbox.remove(oldest.unwrap_or(0));
    }
}

/// What the release is judged by now; a Canary may be edited while it is.
fn terms(snapshot: &Snapshot) -> Terms {
    let terms = &snapshot.terms;
    let (weights, iterations, shifts_traffic) = match &terms.strategy {
        Strategy::Weights(weights) => (weights.clone(), 0, false),
        Strategy::Matches { total } => (Vec::new(), *total, false),
        Strategy::Iterations {
            total,
            shifts_traffic,
        } => (Vec::new(), *total, *shifts_traffic),
    };
    // A record holds the question, and not whom it was asked.
    let checks = snapshot.checks.iter().cloned();
    Terms {
        weights,
        iterations,
        shifts_traffic,
        matches: matches!(terms.strategy, Strategy::Matches { .. }),
        mirror: terms.mirror,
        threshold: terms.threshold,
        error_threshold: terms.error_threshold,
        on_no_data: terms.on_no_data,
        flagger_counting: terms.flagger_counting,
        checks: checks
            .map(|check| Check {
                metric: check.metric,
                query: check.query,
                min: check.min,
                max: check.max,
            })
            .collect(),
    }
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
