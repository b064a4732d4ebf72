//! What others do to the objects of a canary while passes are under way.

use davy::simulate::cluster::Key;
use serde_json::{Value, json};

use super::Story;

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
        match self {
            Self::TouchesCanary => canary.clone(),
            Self::Template | Self::TouchesTarget | Self::WipesTarget => {
                canary.beside("apps", "Deployment", &target)
            }
            Self::TouchesPrimary => {
                canary.beside("apps", "Deployment", &format!("{target}-primary"))
            }
            Self::RouteDown | Self::RouteUp | Self::TouchesRoute | Self::WipesRoute => {
                canary.beside("networking.istio.io", "VirtualService", &apex)
            }
        }
    }

    /// The path at which a pass would write the same object; nothing if it is not there.
    pub(crate) fn path(self, story: &Story) -> Option<String> {
        let key = self.key(story);
        story.get(&key)?;
        let root = match &*key.kind {
            "Canary" => "/apis/flagger.app/v1beta1",
            "Deployment" => "/apis/apps/v1",
            _ => "/apis/networking.istio.io/v1",
        };
        let plural = match &*key.kind {
            "Canary" => "canaries",
            "Deployment" => "deployments",
            _ => "virtualservices",
        };
        Some(format!(
            "{root}/namespaces/{}/{plural}/{}",
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
    for list in ["http", "tcp"] {
        let rules = route["spec"].get_mut(list).and_then(Value::as_array_mut);
        for entries in rules.into_iter().flatten() {
            let Some(entries) = entries["route"].as_array_mut() else {
                continue;
            };
            if entries.len() < 2 {
                continue;
            }
            for entry in entries {
                let host = entry["destination"]["host"].as_str().unwrap_or_default();
                let share = if host.ends_with("-canary") {
                    weight
                } else {
                    100 - weight
                };
                entry["weight"] = json!(share);
            }
        }
    }
}
