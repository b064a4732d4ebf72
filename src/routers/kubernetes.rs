//! No router at all: the apex Service leads to the primary, and nothing splits the traffic.
//! Blue/green only: the canary is checked without traffic of its own, then promoted.

use crate::api::canary::Canary;
use crate::objects::{Key, Names, Problem, View, Wanted};
use crate::routers::{Router, Traffic, analysis_problems};

pub struct Kubernetes;

impl Router for Kubernetes {
    fn names(&self) -> &'static [&'static str] {
        &["kubernetes"]
    }

    fn has_weights(&self) -> bool {
        false
    }

    fn keys(&self, _: &Names) -> Vec<Key> {
        Vec::new()
    }

    fn weight_keys(&self, _: &Names) -> Vec<Key> {
        Vec::new()
    }

    fn problems(&self, canary: &Canary) -> Vec<Problem> {
        analysis_problems(canary, "kubernetes")
    }

    fn traffic(&self, _: &View<'_>) -> Result<Option<Traffic>, Problem> {
        Ok(Some(Traffic {
            canary_weight: 0,
            unsettled: None,
        }))
    }

    fn render(&self, _: &View<'_>, _: u8) -> Vec<Wanted> {
        Vec::new()
    }

    fn restore(&self, _: &View<'_>) -> Vec<Wanted> {
        Vec::new()
    }
}
