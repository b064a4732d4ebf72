//! No router at all: the apex Service leads to the primary, and nothing splits the traffic.
//! Blue/green only: the canary is checked without traffic of its own, then promoted.

use crate::api::canary::Canary;
use crate::objects::{Key, Kind, Names, Problem, Role, View, Wanted};
use crate::routers::queries::APPLICATION;
use crate::routers::{BuiltInQueries, Capabilities, Router, Seen, Traffic};

pub struct Kubernetes;

impl Router for Kubernetes {
    fn names(&self) -> &'static [&'static str] {
        &["kubernetes"]
    }

    fn kinds(&self) -> &'static [&'static Kind] {
        &[]
    }

    fn can(&self) -> Capabilities {
        Capabilities::default()
    }

    fn reads(&self, _: &Canary, _: &Names) -> Vec<(Key, Role)> {
        Vec::new()
    }

    fn weight_keys(&self, _: &Canary, _: &Names) -> Vec<Key> {
        Vec::new()
    }

    fn observe(&self, _: &View<'_>) -> Result<Option<Seen>, Problem> {
        Ok(Some(Seen {
            traffic: Traffic::default(),
            programmed: Ok(()),
        }))
    }

    fn render(&self, _: &View<'_>, _: Traffic) -> Vec<Wanted> {
        Vec::new()
    }

    fn queries(&self) -> Option<&'static BuiltInQueries> {
        Some(&APPLICATION)
    }
}
