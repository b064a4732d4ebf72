//! The invariants bite: in histories of real passes one thing is forged at a time, and the
//! invariant that is about it says so. The histories themselves break none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use davy::simulate::cluster::Key;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::passes::{Look, Pass, Passes};
use super::watched::Watched;
use super::{BETWEEN_PASSES, Checker, Committed, INVARIANTS, Verb, Write};
use crate::proof::stage::others::set_weight;
use crate::proof::stage::{Story, folders};

/// What a story was seen to write.
fn history(name: &str) -> Vec<Write> {
    let folder = folders().into_iter().find(|folder| folder.ends_with(name));
    let mut story = Story::read(&folder.expect("a story"));
    story.play_out();
    let state = story.world.lock();
    state.cluster.history().map(Committed::committed).collect()
}

fn broken(history: &[Write]) -> BTreeSet<&'static str> {
    let mut checker = Checker::new("davy");
    checker.is_disturbed_between_passes();
    let broken = history.iter().flat_map(|write| checker.write(write));
    broken.map(|broken| broken.invariant).collect()
}

fn is_ours(write: &Write, kind: &str) -> bool {
    &*write.manager == "davy" && &*write.key.kind == kind
}

fn after(write: &Write) -> Value {
    write.after.as_deref().cloned().unwrap_or_default()
}

/// Changes what the writes show that this is about.
fn edit(history: &mut [Write], about: impl Fn(&Write) -> bool, change: impl Fn(&mut Value)) {
    let mut count = 0;
    for write in history.iter_mut().filter(|write| about(write)) {
        let mut object = after(write);
        change(&mut object);
        write.after = Some(Arc::new(object));
        count += 1;
    }
    assert!(count > 0, "there is something to forge");
}

fn claims(phase: &'static str, weight: i64) -> impl Fn(&Write) -> bool {
    move |write| {
        let status = &after(write)["status"];
        is_ours(write, "Canary")
            && status["phase"] == phase
            && status["canaryWeight"] == weight
            && write
                .before
                .as_deref()
                .is_none_or(|old| old["status"]["step"] != status["step"])
    }
}

fn weights(route: &Value) -> (i64, i64) {
    let entries = &route["spec"]["http"][0]["route"];
    let weight = |index: usize| entries[index]["weight"].as_i64().unwrap_or(0);
    (weight(0), weight(1))
}

fn shows(canary: i64) -> impl Fn(&Write) -> bool {
    move |write| is_ours(write, "VirtualService") && weights(&after(write)).1 == canary
}

fn set_weights(route: &mut Value, primary: i64, canary: i64) {
    route["spec"]["http"][0]["route"][0]["weight"] = json!(primary);
    route["spec"]["http"][0]["route"][1]["weight"] = json!(canary);
}

/// Nobody ever sees a pod of this workload answer.
fn silence(history: &mut [Write], name: &str) {
    let about = |write: &Write| &*write.key.kind == "Deployment" && *write.key.name == *name;
    edit(history, about, |workload| {
        workload["status"]
            .as_object_mut()
            .map(|status| status.remove("availableReplicas"));
    });
}

fn position(history: &[Write], about: impl Fn(&Write) -> bool) -> usize {
    history.iter().position(about).expect("such a write")
}

fn restamped(write: &Write, number: i64) -> Write {
    let mut object = after(write);
    let text = object["metadata"]["annotations"]["flagger.app/step"]
        .as_str()
        .unwrap_or_default();
    let (_, time) = text.split_once(' ').expect("a number and a time");
    object["metadata"]["annotations"]["flagger.app/step"] = json!(format!("{number} {time}"));
    Write {
        after: Some(Arc::new(object)),
        ..write.clone()
    }
}

type Forgery = fn(&mut Vec<Write>);

