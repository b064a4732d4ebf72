//! What others do to the objects of a canary while passes are under way.

use davy::simulate::cluster::Key;
use serde_json::{Value, json};

use super::Story;
use crate::proof::invariants::route::{CANARY, CANARY_WEIGHT, RouteKind};

/// Somebody else's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    /// The user changes the template.
    Template,
    /// Another tool takes the traffic off the canary, or gives it all of it.
    RouteDown,
    RouteUp,
    /// Something is written that no pass looks at: a label here, a status there. Only the
    /// resourceVersion tells.
    TouchesCanary,
    TouchesTarget,
    TouchesPrimary,
    TouchesRoute,
    /// A tool that keeps only what it knows takes our annotation off.
    WipesRoute,
    WipesTarget,
}

pub(crate) const OTHERS: &[Other] = &[
    Other::Template,
    Other::RouteDown,
    Other::RouteUp,
    Other::TouchesCanary,
    Other::TouchesTarget,
    Other::TouchesPrimary,
    Other::TouchesRoute,
    Other::WipesRoute,
    Other::WipesTarget,
];

impl Other {
    pub(crate) fn key(self, story: &Story) -> Key {
        let canary = story.canary();
        let spec = story
            .get(canary)
            .map(|canary| canary["spec"].clone())
            .unwrap_or_default();
        let target = spec["targetRef"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let apex = spec["service"]["name"]
            .as_str()
            .unwrap_or(&target)
            .to_owned();
        let workload = spec["targetRef"]["kind"].as_str().unwrap_or("Deployment");
        match self {
            Self::TouchesCanary => canary.clone(),
            Self::Template | Self::TouchesTarget | Self::WipesTarget => {
                canary.beside("apps", workload, &target)
            }
            Self::TouchesPrimary => canary.beside("apps", workload, &format!("{target}-primary")),
            Self::RouteDown | Self::RouteUp | Self::TouchesRoute | Self::WipesRoute => {
                let kind = RouteKind::of(spec["provider"].as_str().unwrap_or_default());
                canary.beside(kind.group, kind.kind, &kind.name(&spec, &apex))
            }
        }
    }

    /// The path at which a pass would write the same object; nothing if it is not there.
    pub(crate) fn path(self, story: &Story) -> Option<String> {
        let key = self.key(story);
        story.get(&key)?;
        let (group, version, plural) = match &*key.kind {
            "Canary" => ("flagger.app", "v1beta1", "canaries"),
            "Deployment" => ("apps", "v1", "deployments"),
            "DaemonSet" => ("apps", "v1", "daemonsets"),
            _ => {
                let canary = story.get(story.canary())?;
                let route = RouteKind::of(canary["spec"]["provider"].as_str().unwrap_or_default());
                (route.group, route.version, route.plural)
            }
        };
        Some(format!(
            "/apis/{group}/{version}/namespaces/{}/{plural}/{}",
            key.namespace, key.name
        ))
    }

    /// Writes, if the object is there.
    pub(crate) fn happen(self, story: &mut Story, tag: u64) {
        let key = self.key(story);
        let now = story.world.now();
        let edited = {
            let mut state = story.world.lock();
            if state.cluster.get(&key).is_none() {
                return;
            }
            let by = if self == Self::Template {
                "user"
            } else {
                "other"
            };
            state
                .cluster
                .edit(&key, by, now, |object| self.edit(object, tag))
                .map(drop)
        };
        edited.unwrap_or_else(|error| panic!("{self:?} on {key}: {error}"));
        story.judge(None);
    }

    fn edit(self, object: &mut Value, tag: u64) {
        match self {
            Self::Template => {
                let image = &mut object["spec"]["template"]["spec"]["containers"][0]["image"];
                let name = image.as_str().unwrap_or_default();
                let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
                *image = json!(format!("{name}:9.9.{tag}"));
            }
            Self::RouteDown => set_weight(object, 0),
            Self::RouteUp => set_weight(object, 100),
            Self::TouchesCanary
            | Self::TouchesTarget
            | Self::TouchesPrimary
            | Self::TouchesRoute => {
                object["metadata"]["labels"]["seen-by-other"] = json!(format!("{tag}"));
            }
            Self::WipesRoute | Self::WipesTarget => {
                if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                    annotations.remove("flagger.app/step");
                }
            }
        }
    }
}

/// Gives the canary this share in every rule that splits traffic.
pub(crate) fn set_weight(route: &mut Value, weight: u64) {
    if route["kind"] == "Ingress" {
        let annotations = &mut route["metadata"]["annotations"];
        annotations[CANARY] = json!("true");
        annotations[CANARY_WEIGHT] = json!(weight.to_string());
        return;
    }
    list_both_sides(route);
    for entries in destinations(route).filter(|entries| entries.len() > 1) {
        for entry in entries {
            let host = entry.pointer("/destination/host").unwrap_or(&entry["name"]);
            let is_canary = host.as_str().is_some_and(|host| host.ends_with("-canary"));
            let share = if is_canary { weight } else { 100 - weight };
            entry["weight"] = json!(share);
        }
    }
}

/// Takes the weights off a route that splits traffic.
pub(crate) fn without_weights(route: &mut Value) {
    if let Some(annotations) = route["metadata"]["annotations"].as_object_mut() {
        annotations.remove(CANARY_WEIGHT);
    }
    for entry in destinations(route).flatten() {
        drop(entry.as_object_mut().map(|entry| entry.remove("weight")));
    }
}

/// The destinations of every rule of a route.
fn destinations(route: &mut Value) -> impl Iterator<Item = &mut Vec<Value>> {
    let lists = route["spec"].as_object_mut().into_iter().flatten();
    let rules = lists.flat_map(|(field, rules)| match (&**field, rules) {
        ("http" | "tcp" | "rules" | "routes", Value::Array(rules)) => rules.iter_mut().collect(),
        ("weighted", weighted) => vec![weighted],
        _ => Vec::new(),
    });
    rules.flat_map(|rule| {
        let fields = rule.as_object_mut().into_iter().flatten();
        fields.filter_map(|(field, entries)| match &**field {
            "route" | "backendRefs" | "services" => entries.as_array_mut(),
            _ => None,
        })
    })
}

/// A `TraefikService` lists a side only while that has traffic.
fn list_both_sides(route: &mut Value) {
    let services = route.pointer_mut("/spec/weighted/services");
    let Some([one]) = services
        .as_deref()
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    else {
        return;
    };
    let mut other = one.clone();
    let name = one["name"].as_str().unwrap_or_default();
    other["name"] = match name.strip_suffix("-primary") {
        Some(apex) => json!(format!("{apex}-canary")),
        None => json!(name.replace("-canary", "-primary")),
    };
    let both = json!([one, other]);
    if let Some(services) = services {
        *services = both;
    }
}
