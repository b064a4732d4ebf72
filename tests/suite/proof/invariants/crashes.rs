//! What a crash may leave behind: what is judged at each write, and how a run with crashes is
//! held against a clean one.

use std::collections::{BTreeMap, BTreeSet};

use davy::simulate::cluster::Key;

use super::ledger::Moment;
use super::release::Role;
use super::{Verb, Write};

/// What the pass after a crash makes of it is a state that the clean run has been in too.
pub(crate) fn c1_repaired_into_a_clean_state(
    visited: &BTreeSet<String>,
    state: &str,
) -> Result<(), String> {
    if visited.contains(state) {
        return Ok(());
    }
    let lines: BTreeSet<_> = visited.iter().flat_map(|state| state.lines()).collect();
    let never: Vec<_> = state.lines().filter(|line| !lines.contains(line)).collect();
    Err(format!(
        "the clean run is never in this state; lines that it never has: {never:#?}"
    ))
}

/// One crash costs at most one pass.
pub(crate) fn c2_at_most_one_extra_pass(clean: u32, cut: u32) -> Result<(), String> {
    if cut > clean + 1 {
        return Err(format!("{cut} passes instead of {clean}"));
    }
    Ok(())
}

/// A pass over what a pass has just repaired changes nothing more.
pub(crate) fn c3_repair_is_idempotent(once: &str, twice: &str) -> Result<(), String> {
    if once != twice {
        return Err(format!("{once}\nbecame\n{twice}"));
    }
    Ok(())
}

/// How often each object was made and deleted.
pub(crate) type Lives = BTreeMap<(Key, Verb), u32>;

pub(crate) fn lives(history: impl Iterator<Item = Write>) -> Lives {
    let mut lives = Lives::new();
    // The names of slices follow from the UIDs of Services, which no two runs share.
    let made = history.filter(|write| {
        write.verb != Verb::Update && !matches!(&*write.key.kind, "Event" | "EndpointSlice")
    });
    for write in made {
        *lives.entry((write.key, write.verb)).or_default() += 1;
    }
    lives
}

/// Objects come and go as often as in the clean run.
pub(crate) fn c4_same_lives(clean: &Lives, cut: &Lives) -> Result<(), String> {
    let all: BTreeSet<_> = clean.keys().chain(cut.keys()).collect();
    for life in all {
        let (clean, cut) = (clean.get(life), cut.get(life));
        if clean != cut {
            let (key, verb) = life;
            return Err(format!(
                "{verb:?} {key}: {cut:?} times instead of {clean:?}"
            ));
        }
    }
    Ok(())
}

/// What we make is found again, and goes with its Canary.
pub(super) fn c5_everything_made_can_be_found(moment: &Moment<'_>) -> Result<(), String> {
    if !moment.ours || moment.write.verb != Verb::Create || moment.role == Role::Event {
        return Ok(());
    }
    let Some(object) = &moment.write.after else {
        return Ok(());
    };
    let owners = object["metadata"]["ownerReferences"].as_array();
    let uid = &moment.release.names.uid;
    if owners
        .into_iter()
        .flatten()
        .any(|owner| owner["uid"] == **uid)
    {
        return Ok(());
    }
    Err("it has no owner".to_owned())
}

/// After a write whose answer never came the next call to its object is a read. `calls` are those
/// of one pass from that write on, as `METHOD path`.
pub(crate) fn c6_no_write_is_repeated_blindly(calls: &[String]) -> Result<(), String> {
    let Some((write, rest)) = calls.split_first() else {
        return Ok(());
    };
    let (method, path) = write.split_once(' ').unwrap_or_default();
    if method == "GET" {
        return Ok(());
    }
    let path = path.trim_end_matches("/status");
    for call in rest {
        let (next, at) = call.split_once(' ').unwrap_or_default();
        if next == "GET" && at.starts_with(path) {
            return Ok(());
        }
        if at.trim_end_matches("/status") == path && next == method {
            return Err(format!("{write} is sent again without a read"));
        }
    }
    Ok(())
}