/// What is forged, in which story, and who must notice.
const FORGERIES: &[(&str, &str, Forgery)] = &[
    ("t1_weight_is_gated", "promoted", |history| {
        edit(history, shows(20), |route| set_weights(route, 70, 30));
    }),
    ("t2_weights_sum_to_100", "promoted", |history| {
        edit(history, shows(20), |route| set_weights(route, 81, 20));
    }),
    ("t3_one_step_at_a_time", "promoted", |history| {
        edit(history, claims("Progressing", 20), |canary| {
            canary["status"]["canaryWeight"] = json!(40);
        });
    }),
    ("t4_canary_is_ready_for_more", "promoted", |history| {
        silence(history, "podinfo");
    }),
    ("t5_primary_is_ready_for_more", "promoted", |history| {
        silence(history, "podinfo-primary");
    }),
    ("t6_edits_move_no_weight", "promoted", |history| {
        edit(history, shows(20), |route| set_weights(route, 85, 15));
    }),
    ("t7_lowered_is_not_raised_back", "promoted", |history| {
        edit(history, claims("Progressing", 20), |canary| {
            for object in canary["status"]["step"]["objects"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                object["resourceVersion"] = json!("1");
            }
        });
    }),
    ("t8_new_revision_starts_at_zero", "promoted", |history| {
        let first = position(history, claims("Progressing", 0));
        edit(
            &mut history[first..=first],
            |_| true,
            |canary| {
                canary["status"]["canaryWeight"] = json!(10);
            },
        );
    }),
    ("t11_only_our_own_objects", "promoted", |history| {
        let at = position(history, shows(20));
        let mut write = history[at].clone();
        write.key = write
            .key
            .beside("networking.istio.io", "VirtualService", "other");
        history.insert(at, write);
    }),
    ("s1_one_step_a_pass", "promoted", |history| {
        for write in history.iter_mut() {
            write.pass = Some(1);
        }
    }),
    ("s2_one_step_an_interval", "promoted", |history| {
        edit(history, claims("Progressing", 20), |canary| {
            canary["status"]["step"]["time"] = json!("2001-09-09T01:46:41Z");
        });
    }),
    (
        "s3_numbers_rise_by_one_on_evidence",
        "promoted",
        |history| {
            edit(history, claims("Progressing", 20), |canary| {
                canary["status"]["checks"][0]["verdict"] = json!("noData");
            });
        },
    ),
    ("s4_never_again_after_a_later_step", "promoted", |history| {
        let (early, late) = (position(history, shows(20)), position(history, shows(30)));
        let again = history[early].clone();
        history.insert(late + 1, again);
    }),
    ("s5_late_writes_have_no_effect", "promoted", |history| {
        let at = position(history, shows(20));
        history[at] = restamped(&history[at], 1_000);
    }),
    (
        "s5_a_first_claim_names_what_is_there",
        "promoted",
        |history| {
            let first = position(history, claims("Initializing", 0));
            edit(
                &mut history[first..=first],
                |_| true,
                |canary| {
                    let objects = &mut canary["status"]["step"]["objects"];
                    let objects = objects.as_array_mut().expect("objects");
                    objects.retain(|object| object["kind"] != "Deployment");
                },
            );
        },
    ),
    (
        "s6_a_step_is_observed_before_the_next",
        "promoted",
        |history| {
            let at = position(history, shows(20));
            history[at].at += SignedDuration::from_secs(5);
        },
    ),
    ("s7_a_lost_claim_leaves_nothing", "promoted", |history| {
        let claim = position(history, claims("Progressing", 20));
        history[claim].pass = Some(7);
        let late = position(history, shows(30));
        history[late].pass = Some(7);
    }),
    ("s8_contested_canaries_rest", "promoted", |history| {
        let at = position(history, |write| &*write.key.kind == "Canary");
        let mut rival = history[at].clone();
        let mut canary = after(&rival);
        canary["metadata"]["name"] = json!("rival");
        rival.key = rival.key.beside("flagger.app", "Canary", "rival");
        rival.after = Some(Arc::new(canary));
        history.insert(at + 1, rival);
    }),
    (
        "s9_failed_checks_count_up_by_one",
        "rolled-back",
        |history| {
            let counts = |write: &Write| {
                claims("Progressing", 20)(write) && after(write)["status"]["failedChecks"] == 1
            };
            edit(history, counts, |canary| {
                canary["status"]["failedChecks"] = json!(2);
            });
        },
    ),
    ("c5_everything_made_can_be_found", "promoted", |history| {
        let made = |write: &Write| is_ours(write, "Service") && write.verb == Verb::Create;
        edit(history, made, |service| {
            service["metadata"]
                .as_object_mut()
                .map(|fields| fields.remove("ownerReferences"));
        });
    }),
    ("p1_no_traffic_without_pods", "promoted", |history| {
        let raised = position(history, shows(50));
        let lowered = raised + position(&history[raised..], shows(0));
        history.remove(lowered);
    }),
    ("p1_connections_drain_first", "promoted", |history| {
        let raised = position(history, shows(50));
        let lowered = raised + position(&history[raised..], shows(0));
        history[lowered].at += SignedDuration::from_secs(5);
    }),
    (
        "p2_only_what_was_analysed_is_copied",
        "promoted",
        |history| {
            let copies = |write: &Write| {
                is_ours(write, "Deployment") && &*write.key.name == "podinfo-primary"
            };
            edit(history, copies, |primary| {
                primary["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other:1");
            });
        },
    ),
    (
        "p3_no_way_back_to_a_new_primary",
        "primary-never-ready",
        |history| {
            edit(history, claims("Failed", 100), |canary| {
                canary["status"]["canaryWeight"] = json!(0);
            });
        },
    ),
    ("p4_succeeded_is_true", "promoted", |history| {
        edit(history, claims("Succeeded", 0), |canary| {
            canary["status"]["primarySpec"] = json!("sha256:0000000000000000");
        });
    }),
    (
        "p5_failed_has_no_traffic_or_says_why",
        "primary-never-ready",
        |history| {
            edit(history, claims("Failed", 100), |canary| {
                canary["status"]["conditions"][0]["reason"] = json!("Failed");
            });
        },
    ),
    ("p6_primary_is_never_scaled_down", "promoted", |history| {
        let copies = |write: &Write| {
            is_ours(write, "Deployment")
                && &*write.key.name == "podinfo-primary"
                && write.verb == Verb::Update
        };
        edit(history, copies, |primary| {
            primary["spec"]["replicas"] = json!(1);
        });
    }),
    ("p7_rollback_takes_one_step", "rolled-back", |history| {
        let failed = position(history, claims("Failed", 0));
        let lowered = failed + position(&history[failed..], shows(0));
        history.remove(lowered);
    }),
    ("p8_rollback_stays_a_rollback", "rolled-back", |history| {
        let failed = position(history, claims("Failed", 0));
        let rest = &mut history[failed + 1..];
        edit(rest, claims("Failed", 0), |canary| {
            canary["status"]["phase"] = json!("Progressing");
        });
    }),
    ("p9_nothing_is_analysed_twice", "promoted", |history| {
        let first = position(history, claims("Progressing", 0));
        edit(
            &mut history[first..=first],
            |_| true,
            |canary| {
                canary["status"]["lastAppliedSpec"] = canary["status"]["lastPromotedSpec"].clone();
            },
        );
    }),
    (
        "p11_nothing_left_pointing_nowhere",
        "story-delete",
        |history| silence(history, "podinfo"),
    ),
    ("n1_services_lead_to_ready_pods", "promoted", |history| {
        let at = position(history, shows(20));
        let is_canarys =
            |write: &&Write| is_ours(write, "Service") && &*write.key.name == "podinfo-canary";
        let before = history
            .iter()
            .find(is_canarys)
            .expect("the canary's Service")
            .clone();
        let mut elsewhere = after(&before);
        elsewhere["spec"]["selector"] = json!({ "app": "nowhere" });
        let write = Write {
            verb: Verb::Update,
            before: before.after,
            after: Some(Arc::new(elsewhere)),
            ..history[at].clone()
        };
        history.insert(
            at + 1,
            Write {
                key: before.key,
                ..write
            },
        );
    }),
    ("n3_only_what_was_analysed_gains", "promoted", |history| {
        let at = position(history, shows(20));
        let is_target =
            |write: &&Write| &*write.key.kind == "Deployment" && &*write.key.name == "podinfo";
        let before = history[..at]
            .iter()
            .rfind(is_target)
            .expect("the target")
            .clone();
        let mut changed = after(&before);
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other:1");
        let write = Write {
            manager: "user".into(),
            before: before.after.clone(),
            after: Some(Arc::new(changed)),
            ..before
        };
        history.insert(at, write);
    }),
    ("n5_nothing_of_others_is_written", "promoted", |history| {
        let at = position(history, shows(20));
        let mut before = history[at].before.as_deref().cloned().unwrap_or_default();
        before["metadata"]["labels"]["other.example/kept"] = json!("yes");
        history[at].before = Some(Arc::new(before));
    }),
];

