//! The vocabulary of cluster objects, and what Davy generates besides routes: Services, config
//! copies, a primary's pod template. Objects stay JSON, so that fields of newer API servers survive.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::api::canary::Canary;

use self::tenancy::Tenancy;

pub mod configs;
pub mod duration;
pub mod hash;
pub mod metadata;
pub mod names;
pub mod names_grammar;
pub mod patch;
pub mod pod_template;
pub mod references;
pub mod selector;
pub mod services;
pub mod shard;
pub mod tenancy;

/// A kind of the Kubernetes API, as it is addressed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
}

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
    }
}

pub static CANARY: Kind = kind("flagger.app", "v1beta1", "Canary", "canaries");
pub static DEPLOYMENT: Kind = kind("apps", "v1", "Deployment", "deployments");
pub static REPLICA_SET: Kind = kind("apps", "v1", "ReplicaSet", "replicasets");
pub static SERVICE: Kind = kind("", "v1", "Service", "services");
pub static CONFIG_MAP: Kind = kind("", "v1", "ConfigMap", "configmaps");
pub static SECRET: Kind = kind("", "v1", "Secret", "secrets");
pub static EVENT: Kind = kind("", "v1", "Event", "events");
pub static ALERT_PROVIDER: Kind = kind("flagger.app", "v1beta1", "AlertProvider", "alertproviders");
pub static METRIC_TEMPLATE: Kind = kind(
    "flagger.app",
    "v1beta1",
    "MetricTemplate",
    "metrictemplates",
);
pub static HORIZONTAL_POD_AUTOSCALER: Kind = kind(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
);
pub static VIRTUAL_SERVICE: Kind = kind(
    "networking.istio.io",
    "v1",
    "VirtualService",
    "virtualservices",
);
pub static DESTINATION_RULE: Kind = kind(
    "networking.istio.io",
    "v1",
    "DestinationRule",
    "destinationrules",
);

/// An object in the canary's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: &'static Kind,
    pub name: String,
}

impl Key {
    pub fn new(kind: &'static Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// Whether this is the object named so, in whatever version of its group.
    pub fn is(&self, api_version: &str, kind: &str, name: &str) -> bool {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.kind.group == group && self.kind.kind == kind && self.name == name
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.kind, self.name)
    }
}

/// Whose an object is that a plug-in reads: who may write it, and what becomes of it in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Made by Davy, with the Canary as its controller. One without a controller is somebody else's.
    Owned,
    /// As `Owned`; one without a controller is the user's, changed and given back.
    Adopted,
    /// The user's, or another program's: read, and never written.
    UsersOwn,
}

/// The objects that one canary is about, as this pass read them. A key that is absent was looked
/// for and is not there.
pub type Objects = BTreeMap<Key, Arc<Value>>;

/// The names that follow from a Canary: Flagger's, so that a cluster can change hands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub canary: String,
    pub namespace: String,
    pub uid: String,
    pub target: String,
    pub primary: String,
    /// The Service that clients use; `service.name`, or else the target's name.
    pub apex: String,
    pub apex_primary: String,
    pub apex_canary: String,
}

impl Names {
    pub fn of(canary: &Canary) -> Self {
        let target = &canary.spec.target_ref.name;
        let service = canary.spec.service.as_ref();
        let apex = service
            .and_then(|service| service.name.as_ref())
            .filter(|name| !name.is_empty())
            .unwrap_or(target);
        let names = Self {
            canary: canary.metadata.name.clone().unwrap_or_default(),
            namespace: canary.metadata.namespace.clone().unwrap_or_default(),
            uid: canary.metadata.uid.clone().unwrap_or_default(),
            ..Self::default()
        };
        names.laid_out(target, apex)
    }

    /// The same Canary with another target and another Service that clients use.
    #[must_use]
    pub fn laid_out(self, target: &str, apex: &str) -> Self {
        Self {
            primary: format!("{target}-primary"),
            apex_primary: format!("{apex}-primary"),
            apex_canary: format!("{apex}-canary"),
            target: target.to_owned(),
            apex: apex.to_owned(),
            ..self
        }
    }
}

