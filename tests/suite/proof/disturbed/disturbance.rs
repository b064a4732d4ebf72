//! What others do to a canary on purpose, one thing at a time: a table of everything that is tried.

use std::sync::Arc;

use davy::simulate::cluster::Key;
use davy::simulate::scenario::answers::{Answer, Metrics};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::canary::CanaryEdit;
use super::parts::{EDITS, Edit, PARTS, Part};
use super::status::StatusEdit;
use crate::proof::stage::Story;
use crate::proof::stage::wire::revision;

/// After so many passes what was taken away for a while comes back.
const PASSES_AWAY: u32 = 4;
/// So often pods come and go before they stay.
const FLAPS: u32 = 6;

/// Something that happens to a canary before a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    Edited(Part, Edit),
    Deleted(Part),
    /// Deleted, and back again some passes later.
    Gone(Part),
    /// Something else is made its controller.
    Taken(Part),
    /// Nothing is its owner any more.
    LetGo(Part),
    /// Writes of it are refused with this code.
    Refused(Part, u16, Lasts),
    Canary(CanaryEdit),
    Status(StatusEdit),
    Pods(Side, Trouble),
    Metrics(Answers, Lasts),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasts {
    OnePass,
    ForAWhile,
    ForEver,
}

/// Whose pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    CanarySide,
    PrimarySide,
}

/// What becomes of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Lost,
    LostForAWhile,
    Flapping,
    /// One of them is left.
    TooFew,
}

/// What the metrics system answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    NoData,
    Outage,
    Bad,
}

/// Kinds of disturbances that are tried together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Edits,
    Deletions,
    Owners,
    Refusals,
    Canaries,
    Statuses,
    Pods,
    Metrics,
}

/// Everything that is tried, always in the same order.
pub(super) fn all() -> Vec<Disturbance> {
    use Disturbance::{
        Canary, Deleted, Edited, Gone, LetGo, Metrics, Pods, Refused, Status, Taken,
    };
    use Lasts::{ForAWhile, ForEver, OnePass};
    let mut all = Vec::new();
    for part in PARTS {
        let edits = EDITS.into_iter().filter(|edit| edit.concerns(part));
        all.extend(edits.map(|edit| Edited(part, edit)));
        all.extend([Deleted(part), Taken(part)]);
        all.push(if part.is_users() {
            Gone(part)
        } else {
            LetGo(part)
        });
        for code in [403, 422] {
            all.extend([OnePass, ForEver].map(|lasts| Refused(part, code, lasts)));
        }
    }
    all.extend(CanaryEdit::ALL.iter().map(|edit| Canary(*edit)));
    all.extend(StatusEdit::ALL.iter().map(|edit| Status(*edit)));
    for side in [Side::CanarySide, Side::PrimarySide] {
        let troubles = [
            Trouble::Lost,
            Trouble::LostForAWhile,
            Trouble::Flapping,
            Trouble::TooFew,
        ];
        all.extend(troubles.map(|trouble| Pods(side, trouble)));
    }
    for answers in [Answers::NoData, Answers::Outage, Answers::Bad] {
        all.extend([ForAWhile, ForEver].map(|lasts| Metrics(answers, lasts)));
    }
    all
}

impl Disturbance {
    /// Its name in reports, by which it is tried again: `edited-route-weight-all`.
    pub(super) fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            let begins_word = letter.is_ascii_uppercase() || letter.is_ascii_digit();
            let goes_on = name.ends_with(|last: char| last.is_ascii_digit());
            let is_split = begins_word && !(goes_on && letter.is_ascii_digit());
            if is_split && !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
            if letter.is_ascii_alphanumeric() {
                name.push(letter.to_ascii_lowercase());
            }
        }
        name
    }

    pub(super) fn class(self) -> Class {
        match self {
            Self::Edited(..) => Class::Edits,
            Self::Deleted(_) | Self::Gone(_) => Class::Deletions,
            Self::Taken(_) | Self::LetGo(_) => Class::Owners,
            Self::Refused(..) => Class::Refusals,
            Self::Canary(_) => Class::Canaries,
            Self::Status(_) => Class::Statuses,
            Self::Pods(..) => Class::Pods,
            Self::Metrics(..) => Class::Metrics,
        }
    }

    /// Whether it takes a human to end what it leaves behind: the canary may then wait for ever.
    pub(super) fn needs_a_human(self) -> bool {
        match self {
            Self::Deleted(part) => part.is_users(),
            Self::Taken(_) | Self::LetGo(_) => true,
            Self::Refused(_, _, lasts) | Self::Metrics(_, lasts) => lasts == Lasts::ForEver,
            Self::Pods(_, trouble) => matches!(trouble, Trouble::Lost | Trouble::TooFew),
            Self::Canary(edit) => edit.needs_a_human(),
            // What names no host is not looked at by any router; what an autoscaler may not do is
            // its user's to change.
            Self::Edited(part, edit) => {
                part == Part::Autoscaler || (part == Part::Target && edit == Edit::LabelsRemoved)
            }
            Self::Gone(_) | Self::Status(_) => false,
        }
    }

    /// Lets it happen. Whether anything has changed by it: a canary without a config loses none.
    pub(super) fn happens(self, story: &mut Story) -> bool {
        let before = revision(&story.world);
        story.surroundings.is_disturbed = true;
        let changed = match self {
            Self::Edited(part, edit) => edits(story, part, |object| edit.change(object)),
            Self::Deleted(part) => deletes(story, part),
            Self::Gone(part) => goes_for_a_while(story, part),
            Self::Taken(part) => edits(story, part, |object| {
                object["metadata"]["ownerReferences"] = json!([other_owner()]);
            }),
            Self::LetGo(part) => edits(story, part, |object| {
                drop(
                    object["metadata"]
                        .as_object_mut()
                        .map(|metadata| metadata.remove("ownerReferences")),
                );
            }),
            Self::Refused(part, code, lasts) => refuses(story, part, code, lasts),
            Self::Canary(edit) => edit.happens(story),
            Self::Status(edit) => edit.happens(story),
            Self::Pods(side, trouble) => return pods(story, side, trouble),
            Self::Metrics(answers, lasts) => return metrics(story, answers, lasts),
        };
        story.judge(None);
        changed && (matches!(self, Self::Refused(..)) || revision(&story.world) != before)
    }
}

