//! Files that hold what is expected. With `TEST_DAVY_UPDATE=1` they are written anew, and what
//! `git diff` shows is for the review; without it a file that is missing is a difference.

use std::{env, fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};

/// Says how a file differs from what it should hold.
pub(crate) fn compare(file: &Path, text: &str) -> Option<String> {
    let found = fs::read_to_string(file).ok();
    if found.as_deref() == Some(text) {
        return None;
    }
    if env::var_os("TEST_DAVY_UPDATE").is_some() {
        fs::write(file, text).unwrap();
        return None;
    }
    let found = found.as_deref().unwrap_or("(no file)\n");
    Some(format!("{}: expected\n{found}got\n{text}", file.display()))
}

/// # Panics
/// Where a file differs from what it should hold.
pub(crate) fn assert_holds(file: &Path, text: &str) {
    if let Some(difference) = compare(file, text) {
        panic!("{difference}");
    }
}

/// A YAML file as a value.
pub(crate) fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

pub(crate) fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).unwrap()
}
