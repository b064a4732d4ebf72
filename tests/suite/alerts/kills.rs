//! A pass is killed at every call, with every outcome: what is told is what the clean run tells, in
//! its order, and what is told again bears the same key and says the same.

use std::collections::BTreeMap;
use std::path::Path;

use davy::simulate::world::Told;

use super::{outcomes, telling, webhook};
use crate::proof::stage::cuts::ToCut;
use crate::proof::stage::{Story, stories};
use crate::tier::is_thorough;

/// Without what was said again.
fn first(told: &[Told]) -> Result<Vec<Told>, String> {
    let mut said: BTreeMap<&str, &Told> = BTreeMap::new();
    let mut first = Vec::new();
    for message in told {
        match said.insert(&message.idempotency_key, message) {
            None => first.push(message.clone()),
            Some(before) if before == message => {}
            Some(_) => return Err(format!("{} says two things", message.idempotency_key)),
        }
    }
    Ok(first)
}

fn every_kill(folder: &Path) -> u32 {
    let alerts = webhook("http://channel.test/hook");
    let mut clean = telling(folder, alerts);
    let mut passes = Vec::new();
    while clean.come_to_pass() {
        passes.push(clean.pass_to_cut());
    }
    clean.come_to_rest();
    let told = clean.world.lock().told.clone();
    assert_eq!(
        first(&told).as_ref(),
        Ok(&told),
        "a clean run says all once"
    );
    assert!(told.len() > 1, "{}: {told:?}", clean.name());
    let expected = outcomes(&told);
    let check = |cut: &Story, at: &str| {
        let told = cut.world.lock().told.clone();
        let first = first(&told).unwrap_or_else(|why| panic!("{at}: {why}"));
        assert_eq!(outcomes(&first), expected, "{at}");
        // Only what the killed pass had sent is said again, and only once.
        for message in &first {
            let times = told.iter().filter(|told| *told == message).count();
            assert!(times <= 2, "{at}: {times} times");
        }
        assert!(cut.status().outbox.is_empty(), "{at}");
    };
    let cut = |pass: &ToCut| pass.everywhere(|| {}, check);
    passes.iter().map(cut).sum()
}

#[test]
fn no_kill_loses_news_or_tells_it_as_something_else() {
    let folders = stories().into_iter();
    let mut tried = 0;
    for folder in folders.filter(|folder| folder.starts_with(fixtures().join("scenarios"))) {
        tried += every_kill(&folder);
    }
    let least = if is_thorough() { 3_000 } else { 300 };
    assert!(tried > least, "{tried} kills");
    crate::proof::stage::stops::tell(&format!("alerts: {tried} kills"));
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}
