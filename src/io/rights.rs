//! What the program asks of the API server, verb by verb: the one table from which Roles are made.
//! It stands beside the requests themselves; a run under the shipped Roles holds it against them.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{
    ALERT_PROVIDER, CANARY, CONFIG_MAP, EVENT, Kind, METRIC_TEMPLATE, SECRET, SERVICE,
};

/// What of a canary, or of the settings, makes a right needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Every canary.
    Always,
    /// `DAVY_CONFIG_TRACKING`, and a target that refers to configs.
    ConfigTracking,
    /// A Canary that names alerts.
    Alerts,
    /// A Canary that names a MetricTemplate.
    Templates,
    /// A MetricTemplate that names a Secret.
    TemplateSecrets,
    /// A MetricTemplate whose system is a part of the cluster's own API: this kind, by this verb.
    Metrics(&'static Kind, &'static str),
    /// An object of this kind that is read and written: a workload, a route, an autoscaler.
    Kind(&'static Kind),
    /// Objects of this kind that keep the primary's earlier templates, for a promotion that fails.
    History(&'static Kind),
}

/// One line of the table.
struct Right {
    need: Need,
    kind: &'static Kind,
    subresource: &'static str,
    verbs: &'static [&'static str],
}

/// An object that is listed with all others of its kind, and made or changed in a step; after a
/// conflict it is read by itself. Nothing is deleted: garbage collection does that.
const READ_AND_WRITTEN: &[&str] = &["create", "get", "list", "patch"];

static ALWAYS: [Right; 5] = [
    // `patch` puts the finalizer of spec.revertOnDeletion on and takes it off.
    always(&CANARY, "", &["get", "list", "patch"]),
    always(&CANARY, "status", &["patch"]),
    // No request of ours: asked where an ownerReference blocks the deletion of its owner and the
    // plugin OwnerReferencesPermissionEnforcement is on.
    always(&CANARY, "finalizers", &["update"]),
    always(&EVENT, "", &["create"]),
    always(&SERVICE, "", READ_AND_WRITTEN),
];

static CONFIGS: [Right; 2] = [
    configs(&CONFIG_MAP, READ_AND_WRITTEN),
    // Never listed, which would be to read them all: by name, where a target refers to one.
    configs(&SECRET, &["create", "get", "patch"]),
];

static ALERTS: [Right; 2] = [
    alerts(&ALERT_PROVIDER, &["get"]),
    // The address of a channel.
    alerts(&SECRET, &["get"]),
];

static TEMPLATES: [Right; 2] = [
    Right {
        need: Need::Templates,
        kind: &METRIC_TEMPLATE,
        subresource: "",
        verbs: &["list"],
    },
    // The credentials of a metrics system.
    Right {
        need: Need::TemplateSecrets,
        kind: &SECRET,
        subresource: "",
        verbs: &["get"],
    },
];

const fn always(
    kind: &'static Kind,
    subresource: &'static str,
    verbs: &'static [&'static str],
) -> Right {
    Right {
        need: Need::Always,
        kind,
        subresource,
        verbs,
    }
}

const fn configs(kind: &'static Kind, verbs: &'static [&'static str]) -> Right {
    Right {
        need: Need::ConfigTracking,
        kind,
        subresource: "",
        verbs,
    }
}

const fn alerts(kind: &'static Kind, verbs: &'static [&'static str]) -> Right {
    Right {
        need: Need::Alerts,
        kind,
        subresource: "",
        verbs,
    }
}

/// A rule of a Role: resources of one group with the same verbs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub group: &'static str,
    pub resources: BTreeSet<String>,
    pub verbs: BTreeSet<&'static str>,
}

/// The least rules for these needs.
pub fn rules(needs: &BTreeSet<Need>) -> Vec<Rule> {
    let kinds = needs.iter().filter_map(|need| match need {
        Need::Kind(kind) => Some((*kind, READ_AND_WRITTEN)),
        Need::History(kind) => Some((*kind, &["list"][..])),
        Need::Always
        | Need::ConfigTracking
        | Need::Alerts
        | Need::Templates
        | Need::TemplateSecrets
        | Need::Metrics(..) => None,
    });
    let fixed = ALWAYS.iter().chain(&CONFIGS).chain(&ALERTS);
    let fixed = fixed.chain(&TEMPLATES);
    let fixed = fixed.filter(|right| needs.contains(&right.need));
    let mut verbs: BTreeMap<(&'static str, String), BTreeSet<&'static str>> = BTreeMap::new();
    let mut allow = |kind: &Kind, subresource: &str, allowed: &[&'static str]| {
        let resource = match subresource {
            "" => kind.plural.to_owned(),
            subresource => format!("{}/{subresource}", kind.plural),
        };
        verbs
            .entry((kind.group, resource))
            .or_default()
            .extend(allowed);
    };
    for right in fixed {
        allow(right.kind, right.subresource, right.verbs);
    }
    for (kind, verbs) in kinds {
        allow(kind, "", verbs);
    }
    for need in needs {
        if let Need::Metrics(kind, verb) = need {
            allow(kind, "", &[verb]);
        }
    }
    let mut rules: BTreeMap<(&str, BTreeSet<&str>), BTreeSet<String>> = BTreeMap::new();
    for ((group, resource), verbs) in verbs {
        rules.entry((group, verbs)).or_default().insert(resource);
    }
    let rule = |((group, verbs), resources)| Rule {
        group,
        resources,
        verbs,
    };
    rules.into_iter().map(rule).collect()
}
