//! What the API server stores is not always what was sent, and other tools write what Davy writes: a
//! canary's life under real admission policies and beside real server-side apply, on the real control
//! plane. Each folder of `fixtures/policies` is one policy or one writer; a new one needs no Rust.
//!
//! | file | what it holds |
//! |---|---|
//! | `row.yaml` | what it is about, the course that is played, and what is to be seen in the end |
//! | `policy.yaml` | admission policies and their bindings, which act in the row's namespace alone |
//! | `writer.yaml` | what a tool such as Flux has in Git and applies |
//!
//! `application.yaml` is what they all release, and `events.yaml` what its Canary says at each stage
//! when nobody interferes.
mod admission;
mod course;
mod row;
mod writer;

use std::{
    any::Any,
    collections::VecDeque,
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use crate::bed::{control_plane, prometheus};

use row::Row;

/// Most of a row is waiting for drained connections and deadlines.
const AT_ONCE: usize = 16;

#[tokio::test]
async fn every_row_ends_right() {
    if control_plane().await.is_none() || prometheus().await.is_none() {
        return;
    }
    let rows: Mutex<VecDeque<Row>> = Mutex::new(rows().into());
    let next = || {
        rows.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = next() {
                    if let Err(why) = played(&row) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(format!("{}: {why}", row.name));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} rows: {}",
        failed.len(),
        failed.join("\n")
    );
}

/// Plays a row in a thread of its own, with a runtime of its own: its passes block.
fn played(row: &Row) -> Result<(), String> {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(course::play(row));
    };
    thread::scope(|scope| scope.spawn(run).join()).map_err(|panic| text(&*panic))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// All rows, those first that take longest. `TEST_DAVY_ROWS` names some, for work on them.
fn rows() -> Vec<Row> {
    let chosen = env::var_os("TEST_DAVY_ROWS").map(|names| names.to_string_lossy().into_owned());
    let is_chosen = |row: &Row| {
        let mut names = chosen.as_deref().map(|names| names.split(','));
        names
            .as_mut()
            .is_none_or(|names| names.any(|name| name == row.name))
    };
    let mut rows: Vec<Row> = folders().iter().map(|folder| Row::read(folder)).collect();
    rows.retain(is_chosen);
    assert!(!rows.is_empty(), "no row to play");
    rows.sort_by_key(|row| std::cmp::Reverse(row.course.len()));
    rows
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/policies")
}

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).expect("the rows");
    let mut folders: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}
