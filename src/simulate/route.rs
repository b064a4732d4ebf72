//! What the routing objects in the cluster show, whatever status says.

use serde::Serialize;

use super::cluster::{Cluster, Key};
use crate::api::canary::Canary;
use crate::objects::{Policy, View};
use crate::pass::terms::layout;
use crate::routers;

/// The canary's share of the traffic as its route shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Route {
    /// Percent.
    Share(u8),
    /// The provider has no weights, or is not known.
    Unsplit,
    /// There is none.
    Missing,
    /// It shows no weight, and why.
    Unreadable(String),
}

impl Route {
    pub(super) fn of(cluster: &Cluster, canary: &Canary, policy: &Policy) -> Self {
        let names = layout::names(canary);
        let provider = layout::current(canary).map_or_else(
            || layout::provider(canary, policy),
            |layout| &layout.provider,
        );
        let router = match routers::router(provider) {
            Ok(router) if router.can().weights => router,
            _ => return Self::Unsplit,
        };
        let stored = |group: &str, kind: &str, name: &str| {
            cluster.get(&Key::new(group, kind, &names.namespace, name))
        };
        let objects = router
            .reads(canary, &names)
            .into_iter()
            .filter_map(|(key, _)| {
                let object = stored(key.kind.group, key.kind.kind, &key.name)?;
                Some((key, object))
            })
            .collect();
        let view = View {
            canary,
            names: &names,
            policy,
            objects: &objects,
        };
        match router.observe(&view) {
            Ok(Some(seen)) => Self::Share(seen.traffic.canary),
            Ok(None) => Self::Missing,
            Err(problem) => Self::Unreadable(problem.to_string()),
        }
    }

    /// In what the route is not as a status with this weight says, if in anything.
    pub(super) fn disagreement(&self, status: u8) -> Option<String> {
        match self {
            Self::Share(share) if *share != status => Some(format!("status says {status} %")),
            Self::Missing if status > 0 => {
                Some(format!("status says {status} %, and there is no route"))
            }
            Self::Unreadable(why) => Some(why.clone()),
            Self::Share(_) | Self::Missing | Self::Unsplit => None,
        }
    }
}