#[test]
fn every_invariant_notices_what_it_is_about() {
    let mut histories: BTreeMap<&str, Vec<Write>> = BTreeMap::new();
    for (invariant, story, forge) in FORGERIES {
        let real = histories.entry(story).or_insert_with(|| history(story));
        assert_eq!(broken(real), BTreeSet::new(), "{story} as it was");
        let mut forged = real.clone();
        forge(&mut forged);
        let noticed = broken(&forged);
        assert!(
            noticed.contains(invariant),
            "{invariant} in {story}: only {noticed:?}"
        );
    }
    let forged: BTreeSet<_> = FORGERIES.iter().map(|(invariant, ..)| *invariant).collect();
    let all = INVARIANTS.iter().chain(BETWEEN_PASSES);
    let all: BTreeSet<_> = all.map(|(invariant, _)| *invariant).collect();
    assert_eq!(forged, all, "every invariant is tried");
}

/// What is broken by passes that leave a canary at 20 % as this changes it, two minutes apart.
fn left(change: fn(&mut Look), fails_checks: bool) -> Vec<String> {
    let folder = folders()
        .into_iter()
        .find(|folder| folder.ends_with("promoted"));
    let mut story = Story::read(&folder.expect("a story"));
    let look = |story: &Story| story.checker.look(story.canary());
    while look(&story).is_none_or(|look| look.share != Some(20)) {
        assert!(story.come_to_pass(), "the canary gets 20 %");
        story.pass();
    }
    let mut look = look(&story).expect("a Canary");
    change(&mut look);
    let mut passes = Passes::default();
    let broken = (0..4).flat_map(|number| {
        let pass = Pass {
            at: story.world.now() + SignedDuration::from_mins(2 * number),
            every: story.every(),
            is_judged: true,
            fails_checks,
        };
        passes.judge(&look, &look, &pass)
    });
    broken.collect()
}

