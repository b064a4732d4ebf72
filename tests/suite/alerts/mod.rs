//! News of releases from the claim to the channel: told once, in order, wherever a pass is killed
//! and whatever a channel does.
mod channel;
mod down;
mod kills;
mod providers;

use std::collections::BTreeMap;
use std::path::Path;

use davy::notifiers::Channel;
use davy::pass::deliver::alerts::Alerts;
use davy::pass::deliver::outbox::Places;
use davy::simulate::world::Told;
use serde_json::Value;

use crate::proof::stage::Story;

/// A story with somebody who is told.
fn telling(folder: &Path, alerts: Alerts) -> Story {
    let places = Places {
        alerts: Some(alerts),
        ..Places::default()
    };
    Story::telling(folder, places)
}

/// One channel of the settings, of the kind whose messages hold whole records.
fn webhook(address: &str) -> Alerts {
    let channel = Channel {
        address: address.to_owned(),
        ..Channel::default()
    };
    Alerts {
        channels: BTreeMap::from([("webhook".to_owned(), channel)]),
        ..Alerts::default()
    }
}

/// What became of the release, by the messages' own words.
fn outcomes(told: &[Told]) -> Vec<String> {
    told.iter().map(|told| outcome(&told.body)).collect()
}

fn outcome(body: &[u8]) -> String {
    let event: Value = serde_json::from_slice(body).expect("a CloudEvent");
    let outcome = event["data"]["record"]["outcome"].as_str();
    outcome.expect("an outcome").to_owned()
}

/// What waits in the outbox for this place.
fn waiting(story: &Story, place: &str) -> usize {
    let outbox = story.status().outbox;
    let waits = |entry: &&Value| {
        let to = entry["to"].as_array().into_iter().flatten();
        to.into_iter().any(|to| to == place)
    };
    outbox.iter().filter(waits).count()
}