/// What the settings say about generated objects and about judging, for every canary alike.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting that is on or off by itself"
)]
pub struct Policy {
    /// The routing provider of a Canary that names none.
    pub mesh_provider: String,
    /// Labels that may tell the pods of a target, in order of preference.
    pub selector_labels: Vec<String>,
    /// Prefixes of the labels and annotations that a primary takes over; `*` is all.
    pub include_label_prefix: Vec<String>,
    pub config_tracking: bool,
    /// Count every check that did not pass against `threshold`, as Flagger does.
    pub flagger_counting: bool,
    /// What this cluster is called where several report to one place.
    pub cluster_name: String,
    /// Where the promotion records in an outbox go.
    pub records: Option<String>,
    /// Records hold the pod template that was promoted, and a primary that is made anew starts
    /// from it.
    pub restores: bool,
    /// Where it is proposed to take back what was rolled back.
    pub reverts: Option<String>,
    /// Where news of a release goes whose Canary names no alerts.
    pub alerts: Vec<String>,
    /// Where the Events of each step go as well.
    pub event_webhook: Option<String>,
    /// Whether a webhook may do without a check of its server's certificate.
    pub insecure_webhooks: bool,
    /// Whether a MetricTemplate may do without a check of its system's certificate.
    pub insecure_metrics: bool,
    /// What teams that share a cluster may not do to each other.
    pub tenancy: Tenancy,
    /// Whether a Canary may name MetricTemplates of other namespaces.
    pub templates_cross_namespaces: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mesh_provider: "istio".to_owned(),
            selector_labels: ["app", "name", "app.kubernetes.io/name"]
                .map(str::to_owned)
                .into(),
            include_label_prefix: Vec::new(),
            config_tracking: true,
            flagger_counting: false,
            cluster_name: "default".to_owned(),
            records: None,
            restores: false,
            reverts: None,
            alerts: Vec::new(),
            event_webhook: None,
            insecure_webhooks: false,
            insecure_metrics: false,
            tenancy: Tenancy::default(),
            templates_cross_namespaces: true,
        }
    }
}

/// What a plug-in sees of one canary.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub canary: &'a Canary,
    pub names: &'a Names,
    pub policy: &'a Policy,
    pub objects: &'a Objects,
}

impl<'a> View<'a> {
    pub fn object(&self, kind: &'static Kind, name: &str) -> Option<&'a Value> {
        self.objects
            .get(&Key::new(kind, name))
            .map(|object| &**object)
    }

    /// The object of the target's kind that is named so: the target, or its primary.
    pub fn workload(&self, name: &str) -> Option<&'a Value> {
        let kind = &self.canary.spec.target_ref.kind;
        let mut objects = self.objects.iter();
        objects
            .find(|(key, _)| key.kind.kind == kind && key.name == name)
            .map(|(_, object)| &**object)
    }
}

/// The order in which a step writes: what others rely on comes first, traffic before pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    PreviousConfig,
    Config,
    Service,
    Primary,
    Scaler,
    Apex,
    Route,
    Target,
    Canary,
}

/// A whole object as it should be: a copy of the live one with the edits made, or a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub key: Key,
    pub rank: Rank,
    pub object: Value,
}

/// Why a canary cannot be handled: the object, the field where there is one, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(pub String);

impl Problem {
    /// `field` is the path in the Canary as a user writes it: `spec.analysis.mirror`.
    pub fn field(field: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{field}: {why}"))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ownerReference by which what Davy makes is found again, and collected with the Canary.
/// The version is v1beta1 whatever the manifest says: garbage collection does not follow a
/// version that is no longer served.
pub fn owner_reference(names: &Names) -> Value {
    serde_json::json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "name": names.canary,
        "uid": names.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The UID of the object's controller, if it has one.
pub fn controller_uid(object: &Value) -> Option<&str> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["controller"] == true)?["uid"]
        .as_str()
}
