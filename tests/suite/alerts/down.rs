//! Channels that fail, hang, redirect or have enough for now hold neither the others nor the pass,
//! and get what they missed, in order and with its own time.
use std::time::Duration;

use bytes::Bytes;
use davy::io::address::Allowed;
use davy::io::wire::{self, Limits};
use davy::io::{Io, Wire};
use davy::notifiers::Channel as Settings;
use davy::pass;
use davy::pass::report::Report;
use http::Request;
use jiff::SignedDuration;
use serde_json::Value;
use tower::{ServiceExt, service_fn};

use super::channel::{Answer, Channel};
use super::{outcomes, telling, waiting, webhook};
use crate::proof::stage::Story;
use crate::records::folder;

/// The world, and channels that are really there.
fn io(story: &Story) -> Io {
    let Io { wire: world, clock } = story.world.io();
    let nowhere = kube::Config::new(http::Uri::from_static("http://127.0.0.1:1"));
    let mut limits = Limits::default();
    limits.plain.read = Duration::from_millis(300);
    limits.plain.total = Duration::from_millis(300);
    let real = wire::real(&nowhere, limits, Allowed::default()).expect("a wire");
    let wire = Wire::new(service_fn(move |request: Request<Bytes>| {
        let is_channel = request.uri().host() == Some("127.0.0.1");
        let wire = if is_channel { &real } else { &world };
        wire.clone().oneshot(request)
    }));
    Io { wire, clock }
}

async fn pass(story: &mut Story) -> Report {
    story.begin_pass();
    let report = pass::run(&io(story), story.options())
        .await
        .expect("a pass");
    story.end_pass(Some(&report));
    report
}

/// A story that is told to two channels, the second of which takes everything.
async fn two_channels(story: &str) -> (Story, Channel, Channel) {
    let (first, second) = (Channel::open().await, Channel::open().await);
    let mut alerts = webhook(&first.address);
    let settings = Settings {
        address: second.address.clone(),
        ..Settings::default()
    };
    alerts.channels.insert("gchat".to_owned(), settings);
    (telling(&folder(story), alerts), first, second)
}

#[tokio::test]
async fn channel_that_is_down_holds_nobody_and_is_told_later() {
    for (answer, why) in [
        (Answer::Fails, "500 Internal Server Error"),
        (Answer::Redirects, "302 Found"),
        (Answer::TooMany(3_600), "429 Too Many Requests"),
        (Answer::Hangs, "127.0.0.1"),
    ] {
        let (mut story, channel, other) = two_channels("rolled-back").await;
        channel.set(answer);
        let mut asked = 0;
        while story.come_to_pass() {
            let before = waiting(&story, "webhook");
            let report = pass(&mut story).await;
            assert!(report.is_complete(), "{answer:?}: {report}");
            // After the first message that was not taken, none is tried in this pass.
            let is_tried = waiting(&story, "webhook") > 0 || before > 0;
            assert_eq!(channel.asked() - asked, usize::from(is_tried), "{answer:?}");
            asked = channel.asked();
            if is_tried {
                let said = report.untold.join("; ");
                assert!(
                    said.starts_with("webhook: ") && said.contains(why),
                    "{said}"
                );
                assert!(!said.contains("secret-path"), "{said}");
            }
            assert_eq!(waiting(&story, "gchat"), 0, "{answer:?}");
        }
        assert_eq!(story.verdict(|| format!("{answer:?}")), Ok(()));
        let missed = waiting(&story, "webhook");
        assert_eq!(missed, other.taken().len(), "the other one has all");
        channel.set(Answer::Takes);
        let report = pass(&mut story).await;
        assert_eq!(report.untold, [""; 0]);
        let told = channel.taken();
        let expected = ["initialized", "new-revision", "rolled-back"];
        assert_eq!(outcomes(&told), expected, "{answer:?}");
        assert!(story.status().outbox.is_empty());
        // Late, and with the time at which it happened.
        let times = |told: &Vec<davy::simulate::world::Told>| -> Vec<String> {
            let event = |told: &davy::simulate::world::Told| -> Value {
                serde_json::from_slice(&told.body).expect("a CloudEvent")
            };
            let time = |event: Value| event["time"].as_str().expect("a time").to_owned();
            told.iter().map(|told| time(event(told))).collect()
        };
        let times = times(&told);
        assert!(times.is_sorted() && times[0] < times[2], "{times:?}");
        let now = story.world.now().to_string();
        assert!(times.iter().all(|time| *time < now), "{times:?} and {now}");
    }
}

