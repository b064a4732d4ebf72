//! The page in a browser: complete, quiet, true to the records, and readable.

use std::collections::BTreeMap;

use davy::api::record::{Outcome, Record};
use davy::records::chain::Filed;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::browser::Browser;
use super::{gallery, pages};

const SIZES: [(&str, u32, u32); 2] = [("desktop", 1280, 900), ("phone", 390, 844)];
const SCHEMES: [&str; 2] = ["light", "dark"];
const BYTES_MAX: usize = 3_000_000;

/// Opens a page, which has to go without a message and without a request.
fn open(browser: &mut Browser, name: &str, page: &str) {
    let file = gallery().join(format!("{name}.html"));
    std::fs::write(&file, page).unwrap();
    browser.open(&file);
    assert_eq!(browser.errors, Vec::<String>::new(), "{name}");
    assert_eq!(browser.requests.len(), 1, "{name}: {:?}", browser.requests);
}

fn records(files: &[Filed]) -> Vec<Record> {
    let records = files.iter().map(|file| davy::records::parse(&file.bytes));
    records.map(|record| record.expect("a record")).collect()
}

fn words(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Initialized | Outcome::NewRevision | Outcome::Held => return None,
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
        Outcome::PromotionFailed => "promotion failed",
        Outcome::Superseded => "superseded",
        Outcome::Reverted => "reverted",
    })
}

/// What the list is to hold, newest first: outcome, canary, when, reason, digest, steps.
fn expected(files: &[Filed]) -> Vec<Value> {
    let mut expected: Vec<_> = records(files)
        .iter()
        .zip(files)
        .filter_map(|(record, file)| {
            let outcome = words(record.outcome)?;
            let release = record.release.as_ref().expect("a release");
            let canary = format!("{} {}/{}", record.cluster, record.namespace, record.canary);
            let checks: usize = release.steps.iter().map(|step| step.checks.len()).sum();
            let row = json!([
                outcome,
                canary,
                record.time.0.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                record.reason,
                davy::records::digest(&file.bytes),
                release.steps.len(),
                checks,
            ]);
            Some((record.time.0, record.step, row))
        })
        .collect();
    expected.sort_by_key(|(time, step, _)| std::cmp::Reverse((*time, *step)));
    expected.into_iter().map(|(_, _, row)| row).collect()
}

const LIST: &str = r#"[...document.querySelectorAll(".rollout")].map((rollout) => {
    const fact = (name) => [...rollout.querySelectorAll("dt")]
        .find((term) => term.textContent === name)?.nextElementSibling.textContent;
    return [
        rollout.querySelector("summary b").textContent,
        rollout.dataset.canary,
        rollout.querySelector("summary > :last-child").textContent,
        rollout.querySelector("p").textContent,
        fact("Digest"),
        rollout.querySelectorAll("[aria-label=Steps] tbody tr").length,
        rollout.querySelectorAll("[aria-label=Steps] td:is(.p, .f, .h)").length,
    ];
})"#;

/// The metrics as the page tells them, computed anew from the records' outcomes.
fn compare_metrics(browser: &mut Browser, files: &[Filed]) {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for record in records(files) {
        *counts.entry(record.outcome).or_default() += 1;
    }
    let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
    let failed = count(Outcome::RolledBack) + count(Outcome::PromotionFailed);
    let ended = failed + count(Outcome::Promoted);
    let told = browser.evaluate(
        "[...document.querySelectorAll('.metrics dd')].map((told) => [...told.children].map((part) => part.textContent).join('|'))",
    );
    let told = |index: usize| told[index].as_str().unwrap_or_default().to_owned();
    let promotions = match count(Outcome::Promoted) {
        1 => "1 promotion".to_owned(),
        count => format!("{count} promotions"),
    };
    for (index, wanted) in [
        (0, format!("{promotions}|")),
        (1, format!(" of {}|", count(Outcome::Promoted))),
        (2, format!("|{failed} of {ended} failed|")),
    ] {
        assert!(told(index).contains(&wanted), "{} {wanted}", told(index));
    }
    let rows = browser.evaluate(
        "[...document.querySelectorAll('[aria-label=\"Metrics by canary\"] tbody td:nth-child(2)')]
            .reduce((sum, cell) => sum + Number(cell.textContent), 0)",
    );
    assert_eq!(rows, count(Outcome::Promoted));
}

/// The page in both schemes and sizes: nothing is wider than the screen, every text stands out, and
/// the schemes differ. Pictures, from an element on, are left for people.
fn look(browser: &mut Browser, name: &str, from: &str) {
    let mut papers = Vec::new();
    for (size, width, height) in SIZES {
        for scheme in SCHEMES {
            browser.look(width, height, scheme);
            let wide = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
            assert!(
                wide.as_i64().unwrap() <= 0,
                "{name} {size}: {wide} too wide"
            );
            papers.push(browser.evaluate("getComputedStyle(document.body).backgroundColor"));
            let pale = browser.evaluate(CONTRAST);
            assert_eq!(pale, json!([]), "{name} {size} {scheme}");
            let scroll = format!("document.querySelector({}).scrollIntoView()", json!(from));
            browser.evaluate(&scroll);
            browser.screenshot(&gallery().join(format!("{name}-{size}-{scheme}.png")));
        }
    }
    assert_ne!(papers[0], papers[1], "{name}");
}

