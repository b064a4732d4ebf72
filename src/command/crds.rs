//! `davy crds`: the CustomResourceDefinitions, to be applied.

use super::{DONE, UNUSABLE, output};
use crate::api::crd;

/// Print the CustomResourceDefinitions.
///
/// davy crds | kubectl apply --server-side --force-conflicts -f -
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> u8 {
    for definition in crd::crds() {
        match serde_yaml::to_string(&definition) {
            Ok(yaml) => output::line(&format!("---\n{}", yaml.trim_end())),
            Err(error) => {
                output::error(&format!("writing the definitions: {error}"));
                return UNUSABLE;
            }
        }
    }
    DONE
}