#[tokio::test]
async fn message_that_is_refused_holds_no_other_and_is_not_sent_in_each_pass() {
    let (mut story, channel, other) = two_channels("promoted").await;
    channel.set(Answer::Refuses);
    while story.come_to_pass() && channel.asked() == 0 {
        pass(&mut story).await;
    }
    let refused_at = story.world.now();
    let report = pass(&mut story).await;
    assert_eq!(channel.asked(), 1, "not in the next pass");
    let said = report.untold.join("; ");
    assert!(said.contains("refused once, sent again after"), "{said}");
    // Two minutes after the first refusal it is sent again, and then not for four.
    let (mut times, mut last) = (vec![SignedDuration::ZERO], 1);
    while times.len() < 3 {
        let report = pass(&mut story).await;
        assert!(report.is_complete(), "{report}");
        if channel.asked() > last {
            last = channel.asked();
            times.push(story.world.now().duration_since(refused_at));
        }
    }
    let minutes: Vec<_> = times.iter().map(SignedDuration::as_mins).collect();
    assert_eq!(minutes, [0, 2, 6], "{times:?}");
    channel.set(Answer::Takes);
    while waiting(&story, "webhook") > 0 {
        story.come_to_pass();
        pass(&mut story).await;
    }
    while story.come_to_pass() {
        pass(&mut story).await;
    }
    // Each once, on both: nothing was lost, and nothing waited for the one that was refused.
    let mut told = outcomes(&channel.taken());
    told.sort();
    assert_eq!(told, ["initialized", "new-revision", "promoted"]);
    assert_eq!(other.taken().len(), 3);
    assert!(story.status().outbox.is_empty());
}

/// What was sent before the process died, and not yet noted, is sent again as the same message.
#[tokio::test]
async fn killed_between_message_and_proof_it_is_the_same_message_again() {
    let (mut story, channel, _) = two_channels("promoted").await;
    assert!(story.come_to_pass());
    while channel.asked() == 0 {
        let begun = story.fork();
        pass(&mut story).await;
        if channel.asked() > 0 {
            // As if the write that takes it from the outbox had never left.
            story = begun;
        }
    }
    while channel.asked() < 2 {
        assert!(story.come_to_pass());
        pass(&mut story).await;
    }
    let told = channel.taken();
    assert_eq!(told[0], told[1]);
}

/// Each Event of each step, in Flagger's form, and nothing else.
#[tokio::test]
async fn event_webhook_is_told_every_event_in_order() {
    let channel = Channel::open().await;
    let alerts = davy::pass::deliver::alerts::Alerts {
        event_webhook: Some(channel.address.clone()),
        ..Default::default()
    };
    let mut story = telling(&folder("rolled-back"), alerts);
    while story.come_to_pass() {
        pass(&mut story).await;
    }
    let posted: Vec<Value> = channel
        .taken()
        .iter()
        .map(|told| serde_json::from_slice(&told.body).expect("JSON"))
        .collect();
    let mut events = Vec::new();
    {
        let state = story.world.lock();
        for (_, event) in state.cluster.objects_of("", "Event") {
            let name = event["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned();
            events.push((name, event["message"].clone(), event["type"].clone()));
        }
    }
    events.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    let told: Vec<_> = posted.iter().map(|posted| &posted["metadata"]).collect();
    assert_eq!(told.len(), events.len());
    assert!(told.len() > 5);
    for (told, (_, message, r#type)) in told.iter().zip(&events) {
        assert_eq!(
            (&told["eventMessage"], &told["eventType"]),
            (message, r#type)
        );
    }
    let last = posted.last().expect("an Event");
    assert_eq!(
        (&last["name"], &last["phase"]),
        (&"podinfo".into(), &"Failed".into())
    );
    assert!(story.status().outbox.is_empty());
}
