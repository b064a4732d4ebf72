//! The objects of a canary, by what they are to it, and what others may do to their fields.

use davy::simulate::cluster::Key;
use serde_json::{Value, json};

use crate::proof::invariants::route;
use crate::proof::stage::Story;
use crate::proof::stage::others::{set_weight, without_weights};

/// An object that a canary is made of, or that is made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Target,
    Primary,
    Apex,
    PrimaryService,
    CanaryService,
    Route,
    PrimaryRule,
    CanaryRule,
    /// The user's autoscaler, and the primary's copy of it.
    Autoscaler,
    AutoscalerCopy,
    ConfigMap,
    ConfigMapCopy,
    Secret,
    SecretCopy,
}
use Part::{
    Apex, Autoscaler, AutoscalerCopy, CanaryRule, CanaryService, ConfigMap, ConfigMapCopy, Primary,
    PrimaryRule, PrimaryService, Route, Secret, SecretCopy, Target,
};

pub(super) const PARTS: [Part; 14] = [
    Target,
    Primary,
    Apex,
    PrimaryService,
    CanaryService,
    Route,
    PrimaryRule,
    CanaryRule,
    Autoscaler,
    AutoscalerCopy,
    ConfigMap,
    ConfigMapCopy,
    Secret,
    SecretCopy,
];

impl Part {
    /// Whether a canary cannot be released without it, and it is its user's to bring it.
    pub(super) fn is_users(self) -> bool {
        matches!(self, Target | Autoscaler | ConfigMap | Secret)
    }

    /// Which object it is for the canary of a story, as its Canary is now; nothing where a canary
    /// of this kind has none.
    pub(super) fn key(self, story: &Story) -> Option<Key> {
        let canary = story.get(story.canary())?;
        let text = |pointer: &str| canary.pointer(pointer).and_then(Value::as_str);
        let target = text("/spec/targetRef/name")?;
        let apex = text("/spec/service/name").unwrap_or(target);
        let here = |group: &str, kind: &str, name: &str| story.canary().beside(group, kind, name);
        let istio = |kind: &str, name: &str| here("networking.istio.io", kind, name);
        let scaler = || text("/spec/autoscalerRef/name");
        let scaler_of = |name: &str| match text("/spec/autoscalerRef/kind") {
            Some("ScaledObject") => here("keda.sh", "ScaledObject", name),
            _ => here("autoscaling", "HorizontalPodAutoscaler", name),
        };
        Some(match self {
            Target => here("apps", text("/spec/targetRef/kind")?, target),
            Primary => here(
                "apps",
                text("/spec/targetRef/kind")?,
                &format!("{target}-primary"),
            ),
            Apex => here("", "Service", apex),
            PrimaryService => here("", "Service", &format!("{apex}-primary")),
            CanaryService => here("", "Service", &format!("{apex}-canary")),
            Route => {
                let kind = route::RouteKind::of(text("/spec/provider").unwrap_or_default());
                here(kind.group, kind.kind, &kind.name(&canary["spec"], apex))
            }
            PrimaryRule => istio("DestinationRule", &format!("{apex}-primary")),
            CanaryRule => istio("DestinationRule", &format!("{apex}-canary")),
            Autoscaler => scaler_of(scaler()?),
            AutoscalerCopy => scaler_of(&format!("{}-primary", scaler()?)),
            ConfigMap => config(story, "ConfigMap")?,
            ConfigMapCopy => copy(&config(story, "ConfigMap")?),
            Secret => config(story, "Secret")?,
            SecretCopy => copy(&config(story, "Secret")?),
        })
    }
}

/// The first config of a kind in the canary's namespace that is nobody's copy.
fn config(story: &Story, kind: &str) -> Option<Key> {
    let namespace = &story.canary().namespace;
    let state = story.world.lock();
    let mut keys = state.cluster.objects_of("", kind).map(|(key, _)| key);
    let is_copy = |name: &str| name.ends_with("-primary") || name.ends_with("-primary-previous");
    keys.find(|key| key.namespace == *namespace && !is_copy(&key.name))
        .cloned()
}

fn copy(config: &Key) -> Key {
    config.beside("", &config.kind, &format!("{}-primary", config.name))
}

/// What somebody else does to fields of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    LabelAdded,
    LabelsRemoved,
    AnnotationAdded,
    AnnotationsRemoved,
    /// Only the annotation that says which step wrote the object.
    MarkWiped,
    /// A field that no Canary names.
    FieldAdded,
    Selector,
    Ports,
    WeightZero,
    WeightHalf,
    WeightAll,
    WeightsAbsent,
    RulesAbsent,
    Hosts,
    RuleHost,
    ReplicasZero,
    ReplicasOne,
    ReplicasFive,
    TemplateAnnotation,
    /// A port of the container moves, with the version that listens on it.
    ContainerPort,
    Image,
    Bounds,
    Data,
}

pub(super) const EDITS: [Edit; 23] = [
    Edit::LabelAdded,
    Edit::LabelsRemoved,
    Edit::AnnotationAdded,
    Edit::AnnotationsRemoved,
    Edit::MarkWiped,
    Edit::FieldAdded,
    Edit::Selector,
    Edit::Ports,
    Edit::WeightZero,
    Edit::WeightHalf,
    Edit::WeightAll,
    Edit::WeightsAbsent,
    Edit::RulesAbsent,
    Edit::Hosts,
    Edit::RuleHost,
    Edit::ReplicasZero,
    Edit::ReplicasOne,
    Edit::ReplicasFive,
    Edit::TemplateAnnotation,
    Edit::ContainerPort,
    Edit::Image,
    Edit::Bounds,
    Edit::Data,
];