/// Texts with less contrast than WCAG 2 asks for (level AA, 4.5 to 1).
const CONTRAST: &str = r#"(() => {
    const part = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = (colour) => {
        const [red, green, blue] = colour.match(/[\d.]+/g).map(Number);
        return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
    };
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)") return colour;
        }
    };
    const pale = new Set();
    for (const element of [...document.querySelectorAll("body *")].slice(0, 2000)) {
        if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
        if (element.localName === "script") continue;
        const style = getComputedStyle(element);
        const colour = element.localName === "text" ? style.fill : style.color;
        const [one, other] = [light(colour), light(behind(element))].sort((a, b) => b - a);
        if ((one + 0.05) / (other + 0.05) < 4.5) pale.add(`${element.localName}.${element.className} ${colour}`);
    }
    return [...pale];
})()"#;

#[test]
fn one_rollout_is_told_in_full() {
    let (Some(files), Some(mut browser)) = (pages::files(1), Browser::start()) else {
        return;
    };
    let (files, now) = files;
    open(&mut browser, "one", &pages::page(&files, now));
    assert_eq!(browser.evaluate(LIST), json!(expected(&files)));
    compare_metrics(&mut browser, &files);
    // Every text of the record is there to be read.
    let record = records(&files).pop().unwrap();
    let text = browser.evaluate("document.querySelector('.rollout').innerText");
    let text = text.as_str().unwrap();
    let release = record.release.as_ref().unwrap();
    let terms = record.analysis.as_ref().unwrap();
    let mut texts: Vec<&str> = vec![&record.reason, release.commit.as_ref().unwrap(), "believed"];
    texts.extend([&release.actor, &release.change_cause].map(|text| text.as_deref().unwrap()));
    texts.extend(release.to.images.iter().map(String::as_str));
    texts.extend(terms.checks.iter().map(|check| check.query.trim()));
    assert_eq!(terms.checks.len(), 2);
    texts.extend(release.steps.iter().map(|step| &*step.reason));
    for wanted in texts {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    look(&mut browser, "one", "body");
    look(&mut browser, "one-rollout", ".rollout");
}

#[test]
fn every_kind_of_a_rollout_can_be_read() {
    let (Some(files), Some(mut browser)) = (pages::files(7), Browser::start()) else {
        return;
    };
    let (files, now) = files;
    open(&mut browser, "kinds", &pages::page(&files, now));
    assert_eq!(browser.evaluate(LIST), json!(expected(&files)));
    browser.evaluate("document.getElementById('filter').elements.open.click()");
    for (name, rollout) in [
        ("rolled-back", "[data-outcome='rolled back']"),
        ("promotion-failed", "[data-outcome='promotion failed']"),
        ("reverted", "[data-outcome='reverted']"),
        ("held", ":has(use.h)"),
    ] {
        look(
            &mut browser,
            &format!("kinds-{name}"),
            &format!(".rollout{rollout}"),
        );
    }
    // Each check of an open rollout has its query beside it, every query being kept once only.
    let queries = browser.evaluate(
        r#"[...document.querySelectorAll(".rollout")].map((rollout) =>
            [...rollout.querySelectorAll(".checks code")].map((query) => query.textContent))"#,
    );
    let asked: Vec<Vec<String>> = records(&files)
        .into_iter()
        .rev()
        .filter(|record| words(record.outcome).is_some())
        .map(|record| record.analysis.expect("terms").checks)
        .map(|checks| checks.into_iter().map(|check| check.query).collect())
        .collect();
    assert_eq!(queries, json!(asked));
    // A picture has the weights, and a mark wherever the table has a check that did not pass.
    let marks = browser.evaluate(
        r#"[...document.querySelectorAll(".rollout")].map((rollout) => [
            rollout.querySelectorAll("use:is(.f, .h)").length,
            [...rollout.querySelectorAll("[aria-label=Steps] tbody tr")]
                .filter((row) => row.querySelector("td:is(.f, .h)")).length,
        ]).filter(([one, other]) => one !== other)"#,
    );
    assert_eq!(marks, json!([]));
    let marked = browser
        .evaluate("['f', 'h'].map((mark) => document.querySelectorAll(`use.${mark}`).length > 0)");
    assert_eq!(marked, json!([true, true]));
    // On paper there is nothing to click, and ink is dear.
    browser.look(800, 1100, "dark");
    browser.print();
    let printed = browser.evaluate(
        r#"[getComputedStyle(document.body).backgroundColor,
            document.getElementById("filter").checkVisibility(),
            document.querySelector(".rollout dl").checkVisibility()]"#,
    );
    assert_eq!(printed, json!(["rgb(255, 255, 255)", false, true]));
    browser.evaluate("document.querySelector('#rollouts').scrollIntoView()");
    browser.screenshot(&gallery().join("kinds-print.png"));
}