#[test]
fn what_a_pass_leaves_behind_is_judged() {
    assert_eq!(left(|_| {}, false), Vec::<String>::new());
    let of_pods = left(|look| look.canary_ready = 0, false);
    assert!(of_pods[0].starts_with("n1_a_pass_leaves_traffic_with_ready_pods: the canary"));
    let of_checks = left(|_| {}, true);
    assert!(of_checks[0].starts_with("n2_failed_checks_end_it: 20 %"));
    // Where the primary cannot carry the traffic it stays.
    let is_lost = |look: &mut Look| (look.primary_ready, look.primary_carries) = (0, false);
    assert_eq!(left(is_lost, true), Vec::<String>::new());
    assert_eq!(
        left(|look| look.is_suspended = true, true),
        Vec::<String>::new()
    );
}

#[test]
fn a_watch_is_judged_like_the_history_that_it_shows() {
    let real = history("promoted");
    let mut watched = Watched::new("davy");
    let mut managers: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    let mut seen = Vec::new();
    for (number, write) in real.iter().enumerate() {
        // As an API server notes them: one entry for each manager, with the time of its last write.
        let entries = managers.entry(write.key.clone()).or_default();
        entries.retain(|entry| entry["manager"] != *write.manager);
        entries.push(json!({ "manager": *write.manager, "time": format!("{number:09}") }));
        let object = write
            .after
            .as_ref()
            .or(write.before.as_ref())
            .expect("an object");
        let mut object = (**object).clone();
        object["metadata"]["managedFields"] = json!(entries);
        let event = match write.verb {
            Verb::Create => "ADDED",
            Verb::Update => "MODIFIED",
            Verb::Delete => "DELETED",
        };
        seen.extend(
            watched
                .event(event, object, write.at)
                .map(|change| change.committed()),
        );
    }
    assert_eq!(seen.len(), real.len());
    for (seen, real) in seen.iter().zip(&real) {
        assert_eq!(
            (&seen.key, seen.verb, seen.at),
            (&real.key, real.verb, real.at)
        );
        assert_eq!(seen.before.is_some(), real.before.is_some(), "{}", seen.key);
        if real.verb != Verb::Delete {
            assert_eq!(seen.manager, real.manager, "{}", seen.key);
        }
    }
    assert_eq!(broken(&seen), BTreeSet::new());
    let bookmark = watched.event("BOOKMARK", json!({ "kind": "Canary" }), real[0].at);
    assert!(bookmark.is_none());
}

/// What is told of weights is told of every kind of route.
#[test]
fn a_weight_that_nobody_claimed_is_seen_on_every_route() {
    let routes = [
        ("parity/contour", "HTTPProxy"),
        ("parity/gateway", "HTTPRoute"),
        ("parity/istio", "VirtualService"),
        ("parity/nginx", "Ingress"),
        ("parity/traefik", "TraefikService"),
    ];
    for (story, kind) in routes {
        let mut history = history(story);
        assert_eq!(broken(&history), BTreeSet::new(), "{story}");
        let about = |write: &Write| is_ours(write, kind) && write.before.is_some();
        edit(&mut history, about, |route| set_weight(route, 35));
        assert!(broken(&history).contains("t1_weight_is_gated"), "{story}");
    }
}
