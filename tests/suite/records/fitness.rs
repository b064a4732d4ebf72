//! Records come from status, which others may write: one that cannot be a file, or that is not the
//! canary's own, is said and does not hold the others.

use std::collections::BTreeMap;
use std::path::Path;

use davy::api::record::{News, OutboxEntry, Record};
use davy::pass::deliver::records::{GIT, deliver};

use super::{files, place, records};

fn record(change: impl FnOnce(&mut Record)) -> OutboxEntry {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("fixtures/records/promoted/00000012-promoted.yaml");
    let bytes = std::fs::read(path).expect("a record");
    let mut record = davy::records::parse(&bytes).expect("a record");
    change(&mut record);
    OutboxEntry::new(vec![GIT.to_owned()], News::Record(Box::new(record)))
}

#[tokio::test]
async fn a_record_that_cannot_be_filed_does_not_hold_the_others() {
    let Some(place) = place().await else { return };
    let settings = records(&place);
    let waiting = BTreeMap::from([
        (
            "test/podinfo".to_owned(),
            vec![
                record(|_| {}),
                record(|record| record.cluster = "../../elsewhere".to_owned()),
                record(|record| record.cluster = ".git".to_owned()),
                record(|record| record.cluster = "a\nb".to_owned()),
                record(|record| {
                    record.step = 13;
                    record.reason = "x".repeat(2 << 20);
                }),
            ],
        ),
        (
            "test/other".to_owned(),
            vec![
                record(|record| record.step = 14),
                record(|record| record.canary = "other".to_owned()),
            ],
        ),
    ]);
    let (delivered, problems) = deliver(&settings, &waiting).await;
    let written: Vec<_> = files(&place).into_keys().collect();
    assert_eq!(
        written,
        [
            "records/default/test/other/00000012-promoted.yaml",
            "records/default/test/podinfo/00000012-promoted.yaml",
        ]
    );
    let expected = [
        "test/other: the record 14 promoted cannot be put into Git: it is a record of test/podinfo",
        "test/podinfo: the record 12 promoted cannot be put into Git: \"../../elsewhere\" is no \
         name of a cluster",
        "test/podinfo: the record 12 promoted cannot be put into Git: \".git\" is no name of a \
         cluster",
        "test/podinfo: the record 12 promoted cannot be put into Git: \"a\\nb\" is no name of a \
         cluster",
        "test/podinfo: the record 13 promoted cannot be put into Git: it is larger than 1048576 \
         bytes",
    ];
    assert_eq!(problems, expected);
    assert!(format!("{delivered:?}").contains("test/other"));

    // One that finds both of its places taken.
    place.by_hand(
        "cd records/default/test/podinfo; echo other >00000012-promoted.yaml; git commit -qam other",
    );
    let (_, problems) = deliver(&settings, &waiting).await;
    assert_eq!(problems, expected, "it goes beside the other one");
    place.by_hand(
        "cd records/default/test/podinfo; for file in *; do echo other >$file; done; \
         git commit -qam others",
    );
    let waiting = BTreeMap::from([
        ("test/podinfo".to_owned(), vec![record(|_| {})]),
        (
            "test/third".to_owned(),
            vec![record(|record| record.canary = "third".to_owned())],
        ),
    ]);
    let (_, problems) = deliver(&settings, &waiting).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].ends_with("is in the branch already, with other bytes"));
    assert!(files(&place).contains_key("records/default/test/third/00000012-promoted.yaml"));
}
