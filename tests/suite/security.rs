//! The table of threats in `config/security.md`: every threat has a row, and every test that a row
//! names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const THREATS: usize = 24;

/// The cells of each row of the table, without its head.
fn rows() -> Vec<Vec<String>> {
    let text = include_str!("../../config/security.md");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = |row: &str| -> Vec<String> {
        let row = row.trim_matches(['|', ' ']);
        row.split(" | ").map(str::to_owned).collect()
    };
    rows.skip(1).map(cells).collect()
}

#[test]
fn every_threat_has_its_row_and_each_says_by_what_it_is_held() {
    let rows = rows();
    assert_eq!(rows.len(), THREATS);
    for (index, row) in rows.iter().enumerate() {
        let [number, threat, done, tests] = &row[..] else {
            panic!("{row:?}")
        };
        assert_eq!(number, &(index + 1).to_string());
        assert!(!threat.is_empty() && !done.is_empty(), "{row:?}");
        let says_why = ["none: ", "not yet: "]
            .iter()
            .any(|word| tests.contains(word));
        assert!(says_why || !named(tests).is_empty(), "{row:?}");
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests/suite"] {
        tests_of(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut known,
        );
    }
    let rows = rows();
    let named = rows.iter().flat_map(|row| named(&row[3]));
    let missing: Vec<_> = named.filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Names in backticks.
fn named(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Functions behind an attribute that makes a test of them.
fn tests_of(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_of(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for part in text
                .split("#[test]")
                .skip(1)
                .chain(text.split("#[tokio::test").skip(1))
            {
                let name = part
                    .split_once("fn ")
                    .and_then(|(_, rest)| rest.split_once('('));
                found.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
    }
}
