//! DORA's metrics by tables of cases.

use davy::api::record::{Outcome, Record, Release, VERSION, Version};
use davy::records::chain::Filed;
use davy::report::{Period, Trail, dora, text};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use Outcome::{
    Initialized, NewRevision, Promoted, PromotionFailed, Reverted, RolledBack, Superseded,
};

const DAY: i64 = 24 * 60;

/// The canary as cluster/name, minutes from the beginning, what happened, and minutes from the
/// commit to that, where they are known.
type Event = (&'static str, i64, Outcome, Option<i64>);

fn time(minutes: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    begin + SignedDuration::from_mins(minutes)
}

fn record((name, minutes, outcome, lead): Event) -> Record {
    let (cluster, canary) = name.split_once('/').unwrap();
    Record {
        version: VERSION,
        tool: "davy".to_owned(),
        cluster: cluster.to_owned(),
        namespace: "shop".to_owned(),
        canary: canary.to_owned(),
        uid: name.to_owned(),
        step: minutes,
        outcome,
        time: Time(time(minutes)),
        reason: String::new(),
        previous: None,
        template: None,
        release: Some(Release {
            template: None,
            from: None,
            to: Version::default(),
            began: Time(time(minutes)),
            actor: None,
            change_cause: None,
            commit: None,
            commit_time: lead.map(|lead| Time(time(minutes - lead))),
            steps: Vec::new(),
            steps_left_out: 0,
        }),
        analysis: None,
    }
}

fn files(events: &[Event]) -> Vec<Filed> {
    let records = events.iter().map(|event| record(*event));
    let files = records.map(|record| Filed {
        path: davy::records::path(&record),
        bytes: davy::records::bytes(&record),
        commit: "c".to_owned(),
        at: record.time.0,
        doubt: None,
        changes: Vec::new(),
    });
    files.collect()
}

/// What is measured between two minutes.
fn measured(events: &[Event], since: Option<i64>, now: i64) -> Value {
    let files = files(events);
    let trail = Trail::new(&files);
    let period = Period::new(since.map(time), trail.times(), time(now));
    json!(dora::measure(trail.records(), period))
}

#[test]
fn few_records_are_told_as_few() {
    let none = json!({
        "deploymentFrequency": {"promotions": 0, "perDay": null, "perWeek": null},
        "changeLeadTime": {"known": 0, "of": 0, "medianSeconds": null, "p90Seconds": null},
        "changeFailRate": {"failed": 0, "ended": 0, "rate": null},
        "failedDeploymentRecoveryTime": {"recovered": 0, "medianSeconds": null, "open": []},
    });
    for (what, events) in [
        ("no record", &[][..]),
        (
            "only an initialization",
            &[("a/cart", 0, Initialized, None)],
        ),
        (
            "a release that has not ended",
            &[("a/cart", 0, NewRevision, None)],
        ),
        (
            "releases without a verdict",
            &[
                ("a/cart", 0, Superseded, None),
                ("a/cart", 5, Reverted, None),
            ],
        ),
    ] {
        let mut measured = measured(events, None, 60);
        let measured = measured.as_object_mut().unwrap();
        measured.remove("period");
        assert_eq!(measured.remove("canaries"), Some(json!([])), "{what}");
        assert_eq!(json!(measured), none, "{what}");
    }
}

#[test]
fn deployment_frequency_is_not_extrapolated() {
    let one = [("a/cart", 0, Promoted, None)];
    let three = [
        ("a/cart", 0, Promoted, None),
        ("a/cart", DAY, Promoted, None),
        ("a/shop", 2 * DAY, Promoted, None),
    ];
    for (events, now, expected) in [
        (&one[..], 60, json!([1, null, null])),
        (&one, DAY, json!([1, 1.0, null])),
        (&one, 7 * DAY, json!([1, 1.0 / 7.0, 1.0])),
        (&three, 6 * DAY, json!([3, 0.5, null])),
        (&three, 14 * DAY, json!([3, 3.0 / 14.0, 1.5])),
    ] {
        let measured = measured(events, None, now);
        let frequency = &measured["deploymentFrequency"];
        let found = json!([
            frequency["promotions"],
            frequency["perDay"],
            frequency["perWeek"]
        ]);
        assert_eq!(found, expected, "{events:?} {now}");
    }
}

#[test]
fn lead_time_says_of_how_many_it_is_known() {
    let cases: [(&[Option<i64>], Value); 7] = [
        (&[None], json!([0, 1, null, null])),
        (&[Some(10)], json!([1, 1, 600, 600])),
        (&[Some(0)], json!([1, 1, 0, 0])),
        // A commit that is younger than its promotion is a mistake, not a negative time.
        (&[Some(-10), Some(30)], json!([1, 2, 1800, 1800])),
        (&[Some(10), None, Some(20)], json!([2, 3, 900, 1200])),
        (&[Some(30), Some(10), Some(20)], json!([3, 3, 1200, 1800])),
        (
            &[
                Some(1),
                Some(2),
                Some(3),
                Some(4),
                Some(5),
                Some(6),
                Some(7),
                Some(8),
                Some(9),
                Some(1_000),
            ],
            json!([10, 10, 330, 540]),
        ),
    ];
    for (leads, expected) in cases {
        let events: Vec<Event> = (0..)
            .zip(leads)
            .map(|(minute, lead)| ("a/cart", minute, Promoted, *lead))
            .collect();
        let measured = measured(&events, None, 60);
        let lead = &measured["changeLeadTime"];
        let found = json!([
            lead["known"],
            lead["of"],
            lead["medianSeconds"],
            lead["p90Seconds"]
        ]);
        assert_eq!(found, expected, "{leads:?}");
    }
}

#[test]
fn only_verdicts_count_in_the_fail_rate() {
    for (outcomes, expected) in [
        (&[Promoted][..], json!([0, 1, 0.0])),
        (&[RolledBack], json!([1, 1, 1.0])),
        (&[Promoted, PromotionFailed], json!([1, 2, 0.5])),
        (
            &[
                Initialized,
                NewRevision,
                Superseded,
                Reverted,
                Promoted,
                Promoted,
                RolledBack,
                Promoted,
            ],
            json!([1, 4, 0.25]),
        ),
    ] {
        let events: Vec<Event> = (0..)
            .zip(outcomes)
            .map(|(minute, outcome)| ("a/cart", minute, *outcome, None))
            .collect();
        let measured = measured(&events, None, 60);
        let rate = &measured["changeFailRate"];
        assert_eq!(
            json!([rate["failed"], rate["ended"], rate["rate"]]),
            expected,
            "{outcomes:?}"
        );
    }
}

#[test]
fn recovery_goes_from_the_first_failure_in_a_row_to_the_next_promotion() {
    let open = |canary: &str, since: i64, failures: usize| {
        let (cluster, canary) = canary.split_once('/').unwrap();
        json!({
            "cluster": cluster, "namespace": "shop", "canary": canary,
            "since": time(since), "failures": failures,
        })
    };
    let cases: [(&str, &[Event], Option<i64>, Value); 8] = [
        (
            "a failure",
            &[("a/cart", 5, RolledBack, None)],
            None,
            json!([0, null, [open("a/cart", 5, 1)]]),
        ),
        (
            "a recovery",
            &[
                ("a/cart", 5, RolledBack, None),
                ("a/cart", 15, Promoted, None),
            ],
            None,
            json!([1, 600, []]),
        ),
        (
            "failures in a row",
            &[
                ("a/cart", 0, RolledBack, None),
                ("a/cart", 10, PromotionFailed, None),
                ("a/cart", 12, Superseded, None),
                ("a/cart", 20, Promoted, None),
                ("a/cart", 30, Promoted, None),
            ],
            None,
            json!([1, 1200, []]),
        ),
        (
            "twice",
            &[
                ("a/cart", 0, RolledBack, None),
                ("a/cart", 10, Promoted, None),
                ("a/cart", 20, RolledBack, None),
                ("a/cart", 50, Promoted, None),
            ],
            None,
            json!([2, 1200, []]),
        ),
        (
            "another canary's promotion, and the same name in another cluster",
            &[
                ("a/cart", 0, RolledBack, None),
                ("a/shop", 5, Promoted, None),
                ("b/cart", 10, Promoted, None),
            ],
            None,
            json!([0, null, [open("a/cart", 0, 1)]]),
        ),
        (
            "a revert mends nothing",
            &[
                ("a/cart", 0, RolledBack, None),
                ("a/cart", 5, Reverted, None),
            ],
            None,
            json!([0, null, [open("a/cart", 0, 1)]]),
        ),
        (
            "a failure that is older than the time",
            &[
                ("a/cart", 0, RolledBack, None),
                ("a/cart", 30, Promoted, None),
            ],
            Some(20),
            json!([0, null, []]),
        ),
        (
            "one that goes on in it",
            &[
                ("a/cart", 0, RolledBack, None),
                ("a/cart", 25, RolledBack, None),
                ("a/cart", 30, Promoted, None),
                ("b/cart", 10, RolledBack, None),
                ("b/cart", 40, RolledBack, None),
            ],
            Some(20),
            json!([1, 1800, [open("b/cart", 10, 2)]]),
        ),
    ];
    for (what, events, since, expected) in cases {
        let measured = measured(events, since, 60);
        let recovery = &measured["failedDeploymentRecoveryTime"];
        let found = json!([
            recovery["recovered"],
            recovery["medianSeconds"],
            recovery["open"]
        ]);
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn what_is_outside_the_time_is_not_counted() {
    let events = [
        ("a/cart", 0, Promoted, None),
        ("a/cart", 20, Promoted, None),
        ("a/cart", 60, Promoted, None),
        // A clock that is ahead.
        ("a/cart", 61, Promoted, None),
    ];
    let measured = measured(&events, Some(20), 60);
    assert_eq!(measured["deploymentFrequency"]["promotions"], 2);
    assert_eq!(
        measured["period"],
        json!({"from": time(20), "to": time(60)})
    );
}

#[test]
fn a_record_that_was_filed_twice_is_one() {
    let mut files = files(&[("a/cart", 0, Promoted, None)]);
    let mut again = files[0].clone();
    again.path = again.path.replace(".yaml", ".copy.yaml");
    files.push(again);
    let trail = Trail::new(&files);
    let period = Period::new(None, trail.times(), time(60));
    let all = dora::measure(trail.records(), period).all;
    assert_eq!(all.deployment_frequency.promotions, 1);
    // The copy is where no record of Davy's is, and files that cannot be read are no zeros either.
    assert_eq!(trail.unreadable, 0);
    assert_eq!(trail.findings().len(), 1, "{:?}", trail.findings());
}

/// Clusters' canaries in lines of 80 columns, whatever they are called.
#[test]
fn the_table_is_for_people() {
    let events = [
        ("prod/cart", 0, Promoted, Some(125)),
        ("prod/cart", DAY, RolledBack, None),
        ("prod/cart", DAY + 5, RolledBack, None),
        ("prod/cart", DAY + 65, Promoted, Some(60)),
        ("staging/cart", 9 * DAY, PromotionFailed, None),
        (
            "staging/a-canary-with-a-name-that-is-far-too-long-for-a-line-of-eighty-columns",
            9 * DAY,
            Promoted,
            None,
        ),
    ];
    let files = files(&events);
    let trail = Trail::new(&files);
    let period = Period::new(None, trail.times(), time(10 * DAY));
    let table = text::table(&dora::measure(trail.records(), period), &trail);
    let expected = "\
2026-01-01 00:00:00 to 2026-01-11 00:00:00 UTC, 10 d

Deployment frequency             3 promotions
                                 0.3 a day, 2.1 a week
Change lead time                 median 1 h 32 min
                                 90 % within 2 h 5 min, known for 2 of 3
Change fail rate                 50.0 %
                                 3 of 6 failed
Failed deployment recovery time  median 1 h 5 min
                                 1 recovered, 1 open

Not promoted since they failed:
  2026-01-10 00:00:00 UTC  staging shop/cart

CANARY                           PROMOTED  A WEEK   LEAD TIME  FAILED   RECOVERY
prod shop/cart                          2     1.4  1 h 32 min  2 of 4  1 h 5 min
…g-for-a-line-of-eighty-columns         1     0.7           –  0 of 1          –
staging shop/cart                       0       0           –  1 of 1       open";
    assert_eq!(table, expected, "\n{table}\n");
    assert!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );

    let trail = Trail::new(&[]);
    let period = Period::new(None, trail.times(), time(0));
    let table = text::table(&dora::measure(trail.records(), period), &trail);
    assert!(table.contains("no promotions in this time"), "{table}");
    assert!(
        !table.contains("NaN") && !table.contains("CANARY"),
        "{table}"
    );
}
