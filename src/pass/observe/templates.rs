//! The MetricTemplates that canaries name: which, and what was read of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::canary::Canary;
use crate::api::metric_template::MetricTemplate;
use crate::io::cluster::{Cluster, Scope};
use crate::metrics::{Sources, TemplateTrouble, Templates, template_key};
use crate::objects::{Key, METRIC_TEMPLATE, Names, Policy};
use crate::pass::terms;

use super::{Keys, World};

/// What a canary is judged by, now or when it was last valid.
fn keys(canary: &Canary, policy: &Policy) -> BTreeSet<(String, String)> {
    let own = Names::of(canary).namespace;
    let status = canary.status.as_ref();
    let settings = status.and_then(|status| status.settings.as_ref());
    let metrics = terms::analysis(canary)
        .into_iter()
        .flat_map(|analysis| &analysis.metrics)
        .chain(settings.into_iter().flat_map(|settings| &settings.metrics));
    metrics
        .filter_map(|metric| Some(template_key(metric.template_ref.as_ref()?, &own)))
        .filter(|(namespace, _)| *namespace == own || policy.templates_cross_namespaces)
        .collect()
}

/// Lists those of all canaries, and keeps what was read of each.
pub(super) async fn list(cluster: &Cluster, scope: &Scope, world: &mut World) {
    let wanted = wanted(world);
    for scope in scopes(scope, &wanted) {
        for (kind, namespace, listed) in
            super::list(cluster, &scope, &METRIC_TEMPLATE, false, &wanted).await
        {
            let namespace = namespace.or(match &scope {
                Scope::Cluster => None,
                Scope::Namespace(namespace) => Some(namespace.clone()),
            });
            world.keep(kind, namespace, kind.kind, listed, &wanted);
        }
    }
    world.templates = read(world, &wanted);
}

/// Those that canaries name which are handled.
fn wanted(world: &World) -> Keys {
    let mut wanted: Keys = BTreeMap::new();
    let canaries = world.canaries.iter();
    let awake = canaries.filter(|canary| !super::is_left_alone(canary));
    for (namespace, name) in awake.flat_map(|canary| keys(canary, &world.policy)) {
        let of_namespace = wanted.entry(namespace).or_default();
        of_namespace.insert(Key::new(&METRIC_TEMPLATE, name));
    }
    wanted
}

/// What has to be listed for them: all namespaces at once, or else each by itself.
fn scopes(scope: &Scope, wanted: &Keys) -> Vec<Scope> {
    match scope {
        _ if wanted.is_empty() => Vec::new(),
        Scope::Cluster => vec![Scope::Cluster],
        Scope::Namespace(_) => wanted.keys().cloned().map(Scope::Namespace).collect(),
    }
}

/// What was read of each.
fn read(world: &World, wanted: &Keys) -> Templates {
    let mut templates = Templates::new();
    for (namespace, keys) in wanted {
        for key in keys {
            let listed = world.objects.get(namespace).and_then(|it| it.get(key));
            let template = match (world.unreadable(namespace, key), listed) {
                (Some(why), _) => Err(TemplateTrouble::Unread(why)),
                (None, None) => continue,
                (None, Some(object)) => {
                    serde_json::from_value::<MetricTemplate>((**object).clone())
                        .map_err(|why| TemplateTrouble::Malformed(why.to_string()))
                }
            };
            templates.insert((namespace.clone(), key.name.clone()), template);
        }
    }
    templates
}

impl World {
    /// What checks are resolved with.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources {
            metrics_server: &self.metrics_server,
            templates: &self.templates,
        }
    }
}