#[test]
fn a_thousand_rollouts_can_be_searched() {
    let (Some(files), Some(mut browser)) = (pages::files(1_000), Browser::start()) else {
        return;
    };
    let (files, now) = files;
    let page = pages::page(&files, now);
    assert!(page.len() < BYTES_MAX, "{} bytes", page.len());
    open(&mut browser, "thousand", &page);
    let expected = expected(&files);
    assert!(expected.len() >= 1_000);
    assert_eq!(browser.evaluate(LIST), json!(expected));
    compare_metrics(&mut browser, &files);
    look(&mut browser, "thousand", "body");
    look(&mut browser, "thousand-list", "#rollouts");

    let of = |index: usize, value: &str| expected.iter().filter(|row| row[index] == value).count();
    let both = expected
        .iter()
        .filter(|row| row[0] == "rolled back" && row[1] == "staging shop/cart");
    let digest = expected[500][4].as_str().unwrap();
    for (text, outcome, canary, shown) in [
        ("", "", "", expected.len()),
        ("", "rolled back", "", of(0, "rolled back")),
        (
            "",
            "",
            "production shop/cart",
            of(1, "production shop/cart"),
        ),
        ("", "rolled back", "staging shop/cart", both.count()),
        (digest, "", "", 1),
        // Words in any order and case.
        (
            "STAGING a-recommendation",
            "",
            "",
            of(1, "staging shop/a-recommendation-service"),
        ),
        ("nothing has this", "", "", 0),
    ] {
        let filter = format!(
            r#"(() => {{
                const fields = document.getElementById("filter").elements;
                fields.text.value = {};
                fields.outcome.value = {};
                fields.canary.value = {};
                fields.text.dispatchEvent(new Event("input", {{bubbles: true}}));
                const shown = [...document.querySelectorAll(".rollout")]
                    .filter((rollout) => rollout.checkVisibility()).length;
                return [shown, fields.count.value];
            }})()"#,
            json!(text),
            json!(outcome),
            json!(canary)
        );
        let told = format!("{shown} of {} shown", expected.len());
        assert_eq!(
            browser.evaluate(&filter),
            json!([shown, told]),
            "{text} {outcome} {canary}"
        );
    }
    // Those that were filtered away do not open with the others.
    let opened = browser.evaluate(
        r#"(() => {
            const fields = document.getElementById("filter").elements;
            fields.text.value = "";
            fields.outcome.value = "superseded";
            fields.text.dispatchEvent(new Event("input", {bubbles: true}));
            fields.open.click();
            const opened = document.querySelectorAll(".rollout[open]").length;
            fields.close.click();
            return [opened, document.querySelectorAll(".rollout[open]").length];
        })()"#,
    );
    assert_eq!(opened, json!([of(0, "superseded"), 0]));
    assert_eq!(browser.errors, Vec::<String>::new());
}

#[test]
fn no_rollouts_are_said_to_be_none() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    open(
        &mut browser,
        "none",
        &pages::page(&[], Timestamp::UNIX_EPOCH),
    );
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().unwrap();
    assert!(
        text.contains("no promotions in this time") && text.contains("No rollouts"),
        "{text}"
    );
    assert!(
        !text.contains("NaN") && !text.contains("undefined"),
        "{text}"
    );
    look(&mut browser, "none", "body");
}

/// Records are texts of others, and so may be those who can write to the repository.
#[test]
fn texts_of_records_stay_texts() {
    const EVIL: &str =
        "\"'><script>window.evil=1</script></style></title><img src=x onerror=evil=1>&amp;\u{202e}";
    let (Some(files), Some(mut browser)) = (pages::files(2), Browser::start()) else {
        return;
    };
    let (mut files, now) = files;
    for file in &mut files {
        let record = davy::records::parse(&file.bytes).unwrap();
        let mut record = json!(record);
        poison(&mut record, EVIL);
        let record: Record = serde_json::from_value(record).unwrap();
        file.bytes = davy::records::bytes(&record);
        file.path = format!("records/{EVIL}");
        file.commit = EVIL.to_owned();
        file.doubt = Some(EVIL.to_owned());
        file.changes = vec![EVIL.to_owned()];
    }
    open(&mut browser, "evil", &pages::page(&files, now));
    let found = browser.evaluate(
        "[typeof evil, document.scripts.length, document.images.length, document.querySelectorAll('style').length]",
    );
    assert_eq!(found, json!(["undefined", 1, 0, 1]));
    let rollouts = browser.evaluate(
        "[...document.querySelectorAll('.rollout')].map((rollout) => rollout.textContent)",
    );
    for rollout in rollouts.as_array().expect("rollouts") {
        let text = rollout.as_str().unwrap();
        assert!(text.matches(EVIL).count() > 10, "{text}");
        assert!(text.contains("not believed"), "{text}");
    }
    look(&mut browser, "evil", "body");
}

/// Puts a text in the place of every text that is free.
fn poison(value: &mut Value, evil: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_free = ![
                    "outcome",
                    "time",
                    "began",
                    "commitTime",
                    "phase",
                    "verdict",
                    "onNoData",
                ]
                .contains(&&**name);
                if is_free {
                    poison(field, evil);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
        Value::String(text) => evil.clone_into(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