/// Somebody else writes an object, if it is there and the API server takes it.
fn edits(story: &mut Story, part: Part, change: impl FnOnce(&mut Value)) -> bool {
    part.key(story).is_some_and(|key| edit(story, &key, change))
}

/// The same by the key.
pub(super) fn edit(story: &Story, key: &Key, change: impl FnOnce(&mut Value)) -> bool {
    let now = story.world.now();
    let mut state = story.world.lock();
    state.cluster.get(key).is_some() && state.cluster.edit(key, "other", now, change).is_ok()
}

fn deletes(story: &mut Story, part: Part) -> bool {
    part.key(story).is_some_and(|key| delete(story, &key))
}

pub(super) fn delete(story: &Story, key: &Key) -> bool {
    let now = story.world.now();
    story.world.lock().cluster.delete(key, "other", now).is_ok()
}

fn goes_for_a_while(story: &mut Story, part: Part) -> bool {
    let Some(key) = part.key(story) else {
        return false;
    };
    let Some(object) = story.get(&key) else {
        return false;
    };
    let mut again = (*object).clone();
    if let Some(metadata) = again["metadata"].as_object_mut() {
        let servers = [
            "uid",
            "resourceVersion",
            "generation",
            "managedFields",
            "creationTimestamp",
        ];
        metadata.retain(|field, _| !servers.contains(&&**field));
    }
    if let Some(object) = again.as_object_mut() {
        object.remove("status");
    }
    later(story, PASSES_AWAY, move |story| {
        let now = story.world.now();
        drop(
            story
                .world
                .lock()
                .cluster
                .apply(again.clone(), "other", now),
        );
    });
    delete(story, &key)
}

/// Does something after so many passes.
pub(super) fn later(
    story: &mut Story,
    passes: u32,
    act: impl Fn(&mut Story) + Send + Sync + 'static,
) {
    let at = story.passes + 1 + passes;
    story.surroundings.before_pass(at, Arc::new(act));
}

/// An owner of a kind that this cluster does not serve, so that nobody can say that it is gone.
fn other_owner() -> Value {
    json!({
        "apiVersion": "other.example/v1",
        "kind": "Application",
        "name": "other",
        "uid": "00000000-0000-4000-8000-00000000beef",
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn refuses(story: &mut Story, part: Part, code: u16, lasts: Lasts) -> bool {
    let Some(key) = part.key(story) else {
        return false;
    };
    let last = match lasts {
        Lasts::OnePass => Some(story.passes + 1),
        Lasts::ForAWhile => Some(story.passes + PASSES_AWAY),
        Lasts::ForEver => None,
    };
    story.surroundings.refuse(key, code, last);
    true
}

fn pods(story: &mut Story, side: Side, trouble: Trouble) -> bool {
    let part = match side {
        Side::CanarySide => Part::Target,
        Side::PrimarySide => Part::Primary,
    };
    let key = part.key(story).filter(|key| story.get(key).is_some());
    let Some(name) = key.map(|key| key.name.to_string()) else {
        return false;
    };
    let at_most = move |story: &mut Story, max: Option<usize>| {
        let mut state = story.world.lock();
        let all = &mut state.behaviour.ready_max;
        match max {
            Some(max) => all.insert(name.clone(), max),
            None => all.remove(&name),
        };
    };
    match trouble {
        Trouble::Lost => at_most(story, Some(0)),
        Trouble::TooFew => at_most(story, Some(1)),
        Trouble::LostForAWhile => {
            at_most(story, Some(0));
            later(story, PASSES_AWAY, move |story| at_most(story, None));
        }
        Trouble::Flapping => {
            at_most(story, Some(0));
            for flap in 1..2 * FLAPS {
                let at_most = at_most.clone();
                let max = flap.is_multiple_of(2).then_some(0);
                later(story, flap, move |story| at_most(story, max));
            }
        }
    }
    true
}

fn metrics(story: &mut Story, answers: Answers, lasts: Lasts) -> bool {
    let answer = match answers {
        Answers::NoData => (Answer::None, Answer::None),
        Answers::Outage => (Answer::Outage, Answer::Outage),
        Answers::Bad => (Answer::Value(10.0), Answer::Value(9_000.0)),
    };
    let answer = Metrics {
        success_rate: answer.0,
        milliseconds: answer.1,
        ..Metrics::default()
    };
    let before = story.world.lock().metrics.clone();
    let is_other = before != answer;
    story.world.lock().metrics = answer.clone();
    if lasts != Lasts::ForEver {
        later(story, PASSES_AWAY, move |story| {
            let mut state = story.world.lock();
            if state.metrics == answer {
                state.metrics = before.clone();
            }
        });
    }
    is_other
}

/// So far ahead is a clock that was set wrong.
pub(super) const YEARS: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

#[test]
fn every_disturbance_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = all().into_iter().map(Disturbance::name).collect();
    assert_eq!(names.len(), all().len());
    let name = Disturbance::Edited(Part::Route, Edit::WeightAll).name();
    assert_eq!(name, "edited-route-weight-all");
    let name = Disturbance::Refused(Part::Apex, 403, Lasts::ForEver).name();
    assert_eq!(name, "refused-apex-403-for-ever");
}