/// What others put on objects, to be found again.
const OTHERS: &str = "other.example/kept";

impl Edit {
    /// Whether such an object has the fields.
    pub(super) fn concerns(self, part: Part) -> bool {
        let is_workload = matches!(part, Target | Primary);
        let is_service = matches!(part, Apex | PrimaryService | CanaryService);
        let is_rule = matches!(part, PrimaryRule | CanaryRule);
        match self {
            Self::LabelAdded | Self::AnnotationAdded => true,
            Self::LabelsRemoved => is_workload || is_service || part == Route,
            // What no pass writes bears nothing of ours.
            Self::AnnotationsRemoved | Self::MarkWiped => {
                !matches!(part, Autoscaler | ConfigMap | Secret)
            }
            Self::FieldAdded => is_service || is_rule || part == Route,
            Self::Selector | Self::Ports => is_service,
            Self::WeightZero
            | Self::WeightHalf
            | Self::WeightAll
            | Self::WeightsAbsent
            | Self::RulesAbsent
            | Self::Hosts => part == Route,
            Self::RuleHost => is_rule,
            Self::ReplicasZero
            | Self::ReplicasOne
            | Self::ReplicasFive
            | Self::TemplateAnnotation
            | Self::ContainerPort
            | Self::Image => is_workload,
            Self::Bounds => matches!(part, Autoscaler | AutoscalerCopy),
            Self::Data => matches!(part, ConfigMap | ConfigMapCopy | Secret | SecretCopy),
        }
    }

    /// Changes the fields, where they are there.
    pub(super) fn change(self, object: &mut Value) {
        match self {
            Self::LabelAdded => object["metadata"]["labels"][OTHERS] = json!("yes"),
            Self::AnnotationAdded => object["metadata"]["annotations"][OTHERS] = json!("yes"),
            Self::LabelsRemoved => remove(object, "/metadata", "labels"),
            Self::AnnotationsRemoved => remove(object, "/metadata", "annotations"),
            Self::MarkWiped => remove(object, "/metadata/annotations", "flagger.app/step"),
            Self::FieldAdded if object["kind"] == "Service" => {
                object["spec"]["sessionAffinity"] = json!("ClientIP");
            }
            Self::FieldAdded => match object["kind"].as_str() {
                Some("HTTPProxy") => object["spec"]["ingressClassName"] = json!("contour"),
                Some("VirtualService" | "DestinationRule") => {
                    object["spec"]["exportTo"] = json!(["."]);
                }
                // Of the others every field follows from the Canary.
                _ => {}
            },
            Self::Selector => object["spec"]["selector"] = json!({ "app": "elsewhere" }),
            Self::Ports => object["spec"]["ports"][0]["port"] = json!(8099),
            Self::WeightZero => set_weight(object, 0),
            Self::WeightHalf => set_weight(object, 50),
            Self::WeightAll => set_weight(object, 100),
            Self::WeightsAbsent => without_weights(object),
            Self::RulesAbsent => {
                for field in ["http", "rules", "routes", "weighted"] {
                    remove(object, "/spec", field);
                }
            }
            Self::Hosts => match object["kind"].as_str() {
                Some("VirtualService") => object["spec"]["hosts"] = json!(["elsewhere.example"]),
                Some("HTTPRoute") => object["spec"]["hostnames"] = json!(["elsewhere.example"]),
                Some("Ingress") => object["spec"]["rules"][0]["host"] = json!("elsewhere.example"),
                _ => {}
            },
            Self::RuleHost => object["spec"]["host"] = json!("elsewhere.example"),
            Self::ReplicasZero => object["spec"]["replicas"] = json!(0),
            Self::ReplicasOne => object["spec"]["replicas"] = json!(1),
            Self::ReplicasFive => object["spec"]["replicas"] = json!(5),
            Self::TemplateAnnotation => {
                object["spec"]["template"]["metadata"]["annotations"][OTHERS] = json!("yes");
            }
            Self::ContainerPort => {
                set_tag(object, "7.7.8");
                let container = &mut object["spec"]["template"]["spec"]["containers"][0];
                container["ports"][0]["containerPort"] = json!(9897);
            }
            Self::Image => set_tag(object, "7.7.7"),
            Self::Bounds if object["kind"] == "ScaledObject" => {
                object["spec"]["minReplicaCount"] = json!(1);
                object["spec"]["maxReplicaCount"] = json!(1);
            }
            Self::Bounds => {
                object["spec"]["minReplicas"] = json!(1);
                object["spec"]["maxReplicas"] = json!(1);
            }
            Self::Data => object["data"]["others"] = json!("eWVz"),
        }
    }
}

/// Gives the first container of a workload an image with another tag.
pub(super) fn set_tag(workload: &mut Value, tag: &str) {
    let image = &mut workload["spec"]["template"]["spec"]["containers"][0]["image"];
    let old = image.as_str().unwrap_or_default();
    let name = old.rsplit_once(':').map_or(old, |(name, _)| name);
    *image = json!(format!("{name}:{tag}"));
}

fn remove(object: &mut Value, parent: &str, field: &str) {
    let parent = object.pointer_mut(parent).and_then(Value::as_object_mut);
    drop(parent.map(|parent| parent.remove(field)));
}
